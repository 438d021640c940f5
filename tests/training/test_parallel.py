"""What two processes train together equals what one process trains; the file is also those processes' program."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.spec import Experiment, parse
from raytune_app.spec.grammar import DataSpec
from raytune_app.training.run import Run
from raytune_app.training.speed import Speed

CPU = torch.device("cpu")
RANKS = 2
EPOCHS = 3
WIDE = {"name": "conv_net", "blocks": 2, "width": 3, "batch_norm": True}
PLAIN = {"name": "tutorial_cnn", "channels": 3}  # three channels do not divide among two ranks
SGD = {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "nesterov": True}
STRICT = {"l1": 1e-4, "l2": 1e-3, "weight_decay": 1e-3, "clip_norm": 0.5, "label_smoothing": 0.1}
MOVED = {"shift": 0.1, "rotate": 10, "flip": 0.3}
CNN = {"name": "text_cnn", "dimension": 6, "widths": (2, 3), "maps": 4, "dropout": 0.0, "max_norm": 0.3}
BALANCED = {"batch_size": 60, "lr": 0.02, "class_weights": "balanced", "label_smoothing": 0.1}
UNLIKE = {"word_dropout": 0.2, "swap": 0.3}
Case = tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]
CASES: dict[str, Case] = {
    # kind, model, train, augment; 121 pictures: a last batch of 21 in batches of 50, of one in batches of 60 or 40
    "ddp": ("ddp", PLAIN, {"batch_size": 50}, {}),
    "ddp, batch norm, one picture left over, augmented": ("ddp", WIDE, {"batch_size": 60, **SGD}, MOVED),
    "ddp, clipped and penalised": ("ddp", PLAIN, {"batch_size": 40, **SGD, **STRICT}, {}),
    "fsdp": ("fsdp", PLAIN, {"batch_size": 50}, {}),
    "fsdp, batch norm, one picture left over, augmented": ("fsdp", WIDE, {"batch_size": 60, **SGD}, MOVED),
    "fsdp, clipped and penalised": ("fsdp", PLAIN, {"batch_size": 40, **SGD, **STRICT}, {}),
    "fsdp, blocks in one": ("fsdp", {**WIDE, "batch_norm": False}, {"batch_size": 50}, {}),
    "fsdp, rmsprop": ("fsdp", PLAIN, {"batch_size": 50, "optimizer": "rmsprop", "momentum": 0.5}, {}),
    "ddp, texts, bounded, balanced, one left over, augmented": ("ddp", CNN, BALANCED, UNLIKE),
    "fsdp, texts, bounded, balanced, one left over, augmented": ("fsdp", CNN, BALANCED, UNLIKE),
}
DROPOUT: Case = ("ddp", {**WIDE, "dropout": 0.5}, {"batch_size": 50}, {})
RESUMED = "resumed"


def _experiment(kind: str, model: dict[str, Any], train: dict[str, Any], augment: dict[str, Any]) -> Experiment:
    content = {
        "name": "test",
        "data": {"name": _data_name(model)},
        "model": model,
        "train": {"epochs": EPOCHS, "speed": "plain", "lr": 0.002, **train},
        "augment": augment,
        "parallel": {"kind": kind, "workers": RANKS},
        "objective": [{"metric": "accuracy"}, {"metric": "latency_ms"}],
    }
    return parse(content)


def _data_name(model: dict[str, Any]) -> Any:
    return "sentences/topic" if str(model["name"]).startswith("text_") else "mnist"


@functools.cache
def _load(name: Any) -> Training:
    """121 pictures or texts to learn from; of the texts the classes are of unlike size."""
    return load_training(DataSpec(name=name, train_limit=201, validation=0.4), seed=0)


def _data(case: Case) -> Training:
    return _load(_data_name(case[1]))


def _in_double(run: Run, case: str) -> Run:
    """Max pooling turns a rounding of float32 between equal neighbours into other gradients after batch norm."""
    if "batch norm" in case:
        run.classifier.double()
    return run


def _train(run: Run) -> list[dict[str, Any]]:
    return [asdict(run.train_epoch()) for _ in range(EPOCHS)]


def _work(rank: int, folder: Path) -> None:
    """One rank's program: every case in turn; each rank writes down what it has."""
    import torch.distributed as dist

    from raytune_app.training.parallel import ParallelRun, ParallelStep

    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS, timeout=timedelta(seconds=40))
    rows = {}

    def make(case: Any) -> ParallelRun:
        return ParallelRun(_experiment(*case), _data(case), seed=1, device=CPU, speed=Speed())

    for name, case in CASES.items():
        run = make(case)
        if "batch norm" in name:
            _in_double(run, name)
            run._step = ParallelStep(run.classifier, run._optimizer, run._experiment, Speed())
        rows[name] = _train(run)
        save_file(run.state()[0], folder / f"{name} {rank}")
    for kind in ("ddp", "fsdp"):
        rows[f"{RESUMED} {kind}"] = _resume(make, CASES[kind], folder / f"{RESUMED} {kind} {rank}")
    masked = make(DROPOUT)
    masked._draw_own_dropout()
    rows["masks"] = torch.rand(8).tolist()
    (folder / f"rows {rank}").write_text(json.dumps(rows))
    dist.destroy_process_group()


def _resume(make: Any, case: Any, path: Path) -> list[dict[str, Any]]:
    """One epoch in one run, the others in another that is given the state of the first."""
    first, second = make(case), make(case)
    rows = [asdict(first.train_epoch())]
    second.load_state(*first.state())
    rows += [asdict(second.train_epoch()) for _ in range(EPOCHS - 1)]
    save_file(second.state()[0], path)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where two processes have written what they trained."""
    folder = tmp_path_factory.mktemp("ranks")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__]
    ranks = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(RANKS)
    ]
    try:
        said = [rank.communicate(timeout=80)[1] for rank in ranks]
        assert [rank.returncode for rank in ranks] == [0] * RANKS, "\n".join(said)
        yield folder
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.wait()


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[list[dict[str, Any]], dict[str, Tensor]]]:
    """What one process trains in each case."""
    trained = {}
    for name, case in CASES.items():
        run = _in_double(Run(_experiment(*case), _data(case), seed=1, device=CPU, speed=Speed()), name)
        trained[name] = _train(run), run.state()[0]
    return trained


def _rows(folder: Path, rank: int = 0) -> dict[str, Any]:
    rows: dict[str, Any] = json.loads((folder / f"rows {rank}").read_text())
    return rows


pytestmark = pytest.mark.timeout(100)


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_train_the_weights_of_one_process(name: str, folder: Path, alone: Any) -> None:
    expected, found = alone[name][1], load_file(folder / f"{name} 0")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5, msg=f"{key} differs")


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_report_the_rows_of_one_process(name: str, folder: Path, alone: Any) -> None:
    for found, expected in zip(_rows(folder)[name], alone[name][0], strict=True):
        for key in expected.keys() - {"examples_per_s", "epoch_s", "latency_ms"}:
            assert found[key] == pytest.approx(expected[key], abs=1e-4), key
        assert found["latency_ms"] > 0
        assert found["examples_per_s"] > 0


@pytest.mark.parametrize("name", CASES)
def test_every_rank_has_the_whole_state_bit_by_bit(name: str, folder: Path) -> None:
    first, second = (load_file(folder / f"{name} {rank}") for rank in range(RANKS))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_a_resumed_run_goes_on_bit_by_bit(kind: str, folder: Path) -> None:
    whole, resumed = load_file(folder / f"{kind} 0"), load_file(folder / f"{RESUMED} {kind} 0")
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    rows = _rows(folder)
    for found, expected in zip(rows[f"{RESUMED} {kind}"], rows[kind], strict=True):
        assert found["train_loss"] == expected["train_loss"]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_one_process_goes_on_from_the_state_of_two(kind: str, folder: Path) -> None:
    run = Run(_experiment(*CASES[kind]), _data(CASES[kind]), seed=1, device=CPU, speed=Speed())
    state = load_file(folder / f"{kind} 0")
    run.load_state(state, {"epoch": EPOCHS, "best": None, "optimizer": {}, "latency_ms": 1.0})
    again = run.state()[0]
    assert again.keys() == state.keys()
    assert all(torch.equal(value, again[key]) for key, value in state.items())


def test_ranks_draw_dropout_of_their_own(folder: Path) -> None:
    first, second = (_rows(folder, rank)["masks"] for rank in range(RANKS))
    assert first != second


if __name__ == "__main__":
    _work(int(sys.argv[1]), Path(sys.argv[2]))
