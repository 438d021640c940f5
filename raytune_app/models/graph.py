"""A network of pictures as an ONNX graph, which other engines than torch can run; no code and nothing pickled in it."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout

import torch
from torch import Tensor, nn

from raytune_app.models.picture_classifier import PictureClassifier

INPUT, OUTPUT = "pixels", "probabilities"
MAX_PICTURES = 4096
_log = logging.getLogger(__name__)


def onnx_graph(classifier: PictureClassifier, shape: tuple[int, int, int]) -> bytes | None:
    """The whole classifier as ONNX: INPUT uint8 [N, C, H, W] to OUTPUT float32 [N, K], for any N up to MAX_PICTURES.

    None for a network that cannot be expressed so, which is no fault: torch runs it.

    Args:
        shape: [C, H, W] of the pictures.
    """
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=MAX_PICTURES)
    module = _Probabilities(classifier).eval()
    was_training = classifier.training
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter(
                "ignore"
            )  # the exporter explains itself to who writes networks, not to who tunes them
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
            assert program is not None
            return bytes(program.model_proto.SerializeToString())
    except Exception as error:  # noqa: BLE001  # a user's network may do anything
        _log.info("this network has no ONNX graph: %s", str(error).partition("\n")[0])
        return None
    finally:
        classifier.train(was_training)


class _Probabilities(nn.Module):
    def __init__(self, classifier: PictureClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.classifier(pixels)
        return logits.float().softmax(dim=1)
