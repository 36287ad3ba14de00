"""`ifrkit eval`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion, say
from ifrkit.cli.common import Shared, metrics, named_flags, running, stage_command
from ifrkit.core.errors import ConfigError, ThresholdError
from ifrkit.core.lazy import lazy
from ifrkit.stages.evaluate import STAGE

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes
    from ifrkit.artifacts.store import Artifact
    from ifrkit.evaluation import limits
    from ifrkit.evaluation.limits import Limit
else:
    indexes, limits = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.evaluation.limits")


@stage_command("eval")
@click.option(
    "--metric",
    metavar="NAME,...",
    shell_complete=completion.plugins("metrics"),
    help="Metrics: mIoU, TC, ... (an unknown name lists them all).",
)
@click.option("--flow", metavar="SOURCE", help="Flow for TC: dis, truth, a flow artifact, or a folder of .flo files.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Which clips.")
@click.option(
    "--frames", type=click.Choice(["annotated", "all"]), help="all: every frame with a label, hidden ones too."
)
@click.option("--key-interval", type=click.IntRange(1), metavar="N", help="Frames from one key frame to the next.")
@click.option(
    "--distances",
    type=click.IntRange(1),
    metavar="N",
    help="Also mIoU 0..N-1 frames after the key frame, and of key intervals 1..N: tables and a curve.",
)
@click.option("--fail-under", multiple=True, metavar="METRIC=VALUE", help="Exit 7 below this fraction; repeatable.")
@click.option("--fail-over", multiple=True, metavar="METRIC=VALUE", help="The same for errors: exit 7 above it.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Their outcome, for CI.")
def command(
    shared: Shared, fail_under: tuple[str, ...], fail_over: tuple[str, ...], junit: Path | None, **options: Any
) -> None:
    """Measure a model: accuracy and temporal consistency, beside the free baselines.

    Reads `branches` or a `video-model`; the clips are found through its lineage. Makes a `report`: report.json and
    pictures. The table goes to standard error, with 95 % intervals over the videos; --json adds the metrics to the line
    on standard output. METRIC.low and METRIC.high are the ends of its interval.

    \b
    Examples:
      ifrkit train-fusion --recipe tiny | ifrkit eval --metric mIoU,TC
      ifrkit eval --metric mIoU --split train --frames all     # how far the model overfits inside a video
      ifrkit eval --metric mIoU --distances 10                 # how far a key frame carries
      ifrkit eval --metric mIoU,ece --fail-under mIoU=0.55 --fail-over ece=0.1 --junit eval.xml
      ifrkit eval --recipe trust                               # all that `ifrkit report --trust` shows
    """
    asked = limits.parsed(fail_under, fail_over)
    if junit is not None and not asked:
        raise ConfigError("--junit: there is nothing to say without a limit", "add --fail-under or --fail-over")
    if junit is not None and not junit.parent.is_dir():  # now, not after the evaluation
        raise ConfigError(f"--junit {junit}: {junit.parent} is not a directory", "make it, or name another file")
    flags = named_flags(options, {"metric": "metrics"})
    artifact = running.run_stage(
        STAGE, shared, flags, check=lambda config: limits.check(asked, config.metrics), extra=metrics
    )
    if artifact is not None and asked:
        _require(artifact, asked, junit)


def _require(artifact: Artifact, asked: list[Limit], junit: Path | None) -> None:
    """Write what came of the limits. Raises ThresholdError with all that were missed."""
    report = indexes.Report.read(artifact).tree()
    found = limits.outcomes(asked, report)
    if junit is not None:
        limits.write_junit(junit, found, report)
    missed = [outcome.said for outcome in found if not outcome.kept]
    if os.environ.get("GITHUB_ACTIONS") == "true":  # its log shows such lines beside the change
        for said in missed:
            say.error(f"::error title=ifrkit eval::{said}")
    if missed:
        raise ThresholdError("; ".join(missed), f"see {artifact.path}")
