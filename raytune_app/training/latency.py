"""How long a network takes for one example: what an answer costs on a small machine."""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch import Tensor

from raytune_app.models.catalog import Classifier

_WARM_UP = 5
_FORWARDS = 50


def latency_ms(classifier: Classifier, example: Tensor) -> float:
    """Median milliseconds of one forward on one CPU thread, over 50 after 5 to warm up.

    Args:
        classifier: stays as it is; a copy of it on the CPU, in evaluation mode, is timed.
        example: a picture uint8 [1, C, H, W], or a text's ids int64 [1, L].
    """
    timed = copy.deepcopy(classifier).to("cpu").to(memory_format=torch.contiguous_format).eval()
    example, threads = example.to("cpu"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return 1000 * statistics.median(
                [_forward_s(timed, example) for _ in range(_WARM_UP + _FORWARDS)][_WARM_UP:]
            )
    finally:
        torch.set_num_threads(threads)


def _forward_s(classifier: Classifier, example: Tensor) -> float:
    started = time.perf_counter()
    classifier(example)
    return time.perf_counter() - started
