"""What a tensor leaves is used again by the next one, without asking the system for it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, statistics
from ifrkit.cli.common import chosen_device
chosen_device("cpu", 1)
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(6 << 20)  # 24 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median([faults() for _ in range(9)]))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_no_page_is_made_twice() -> None:
    """As every command that computes begins. Otherwise each tensor has a page fault or more: 6,000 of 4 KiB.

    The median: the first has them, and so has one now and then whose pages the system took meanwhile. After some twenty
    glibc may find room for them by itself.
    """
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 0
