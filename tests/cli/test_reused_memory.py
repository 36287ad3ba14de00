"""What a tensor leaves is used again by the next one, without asking the system for it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from ifrkit.cli.common import chosen_device
chosen_device("cpu", 1)
import torch
for _ in range(3):
    torch.ones(6 << 20)  # 24 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(6 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_no_page_is_made_twice() -> None:
    """As every command that computes begins. Otherwise each tensor has a page fault or more: 6,000 of 4 KiB."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20
