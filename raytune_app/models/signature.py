"""What goes into a model and what comes out: all that is needed, beside its ModelSpec, to build it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raytune_app.data.tokens import Tokenizer


@dataclass(frozen=True, slots=True)
class PictureSignature:
    """The shape of a model of pictures, and how it normalises.

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


@dataclass(frozen=True, slots=True)
class TextSignature:
    """What a model of texts answers, and how a text becomes ids.

    Attributes:
        classes: the label names, by index of the output.
        tokenizer: the same in training and in serving; part of the version.
    """

    classes: tuple[str, ...]
    tokenizer: Tokenizer

    @property
    def vocabulary_size(self) -> int:
        """Rows of an embedding table: ids are 0 (padding), 1 (unknown) and up to one less than this."""
        return len(self.tokenizer.vocabulary)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, safe for JSON."""
        return {"classes": list(self.classes), "tokenizer": self.tokenizer.to_dict()}


Signature = PictureSignature | TextSignature


def signature_from_dict(content: Mapping[str, Any]) -> Signature:
    """The inverse of `to_dict`; one with a tokenizer is of texts.

    Raises:
        KeyError: a value is missing.
        DataError: the tokenizer is damaged.
    """
    classes = tuple(map(str, content["classes"]))
    if "tokenizer" in content:
        return TextSignature(classes, Tokenizer.from_dict(content["tokenizer"]))
    return PictureSignature(
        channels=int(content["channels"]),
        image_size=int(content["image_size"]),
        classes=classes,
        mean=tuple(map(float, content["mean"])),
        std=tuple(map(float, content["std"])),
    )
