"""Laws of training that only a GPU can break."""

import functools

import pytest
import torch

from raytune_app.data.arrays import Training
from raytune_app.data.catalog import load_training
from raytune_app.spec import Experiment, parse
from raytune_app.training.run import Run
from raytune_app.training.speed import Precision, Speed
from raytune_app.training.timing import choose_speed, peak_gpu_mb
from raytune_app.tuning.resources import PEAK_MARGIN

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")]

GPU = "cuda"
MB = 2**20


def _experiment(**changes: object) -> Experiment:
    content = {
        "name": "gpu",
        "data": {"name": "mnist", "train_limit": 2000, "validation": 0.25},
        "model": {"name": "conv_net", "blocks": 2, "width": 8},
        "train": {"epochs": 4, "batch_size": 100, "lr": 0.01},
        "augment": {"crop_padding": 2},
    }
    return parse(content | changes)


@functools.cache
def _data() -> Training:
    experiment = _experiment()
    return load_training(experiment.data, experiment.seed)


def _run(device: str = GPU, speed: Speed | None = None, seed: int = 3) -> Run:
    return Run(_experiment(), _data(), seed=seed, device=torch.device(device), speed=speed or Speed())


@pytest.mark.parametrize(
    "speed", [Speed(), Speed(channels_last=True), Speed(Precision.BF16, channels_last=True)], ids=str
)
def test_it_learns_at_every_speed(speed: Speed) -> None:
    run = _run(speed=speed)
    results = [run.train_epoch() for _ in range(3)]
    assert results[-1].accuracy > 0.85
    assert results[-1].peak_gpu_mb is not None
    assert results[-1].peak_gpu_mb > 0


def test_a_resumed_run_goes_on_as_the_whole_one() -> None:
    """To the rounding of sums whose order a GPU may choose."""
    whole, first, second = _run(), _run(), _run()
    for _ in range(2):
        whole.train_epoch()
        first.train_epoch()
    second.load_state(*first.state())
    expected, got = whole.train_epoch(), second.train_epoch()
    assert got.epoch == expected.epoch == 3
    assert got.train_loss == pytest.approx(expected.train_loss, rel=1e-2)


def test_a_state_of_the_gpu_goes_on_on_a_cpu() -> None:
    on_gpu, on_cpu = _run(), _run("cpu")
    on_gpu.train_epoch()
    on_cpu.load_state(*on_gpu.state())
    assert on_cpu.train_epoch().accuracy == pytest.approx(on_gpu.train_epoch().accuracy, abs=0.03)


def test_the_pictures_lie_on_the_gpu_once_for_all_trials_of_a_process() -> None:
    first = _run()
    before = torch.cuda.memory_allocated()
    second = _run(seed=4)
    weights = sum(parameter.numel() * 4 for parameter in second.classifier.parameters())
    assert torch.cuda.memory_allocated() - before < weights + MB
    assert first.train_epoch().examples_per_s > 0


def test_a_share_of_the_memory_is_a_cap() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.1)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(0.2 * total), dtype=torch.uint8, device=GPU)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_the_speed_is_measured_and_its_peak_is_known() -> None:
    choice = choose_speed(_experiment(), _data(), torch.device(GPU))
    assert all(row["examples_per_s"] > 0 for row in choice.measured if "error" not in row)
    foreseen = peak_gpu_mb(_experiment(), _data(), torch.device(GPU), choice.speed)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    _run(speed=choice.speed).train_epoch()
    assert torch.cuda.max_memory_reserved() / MB <= PEAK_MARGIN * foreseen
