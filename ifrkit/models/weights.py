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
from ifrkit.core.errors import ArtifactError
from ifrkit.core.faults import resource_errors
from ifrkit.models.weight_limits import require_few, require_size


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
        require_few(path)
        return load_file(path)
    except (SafetensorError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise ArtifactError(f"{path} is not a sound safetensors file ({reason})", "make or copy it again") from error
