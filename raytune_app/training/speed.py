"""How the arithmetic of training is done: number format, memory format, compiled or not; never what is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Precision(StrEnum):
    """Number formats."""

    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True)
class Speed:
    """The plain speed is float32 as written.

    Attributes:
        precision: of convolutions and products in training; weights and validation are always float32.
        channels_last: keep pictures in memory with their channels side by side.
        compiled: translate the network with torch.compile, which needs a C++ compiler.
    """

    precision: Precision = Precision.FP32
    channels_last: bool = False
    compiled: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, safe for JSON."""
        return {**asdict(self), "precision": self.precision.value}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Speed:
        """The inverse of `to_dict`."""
        return cls(Precision(content["precision"]), bool(content["channels_last"]), bool(content["compiled"]))


@dataclass(frozen=True, slots=True)
class SpeedChoice:
    """The speed for all trials of a study, and what was measured to find it.

    Attributes:
        speed: the chosen one.
        measured: a row for each candidate: `speed`, `examples_per_s`, and `compile_s` if it was compiled.
    """

    speed: Speed
    measured: list[dict[str, Any]]
