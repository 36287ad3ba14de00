"""`ifrkit plan VIDEO_OR_SIZE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli.common import Shared, metrics, running, stage_command
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.stages.plan import STAGE

if TYPE_CHECKING:
    from ifrkit.predict import sources
else:
    sources = lazy("ifrkit.predict.sources")


@stage_command("plan")
@click.argument("what", required=False, metavar="VIDEO_OR_SIZE")
def command(shared: Shared, what: str | None) -> None:
    """Measure which way to predict is best on this machine: how fast each is, beside how accurate.

    Reads `branches` or a `video-model`, and finds what was made of it: ONNX graphs of `ifrkit export`, and reports of
    `ifrkit eval`, which hold mIoU and TC. Makes a `plan`, and prints a table: each branch on every frame, the light one
    on smaller frames, the video model at several key intervals, graphs. A row that beats another one says so; for
    what is not known yet, the command that tells is printed.

    VIDEO_OR_SIZE: a video like yours, or the size of its frames as HEIGHTxWIDTH. `ifrkit predict VIDEO --plan fps=25`
    then takes the most accurate way that is as fast.

    \b
    Examples:
      ifrkit plan 360x480
      ifrkit plan street.mp4 --from video-model --threads 1
      ifrkit plan 720x1280 --set intervals=[3,8] --set scale=0.25
    """
    if what is None and not shared.file and not shared.sets:
        raise ConfigError("no video and no size named", "ifrkit plan street.mp4, or ifrkit plan 360x480")
    flags = {"what": (what, "VIDEO_OR_SIZE"), "threads": (shared.threads, "--threads")}
    running.run_stage(STAGE, shared, {**flags, "device": (shared.device, "--device")}, check=_check, extra=metrics)


def _check(config: Any) -> None:
    """The video is there, before a pipe is waited for."""
    if config.frame_size is None:
        sources.find_sources(config.videos)
