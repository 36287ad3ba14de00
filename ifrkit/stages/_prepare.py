"""Read a dataset once and write its clip store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np

from data_prep._leakage import compared, held_out, measure
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.notes import changed, checksums, read_note, write_note
from ifrkit.config.prepare import PrepareConfig
from ifrkit.core.errors import ArtifactError, InterruptedRun
from ifrkit.core.machine import cores
from ifrkit.core.names import distinct
from ifrkit.core.records import IGNORE, Frame, Label, LabelSpace, Split
from ifrkit.data.store.clips import ClipStoreWriter
from ifrkit.data.store.file import StoredFrame, StoreFileReader
from ifrkit.data.store.index import StoreIndex
from ifrkit.data.store.reading import FrameReader, Recipe
from ifrkit.stages._prepare_check import check_clips, plan
from ifrkit.stages.prepare import open_dataset

SPLITS: tuple[Split, ...] = get_args(Split)
Counts = dict[Split, list[int]]


def run(job: Job) -> None:
    """Write the store file by file. A file that an interrupted run had finished is kept."""
    config: PrepareConfig = job.config
    dataset = open_dataset(config)
    clips = dataset.clips()
    dataset.tell(job.display)
    check_clips(clips)
    index, own_size = plan(config, dataset, clips)
    recipe = _recipe(config, index, own_size)
    writer = ClipStoreWriter(job.directory, job.scratch, index)
    key = _plan_key(config, index, dataset.fingerprint())
    finished = _finished(job, index, key)
    todo = [number for number in range(len(index.files)) if number not in finished]
    visible = {clip.frames[i]: clip.split for clip in index.clips for i in clip.labeled}
    names = (name for number in todo for name in index.files[number].frames)
    total = sum(len(file.frames) for file in index.files)
    left = sum(len(index.files[number].frames) for number in todo)
    workers = min(cores(), left) if config.runtime.workers else 0
    with FrameReader(dataset, recipe, names, workers) as frames:
        tracked = iter(job.display.track(frames, f"prepare {config.dataset}", total=total, start=total - left))
        for number in todo:
            finished[number] = _write_file(job, writer, number, tracked, key, visible)
    _report(job, index, list(finished.values()))
    writer.finish({split: tuple(counts) for split, counts in job.metrics["histogram"].items()})
    leak = measure(clips, _pixels(job.directory, index, {clip.frames[i] for clip in clips for i in compared(clip)}))
    if leak.held_out:
        parts = {split: leak.of(held_out(clips, split)) for split in SPLITS if split != "train"}
        own = {split: part.metrics() for split, part in parts.items() if part.held_out}
        job.metrics["leakage"] = {**leak.metrics(), "splits": own}
        job.display.info(leak.headline())


def _pixels(directory: Path, index: StoreIndex, names: Collection[str]) -> Callable[[str], Frame]:
    """Reads frames of these names from the files. A `ClipStore` would hold the whole index a second time."""
    places = {
        name: (n, row) for n, file in enumerate(index.files) for row, name in enumerate(file.frames) if name in names
    }

    @cache
    def file(number: int) -> StoreFileReader:
        entry = index.files[number]
        return StoreFileReader(directory / entry.name, index.layout, len(entry.frames))

    def frame(name: str) -> Frame:
        number, row = places[name]
        return file(number).frame(row)

    return frame


def _recipe(config: PrepareConfig, index: StoreIndex, own_size: tuple[int, int]) -> Recipe:
    """How frames are made."""
    held_out = {clip.frames[i] for clip in index.clips if clip.split != "train" for i in (*clip.labeled, *clip.hidden)}
    return Recipe(
        size=index.size,
        own_size=None if config.size else own_size,
        codec=config.codec,
        jpeg_quality=config.jpeg_quality,
        num_classes=index.labels.num_classes,
        labels=index.label_names,
        full_labels=frozenset(held_out) if config.full_labels else frozenset(),
    )


def _write_file(
    job: Job, writer: ClipStoreWriter, number: int, frames: Iterator[StoredFrame], key: str, visible: dict[str, Split]
) -> Counts:
    """Write one file, then a note in scratch that it is complete, with the histogram of its visible labels."""
    classes = writer.index.labels.num_classes
    counts: Counts = {split: [0] * (classes + 1) for split in SPLITS}
    entry = writer.index.files[number]
    with writer.file(number) as file:
        for name in entry.frames:
            if signum := job.stop():
                fault = f"prepare: stopped by signal {signum}, {number} of {len(writer.index.files)} files are complete"
                raise InterruptedRun(fault, "run the same command again to go on", signum=signum)
            item = next(frames)
            file.write(item)
            if name in visible and item.label is not None:
                own = counts[visible[name]]
                own[:] = [a + b for a, b in zip(own, histogram(item.label, classes), strict=True)]
    note = {"plan": key, "histogram": counts, "files": checksums(job.directory / entry.name)}
    write_note(job.scratch / f"{entry.name}.json", note)
    return counts


def histogram(label: Label, num_classes: int) -> list[int]:
    """Pixels of each class, then of the ignored ones."""
    counts = np.bincount(label.ravel(), minlength=IGNORE + 1)
    return [*counts[:num_classes].tolist(), int(counts[IGNORE])]


def _finished(job: Job, index: StoreIndex, key: str) -> dict[int, Counts]:
    """Files of this very plan that an interrupted run completed; what else it left is removed."""
    done: dict[int, Counts] = {}
    for number, file in enumerate(index.files):
        note = job.scratch / f"{file.name}.json"
        if not note.exists():
            continue
        try:
            tree = read_note(note)
        except ArtifactError:
            job.display.warn(f"{note} is damaged: {file.name} is made again")
            continue
        if tree["plan"] == key and changed(job.directory, tree["files"]) is None:
            done[number] = tree["histogram"]
    keep = {index.files[number].name for number in done}
    for path in job.directory.glob("frames-*.h5"):
        if path.name not in keep:
            path.unlink()
    return done


def _plan_key(config: PrepareConfig, index: StoreIndex, source: str) -> str:
    digest = hashlib.sha256(json.dumps([config.identity(), source], sort_keys=True).encode())
    for text in index.pieces():
        digest.update(text.encode())
    return digest.hexdigest()


def _report(job: Job, index: StoreIndex, parts: Sequence[Counts]) -> None:
    """Frame counts and the label histogram, as metrics and as a table."""
    totals = {split: [sum(column) for column in zip(*(part[split] for part in parts), strict=True)] for split in SPLITS}
    splits = [split for split in SPLITS if any(clip.split == split for clip in index.clips)]
    job.metrics["histogram"] = {split: totals[split] for split in splits}
    job.metrics["frames"], rows = {}, []
    for split in splits:
        own = [clip for clip in index.clips if clip.split == split]
        frames = len(distinct([clip.frames for clip in own]))
        labels = len({clip.frames[i] for clip in own for i in clip.labeled})
        hidden = len({clip.frames[i] for clip in own for i in clip.hidden})
        job.metrics["frames"][split] = {"clips": len(own), "frames": frames, "labels": labels, "hidden_labels": hidden}
        rows.append([split, *map(str, (len(own), frames, labels, hidden))])
    job.display.table("Clips", ["split", "clips", "frames", "labels", "hidden labels"], rows)
    job.display.table("Label histogram (% of pixels)", ["class", *splits], _shares(index.labels, totals, splits))
    _warn(job, index, totals, splits)


def _shares(space: LabelSpace, totals: Counts, splits: Sequence[Split]) -> list[list[str]]:
    def share(split: Split, place: int) -> str:
        whole = sum(totals[split])
        return f"{100 * totals[split][place] / whole:.2f}" if whole else "-"

    return [[name, *(share(s, i) for s in splits)] for i, name in enumerate([*space.names, "(ignored)"])]


def _warn(job: Job, index: StoreIndex, totals: Counts, splits: Sequence[Split]) -> None:
    absent = [name for name, pixels in zip(index.labels.names, totals["train"], strict=False) if not pixels]
    if not any(totals["train"]):
        job.display.warn("no training clip has a label: train-flow works, train-branches does not")
    elif absent:
        job.display.warn(f"classes without a pixel in the training labels: {', '.join(absent)}")
    if not any(sum(totals[split]) for split in splits if split != "train"):
        job.display.warn("neither val nor test has labels: nothing can be scored")
