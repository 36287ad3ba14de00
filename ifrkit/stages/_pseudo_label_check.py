"""What `pseudo-label` refuses before it reads a frame."""

from __future__ import annotations

from ifrkit.artifacts.indexes import require_branch
from ifrkit.artifacts.store import Artifact
from ifrkit.config.pseudo_label import PseudoLabelConfig


def check(config: PseudoLabelConfig, inputs: list[Artifact]) -> None:
    """The branch is there."""
    require_branch(inputs[0], config.branch)
