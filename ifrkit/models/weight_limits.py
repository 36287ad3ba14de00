"""How large a file of weights may be that is read. No torch here: a dry run asks it."""

from __future__ import annotations

from pathlib import Path

from ifrkit.core import limits
from ifrkit.core.errors import ArtifactError


def require_size(path: Path, size: int | None = None) -> None:
    """Raise ArtifactError for weights of more bytes than are read. size: what they unfold to; None: the file's own."""
    most = limits.limit("WEIGHTS_MIB")
    size = path.stat().st_size if size is None else size
    if size > most << 20:
        raise ArtifactError(f"{path}: {size >> 20} MiB of weights, {most} are read", limits.raised("WEIGHTS_MIB"))


def require_few(path: Path) -> None:
    """Raise ArtifactError for a safetensors file of too many tensors.

    Looks at the header alone: its length in 8 bytes, then JSON with one entry a tensor.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, path.stat().st_size))
    count = header.count(b'"data_offsets"')
    if count > limits.limit("TENSORS"):
        raise ArtifactError(f"{path}: {count} tensors are not the weights of a network", limits.raised("TENSORS"))
