"""`ifrkit prepare DATASET`."""

from __future__ import annotations

from typing import Any

import click

from ifrkit.cli import completion
from ifrkit.cli.common import Shared, run_stage, stage_command


@stage_command("prepare")
@click.argument("dataset", required=False, shell_complete=completion.plugins("datasets"))
@click.option("--root", type=click.Path(), metavar="DIR", help="Where the downloaded dataset lies.")
@click.option("--clip-length", type=click.IntRange(1), metavar="N", help="Frames of a clip (options.clip_length).")
@click.option("--allow-missing", is_flag=True, default=None, help="Leave out clips whose frames or labels are missing.")
def command(
    shared: Shared, dataset: str | None, root: str | None, clip_length: int | None, allow_missing: bool | None
) -> None:
    """Read a dataset once and write the clip store: frames, labels and splits in a form that trains fast.

    Reads a downloaded dataset (or nothing: `synthetic` makes its own street videos). Makes a `clips` artifact. DATASET
    is synthetic, camvid, cityscapes, cityscapes-vps, folders (your own video), or a plug-in's name. Prints what was
    found with --dry-run.

    \b
    Examples:
      ifrkit prepare synthetic --recipe tiny
      ifrkit prepare camvid --root CamVid --clip-length 5
      ifrkit prepare cityscapes --root cityscapes --recipe cityscapes --dry-run
      ifrkit prepare folders --root my-video --dry-run
      ifrkit prepare folders --root my-video --set options.val_fraction=0.3 --set size=[360,480]
    """
    from ifrkit.stages.prepare import STAGE

    flags = {
        "dataset": (dataset, "DATASET"),
        "root": (root, "--root"),
        "options.clip_length": (clip_length, "--clip-length"),
        "options.allow_missing": (allow_missing, "--allow-missing"),
    }
    run_stage(STAGE, shared, flags, describe=_summary)


def _summary(config: Any) -> list[str]:
    from ifrkit.stages.prepare import open_dataset

    return open_dataset(config).summary()
