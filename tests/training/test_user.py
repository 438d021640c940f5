from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from raytune_app.data.arrays import Training
from raytune_app.errors import InputError
from raytune_app.spec import Experiment, load, parse, resolve
from raytune_app.spec.reading import merge
from raytune_app.training.state import State
from raytune_app.training.user import TrialContext, UserRun

CPU = torch.device("cpu")
EXAMPLE = Path(__file__).parents[2] / "experiments" / "own_training.yaml"
MakeUser = Callable[..., UserRun]


def experiment(*metrics: str, trial: str = "mine:train", epochs: int = 3, patience: int | None = None) -> Experiment:
    objectives = [{"metric": metric, "mode": "max"} for metric in metrics or ("score",)]
    sections = {"name": "test", "data": {"name": "mnist"}, "trial": trial, "params": {"lr": 0.5}}
    return parse(sections | {"train": {"epochs": epochs, "patience": patience}, "objective": objectives})


@pytest.fixture
def make_user(data: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeUser:
    """`make_user(function, *metrics, ...)`: a UserRun of it; each has a folder of its own."""
    made = iter(range(99))

    def make(function: Any, *metrics: str, seed: int = 0, **settings: Any) -> UserRun:
        module = ModuleType("mine")
        module.train = function  # type: ignore[attr-defined]  # what a file of this name would hold
        monkeypatch.setitem(sys.modules, "mine", module)
        folder = tmp_path / f"run{next(made)}"
        return UserRun(experiment(*metrics, **settings), data, seed=seed, device=CPU, folder=folder)

    return make


def stored(state: State) -> State:
    return State({}, json.loads(json.dumps(state.values)), dict(state.files))


def rows_of(run: UserRun) -> list[dict[str, Any]]:
    rows = [run.train_epoch()]
    while not rows[-1]["finished"]:
        rows.append(run.train_epoch())
    return [{name: value for name, value in row.items() if name != "epoch_s"} for row in rows]


def counting(context: TrialContext) -> Iterator[dict[str, float]]:
    """Keeps a count in a file, below a folder of its own."""
    kept = context.folder / "deep" / "count"
    count = int(kept.read_text()) if context.epoch else 0
    for _ in range(9):
        count += 1
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(str(count))
        yield {"score": count * context.params["lr"], "epochs_before": context.epoch}


def test_a_row_is_what_was_yielded_and_the_epochs_end_it(make_user: MakeUser) -> None:
    rows = rows_of(make_user(counting))
    assert rows == [
        {"score": 0.5 * n, "epochs_before": 0, "epoch": n, "diverged": False, "finished": n == 3} for n in (1, 2, 3)
    ]


def test_the_context_tells_all(make_user: MakeUser, data: Training) -> None:
    seen = []

    def train(context: TrialContext) -> Iterator[dict[str, float]]:
        seen.append(context)
        yield {"score": 1}

    run = make_user(train, seed=7)
    run.train_epoch()
    (context,) = seen
    assert (context.params, context.seed, context.device, context.epoch) == ({"lr": 0.5}, 7, CPU, 0)
    assert context.data is data
    assert context.experiment.train.epochs == 3
    assert context.folder.is_dir()


def test_its_files_are_there_again_and_none_besides(make_user: MakeUser) -> None:
    first = make_user(counting)
    first.train_epoch()
    first.train_epoch()
    state = stored(first.state())
    assert state.files == {"deep/count": b"2"}
    second = make_user(counting)
    second.train_epoch()
    (second._folder / "stray").write_text("of the time before")
    second.load_state(state)
    assert rows_of(second) == [{"score": 1.5, "epochs_before": 2, "epoch": 3, "diverged": False, "finished": True}]
    assert set(second.state().files) == {"deep/count"}


def test_the_example_resumed_equals_the_example_uninterrupted(
    data: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    content = merge(load(EXAMPLE).to_dict(), {"params.hidden": 16, "params.lr": 0.1, "train.epochs": 3})

    def make(name: str, **values: Any) -> UserRun:
        chosen = parse(merge(content, values))
        return UserRun(resolve(chosen, {}), data, seed=1, device=CPU, folder=tmp_path / name)

    with torch.random.fork_rng(devices=[]):
        expected = rows_of(make("whole"))
        first = make("first")
        first.train_epoch()
        second, perturbed = make("second"), make("perturbed", **{"params.lr": 0.01})
        for run in (second, perturbed):
            run.load_state(stored(first.state()))
        assert rows_of(second) == expected[1:]
        assert rows_of(perturbed) != expected[1:]
    assert expected[0]["right"] < expected[-1]["right"]
    assert expected[-1]["right"] > 0.6


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (None, r"yielded None \(NoneType\) after epoch 1"),
        (0.9, r"yielded 0.9 \(float\)"),
        ([("score", 1)], r"\(list\)"),
        ({}, "without the objective score, other"),
        ({"score": 1, "others": 2}, "without the objective other"),
        ({"score": True, "other": 1}, "'score' is a bool, not a number"),
        ({"score": "0.9", "other": 1}, "'score' is a str, not a number"),
        ({"score": None, "other": 1}, "'score' is a NoneType, not a number"),
        ({"score": torch.tensor(0.9), "other": 1}, "'score' is a Tensor, not a number"),
        ({"score": 1, "other": 1, 3: 1}, "3 is no name"),
        ({"score": 1, "other": 1, "": 1}, "'' is no name"),
        *[
            ({"score": 1, "other": 1, name: 1}, f"'{name}' is a name of the study's own")
            for name in ("epoch", "diverged", "finished", "epoch_s", "trial", "decision", "done", "config")
        ],
    ],
    ids=str,
)
def test_rubbish_is_refused_by_name(make_user: MakeUser, row: Any, fault: str) -> None:
    run = make_user(lambda _: iter([row]), "score", "other")
    with pytest.raises(InputError, match=rf"trial mine:train.*{fault}") as caught:
        run.train_epoch()
    assert caught.value.remedy


def test_what_is_no_generator_is_refused(make_user: MakeUser) -> None:
    with pytest.raises(InputError, match=r"trial mine:train returned 0.9 \(float\), not a generator"):
        make_user(lambda _: 0.9).train_epoch()
    with pytest.raises(InputError, match="ended without a yield"):
        make_user(lambda _: iter([])).train_epoch()


def test_what_the_user_raises_comes_as_it_is(make_user: MakeUser) -> None:
    def train(context: TrialContext) -> Iterator[dict[str, float]]:
        yield {"score": 1 / context.epoch}

    with pytest.raises(ZeroDivisionError):
        make_user(train).train_epoch()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", ["score", "other"])
def test_an_objective_that_is_not_finite_has_diverged(make_user: MakeUser, metric: str, value: float) -> None:
    row = {"score": 1.0, "other": 1.0, "note": math.nan, metric: value}
    (last,) = rows_of(make_user(lambda _: iter([row, row, row]), "score", "other"))
    assert last["diverged"]
    assert not make_user(lambda _: iter([{"score": 1.0, "note": math.nan}])).train_epoch()["diverged"]


def test_a_generator_that_returns_early_has_finished_with_its_last_row(make_user: MakeUser) -> None:
    def train(context: TrialContext) -> Iterator[dict[str, float]]:
        for score in (1.0, 2.0)[context.epoch :]:
            yield {"score": score}

    run = make_user(train, epochs=9)
    rows = rows_of(run)
    assert [(row["epoch"], row["score"], row["finished"]) for row in rows] == [
        (1, 1.0, False),
        (2, 2.0, False),
        (2, 2.0, True),
    ]
    again = make_user(train, epochs=9)
    again.load_state(stored(run.state()))
    assert rows_of(again) == rows[-1:]


def test_patience_ends_a_users_training_too_and_survives_a_resume(make_user: MakeUser) -> None:
    def train(context: TrialContext) -> Iterator[dict[str, float]]:
        for _ in range(9):
            yield {"score": 1.0}

    first = make_user(train, epochs=9, patience=2)
    first.train_epoch()
    second = make_user(train, epochs=9, patience=2)
    second.load_state(stored(first.state()))
    assert [row["finished"] for row in rows_of(second)] == [False, True]


def test_a_link_among_its_files_is_refused(make_user: MakeUser) -> None:
    run = make_user(counting)
    run.train_epoch()
    (run._folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="link is not a plain file"):
        run.state()


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", ""])
def test_a_checkpoint_that_leads_out_of_the_folder_is_refused(make_user: MakeUser, name: str) -> None:
    run = make_user(counting)
    with pytest.raises(InputError, match="outside its own folder"):
        run.load_state(State({}, {"epoch": 1, "best": None, "last": {}}, {name: b"x"}))
    assert not (run._folder.parent / "outside").exists()


@pytest.mark.parametrize(
    ("trial", "fault"),
    [
        ("no_such_module_1:train", "No module named"),
        ("json:train", "json has no train"),
        ("broken_here:train", "the import raised RuntimeError: at once"),
    ],
)
def test_what_cannot_be_imported_is_refused(
    data: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: str, fault: str
) -> None:
    (tmp_path / "broken_here.py").write_text("raise RuntimeError('at once')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=fault):
        UserRun(experiment(trial=trial), data, seed=0, device=CPU, folder=tmp_path / "own")
