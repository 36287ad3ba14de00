"""predict: class ids of every frame of the user's videos, by networks or exported graphs, as a stream."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.artifacts.indexes import Broken, Predictions, Video
from ifrkit.artifacts.job import Job
from ifrkit.config.predict import CONFIDENCE, PredictConfig
from ifrkit.core.encoding import readable
from ifrkit.core.errors import ArtifactError, DatasetError, InterruptedRun
from ifrkit.core.records import Frame
from ifrkit.media.images import save_label
from ifrkit.media.palette import id_colors
from ifrkit.media.probe import Facts
from ifrkit.media.resize import resize_frame
from ifrkit.metrics.base import Ids
from ifrkit.predict.for_tools import tool_writer
from ifrkit.predict.outputs import list_confidences, load_label, save_confidence
from ifrkit.predict.overlap import afterwards, ahead
from ifrkit.predict.overlay import Look, Overlay, unplayable
from ifrkit.predict.resume import Progress
from ifrkit.predict.segmenter import Segmenter, open_segmenter
from ifrkit.predict.sources import Item, Source, read, survey

NAMED = 5
"""Broken frames of one video that get a line of their own."""


def run(job: Job) -> None:
    """Predict one video after the other.

    A resumed run keeps complete videos; of the one that was interrupted it draws the overlay again from the label
    images, and starts the networks at the last key frame: the result is the same (`ifrkit/predict/resume.py`).
    """
    config: PredictConfig = job.config
    found, left = survey(config.videos)
    left.tell(job.display)
    if config.overlay and (line := unplayable(config.codec)):
        job.display.info(line)
    segmenter = open_segmenter(job)
    for _, fact in found:
        segmenter.seen_at(fact.size, config)  # before the first video is begun
    progress = Progress(job, [source.name for source, _ in found], sum(fact.claimed for _, fact in found))
    run = _Run(job, segmenter, progress)
    for source, fact in found[len(progress.done) :]:
        run.video(source, fact)
    if not any(record.frames for record in progress.done):
        raise DatasetError(f"{found[0][0].path}: not one frame could be read", "copy it again, or convert it")
    labels = segmenter.labels
    Predictions(classes=labels.names, colors=labels.colors, videos=tuple(progress.done)).write(job.directory)
    job.metrics.update(run.metrics())


class _Run:
    """The run so far, and the time that it took."""

    def __init__(self, job: Job, segmenter: Segmenter, progress: Progress) -> None:
        self.job, self.segmenter, self.predictor, self.progress = job, segmenter, segmenter.predictor, progress
        self.colors: NDArray[np.uint8] = id_colors(segmenter.labels)
        self._predicted, self._seconds = 0, 0.0

    def video(self, source: Source, fact: Facts) -> None:
        """Predict one video; once more from its beginning where a label that was kept of it is damaged."""
        try:
            self._video(source, fact)
        except ArtifactError as error:
            if not self.progress.key_frames(source.name):
                raise
            self.job.display.warn(f"{error.message}: {source.name} is predicted again")
            self.progress.forget()
            self._video(source, fact)

    def _video(self, source: Source, fact: Facts) -> None:
        """Read, predict and write one video, at the same time."""
        for folder in ("labels", *self.job.config.write):
            (self.job.directory / source.name / folder).mkdir(parents=True, exist_ok=True)
        seen_at = self.segmenter.seen_at(fact.size, self.job.config)
        origin = source.live or readable(source.path.resolve().name)
        record = Video(name=source.name, source=origin, size=fact.size, seen_at=seen_at)
        record.key_frames = array("q")  # a long video may have as many as frames
        self.predictor.restart()
        begun, before = time.perf_counter(), self._predicted
        with ExitStack() as stack:
            outputs = [stack.enter_context(afterwards(write)) for write in self._outputs(stack, source, fact)]
            items = islice(_scaled(source, fact, seen_at), self.job.config.frames)
            frames = stack.enter_context(ahead(items))
            for item, small in self.job.display.track(frames, source.name, total=fact.claimed or None):
                if (signum := self.job.stop()) and source.live:
                    break  # there is no other end
                if signum:
                    self.progress.save(record, item.number - 1)
                    place = self.job.directory / source.name
                    fault = f"predict: stopped by signal {signum} after {record.frames} frames of {source.name}"
                    raise InterruptedRun(fault, f"--resume goes on; what is done is in {place}", signum=signum)
                if item.number in source.video.begins:
                    self.predictor.restart()
                ids_hw = self._frame(record, item, small)
                confidence = self._confidence(record, item, ids_hw)
                for put in outputs:
                    put(item, ids_hw, confidence)
                self.progress.save_sometimes(record, item.number)
                self._tell(begun, before)
        self._seconds += time.perf_counter() - begun
        if CONFIDENCE in self.job.config.write:
            list_confidences(self.job.directory / source.name / CONFIDENCE)
        self.progress.finish(record)
        self._summary(record, time.perf_counter() - begun)

    def _frame(self, record: Video, item: Item, small: Frame | None) -> Ids | None:
        """Predict a frame, or read what the interrupted run predicted; None for a broken one."""
        if small is None:
            self.predictor.restart()
            record.broken.append(Broken(frame=item.name, fault=item.fault))
            if len(record.broken) <= NAMED and not item.told:
                self.job.display.warn(f"{record.name}: frame {item.name} is broken, going on ({item.fault})")
            return None
        known = self.progress.key_frames(record.name)
        if known and item.number < known[-1]:
            key = known[bisect_left(known, item.number)] == item.number
            place, name = self.job.directory / record.name, f"{item.name}.png"
            ids_hw = load_label(place / "labels" / name)
            if CONFIDENCE in self.job.config.write:
                load_label(place / CONFIDENCE / name)
        else:
            ids_hw, key = self.predictor(small, record.size)
            self._predicted += 1
        record.frames += 1
        if key:
            record.key_frames.append(item.number)
        return ids_hw

    def _confidence(self, record: Video, item: Item, ids_hw: Ids | None) -> NDArray[np.uint8] | None:
        """Of a frame that was predicted just now; a resumed run has the others on the disk."""
        known = self.progress.key_frames(record.name)
        resumed = bool(known) and item.number < known[-1]
        if ids_hw is None or resumed or CONFIDENCE not in self.job.config.write:
            return None
        return self.predictor.confidence(record.size)

    def _outputs(self, stack: ExitStack, source: Source, fact: Facts) -> Iterator[Callable[[Item, Any, Any], None]]:
        """The functions that write a frame's prediction; each gets a thread of its own."""
        config: PredictConfig = self.job.config
        place = self.job.directory / source.name

        def label(item: Item, ids_hw: Ids | None, confidence_hw: NDArray[np.uint8] | None) -> None:
            if confidence_hw is not None:
                save_confidence(place / CONFIDENCE / f"{item.name}.png", confidence_hw)
            if ids_hw is not None:
                save_label(place / "labels" / f"{item.name}.png", ids_hw, self.colors)

        yield label
        for name in config.tools:
            yield tool_writer(stack, name, place / name, self.segmenter.labels, source)
        if config.overlay:
            look = Look(self.segmenter.labels, config.overlay, config.legend, config.codec)
            overlay = stack.enter_context(Overlay(place / "overlay.mp4", fact.size, fact.fps or config.fps, look))
            yield lambda item, ids_hw, _: overlay.write(item.frame, ids_hw, item.time)

    def _tell(self, begun: float, before: int) -> None:
        rate = (self._predicted - before) / (time.perf_counter() - begun)
        self.job.display.status(f"{rate:.1f} frames/s")

    def _summary(self, record: Video, seconds: float) -> None:
        told = f"{record.name}: {record.frames} frames in {seconds:.1f} s, {len(record.key_frames)} key frames"
        broken = f", {len(record.broken)} broken (named in {Predictions.FILE})" if record.broken else ""
        self.job.display.info(told + broken)

    def metrics(self) -> dict[str, Any]:
        """Counts, speed, and the share of the time in which no network ran."""
        return {
            "frames": sum(record.frames for record in self.progress.done),
            "key_frames": sum(len(record.key_frames) for record in self.progress.done),
            "broken": sum(len(record.broken) for record in self.progress.done),
            "frames_per_second": self._predicted / self._seconds if self._seconds else None,
            "outside_networks": 1 - self.predictor.seconds / self._seconds if self._seconds else None,
        }


def _scaled(source: Source, fact: Facts, seen_at: tuple[int, int]) -> Iterator[tuple[Item, Frame | None]]:
    """Each frame as it is, and as the networks see it."""
    for item in read(source, fact):
        yield item, None if item.frame is None else resize_frame(item.frame, seen_at)
