"""train-flow: FlowNetS from the unlabeled video itself, or from exact flow where the dataset has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes, store
else:
    indexes, store = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.artifacts.store")


def _after(flow: store.Artifact, workspace: Path | None) -> list[str]:
    """The branches of the same clips are joined by it; without any, they have to be trained first."""
    if workspace is None:
        return []
    clips, trained = flow.ancestor("clips"), store.newest(workspace, ("branches",))
    if clips is None:
        return []
    of_same = trained is not None and (known := trained.ancestor("clips")) is not None and known.id == clips.id
    both = trained is not None and of_same and len(indexes.Branches.read(trained).branches) == 2
    return ["train-fusion"] if both else ["train-branches", "--ssl", "ifr"]


STAGE = Stage(
    name="train-flow",
    kind="flow",
    config="ifrkit.config.train_flow:TrainFlowConfig",
    run="ifrkit.train.flow:run",
    help="Train the flow network from the video itself.",
    order=40,
    needs=("clips",),
    payload=("flow.json", "*.best.safetensors", "*.last.safetensors", "*.events.jsonl", "tensorboard/*"),
    resumable=True,
    check="ifrkit.stages._train_flow_check:check",
    label=lambda config: config.supervision,
    after=_after,
)
