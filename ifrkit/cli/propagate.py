"""`ifrkit propagate`."""

from __future__ import annotations

from typing import Any

import click

from ifrkit.cli import completion
from ifrkit.cli.common import Shared, metrics, named_flags, running, stage_command
from ifrkit.stages.propagate import STAGE


@stage_command("propagate")
@click.option("--flow", metavar="SOURCE", help="dis (OpenCV), or a flow artifact.")
@click.option("--branch", type=click.Choice(["update", "reference"]), help="Which network speaks too.")
@click.option("--reach", type=click.IntRange(1), metavar="N", help="Frames that a label goes at most.")
@click.option(
    "--write",
    metavar="FORMAT,...",
    shell_complete=completion.plugins("labels"),
    help="Labels for a tool, too: coco, cvat, labelme, label-studio, ...",
)
def command(shared: Shared, **options: Any) -> None:
    """Carry the labels of a few frames to the frames around them.

    Reads `branches` (their network speaks too) or `clips` (flow alone). Makes `pseudo-labels` for `train-branches --ssl
    self-training`: of each pixel the class and how sure it is, of each frame the labels that it comes from.

    A label goes forward and backward along the flow, and stops where the flow no longer explains the picture. --write
    FORMAT also makes the directory FORMAT, which the labeling tool of that name imports; unsure pixels stay open in it.

    \b
    Examples:
      ifrkit propagate --from branches --write cvat
      ifrkit prepare synthetic | ifrkit propagate --reach 10
      ifrkit propagate | ifrkit train-branches --ssl self-training --set method.self-training.threshold=0.8
    """
    running.run_stage(STAGE, shared, named_flags(options), extra=metrics)
