"""What a tensor leaves is used again by the next one, without asking the system for it."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys

import pytest

TENSOR = 24 << 20  # bytes

PROGRAM = f"""
import resource, statistics
from ifrkit.cli.common import chosen_device
chosen_device("cpu", 1)
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones({TENSOR} // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median([faults() for _ in range(9)]))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_the_pages_of_a_tensor_are_used_again() -> None:
    """As every command that computes begins: most tensors have a fault on few of their pages. Otherwise on each.

    Few and not none: the ends of a tensor that do not fill a large page may have theirs each time (some 500), and now
    and then the system takes pages away. The median of nine: the first has all, and after some twenty glibc may find
    room for them by itself.
    """
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) < TENSOR / mmap.PAGESIZE / 4
