"""pseudo-label: hard labels and their confidence for every frame of all training clips, by one trained branch."""

from __future__ import annotations

from ifrkit.core.stage import Stage

STAGE = Stage(
    name="pseudo-label",
    kind="pseudo-labels",
    schema=2,
    config="ifrkit.config.pseudo_label:PseudoLabelConfig",
    run="ifrkit.stages._pseudo_label:run",
    help="Write hard labels and confidence of every training frame.",
    order=30,
    needs=("branches",),
    payload=("pseudo.json", "labels-*.h5"),
    resumable=True,
    check="ifrkit.stages._pseudo_label_check:check",
    label=lambda config: f"{config.branch}-{config.checkpoint}",
    after=lambda labels, workspace: ["train-branches", "--ssl", "self-training"],
)
