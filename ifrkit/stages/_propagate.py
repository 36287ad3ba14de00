"""propagate: which labels may be seen, who speaks, and the files of the artifact."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data_prep.folders.find import flat_name
from ifrkit.annotate import saved
from ifrkit.annotate.chains import Link, chains
from ifrkit.annotate.propagation import Limits, Propagated, Propagation
from ifrkit.artifacts.indexes import Branches, CarriedFrame, Provenance, Pseudo
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
    """Carry the labels chain by chain; frames go to their files in this order. A resumed run keeps what is written."""
    config: PropagateConfig = job.config
    store = ClipStore.of(job.input("clips"))
    found = chains(store)
    frames = [link.name for chain in found for link in chain]
    paths = [job.directory / file_name(number) for number in range(-(-len(frames) // PER_FILE))]
    write_note(job.scratch / "begun.json", {})  # files are kept for --resume
    left = list(_left(job, paths, len(frames)))
    origins = {name: frame for part in left for name, frame in part.origins.items()}
    begin = sum(part.rows for part in left)
    titled = _propagated(job, store, found, begin)
    titled = iter(job.display.track(titled, "propagate", total=len(frames), start=begin))
    for number in range(begin // PER_FILE, len(paths)):
        rows = min(PER_FILE, len(frames) - number * PER_FILE)
        old = left[number] if number < len(left) else None
        part = _write(job, paths[number], (rows, *store.size), old, titled)
        origins |= part.origins
        saved.save(job, paths[number], part)
        if part.rows < rows:
            done = number * PER_FILE + part.rows
            fault = f"propagate: stopped by signal {job.stop()}, {done} of {len(frames)} frames are done"
            raise InterruptedRun(fault, "run again with --resume to go on", signum=job.stop())
    _write_for_tools(job, store, frames, origins)
    index = Pseudo(frames=tuple(frames), per_file=PER_FILE, size=store.size, num_classes=store.labels.num_classes)
    index.write(job.directory)
    Provenance(flow=config.flow, frames=origins).write(job.directory)
    _tell(job, frames, origins)


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
                origins[frame.link.name] = CarriedFrame.of(frame.origins)
            row += 1
    return saved.Part(row, origins)


def _write_for_tools(job: Job, store: ClipStore, frames: list[str], origins: dict[str, CarriedFrame]) -> None:
    """Write what is sure of each carried label, out of the files that are written."""
    config: PropagateConfig = job.config
    above = math.ceil(255 * config.write_above)
    if not config.write:
        return
    for name in config.write:
        shutil.rmtree(job.directory / name, ignore_errors=True)  # of a run that was killed
    with ExitStack() as stack:
        writers = [stack.enter_context(writer_of(name)(job.directory / name, store.labels)) for name in config.write]
        for first in job.display.track(range(0, len(frames), PER_FILE), "write for tools"):
            part = frames[first : first + PER_FILE]
            read = read_rows(job.directory / file_name(first // PER_FILE), len(part))
            for frame, (ids_hw, levels_hw) in zip(part, read, strict=True):
                if frame in origins and origins[frame].steps[0] > 0:
                    sure_hw = np.where(levels_hw < above, IGNORE, ids_hw).astype(np.uint8)
                    for writer in writers:
                        writer.write(f"{flat_name(frame)}.png", sure_hw)


def _propagated(job: Job, store: ClipStore, found: list[list[Link]], begin: int) -> Iterator[Propagated]:
    """All frames from number `begin` on."""
    config: PropagateConfig = job.config
    given, labels = job.inputs[0], visible_labels(store, job.inputs[0])
    network = BranchVoice(given, config, store, torch.device(job.device)) if given.kind == "branches" else None
    propagation = Propagation(store, flow_of(config, job.inputs).between, network, job.scratch)
    limits = Limits(config.reach, config.explained)
    for chain in found:
        here, begin = begin, max(0, begin - len(chain))
        for frame in propagation.run(chain, labels, limits, here) if here < len(chain) else ():
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


def _tell(job: Job, frames: list[str], provenance: dict[str, CarriedFrame]) -> None:
    labeled = sum(frame.steps[0] == 0 for frame in provenance.values())
    job.metrics |= {"frames": len(frames), "labeled": labeled, "carried": len(provenance) - labeled}
    told = f"{labeled} labels reach {len(provenance) - labeled} of {len(frames) - labeled} other frames"
    job.display.info(told if len(provenance) > labeled else f"{told}: a smaller --set explained= lets them go on")
