from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

ALLOCATE = """
import ctypes, resource, sys
from raytune_app.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def use(size):
    block = libc.malloc(ctypes.c_size_t(size))
    ctypes.memset(block, 1, size)
    libc.free(block)

for _ in range(3):
    use(40 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use(40 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these settings")
def test_large_blocks_are_used_again_instead_of_faulted_in_anew() -> None:
    """In fresh processes, since the setting cannot be taken back: five times 40 MB."""
    default, kept = (
        int(subprocess.run([sys.executable, "-c", ALLOCATE, how], capture_output=True, check=True, text=True).stdout)
        for how in ("default", "keep")
    )
    pages = 5 * 40 * 2**20 // resource.getpagesize()
    assert kept < pages // 10 < default
