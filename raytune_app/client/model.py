"""A registered model in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Model:
    """A registered version in this process.

    Attributes:
        name, version: of the registry.
        labels: the classes, in the order of the probabilities.
        classifier: the torch module: raw pixels or ids in, logits out.
    """

    def __init__(self, name: str, version: int, content: Mapping[str, Any], weights: bytes) -> None:
        from raytune_app.models.stored import rebuild

        self.name, self.version = name, version
        self.classifier = rebuild(content, weights)
        self.labels: tuple[str, ...] = self.classifier.signature.classes

    def probabilities(self, examples: Any) -> NDArray[Any]:
        """Probabilities float32 [N, K] of pictures uint8 [N, C, H, W], 0 to 255, or of N texts."""
        import torch

        from raytune_app.models.text_classifier import TextClassifier
        from raytune_app.training.predict import predict

        if isinstance(self.classifier, TextClassifier):
            return self.classifier.probabilities(list(examples))
        return predict(self.classifier, examples, device=torch.device("cpu"))

    def __repr__(self) -> str:
        return f"<Model {self.name} version {self.version}, {len(self.labels)} classes>"
