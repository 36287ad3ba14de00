"""`ifrkit export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli.common import Shared, metrics, running, stage_command
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.stages.export import STAGE

if TYPE_CHECKING:
    from ifrkit.export import extra
else:
    extra = lazy("ifrkit.export.extra")


@stage_command("export")
@click.option("--format", type=click.Choice(["onnx", "torch"]), help="ONNX files, or programs of torch.export (.pt2).")
@click.option("--int8", is_flag=True, default=None, help="8-bit integers: faster; its loss of mIoU is measured.")
def command(shared: Shared, format: str | None, int8: bool | None) -> None:
    """Write a trained model as graphs that run without ifrkit.

    Reads `branches` (each becomes one graph) or a `video-model` (a key step and an update step). Makes `exported`:
    the graph files, and exported.json with inputs, outputs, class names, colours and normalisation, which the files
    hold too. Every graph is run on real frames and compared with torch; a difference above `tolerance` (relative to
    the largest value) is an error, exit 7. ONNX needs: pip install 'ifrkit[onnx]'.

    --int8 calibrates on your training frames, and judges the graphs on the labeled held-out frames: a loss of more than
    `max_drop` (0.01: one point of mIoU) against the float graphs is an error, exit 7.

    \b
    Examples:
      ifrkit export --from video-model --format onnx
      ifrkit export --from branches --int8
      ifrkit train-branches --recipe tiny | ifrkit export --format torch --json
    """
    flags = {"format": (format, "--format"), "int8": (int8, "--int8")}
    running.run_stage(STAGE, shared, flags, check=_check, extra=metrics)


def _check(config: Any) -> None:
    """The packages are there, before a pipe is waited for."""
    if config.int8 and config.format != "onnx":
        raise ConfigError(f"--int8: graphs of format {config.format} have no such form", "--format onnx")
    if config.format == "onnx":
        extra.require_installed()
