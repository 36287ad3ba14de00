"""Resume state on disk: tensors and plain values, written whole or not at all.

The file is what `torch.save` writes, then its sha256: torch reads a file with flipped bits without a word.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ifrkit.artifacts.atomic import open_atomic
from ifrkit.core.errors import ArtifactError, DivergedError, ResourceError
from ifrkit.core.faults import resource_error

_DIGEST = hashlib.sha256().digest_size


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the file at once; a run killed meanwhile finds the older state. Raises ResourceError."""
    try:
        with open_atomic(path) as file:
            torch.save(dict(state), file)
            file.seek(0)
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            file.write(digest.digest())
    except (OSError, RuntimeError) as error:
        known = resource_error(error, f"cannot write {path}")
        fault = (
            known.message if known else f"cannot write {path}: {error}"
        )  # torch has words of its own for a full disk
        raise ResourceError(fault, "make room for it, then run again with --resume") from error


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU. Raises ArtifactError if the file is damaged."""
    try:
        content = path.read_bytes()
        content, digest = content[:-_DIGEST], content[-_DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            raise EOFError("it is cut off or has flipped bits")
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise ArtifactError(f"{path} is not a sound resume state ({reason})", "start again with --force") from error
    return state


def require_finite(tensors: Mapping[str, Tensor], step: int) -> None:
    """Raise DivergedError naming the first tensor with a NaN or an infinity: nothing of that kind is saved."""
    floats = {name: t for name, t in tensors.items() if t.is_floating_point()}
    if not floats:
        return
    finite = torch.stack([torch.isfinite(t).all() for t in floats.values()]).tolist()  # one wait for the device
    for name, good in zip(floats, finite, strict=True):
        if not good:
            raise DivergedError(f"{name} is not finite after step {step}", "lower the learning rate")
