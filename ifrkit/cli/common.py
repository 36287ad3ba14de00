"""What all stage commands share. Light: what runs a stage is imported when one is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ifrkit.cli.options import Shared, stage_command
from ifrkit.core.errors import ResourceError
from ifrkit.core.lazy import lazy, torch

if TYPE_CHECKING:
    from ifrkit.artifacts.store import Artifact
    from ifrkit.cli import running
    from ifrkit.core import machine
else:
    machine, running = lazy("ifrkit.core.machine"), lazy("ifrkit.cli.running")

__all__ = ["Flags", "Shared", "chosen_device", "metrics", "named_flags", "running", "stage_command"]

Flags = Mapping[str, tuple[Any, str]]
"""Dotted config key -> (value or None, the flag's name)."""


def named_flags(options: Mapping[str, Any], keys: Mapping[str, str] | None = None) -> dict[str, tuple[Any, str]]:
    """Flags of options by their names in Python; keys: the config key of those that are named otherwise there."""
    return {(keys or {}).get(name, name): (value, f"--{name.replace('_', '-')}") for name, value in options.items()}


def metrics(artifact: Artifact) -> dict[str, Any]:
    """What --json adds for a stage that measures something."""
    return {"metrics": artifact.manifest.metrics}


def chosen_device(name: str, threads: int | None) -> str:
    """The device as torch names it; imports torch unless nothing has to be asked or set. The work is about to begin."""
    machine.reuse_memory()
    if name == "cpu" and threads is None:
        return name
    if threads is not None:
        torch.set_num_threads(threads)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ResourceError("--device cuda: torch sees no CUDA device", "use --device cpu, or a CUDA build of torch")
    return "cuda" if name == "cuda" or (name == "auto" and available) else "cpu"
