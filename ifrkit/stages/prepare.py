"""prepare: read a dataset once, with all cores, and write the clip store.

Store files complete one by one, each with a note in scratch, so a killed run goes on behind the last complete file.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ifrkit.config.base import Config
from ifrkit.config.stages import PrepareConfig
from ifrkit.errors import DatasetError, InterruptedRun
from ifrkit.plugins import load
from ifrkit.stages.base import Job, Stage

if TYPE_CHECKING:
    from data_prep.base import Dataset
    from ifrkit.data.records import ClipRecord, LabelSpace
    from ifrkit.data.store import StoreIndex
    from ifrkit.data.writer import StoredFrame

CHUNK = 8
"""Frames a worker reads at a time: few enough to bound memory, enough to read a video in order."""


class FileNote(Config):
    """What a complete store file holds: name -> (row, label row, full label row), and name -> pixels by class id."""

    rows: dict[str, tuple[int, int | None, int | None]]
    pixels: dict[str, list[int]]


def open_dataset(config: PrepareConfig) -> Dataset:
    """The dataset plug-in of a config."""
    dataset: Dataset = load("datasets", config.dataset)(Path(config.root), config.options, config.seed)
    return dataset


@cache
def _opened(config_json: str) -> Dataset:
    return open_dataset(PrepareConfig.model_validate_json(config_json))


def run(job: Job) -> None:
    """Write clips-NNN.h5 and clips.json, and report the label histogram of every split."""
    from ifrkit.artifacts.atomic import write_atomic
    from ifrkit.data.store import INDEX, FrameEntry, StoreIndex

    config: PrepareConfig = job.config
    dataset = _opened(config.model_dump_json())
    clips = dataset.clips()
    if not any(clip.split == "train" for clip in clips):
        raise DatasetError(f"{config.root or config.dataset}: no training clips", "see `ifrkit prepare ... --dry-run`")
    names = list(dict.fromkeys(name for clip in clips for name in clip.frames))
    first = dataset.frame(names[0]).shape
    size = config.size or dataset.default_size or (first[0], first[1])
    has_flow = dataset.has_flow and size == first[:2]
    notes = _write(job, names, _labeled(clips), size, has_flow, dataset.label_space())
    rows = {name: (number, *row) for number, note in enumerate(notes) for name, row in note.rows.items()}
    index = StoreIndex(
        name=config.dataset,
        labels=dataset.label_space(),
        size=size,
        codec=config.codec,
        has_flow=has_flow,
        files=tuple(_file(number) for number in range(len(notes))),
        clips=tuple(clips),
        frames={n: FrameEntry(file=f, row=r, label=label, full_label=full) for n, (f, r, label, full) in rows.items()},
        histogram=_histogram(clips, {k: v for note in notes for k, v in note.pixels.items()}),
    )
    write_atomic(job.directory / INDEX, index.model_dump_json().encode())
    _report(job, index)


def _labeled(clips: list[ClipRecord]) -> set[str]:
    return {clip.frames[i] for clip in clips for i in (*clip.labeled, *clip.hidden)}


def _file(number: int) -> str:
    return f"clips-{number:03d}.h5"


def _write(
    job: Job, names: list[str], labeled: set[str], size: tuple[int, int], has_flow: bool, space: LabelSpace
) -> list[FileNote]:
    """All frames into files of bounded size; what an earlier run completed stays."""
    from ifrkit.artifacts.atomic import write_atomic
    from ifrkit.data.writer import FileWriter

    config: PrepareConfig = job.config
    per_file = max(1, (config.file_mib << 20) // (size[0] * size[1] * (4 + 18 * has_flow)))
    parts = [names[i : i + per_file] for i in range(0, len(names), per_file)]
    noted = [job.scratch / f"{_file(number)}.json" for number in range(len(parts))]
    todo = [number for number, note in enumerate(noted) if not note.is_file()]
    before = len(names) - sum(len(parts[number]) for number in todo)
    wanted = [(name, name in labeled) for number in todo for name in parts[number]]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        stream = iter(
            job.report.track(_read_ahead(pool, config, wanted, size, has_flow), "prepare", len(names), before)
        )
        for number in todo:
            part, path = parts[number], job.scratch / _file(number)
            counts = len(part), sum(name in labeled for name in part)
            writer = FileWriter(path, *counts, size, config.codec, config.jpeg_quality, has_flow)
            note = FileNote(rows={}, pixels={})
            for _ in part:
                if job.stop():
                    pool.shutdown(cancel_futures=True)
                    raise InterruptedRun("prepare stopped; complete files are kept", "run it again", signum=job.stop())
                item = next(stream)
                note.rows[item.name] = writer.add(item)
                if item.label_hw is not None:
                    note.pixels[item.name] = _pixels(item, space)
            writer.close()
            path.replace(job.directory / path.name)
            write_atomic(noted[number], note.model_dump_json().encode())
    return [FileNote.model_validate_json(path.read_text()) for path in noted]


def _read_ahead(
    pool: ProcessPoolExecutor, config: PrepareConfig, wanted: list[tuple[str, bool]], size: tuple[int, int], flow: bool
) -> Iterator[StoredFrame]:
    """Frames in order, read by all cores, with a bounded number in memory."""
    chunks = iter([wanted[i : i + CHUNK] for i in range(0, len(wanted), CHUNK)])
    ahead: deque[Future[list[StoredFrame]]] = deque()
    text = config.model_dump_json()
    for chunk in chunks:
        ahead.append(pool.submit(read_chunk, text, chunk, size, flow))
        if len(ahead) > 2 * (os.cpu_count() or 1):
            yield from ahead.popleft().result()
    while ahead:
        yield from ahead.popleft().result()


def read_chunk(text: str, wanted: list[tuple[str, bool]], size: tuple[int, int], flow: bool) -> list[StoredFrame]:
    """Worker: read and resize frames and labels. Raises DatasetError that names the frame."""
    from ifrkit.data.writer import StoredFrame, resize_frame, resize_label

    config = PrepareConfig.model_validate_json(text)
    dataset = _opened(text)
    stored = []
    for (name, frame_hw3), (_, labeled) in zip(dataset.frames([name for name, _ in wanted]), wanted, strict=True):
        if config.size is None and dataset.default_size is None and frame_hw3.shape[:2] != size:
            raise DatasetError(
                f"{name}: frame of {frame_hw3.shape[:2]}, others are {size} (height, width)",
                "give one --set size=[H,W]",
            )
        label = dataset.label(name) if labeled else None
        if label is not None and label.shape != frame_hw3.shape[:2]:
            raise DatasetError(f"{name}: label of {label.shape}, frame of {frame_hw3.shape[:2]}", "make them equal")
        stored.append(
            StoredFrame(
                name,
                resize_frame(frame_hw3, size),
                None if label is None else resize_label(label, size),
                label if config.full_labels else None,
                dataset.flow(name, backward=True) if flow else None,
                dataset.flow(name, backward=False) if flow else None,
            )
        )
    return stored


def _pixels(item: StoredFrame, space: LabelSpace) -> list[int]:
    """Pixels of each class, the ignored ones last. Raises DatasetError for an id outside the label space."""
    from ifrkit.data.records import IGNORE

    assert item.label_hw is not None
    counts = np.bincount(item.label_hw.ravel(), minlength=IGNORE + 1)
    outside = [int(i) for i in np.flatnonzero(counts[:IGNORE]) if i >= space.num_classes]
    if outside:
        raise DatasetError(
            f"label of {item.name}: ids {outside} are outside the {space.num_classes} classes",
            f"map them to classes, or to {IGNORE} (ignore)",
        )
    return [*counts[: space.num_classes].tolist(), int(counts[IGNORE])]


def _histogram(clips: list[ClipRecord], pixels: dict[str, list[int]]) -> dict[str, list[int]]:
    """Split -> pixels of each class over its labels, each label once."""
    names: dict[str, set[str]] = {}
    for clip in clips:
        names.setdefault(clip.split, set()).update(clip.frames[i] for i in (*clip.labeled, *clip.hidden))
    return {
        split: np.sum([pixels[name] for name in sorted(labeled)], axis=0).tolist() if labeled else []
        for split, labeled in names.items()
    }


def _report(job: Job, index: StoreIndex) -> None:
    splits = [split for split in ("train", "val", "test") if split in index.histogram]
    clips = Counter(clip.split for clip in index.clips)
    frames = {s: len({name for clip in index.clips if clip.split == s for name in clip.frames}) for s in splits}
    job.metrics.update({"clips": {s: clips[s] for s in splits}, "frames": frames, "classes": len(index.labels.names)})
    totals = {split: max(1, sum(index.histogram[split])) for split in splits}
    rows = [
        [name, *(f"{100 * index.histogram[s][i] / totals[s]:.2f} %" if index.histogram[s] else "-" for s in splits)]
        for i, name in enumerate([*index.labels.names, "ignored"])
    ]
    title = ", ".join(f"{split}: {clips[split]} clips, {frames[split]} frames" for split in splits)
    job.report.table(f"{index.name} {index.size[0]}x{index.size[1]}; {title}", ["label share", *splits], rows)


STAGE = Stage(
    name="prepare",
    kind="clips",
    config=PrepareConfig,
    run=run,
    source_identity=lambda config: open_dataset(config).fingerprint(),
    label=lambda config: config.dataset,
)
