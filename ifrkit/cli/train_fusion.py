"""`ifrkit train-fusion`."""

from __future__ import annotations

import click

from ifrkit.cli.common import Shared, run_stage, stage_command


@stage_command("train-fusion")
@click.option("--arch", metavar="NAME", help="Video architecture: accel.")
@click.option("--flow", metavar="REF", help="Flow artifact to start from (default: the newest for the same clips).")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Training steps (loop.steps).")
def command(shared: Shared, arch: str | None, flow: str | None, steps: int | None) -> None:
    """Train the video model: the key frame's result, warped along the flow, fused with the light branch.

    Reads `branches` (and a `flow`; the clips are found through their lineage). Makes `video-model`.

    \b
    Examples:
      ifrkit train-branches --recipe tiny | ifrkit train-fusion --recipe tiny
      ifrkit train-fusion --arch accel --flow "$FLOW" --from "$BRANCHES"
    """
    from ifrkit.stages.train_fusion import STAGE

    run_stage(STAGE, shared, {"arch": (arch, "--arch"), "flow": (flow, "--flow"), "loop.steps": (steps, "--steps")})
