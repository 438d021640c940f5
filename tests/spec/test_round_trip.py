"""What is written out reads back as the same experiment, and overrides go where they say."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raytune_app.errors import InputError, SpecError
from raytune_app.spec import load, parse, resolve
from raytune_app.spec.domains import parse_domain

fractions = st.floats(0, 0.99)
lrs = st.floats(1e-6, 1)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)


def _tunable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.lists(values, min_size=1, max_size=4).map(lambda listed: {"choice": listed}))


train = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 1000),
        "batch_size": _tunable(st.integers(1, 4096)),
        "lr": st.one_of(_tunable(lrs), lrs.map(lambda low: {"loguniform": [low, low * 10]})),
        "optimizer": _tunable(st.sampled_from(["adam", "adamw", "sgd", "rmsprop"])),
        "momentum": _tunable(fractions),
        "clip_norm": _tunable(st.none() | lrs),
        "patience": st.none() | st.integers(1, 10),
    },
)
model = st.one_of(
    st.fixed_dictionaries({"name": st.just("tutorial_cnn")}, optional={"channels": _tunable(st.integers(1, 64))}),
    st.fixed_dictionaries(
        {"name": st.just("conv_net")},
        optional={
            "kernel": _tunable(st.sampled_from([1, 3, 5, 7])),
            "batch_norm": _tunable(st.booleans()),
            "dropout": _tunable(fractions),
            "width": st.integers(1, 500).map(lambda low: {"randint": [low, low + 9]}),
        },
    ),
)
experiments = st.fixed_dictionaries(
    {"name": names, "data": st.just({"name": "mnist"}), "model": model},
    optional={
        "seed": st.integers(0, 2**31 - 1),
        "train": train,
        "trials": st.none() | st.integers(1, 100),
        "resources": st.fixed_dictionaries({}, optional={"gpus": st.sampled_from(["auto", 0, 0.5, 1, 2])}),
        "register": st.none() | st.fixed_dictionaries({"model": names}, optional={"alias": st.none() | names}),
        "objective": st.fixed_dictionaries({"metric": st.sampled_from(["accuracy", "loss", "macro_f1"])}),
        "scheduler": st.sampled_from([{"name": "fifo"}, {"name": "asha", "grace": 1, "reduction": 4}]),
    },
)


@given(experiments)
def test_a_dictionary_and_yaml_read_back_as_the_same_experiment(content: dict[str, Any]) -> None:
    experiment = parse(content)
    assert parse(experiment.to_dict()) == experiment
    assert parse(yaml.safe_load(experiment.to_yaml())) == experiment


@given(experiments, st.randoms(use_true_random=False))
def test_every_draw_of_every_domain_resolves_to_an_experiment_without_domains(
    content: dict[str, Any], rng: Any
) -> None:
    experiment = parse(content)
    resolved = resolve(experiment, {path: domain.sample(rng) for path, domain in experiment.domains().items()})
    assert not resolved.domains()
    assert parse(resolved.to_dict()) == resolved


def test_listed_values_are_read_as_the_key_reads_them() -> None:
    experiment = parse({
        "name": "x", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"},
        "train": {"lr": {"choice": ["1e-3", 1]}, "batch_size": {"choice": ["64", 128.0]}},
    })  # fmt: skip
    assert experiment.domains() == {
        "train.lr": parse_domain({"choice": [0.001, 1.0]}),
        "train.batch_size": parse_domain({"choice": [64, 128]}),
    }


def test_an_experiment_cannot_be_changed() -> None:
    experiment = parse({"name": "x", "data": {"name": "mnist"}, "model": {"name": "tutorial_cnn"}})
    with pytest.raises(ValueError, match="frozen"):
        experiment.train.lr = 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text("name: x\ndata: {name: mnist}\nmodel: {name: tutorial_cnn}\ntrain: {lr: 0.5, epochs: 3}\n")
    return path


def test_overrides_replace_add_and_leave_the_rest(file: Path) -> None:
    experiment = load(file, ["train.lr={loguniform: [1e-4, 1e-1]}", "name=y", "augment.flip=0.5", "train.lr=0.25"])
    assert (experiment.name, experiment.train.lr, experiment.train.epochs, experiment.augment.flip) == (
        "y",
        0.25,
        3,
        0.5,
    )


def test_an_override_with_a_domain_is_a_domain(file: Path) -> None:
    assert list(load(file, ["train.lr={uniform: [1, 2]}"]).domains()) == ["train.lr"]


def test_an_override_of_an_unknown_key_is_a_mistake_like_any_other(file: Path) -> None:
    with pytest.raises(SpecError, match=r"train\.lrr: 'lrr': unknown key; did you mean 'lr'"):
        load(file, ["train.lrr=1"])


@pytest.mark.parametrize(
    "override", ["train.lr", "=1", "", "train..lr=1", ".lr=1", "train.lr=[", "train.lr=2024-99-99"]
)
def test_an_override_that_cannot_be_read_is_quoted(override: str, file: Path) -> None:
    with pytest.raises(InputError, match="--set") as caught:
        load(file, [override])
    assert repr(override) in str(caught.value)
