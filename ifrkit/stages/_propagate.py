"""propagate: which labels may be seen, who speaks, and the files of the artifact."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data_prep.folders.find import flat_name
from ifrkit.annotate import saved
from ifrkit.annotate.chains import Chain, Link, chains
from ifrkit.annotate.propagation import Limits, Propagated, Propagation
from ifrkit.artifacts.indexes import Branches, CarriedFrame, Provenance, Pseudo, write_long
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.notes import write_note
from ifrkit.artifacts.store import Artifact
from ifrkit.config.propagate import PropagateConfig
from ifrkit.core.errors import InterruptedRun
from ifrkit.core.records import IGNORE
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import PER_FILE, PseudoWriter, file_name, read_rows
from ifrkit.evaluation.systems import frame_tensor
from ifrkit.labels.base import writer_of
from ifrkit.models.tta import probabilities
from ifrkit.stages._propagate_check import flow_of, visible_labels
from ifrkit.trained import load_branch


def run(job: Job) -> None:
    """Carry the labels chain by chain; frames go to their files in this order. A resumed run keeps what is written.

    What is known of each frame waits in the notes of the files, so memory hardly grows with the length of the videos.
    """
    config: PropagateConfig = job.config
    store = ClipStore.of(job.input("clips"), kept=0)  # the uses of a label follow each other
    found = chains(store)
    total = sum(map(len, found))
    paths = [job.directory / file_name(number) for number in range(-(-total // PER_FILE))]
    write_note(job.scratch / "begun.json", {})  # files are kept for --resume
    left = [part.rows for part in _left(job, paths, total)]
    begin = sum(left)
    titled = _propagated(job, store, found, begin)
    titled = iter(job.display.track(titled, "propagate", total=total, start=begin))
    for number in range(begin // PER_FILE, len(paths)):
        rows = min(PER_FILE, total - number * PER_FILE)
        old = saved.saved(job, paths[number]) if number < len(left) else None
        part = _write(job, paths[number], (rows, *store.size), old, titled)
        saved.save(job, paths[number], part)
        if part.rows < rows:
            done = number * PER_FILE + part.rows
            fault = f"propagate: stopped by signal {job.stop()}, {done} of {total} frames are done"
            raise InterruptedRun(fault, "run again with --resume to go on", signum=job.stop())
    _write_for_tools(job, store, paths, found)
    shape = {"per_file": PER_FILE, "size": store.size, "num_classes": store.labels.num_classes}
    write_long(job.directory / Pseudo.FILE, {"frames": _names(found), **shape})
    tally: Counter[str] = Counter()
    write_long(job.directory / Provenance.FILE, {"flow": config.flow, "frames": _origins(job, paths, tally)})
    _tell(job, total, tally)


def _names(found: list[Chain]) -> Iterator[list[str]]:
    """Of all frames in order, as many at a time as a file holds."""
    links = chain.from_iterable(found)
    while part := [link.name for link in islice(links, PER_FILE)]:
        yield part


def _origins(job: Job, paths: list[Path], tally: Counter[str]) -> Iterator[dict[str, Any]]:
    """Where the labels of each file come from; counts how many are labeled frames, and how many are carried."""
    for path in paths:
        part = saved.origins(job, path)
        tally.update("labeled" if frame["steps"][0] == 0 else "carried" for frame in part.values())
        yield part


def _left(job: Job, paths: list[Path], total: int) -> Iterator[saved.Part]:
    """What an earlier run left: whole files, and perhaps the first rows of one more."""
    for number, path in enumerate(paths):
        part = saved.saved(job, path)
        if part is None:
            return
        yield part
        if part.rows < min(PER_FILE, total - number * PER_FILE):
            return


def _write(
    job: Job, path: Path, shape: tuple[int, int, int], old: saved.Part | None, titled: Iterator[Propagated]
) -> saved.Part:
    """Write a file (rows, h, w), or after a signal its first rows. old: the rows of it that are there already."""
    origins = dict(old.origins) if old else {}
    row = old.rows if old else 0
    rows, *size = shape
    with PseudoWriter(path, job.scratch, rows, (size[0], size[1])) as file:
        for place, (ids_hw, levels_hw) in enumerate(read_rows(path, row) if row else ()):
            file.copy(place, ids_hw[None], levels_hw[None])
        while row < rows and not job.stop():
            frame = next(titled)
            file.write(row, frame.ids_hw[None], frame.confidence_hw[None])
            if frame.origins:
                origins[frame.link.name] = CarriedFrame.joined(frame.origins)
            row += 1
    return saved.Part(row, origins)


def _write_for_tools(job: Job, store: ClipStore, paths: list[Path], found: list[Chain]) -> None:
    """Write what is sure of each carried label, out of the files that are written."""
    config: PropagateConfig = job.config
    above = math.ceil(255 * config.write_above)
    if not config.write:
        return
    for name in config.write:
        shutil.rmtree(job.directory / name, ignore_errors=True)  # of a run that was killed
    with ExitStack() as stack:
        writers = [stack.enter_context(writer_of(name)(job.directory / name, store.labels)) for name in config.write]
        parts = zip(paths, _names(found), strict=True)
        for path, frames in job.display.track(parts, "write for tools", total=len(paths)):
            origins = saved.origins(job, path)
            for frame, (ids_hw, levels_hw) in zip(frames, read_rows(path, len(frames)), strict=True):
                if frame in origins and origins[frame]["steps"][0] > 0:
                    sure_hw = np.where(levels_hw < above, IGNORE, ids_hw).astype(np.uint8)
                    for writer in writers:
                        writer.write(f"{flat_name(frame)}.png", sure_hw)


def _propagated(job: Job, store: ClipStore, found: list[Chain], begin: int) -> Iterator[Propagated]:
    """All frames from number `begin` on."""
    config: PropagateConfig = job.config
    given, labels = job.inputs[0], visible_labels(store, job.inputs[0])
    network = BranchVoice(given, config, store, torch.device(job.device)) if given.kind == "branches" else None
    propagation = Propagation(store, flow_of(config, job.inputs).between, network, job.scratch)
    limits = Limits(config.reach, config.explained)
    for links in found:
        here, begin = begin, max(0, begin - len(links))
        for frame in propagation.run(links, labels, limits, here) if here < len(links) else ():
            if frame.origins or network is None or config.beyond == "nothing":
                yield frame
                continue
            probability_khw = network(frame.link)
            yield frame._replace(
                ids_hw=probability_khw.argmax(0).astype(np.uint8), confidence_hw=probability_khw.max(0)
            )


class BranchVoice:
    """Probabilities (classes, h, w) of frames by a branch."""

    def __init__(self, given: Artifact, config: PropagateConfig, store: ClipStore, device: torch.device) -> None:
        branch = Branches.read(given).named(config.branch)
        self._network = load_branch(given, branch, config.checkpoint).to(device).eval()
        self._store, self._device = store, device

    @torch.inference_mode()
    def __call__(self, link: Link) -> NDArray[np.float32]:
        image_13hw = frame_tensor(self._store, link.clip, link.place, self._device)
        found: NDArray[np.float32] = probabilities(self._network, self._network.normalise(image_13hw))[0].cpu().numpy()
        return found


def _tell(job: Job, total: int, tally: Counter[str]) -> None:
    labeled, carried = tally["labeled"], tally["carried"]
    job.metrics |= {"frames": total, "labeled": labeled, "carried": carried}
    told = f"{labeled} labels reach {carried} of {total - labeled} other frames"
    job.display.info(told if carried else f"{told}: a smaller --set explained= lets them go on")
