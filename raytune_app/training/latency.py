"""How long a network takes for one picture: what an answer costs on a small machine."""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch import Tensor

from raytune_app.models.classifier import Classifier

_WARM_UP = 5
_FORWARDS = 50


def latency_ms(classifier: Classifier, picture: Tensor) -> float:
    """Median milliseconds of one forward on one CPU thread, over 50 after 5 to warm up.

    Args:
        classifier: stays as it is; a copy of it on the CPU, in evaluation mode, is timed.
        picture: uint8 [1, C, H, W].
    """
    timed = copy.deepcopy(classifier).to("cpu").to(memory_format=torch.contiguous_format).eval()
    picture, threads = picture.to("cpu"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return 1000 * statistics.median(
                [_forward_s(timed, picture) for _ in range(_WARM_UP + _FORWARDS)][_WARM_UP:]
            )
    finally:
        torch.set_num_threads(threads)


def _forward_s(classifier: Classifier, picture: Tensor) -> float:
    started = time.perf_counter()
    classifier(picture)
    return time.perf_counter() - started
