"""What goes into a model and what comes out: all that is needed, beside its ModelSpec, to build it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Signature:
    """The shape of a model, and how it normalises.

    Attributes:
        channels: of a picture: 1 grey, 3 RGB.
        image_size: height and width in pixels that the network sees.
        classes: the label names, by index of the output.
        mean: per channel, of pixels / 255 of the training part.
        std: likewise.
    """

    channels: int
    image_size: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, safe for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Signature:
        """The inverse of `to_dict`. Raises KeyError if a value is missing."""
        return cls(
            channels=int(content["channels"]),
            image_size=int(content["image_size"]),
            classes=tuple(map(str, content["classes"])),
            mean=tuple(map(float, content["mean"])),
            std=tuple(map(float, content["std"])),
        )
