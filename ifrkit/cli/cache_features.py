"""`ifrkit cache-features`."""

from __future__ import annotations

import click

from ifrkit.cli.common import Shared, running, stage_command
from ifrkit.core.errors import ConfigError
from ifrkit.models import hub
from ifrkit.stages.cache_features import STAGE


@stage_command("cache-features")
@click.option("--backbone", metavar="NAME", help="Backbone that stays as it is: efficientnet-lite0, hf:DIR, ...")
@click.option(
    "--allow-download", is_flag=True, help="Fetch models of `--backbone hf:ID` that are not in the local cache."
)
@click.option("--branch", type=click.Choice(["update", "reference"]), help="Whose network of the recipe it is.")
def command(shared: Shared, backbone: str | None, allow_download: bool, branch: str | None) -> None:
    """Run a frozen backbone over all frames, once: heads train on what it makes of them, in seconds to minutes.

    Reads `clips`. Makes `features`: 16-bit maps of every frame and of its mirror image, and the weights that made them.
    Settings of the network are those of train-branches, from the same section of a recipe. --dry-run says the size.

    After more labels the same line again copies what it knows, and runs the backbone on new frames alone.

    \b
    Examples:
      ifrkit cache-features --backbone hf:dinov2-small
      ifrkit cache-features --recipe compact | ifrkit train-branches --recipe compact --branch update --ssl none
      ifrkit cache-features --backbone efficientnet-lite0 --set update.pretrained=auto --dry-run
    """
    if allow_download:
        hub.allow_download()
    if backbone is not None and "," in backbone:
        raise ConfigError(
            f"--backbone {backbone}: features are of one network", "name one, and --branch for its settings"
        )
    flags = {"branch": (branch, "--branch"), f"{branch or 'update'}.backbone": (backbone, "--backbone")}
    running.run_stage(STAGE, shared, flags)
