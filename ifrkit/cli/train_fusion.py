"""`ifrkit train-fusion`."""

from __future__ import annotations

import click

from ifrkit.cli import completion
from ifrkit.cli.common import Shared, running, stage_command
from ifrkit.stages.train_fusion import STAGE


@stage_command("train-fusion")
@click.option(
    "--arch",
    metavar="NAME",
    shell_complete=completion.plugins("architectures"),
    help="Video architecture: accel, dff, davss, tdnet.",
)
@click.option(
    "--flow",
    metavar="REF",
    shell_complete=completion.references,
    help="Flow artifact to start from (default: the newest for the same clips).",
)
@click.option("--ssl", metavar="NAME", help="none, or pseudo: train on unlabeled clips, too.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Training steps (loop.steps).")
def command(shared: Shared, arch: str | None, flow: str | None, ssl: str | None, steps: int | None) -> None:
    """Train the video model: the key frame's result, carried along the flow, and corrected.

    accel fuses it with the light branch, dff with nothing, davss with a correction where the flow went wrong. tdnet has
    no key frames: four copies of the light branch take turns, and attention joins what they saw.

    Reads `branches` (and a `flow`; the clips are found through their lineage). Makes `video-model`.

    \b
    Examples:
      ifrkit train-branches --recipe tiny | ifrkit train-fusion --recipe tiny
      ifrkit train-fusion --arch davss --flow "$FLOW" --from "$BRANCHES"
    """
    flags = {
        "arch": (arch, "--arch"),
        "flow": (flow, "--flow"),
        "ssl": (ssl, "--ssl"),
        "loop.steps": (steps, "--steps"),
    }
    running.run_stage(STAGE, shared, flags)
