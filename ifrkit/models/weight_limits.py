"""How large a file of weights may be that is read. No torch here: a dry run asks it."""

from __future__ import annotations

from pathlib import Path

from ifrkit.core import limits
from ifrkit.core.errors import ArtifactError

_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors itself reads no longer one."""


def require_size(path: Path, size: int | None = None) -> None:
    """Raise ArtifactError for weights of more bytes than are read. size: what they unfold to; None: the file's own."""
    most = limits.limit("WEIGHTS_MIB")
    size = path.stat().st_size if size is None else size
    if size > most << 20:
        raise ArtifactError(f"{path}: {size >> 20} MiB of weights, {most} are read", limits.raised("WEIGHTS_MIB"))


def require_few(path: Path) -> None:
    """Raise ArtifactError for a safetensors file of too many tensors.

    Looks at the header alone: its length in 8 bytes, then JSON with one object a tensor, inside another one. A longer
    header than safetensors reads is for safetensors to refuse.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, _LONGEST_HEADER))
    require_count(path, header.count(b"{") - 1)  # keys may be written in other ways, a brace may not


def require_count(path: Path, count: int) -> None:
    """Raise ArtifactError for more tensors than are read."""
    if count > limits.limit("TENSORS"):
        raise ArtifactError(f"{path}: {count} tensors are not the weights of a network", limits.raised("TENSORS"))
