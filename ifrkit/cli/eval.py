"""`ifrkit eval`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion
from ifrkit.cli.common import Shared, metrics, named_flags, running, stage_command
from ifrkit.core.errors import ConfigError, ThresholdError
from ifrkit.core.lazy import lazy
from ifrkit.stages.evaluate import STAGE

if TYPE_CHECKING:
    from ifrkit.artifacts.store import Artifact
    from ifrkit.core import plugins
else:
    plugins = lazy("ifrkit.core.plugins")


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
def command(shared: Shared, fail_under: tuple[str, ...], **options: Any) -> None:
    """Measure a model: accuracy and temporal consistency, beside the free baselines.

    Reads `branches` or a `video-model`; the clips are found through its lineage. Makes a `report`: report.json and
    pictures. The table goes to standard error; --json adds the metrics to the line on standard output.

    \b
    Examples:
      ifrkit train-fusion --recipe tiny | ifrkit eval --metric mIoU,TC
      ifrkit eval --metric mIoU --split train --frames all     # how far the model overfits inside a video
      ifrkit eval --metric mIoU --distances 10                 # how far a key frame carries
      ifrkit eval --metric mIoU --fail-under mIoU=0.55 --json
    """
    limits = dict(_limit(text) for text in fail_under)
    flags = named_flags(options, {"metric": "metrics"})
    artifact = running.run_stage(
        STAGE, shared, flags, check=lambda config: _check_limits(limits, config), extra=metrics
    )
    if artifact is not None:
        for name, limit in limits.items():
            _require(artifact, name, limit)


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        limit = float(value)
    except ValueError:
        limit = math.nan
    if not name or not 0 <= limit <= 1:
        raise ConfigError(f"--fail-under {text}: not of the form METRIC=FRACTION", "write for example mIoU=0.55")
    return plugins.spelled(name), limit


def _check_limits(limits: dict[str, float], config: Any) -> None:
    for name in limits:
        if name not in config.metrics:
            raise ConfigError(
                f"--fail-under {name}: not among --metric {','.join(config.metrics)}", "add it to --metric"
            )


def _require(artifact: Artifact, name: str, limit: float) -> None:
    value = artifact.manifest.metrics.get(name)
    if isinstance(value, dict):  # all that the metric computes: its headline counts
        value = value.get(plugins.load("metrics", name).headline)
    if not isinstance(value, int | float):
        raise ThresholdError(f"{name} was not measured (--fail-under {name}={limit:g})", f"see {artifact.path}")
    if value < limit:
        raise ThresholdError(f"{name} is {value:.4f}, below --fail-under {limit:g}", f"see {artifact.path}")
