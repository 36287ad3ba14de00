"""`ifrkit train-flow`."""

from __future__ import annotations

import click

from ifrkit.cli.common import Shared, running, stage_command
from ifrkit.stages.train_flow import STAGE


@stage_command("train-flow")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Training steps (loop.steps).")
def command(shared: Shared, steps: int | None) -> None:
    """Train the flow network that moves a key frame's result along the video.

    Reads `clips`. Makes `flow`: FlowNetS, learned from the unlabeled video itself, or from exact flow where the dataset
    has it (--set supervision=photometric or truth to choose).

    \b
    Examples:
      ifrkit prepare synthetic --recipe tiny | ifrkit train-flow --recipe tiny
      ifrkit train-flow --steps 20000 --set supervision=photometric
    """
    running.run_stage(STAGE, shared, {"loop.steps": (steps, "--steps")})
