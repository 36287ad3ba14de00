"""`ifrkit pseudo-label`."""

from __future__ import annotations

import click

from ifrkit.cli.common import Shared, running, stage_command
from ifrkit.stages.pseudo_label import STAGE


@stage_command("pseudo-label")
@click.option("--branch", type=click.Choice(["update", "reference"]), help="Which network labels.")
def command(shared: Shared, branch: str | None) -> None:
    """Label every frame of every training clip with a trained branch.

    Reads `branches`. Makes `pseudo-labels`: hard labels and confidence, for `train-branches --ssl self-training`.

    \b
    Examples:
      ifrkit train-branches --ssl none | ifrkit pseudo-label --branch reference
      ifrkit pseudo-label --from branches --set flip=false
    """
    running.run_stage(STAGE, shared, {"branch": (branch, "--branch")})
