"""What this machine is: its processor, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    import ctypes
else:
    ctypes = lazy("ctypes")


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of options of glibc. Other C libraries are left as they are."""


def reuse_memory() -> None:
    """Let this process keep the memory that tensors leave, in large pages; call it before torch makes its first one.

    A network asks for the same memory again and again. glibc gives large pieces back to the system at once, and each
    new one is filled with zeros page by page: up to half of the time of a forward pass.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it once
    _option(_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
    _option(_TRIM_THRESHOLD, 1 << 30)


@contextmanager
def large_blocks_apart() -> Iterator[None]:
    """What is allocated inside, from 128 KiB on, lies apart and goes back when freed, unless the heap has a gap for it.

    In the heap a table that grows by copies leaves gaps, which stay with the process. Afterwards memory is used again.
    """
    _option(_MMAP_THRESHOLD, 128 << 10)
    try:
        yield
    finally:
        reuse_memory()


def _option(number: int, value: int) -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(number, value)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What figures of this machine share: `processor`, and `cores` of this process."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return {"processor": found[1] if found else platform.processor() or platform.machine(), "cores": cores()}


@cache
def computes_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by instructions of its own; others imitate that, and are slower."""
    try:
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        return False
    return flags is not None and not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags[1].split())
