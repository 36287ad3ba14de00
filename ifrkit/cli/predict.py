"""`ifrkit predict VIDEO_OR_DIR...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion
from ifrkit.cli.common import Shared, metrics, named_flags, running, stage_command
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.stages.predict import STAGE

if TYPE_CHECKING:
    from ifrkit.predict import planned, sources
else:
    planned = lazy("ifrkit.predict.planned")
    sources = lazy("ifrkit.predict.sources")

BACKENDS = {"torch": ("video-model", "branches"), "onnx": ("exported",)}
"""The kinds of artifact that each runs. Without --backend, --from and a pipe may bring either."""
PLANNED = ("branch", "key_interval", "key_policy")
"""Flags whose part --plan takes."""


@stage_command("predict")
@click.argument("videos", nargs=-1, type=click.Path(), metavar="VIDEO_OR_DIR...")
@click.option("--branch", type=click.Choice(["update", "reference"]), help="Which of `branches` (default: reference).")
@click.option("--key-interval", type=click.IntRange(1), metavar="N", help="Frames from one key frame to the next.")
@click.option(
    "--key-policy",
    type=click.Choice(["fixed", "adaptive"]),
    help="adaptive: a key frame where the warp no longer explains the picture.",
)
@click.option("--frames", type=click.IntRange(1), metavar="N", help="At most so many of each video.")
@click.option(
    "--write",
    metavar="FORMAT,...",
    shell_complete=completion.plugins("labels"),
    help="Also labels for a tool (coco, cvat, labelme, label-studio, ...), or confidence.",
)
@click.option("--backend", type=click.Choice([*BACKENDS]), help="onnx: run what `ifrkit export` made.")
@click.option("--plan", "wanted", metavar="WANTED", help="fastest, best or fps=25: as `ifrkit plan` measured it here.")
def command(shared: Shared, videos: tuple[str, ...], backend: str | None, wanted: str | None, **options: Any) -> None:
    """Segment your own videos: mp4, avi and others, or folders of frames, of any length and size; or a camera.

    Reads `branches`, a `video-model`, or the `exported` graphs of either (onnxruntime runs them). Makes `predictions`:
    for every video NAME/overlay.mp4 to look at and NAME/labels/FRAME.png (class ids, with the classes' colours as
    palette), and predictions.json.

    --plan takes the model, branch, key interval and size that the newest `ifrkit plan` of this model found best here.

    --write FORMAT also makes NAME/FORMAT, which the labeling tool of that name imports.

    The networks see as many pixels as they did in training; labels and overlay have the video's own size. --set
    size=own keeps the video's size, --set size=[360,640] takes another; --set overlay=0 writes no overlay. Broken
    frames are named and skipped. Ctrl-C leaves what is done playable, and --resume goes on. A camera (its number: 0) or
    an address (rtsp://...) ends with --frames or Ctrl-C.

    \b
    Examples:
      ifrkit predict street.mp4 --from video-model --key-interval 5
      ifrkit train-fusion --recipe tiny | ifrkit predict my-videos/ --key-policy adaptive
      ifrkit predict frames/ --from branches --branch update --json
      ifrkit predict 'day1/*.mp4' --write confidence
      ifrkit predict street.mp4 --write coco,label-studio
      ifrkit plan street.mp4 && ifrkit predict street.mp4 --plan fastest
    """
    if not videos and not shared.file and not shared.sets:
        raise ConfigError("no videos named", "give video files, or folders of frames: ifrkit predict street.mp4")
    flags = named_flags(options)
    flags["videos"] = (list(videos) or None, "VIDEO_OR_DIR")
    if wanted is not None:
        shared, flags = _planned(shared, flags, wanted, backend)
    stage = STAGE._replace(needs=BACKENDS[backend], accepts=()) if backend else STAGE
    running.run_stage(stage, shared, flags, check=_check, describe=_summary, extra=metrics)


def _planned(
    shared: Shared, flags: dict[str, tuple[Any, str]], wanted: str, backend: str | None
) -> tuple[Shared, dict[str, tuple[Any, str]]]:
    """The artifact and the settings of the choice that the newest plan of the model names, as if they were typed."""
    planned.wanted_rate(wanted)
    given = [flag for key in PLANNED if (value := flags[key])[0] is not None for flag in value[1:]]
    if taken := [*given, *(["--backend"] if backend else [])]:
        raise ConfigError(f"--plan chooses {taken[0]} itself", "leave one of them out")
    config, _ = running.config_of(STAGE, shared, flags)
    _check(config)
    if shared.print_config:  # it reads no artifact
        return shared, flags
    run = running.asked(STAGE._replace(accepts=()), shared, {})
    artifact, plan = planned.newest_plan(shared.workspace, run.inputs[0], shared.threads)
    choice = planned.pick(plan, wanted)
    rate = f"{choice.frames_per_second:.1f} frames a second on frames of {plan.size[0]}x{plan.size[1]}"
    run.display.info(f"{choice.name} ({rate}; {artifact.path})")
    source = planned.source(artifact, choice)
    flags |= {key: (value, f"--plan {wanted}") for key, value in choice.settings.items()}
    return shared._replace(source=str(source.path), threads=shared.threads or plan.threads), flags


def _check(config: Any) -> None:
    """The videos are there, before a pipe is waited for."""
    sources.find_sources(config.videos)


def _summary(config: Any) -> list[str]:
    videos, left = sources.survey(config.videos)
    lines = []
    for source, fact in videos:
        rate = f", {fact.fps:g} frames a second" if fact.fps else ""
        lines.append(f"{source.name}: {fact.claimed} frames of {fact.size[0]}x{fact.size[1]}{rate} ({source.path})")
    return [*lines, *left.lines()]
