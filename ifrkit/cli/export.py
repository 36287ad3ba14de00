"""`ifrkit export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli.common import Shared, run_stage, stage_command

if TYPE_CHECKING:
    from ifrkit.artifacts.store import Artifact


@stage_command("export")
@click.option("--format", type=click.Choice(["onnx", "torch"]), help="ONNX files, or programs of torch.export (.pt2).")
def command(shared: Shared, format: str | None) -> None:
    """Write a trained model as graphs that run without ifrkit.

    Reads `branches` (each becomes one graph) or a `video-model` (a key step and an update step). Makes `exported`:
    the graph files, and exported.json with inputs, outputs, class names, colours and normalisation, which the files
    hold too. Every graph is run on real frames and compared with torch; a difference above `tolerance` (relative to
    the largest value) is an error, exit 7. ONNX needs: pip install 'ifrkit[onnx]'.

    \b
    Examples:
      ifrkit export --from video-model --format onnx
      ifrkit train-branches --recipe tiny | ifrkit export --format torch --json
    """
    from ifrkit.stages.export import STAGE

    run_stage(STAGE, shared, {"format": (format, "--format")}, check=_check, extra=_metrics)


def _check(config: Any) -> None:
    """The packages are there, before a pipe is waited for."""
    from ifrkit.export.extra import require_installed

    if config.format == "onnx":
        require_installed()


def _metrics(artifact: Artifact) -> dict[str, Any]:
    return {"metrics": artifact.manifest.metrics}
