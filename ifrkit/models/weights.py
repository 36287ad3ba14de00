"""Weights on disk: safetensors, which holds tensors and text and cannot run code.

Names are those of `state_dict()`: `backbone.*` and `decode_head.*` of a branch (ifrkit/models/network.py), those of
the released FlowNet for a flow network, and the prefixes of a video model in front of both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ifrkit.core.errors import ArtifactError, ResourceError


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write all tensors, or leave what was there before: the file appears under its name when it is complete.

    Tensors may lie on any device and in any memory format. Equal tensors and metadata make equal bytes. Raises
    ResourceError if the disk does not take them.
    """
    partial = path.with_name(f".{path.name}.partial")
    # One entry, because safetensors writes several in random order.
    header = {"ifrkit": json.dumps(dict(metadata or {}), sort_keys=True)}
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, partial, header)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        raise ResourceError(f"cannot write {path}: {error}", "free some space and run again with --resume") from error
    finally:
        partial.unlink(missing_ok=True)


def load_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU. Raises ArtifactError if it is missing, corrupt, or a pickle."""
    if not path.is_file():
        raise ArtifactError(f"no weights file {path}", "check the path")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} is not a sound safetensors file ({reason})", "make or copy it again") from error
