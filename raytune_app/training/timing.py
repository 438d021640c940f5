"""Which speed trains fastest here: a few real steps with each, and the fastest wins."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from raytune_app.data.arrays import Arrays, Training
from raytune_app.data.folds import fold_count
from raytune_app.errors import RaytuneError
from raytune_app.spec.grammar import Experiment
from raytune_app.training.examples import encoded
from raytune_app.training.run import Run
from raytune_app.training.speed import Precision, Speed, SpeedChoice
from raytune_app.training.validation import BATCH as VALIDATION_BATCH

_BATCHES = 4
_PICTURES = 512
"""Measured at a time on a CPU, unless a batch is larger; a GPU, far faster, is given `_BATCHES`."""
_ROUNDS = 3
_HOPELESS = 1.25
"""A speed that is so many times slower than another after two rounds is not measured again."""
_MARGIN = 1.03
"""A speed must beat plainer ones by this factor: less is noise."""

_COMPILE_S = 20.0
"""What a first compilation may take."""

_WORTH_TRYING = 8.0
"""A training has to take so many times that: a trial of compilation costs the study as much, whatever comes of it."""


def choose_speed(
    experiment: Experiment,
    data: Training,
    device: torch.device,
    *,
    trainings: int = 1,
    precision: Precision | None = None,
) -> SpeedChoice:
    """Train a few batches at each speed this machine has, in turn, and choose the fastest.

    Args:
        experiment: resolved, without search domains.
        data: real data; only the first few batches of it are used.
        device: where the trials will train; on a CPU with the number of threads that they will have.
        trainings: how many trainings of this very network shape one process will do; they share one compilation.
        precision: keep to this one where the device has it: a study that goes on elsewhere compares with what it has.

    Raises:
        InputError: the experiment cannot be trained at all.
    """
    data = encoded(experiment.model, data)
    sample = _sample(data, int(experiment.train.batch_size), device)
    speeds = list(_eager(device, pictures=isinstance(data.train, Arrays)))
    kept = [speed for speed in speeds if speed.precision is precision]
    best_of = _race(experiment, sample, device, kept or speeds)
    rows = [{"speed": speed.to_dict(), "examples_per_s": round(rate, 1)} for speed, rate in best_of.items()]
    chosen = _fastest(best_of)
    images = trainings * experiment.train.epochs * len(data.train)
    is_long = images / best_of[chosen] > _WORTH_TRYING * _COMPILE_S
    if is_long and isinstance(data.train, Arrays) and _can_compile(device):  # each batch of texts has another shape
        rows.append(row := _compiled(experiment, sample, device, replace(chosen, compiled=True)))
        if rate := row["examples_per_s"]:
            saved_s = images / best_of[chosen] - images / rate
            chosen = replace(chosen, compiled=True) if saved_s > 1.5 * row["compile_s"] else chosen
    return SpeedChoice(chosen, rows)


def peak_gpu_mb(experiment: Experiment, data: Training, device: torch.device, speed: Speed) -> float:
    """The most of the GPU's memory that one trial takes, MB.

    A few batches, a whole one of validation, and all the data; with folds every further network and its optimizer too.
    """
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    data = encoded(experiment.model, data)  # before the sample is taken, whose vocabulary would be far smaller
    sample = _sample(data, int(experiment.train.batch_size), device, validation=VALIDATION_BATCH)
    run = Run(experiment, sample, seed=0, device=device, speed=speed)
    run.train_epoch()
    more = fold_count(experiment, data) - 1 if experiment.folds else 0
    held = torch.cuda.max_memory_reserved(device) + more * torch.cuda.memory_allocated(device)
    stored = data.train.nbytes + data.validation.nbytes
    if data.encoded is not None:  # a GPU holds the ids, and each fold its own
        stored = data.encoded.nbytes * (more + 1)
    return float(held + stored) / 2**20


def _eager(device: torch.device, *, pictures: bool) -> Iterable[Speed]:
    for precision in (Precision.FP32, Precision.BF16) if _has_bf16(device) else (Precision.FP32,):
        for channels_last in (False, True) if pictures else (False,):
            yield Speed(precision, channels_last)


def _has_bf16(device: torch.device) -> bool:
    """True if the processor or GPU computes in bfloat16 itself, not by emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def _can_compile(device: torch.device) -> bool:
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return False
    return any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++", "c++"))


def _sample(data: Training, batch: int, device: torch.device, validation: int = 1) -> Training:
    batches = _BATCHES if device.type == "cuda" else min(_BATCHES, max(1, _PICTURES // batch))
    return data.head(min(len(data.train), batches * batch) // batch * batch, validation)


def _race(experiment: Experiment, data: Training, device: torch.device, speeds: list[Speed]) -> dict[Speed, float]:
    """Images a second of each speed: the best of a few rounds, taken in turn, since a machine has other work too."""
    runs = {speed: Run(experiment, data, seed=0, device=device, speed=speed) for speed in speeds}
    for run in runs.values():
        run.train_epoch()  # the first is slower, and says nothing
    best = dict.fromkeys(speeds, 0.0)
    for number in range(_ROUNDS):
        for speed, run in runs.items():
            best[speed] = max(best[speed], run.train_epoch().examples_per_s)
        if number > 0:
            runs = {speed: run for speed, run in runs.items() if _HOPELESS * best[speed] > max(best.values())}
    return best


def _fastest(rates: dict[Speed, float]) -> Speed:
    chosen = next(iter(rates))
    for speed, rate in rates.items():
        chosen = speed if rate > _MARGIN * rates[chosen] else chosen
    return chosen


def _compiled(experiment: Experiment, data: Training, device: torch.device, speed: Speed) -> dict[str, Any]:
    """A row of measurements; where compilation fails, `examples_per_s` is 0 and `error` says why."""
    started = time.perf_counter()
    row: dict[str, Any] = {"speed": speed.to_dict(), "examples_per_s": 0.0, "compile_s": 0.0}
    try:
        run = Run(experiment, data, seed=0, device=device, speed=speed)
        run.train_epoch()
        row["compile_s"] = round(time.perf_counter() - started, 2)
        row["examples_per_s"] = round(max(run.train_epoch().examples_per_s for _ in range(_ROUNDS)), 1)
    except RaytuneError:
        raise
    except Exception as error:  # noqa: BLE001  # any compiler may fail in any way; eager training goes on without it
        row["error"] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    gc.collect()
    return row
