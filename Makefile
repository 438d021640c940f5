# The only commands anyone types; CI types the same. Needs python3 (>= 3.11) and make, nothing else.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Named after what the set-up depends on: it is done again when the pins or the project's metadata change, else never.
STAMP := .venv/.installed-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
BENCH ?= $(sort $(basename $(notdir $(wildcard benchmarks/*.py))))

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint bench proto grafana screenshots

help:
	@echo "make demo    everything end to end on real data: tune, choose, serve, evaluate (ARGS=--keep leaves it running)"
	@echo "make test    the test suite (ARGS='-k name' for a part of it)"
	@echo "make test-slow  the drills that take a minute or more each: kills, distributed trials, placement"
	@echo "make lint    style and types: ruff and mypy"
	@echo "make bench   every benchmark, one after the other (BENCH=name for one)"
	@echo "make screenshots  the pictures of docs/, from real studies in a real browser"
	@echo "Each sets up .venv first, once, from requirements.lock."

demo: $(STAMP)
	@echo "Running the demo: about three minutes on two cores."
	@$(BIN)/raytune demo $(ARGS)

test: $(STAMP)
	@echo "Running the tests."
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(STAMP)
	@echo "Running the drills."
	@$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(STAMP)
	@echo "Checking the style."
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo "Checking the types."
	@$(BIN)/mypy

bench: $(STAMP)
	@failed=""; for name in $(BENCH); do echo "Running benchmarks/$$name.py."; $(BIN)/python benchmarks/$$name.py $(ARGS) || failed="$$failed $$name"; done; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

grafana: $(STAMP)
	@$(BIN)/python -m deploy.grafana.dashboard

screenshots: $(STAMP)
	@echo "Making the pictures of docs/ from real studies: about five minutes on two cores."
	@$(BIN)/python docs/screenshots.py

# Generated for an old protobuf on purpose: the messages then work with that release and the next.
proto: $(STAMP)
	@$(BIN)/uv run --no-project --python $(BIN)/python --with grpcio-tools==1.81.1 python -m grpc_tools.protoc \
	  --proto_path=serving/rpc --python_out=serving/rpc --pyi_out=serving/rpc messages.proto

$(STAMP):
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON); install Python 3.11 or newer, or say which: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) is too old; Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: this Python has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	@echo "Setting up .venv: once, about 7 GB, most of it torch's CUDA libraries."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	@echo "Installing the packages pinned in requirements.lock."
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements.lock
	@echo "Installing this project, editable."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f .venv/.installed-* && touch $@
	@echo "Set up."
