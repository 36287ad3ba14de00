"""plan: how fast each way to predict is on this machine, and how accurate, where reports say it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from msgspec.structs import replace

from ifrkit.artifacts.indexes import Choice, Plan
from ifrkit.artifacts.job import Display, Job
from ifrkit.config.plan import PlanConfig
from ifrkit.config.predict import PredictConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.machine import machine
from ifrkit.core.records import Frame
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.scored import scored_frames
from ifrkit.media.resize import resize_frame
from ifrkit.predict.choices import choices
from ifrkit.predict.pace import Pace, Peak
from ifrkit.predict.planned import frontier, rate
from ifrkit.predict.segmenter import open_segmenter
from ifrkit.predict.sources import read, survey

FRAMES = 10
"""Frames that are kept in memory and predicted over and over."""
_BUSY = 0.8
"""Below this share of one processor's time the machine counts as busy."""


def run(job: Job) -> None:
    """Measure all choices in turns; write plan.json, and say which is best for what."""
    config: PlanConfig = job.config
    if config.threads:
        torch.set_num_threads(config.threads)
    frames = _frames(job, config)
    found, paces = _opened(job, frames)
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in paces}
    for _ in job.display.track(range(config.rounds), "plan"):
        for name, pace in paces.items():
            job.display.status(name)
            rounds[name].append(pace.seconds())
    measured = [_measured(choice, rounds.get(choice.name)) for choice in found]
    size = frames[0].shape[0], frames[0].shape[1]
    plan = Plan(
        machine=machine(), device=job.device, threads=torch.get_num_threads(), size=size, rounds=config.rounds,
        choices=tuple(measured),
    )  # fmt: skip
    plan.write(job.directory)
    job.metrics["choices"] = {choice.name: choice.frames_per_second for choice in measured}
    present(plan, job.display)
    times = [pair for pairs in rounds.values() for pair in pairs]
    share = sum(used for _, used in times) / max(sum(clock for clock, _ in times), 1e-9)
    if job.device == "cpu" and share < _BUSY:
        fault = f"other programs left this one {100 * share:.0f} % of a processor, so it can be faster than this"
        job.display.warn(f"{fault}; compare the rows, and measure again on an idle machine (--force)")


def _frames(job: Job, config: PlanConfig) -> list[Frame]:
    """The first frames of the video, or of the model's clips at the size that was named."""
    if (size := config.frame_size) is not None:
        store = ClipStore.of(job.input("clips"))
        count = min(FRAMES, len(store.clips[0].frames))
        return [resize_frame(store.frame(0, index), size) for index in range(count)]
    ((source, facts),) = survey(config.videos).videos
    frames = [item.frame for item in islice(read(source, facts), FRAMES) if item.frame is not None]
    if not frames:
        raise ConfigError(f"{config.what}: none of the first {FRAMES} frames can be read", "name another video")
    return frames


def _opened(job: Job, frames: Sequence[Frame]) -> tuple[list[Choice], dict[str, Pace]]:
    """All choices, and what predicts by those that can be; each has run for one key period."""
    model, *others = job.inputs
    store = ClipStore.of(job.input("clips"))
    places = (place for clip in store.clips_of("val") for place in scored_frames(store.clips[clip], "annotated"))
    longest = max(places, default=-1) + 1
    sources = {artifact.id: artifact for artifact in job.inputs}
    found, paces = [], {}
    for choice in job.display.track(list(choices(job.config, model, others, longest)), "open"):
        if choice.id:
            settings = PredictConfig.of({"videos": ("-",), **choice.settings})
            own = Job(settings, [sources[choice.id]], job.directory, job.scratch, device=job.device)
            try:
                with Peak(job.device) as peak:
                    pace = Pace(open_segmenter(own), settings, frames, choice.interval)
                    pace.seconds(choice.interval)
            except ConfigError as error:  # graphs of one size, or onnxruntime is not installed
                choice = replace(choice, lacking=(*choice.lacking, str(error)))
            else:
                paces[choice.name] = pace
                choice = replace(choice, memory_mib=peak.mib)
        found.append(choice)
    return found, paces


def _measured(choice: Choice, times: list[tuple[float, float]] | None) -> Choice:
    if not times:
        return choice
    rates = [1 / clock for clock, _ in times]
    found = {"frames_per_second": statistics.median(rates), "slowest": min(rates), "fastest": max(rates)}
    return replace(choice, **found, processor_seconds=statistics.median(used for _, used in times))


def present(plan: Plan, display: Display) -> None:
    """The table, which choice is best up to which rate, and the commands that would fill its gaps."""
    best = _best_for(plan.choices)
    columns = ["", "mIoU", "TC", "frames/s", "from", "to", "CPU ms", "MiB", "best for"]
    rows = [
        [
            choice.name,
            *(_percent(value) for value in (choice.miou, choice.tc)),
            *(_number(value, 1) for value in (choice.frames_per_second, choice.slowest, choice.fastest)),
            _number(None if choice.processor_seconds is None else 1000 * choice.processor_seconds, 0),
            _number(choice.memory_mib, 0),
            best.get(choice.name, ""),
        ]
        for choice in plan.choices
    ]
    where = f"{plan.device}, {plan.threads} threads" if plan.threads > 1 else f"{plan.device}, 1 thread"
    title = f"Frames of {plan.size[0]}x{plan.size[1]} on {plan.machine['processor']}, {where}"
    display.table(title, columns, rows)
    for line in [*verdicts(plan.choices), *_gaps(plan.choices)]:
        display.info(line)


def _best_for(choices: Sequence[Choice]) -> dict[str, str]:
    """Of each choice that none beats the wanted rates that it is the best for; the others say what beats them."""
    kept, found, before = frontier(choices), {}, 0.0
    for choice in kept:
        found[choice.name] = f"{f'{before:.1f} to ' if before else 'up to '}{rate(choice):.1f}/s"
        before = rate(choice)
    for choice in choices:
        if choice.name not in found and choice.frames_per_second is not None and choice.miou is not None:
            better = next(k for k in kept if rate(k) >= rate(choice) and (k.miou or 0) >= choice.miou)
            found[choice.name] = f"beaten by {better.name}"
    return found


def verdicts(choices: Sequence[Choice]) -> Iterator[str]:
    """A sentence where networks that see each frame by itself leave a video model without a use, or may do so."""
    measured = [choice for choice in choices if choice.frames_per_second is not None]
    alone = [choice for choice in measured if choice.interval == 1]
    for arch in dict.fromkeys(c.name.partition(",")[0] for c in measured if c.interval > 1):
        video = [c for c in measured if c.interval > 1 and c.name.partition(",")[0] == arch]
        for one in alone:
            slower = [c for c in video if rate(c) <= rate(one)]
            beaten = [c for c in slower if c.miou is not None and one.miou is not None and c.miou <= one.miou]
            if beaten:
                yield f"{one.name}: faster than {_intervals(arch, beaten)}, and no less accurate"
            elif slower and all(c.miou is None or one.miou is None for c in slower):
                yield f"{one.name}: faster than {_intervals(arch, slower)}; how accurate they are is not known"


def _intervals(arch: str, choices: Sequence[Choice]) -> str:
    numbers = sorted({choice.interval for choice in choices})
    return f"{arch} at key interval {', '.join(map(str, numbers))}"


def _gaps(choices: Sequence[Choice]) -> Iterator[str]:
    for command in dict.fromkeys(command for choice in choices for command in choice.lacking):
        names = [choice.name for choice in choices if command in choice.lacking]
        yield f"not known of {'; '.join(names)}: {command}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
