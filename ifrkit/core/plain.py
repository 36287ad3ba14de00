"""Read a file that may be anything: a stranger can leave a pipe, a device or something endless under any name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ifrkit.core.errors import ArtifactError
from ifrkit.core.faults import named

LONGEST = 256 << 20
"""Bytes of a manifest, an index or a note that are read: a million files fit."""


def read_plain(path: Path, longest: int = LONGEST) -> bytes:
    """All of a plain file: never a pipe or a device, which may not end. Raises OSError, and ArtifactError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with named(path), os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ArtifactError(f"{path} is not a plain file", "put the file itself there")
        data = file.read(longest + 1)
    if len(data) > longest:
        raise ArtifactError(f"{path} is larger than {longest >> 20} MiB", "check what it is")
    return data
