"""What every contender of benchmarks/search.py is given, and how it writes down what it did."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of one contender.

    Attributes:
        configs: the configurations; trial n trains `configs[n]`.
        epochs, grace, reduction: successive halving's last epoch, first rung and factor.
        slots: trials at once, one torch thread each.
        images, validation, seed: which pictures of MNIST's training part, and the share held out.
        feed: `loader` or `tensors`: how a peer's pictures reach its network.
        data: the folder with MNIST as torchvision wants it, and the split as `train.npy` and `validation.npy`.
        contender: who runs it, by the name in benchmarks/search.py.
        log: the file of JSON lines.
    """

    configs: tuple[dict[str, Any], ...]
    epochs: int
    grace: int
    reduction: int
    slots: int
    images: int
    validation: float
    seed: int
    feed: str
    data: str
    contender: str
    log: str

    @classmethod
    def read(cls, path: str) -> Self:
        return cls(**json.loads(Path(path).read_text()))

    def record(self, trial: int, epoch: int, accuracy: float, epoch_s: float) -> None:
        """An epoch has been trained and validated, just now."""
        self._write({"trial": trial, "epoch": epoch, "accuracy": accuracy, "epoch_s": epoch_s})

    def note(self, text: str) -> None:
        """Something to print beside the results."""
        self._write({"note": text})

    def _write(self, line: dict[str, Any]) -> None:
        """In one call, so that lines of several processes do not mix."""
        content = json.dumps({**line, "time": time.time()}) + "\n"
        file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, content.encode())
        finally:
            os.close(file)
