# The only commands anyone types; CI types the same. Needs python3 (>= 3.11) and make, nothing else.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
LOCK := $(shell cksum requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
STAMP := .venv/.installed-$(LOCK)
ARGS ?=
BENCH ?= $(sort $(basename $(notdir $(wildcard benchmarks/*.py))))

.PHONY: help demo test lint bench
help:
	@echo "make demo    set up, then everything end to end on real data: tune, choose, serve, evaluate (ARGS=--keep leaves it running)"
	@echo "make test    set up, then run the test suite"
	@echo "make lint    set up, then ruff and mypy"
	@echo "make bench   set up, then run every benchmark (BENCH=name for one)"

demo: $(STAMP)
	@$(BIN)/raytune demo $(ARGS)

test: $(STAMP)
	@echo "running the tests"
	@$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	@echo "checking style and types"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: $(STAMP)
	@for name in $(BENCH); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py $(ARGS) || exit 1; done

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "this Python has no venv module; install it (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "setting up .venv: once, about 6 GB, most of it torch's CUDA libraries"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet "$$(grep '^uv==' requirements.lock)"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f .venv/.installed-*; touch $@
	@echo "set up"
