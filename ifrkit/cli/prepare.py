"""`ifrkit prepare DATASET`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion
from ifrkit.cli.common import Shared, named_flags, running, stage_command
from ifrkit.core.lazy import lazy
from ifrkit.stages.prepare import STAGE, open_dataset

if TYPE_CHECKING:
    from data_prep import _leakage as leakage
else:
    leakage = lazy("data_prep._leakage")


@stage_command("prepare")
@click.argument("dataset", required=False, shell_complete=completion.plugins("datasets"))
@click.option("--root", type=click.Path(), metavar="DIR", help="Where the downloaded dataset lies.")
@click.option(
    "--frames",
    type=click.Path(),
    metavar="DIR",
    help="folders: videos and directories of frames, instead of ROOT/frames.",
)
@click.option(
    "--labels",
    type=click.Path(),
    metavar="FILE_OR_DIR",
    help="folders: PNGs or a labeling tool's export, instead of ROOT/labels.",
)
@click.option(
    "--label-format",
    metavar="NAME",
    shell_complete=completion.plugins("labels", "auto"),
    help="folders: auto, png, cvat, label-studio, labelme, ...",
)
@click.option("--clip-length", type=click.IntRange(1), metavar="N", help="Frames of a clip (options.clip_length).")
@click.option("--allow-missing", is_flag=True, default=None, help="Leave out what lacks its frame or label.")
def command(shared: Shared, dataset: str | None, root: str | None, **options: Any) -> None:
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
      ifrkit prepare folders --root my-video --labels my-video/labels --label-format png
    """
    for name in ("frames", "labels"):
        options[name] = _absolute(options[name])
    flags = {
        "dataset": (dataset, "DATASET"),
        "root": (root, "--root"),
        **{f"options.{key}": flag for key, flag in named_flags(options).items()},
    }
    running.run_stage(STAGE, shared, flags, describe=_summary)


def _absolute(path: str | None) -> str | None:
    """A path as the shell means it: options that name one are relative to the root."""
    return None if path is None else os.path.abspath(path)


def _summary(config: Any) -> list[str]:
    dataset = open_dataset(config)
    look = None if dataset.generated else dataset.frame
    return [*dataset.summary(), *leakage.measure(dataset.clips(), look).lines()]
