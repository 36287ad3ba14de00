"""Files that may grow to a limit only, as on a full disk.

Python's own bytecode is not written meanwhile: it keeps a file of which the system took a part, and every later process
that imports the module fails.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """In this process, inside the block. size: bytes."""
    old, written = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        sys.dont_write_bytecode = written


def limited(kib: int, line: str) -> str:
    """A shell line whose commands can write no file above so many KiB."""
    return f"export PYTHONDONTWRITEBYTECODE=1; ulimit -f {kib}; {line}"
