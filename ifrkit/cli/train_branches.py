"""`ifrkit train-branches`."""

from __future__ import annotations

from typing import Any

import click

from ifrkit.cli import completion
from ifrkit.cli.common import Flags, Shared, named_flags, running, stage_command
from ifrkit.core.errors import ConfigError
from ifrkit.models import hub
from ifrkit.stages.train_branches import STAGE


@stage_command("train-branches")
@click.option(
    "--ssl",
    metavar="NAME,...",
    shell_complete=completion.plugins("methods"),
    help="Semi-supervised methods, added up: none, ifr, fixmatch, cps, ...",
)
@click.option("--backbone", metavar="LIGHT,HEAVY", help="Backbones of update and reference branch; one with --branch.")
@click.option(
    "--allow-download", is_flag=True, help="Fetch models of `--backbone hf:ID` that are not in the local cache."
)
@click.option("--branch", type=click.Choice(["both", "update", "reference"]), help="Train one of them only.")
@click.option("--partition", metavar="1/N", help="Share of the training clips whose label is used: 1/2, 1/8, 1/30.")
@click.option("--labeled-count", type=click.IntRange(1), metavar="N", help="So many labeled clips instead.")
@click.option("--partition-seed", type=int, metavar="N", help="Which draw of that size.")
@click.option("--labeled-list", type=click.Path(), metavar="FILE", help="A published list of labeled frames instead.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Training steps (loop.steps).")
@click.option(
    "--budget",
    type=click.Choice(["steps", "passes"]),
    help="passes: as many image passes as `none` takes in these steps.",
)
def command(shared: Shared, allow_download: bool, **options: Any) -> None:
    """Train the two segmentation branches: a light one for every frame, a heavy one for key frames.

    Reads `clips`, or `features` (the head alone trains). Makes `branches`: last and best weights of each, with their
    validation mIoU. The labels that --partition or --labeled-count leaves out are not used; all clips serve as
    unlabeled video.

    \b
    Examples:
      ifrkit prepare synthetic --recipe tiny | ifrkit train-branches --recipe tiny
      ifrkit train-branches --ssl ifr --backbone resnet18,resnet101 --partition 1/30
      ifrkit train-branches --ssl none --branch update --set sgd.lr_head=5e-3
      ifrkit train-branches --branch update --backbone hf:dinov2-small --set update.freeze=all
      ifrkit train-branches --branch update --ssl none --from features
      ifrkit train-branches --branch reference | ifrkit train-branches --ssl distill --branch update
      ifrkit train-branches --recipe camvid,paper-equations --resume
    """
    if allow_download:
        hub.allow_download()
    running.run_stage(STAGE, shared, flags_of(**options))


_KEYS = {
    "partition": "labeled.partition",
    "labeled_count": "labeled.count",
    "partition_seed": "labeled.seed",
    "labeled_list": "labeled.list",
    "steps": "loop.steps",
}


def flags_of(backbone: str | None, branch: str | None, **options: Any) -> Flags:
    """Flags of the config; of `train`, which has fewer, too."""
    flags = named_flags(options, _KEYS)
    for name in ("labeled_count", "labeled_list"):
        if options[name] is not None and options["partition"] is None:  # it replaces the share that a recipe names
            flags["labeled.partition"] = ("1/1", flags[_KEYS[name]][1])
    both = branch in (None, "both")
    if branch is not None:
        flags["branches"] = ("update,reference" if both else branch, "--branch")
    if backbone is not None:
        names = [name.strip() for name in backbone.split(",")]
        trained = ["update", "reference"] if both else [str(branch)]
        if len(names) != len(trained):
            fault = f"--backbone {backbone}: needs {len(trained)} names, for {' and '.join(trained)}"
            raise ConfigError(fault, "write LIGHT,HEAVY, or one name with --branch update or --branch reference")
        flags.update({f"{b}.backbone": (name, "--backbone") for b, name in zip(trained, names, strict=True)})
    return flags
