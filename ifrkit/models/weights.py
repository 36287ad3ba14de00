"""Weights on disk: safetensors, which holds tensors and text and cannot run code.

Names are those of `state_dict()`: `backbone.*` and `decode_head.*` of a branch (ifrkit/models/network.py), those of
the released FlowNet for a flow network, and the prefixes of a video model in front of both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.core import limits
from ifrkit.core.errors import ArtifactError
from ifrkit.core.faults import resource_errors


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write all tensors, or leave what was there before: the file appears under its name when it is complete.

    Tensors may lie on any device and in any memory format. Equal tensors and metadata make equal bytes. Raises
    ResourceError if the disk does not take them.
    """
    with resource_errors(f"cannot write {path}"):
        write_atomic(path, packed(state, metadata))


def packed(state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of the file that `save_weights` writes."""
    # One entry, because safetensors writes several in random order.
    header = {"ifrkit": json.dumps(dict(metadata or {}), sort_keys=True)}
    # In memory and by our own hand: its own writer leaves temporaries, and files that only their owner can read.
    return save({k: v.detach().cpu().contiguous() for k, v in state.items()}, header)


def load_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU. Raises ArtifactError if it is missing, corrupt, or a pickle."""
    if not path.is_file():
        raise ArtifactError(f"no weights file {path}", "check the path")
    require_size(path)
    try:
        _require_few(path)
        return load_file(path)
    except (SafetensorError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise ArtifactError(f"{path} is not a sound safetensors file ({reason})", "make or copy it again") from error


def require_size(path: Path, size: int | None = None) -> None:
    """Raise ArtifactError for weights of more bytes than are read. size: what they unfold to; None: the file's own."""
    most = limits.limit("WEIGHTS_MIB")
    size = path.stat().st_size if size is None else size
    if size > most << 20:
        raise ArtifactError(f"{path}: {size >> 20} MiB of weights, {most} are read", limits.raised("WEIGHTS_MIB"))


def _require_few(path: Path) -> None:
    """Look at the header alone: its length in 8 bytes, then JSON with one entry a tensor."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, path.stat().st_size))
    count = header.count(b'"data_offsets"')
    if count > limits.limit("TENSORS"):
        raise ArtifactError(f"{path}: {count} tensors are not the weights of a network", limits.raised("TENSORS"))
