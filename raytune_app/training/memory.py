"""Keeping freed memory in the process: a training step asks for the same large blocks again at once.

By default glibc hands blocks above 32 MB back to the kernel as soon as they are free, and smaller ones when they lie at
the end of the heap; the next step then pays for every page again, which can cost more than the arithmetic on it.
"""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_KEPT_BYTES = 2**30


@cache
def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of freed memory for its next use; False where the allocator is not glibc's.

    Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
