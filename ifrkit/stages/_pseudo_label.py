"""Hard labels and their confidence for every frame of all training clips, by one trained branch."""

from __future__ import annotations

from ifrkit.artifacts.indexes import Pseudo
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.notes import changed, checksums, read_note, write_note
from ifrkit.config.pseudo_label import PseudoLabelConfig
from ifrkit.core.errors import InterruptedRun
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import PER_FILE, PseudoWriter, file_name, training_frames
from ifrkit.train import distributed
from ifrkit.train.validation import predict_frames
from ifrkit.trained import load_branch


def run(job: Job) -> None:
    """Write files of equal numbers of frames; a resumed run keeps those that are complete. Ranks share the files."""
    config: PseudoLabelConfig = job.config
    device = distributed.local_device(job.device)
    network = load_branch(job.input("branches"), config.branch, config.checkpoint).to(device)
    store = ClipStore.of(job.input("clips"))
    frames = training_frames(store)
    places = list(frames.values())
    write_note(job.scratch / "begun.json", {})  # complete files are kept for --resume
    starts = range(0, len(places), PER_FILE)
    for first in starts[distributed.rank() :: distributed.world()]:
        part, number = places[first : first + PER_FILE], first // PER_FILE
        path = job.directory / file_name(number)
        note = job.scratch / f"{path.name}.json"
        if note.exists() and changed(job.directory, read_note(note)["files"]) is None:
            continue
        with PseudoWriter(path, job.scratch, len(part), store.size) as writer:
            rows = range(0, len(part), config.batch)
            for row in job.display.track(rows, f"pseudo-label, file {number + 1} of {len(starts)}"):
                if signum := job.stop():
                    fault = f"pseudo-label: stopped by signal {signum}, {number} of {len(starts)} files are complete"
                    raise InterruptedRun(fault, "run again with --resume to go on", signum=signum)
                places_now = part[row : row + config.batch]
                made = predict_frames(network, store, places_now, device, scales=config.scales, flip=config.flip)
                writer.write(row, *made)
        write_note(note, {"files": checksums(path)})
    if distributed.rank() == 0:
        index = Pseudo(frames=tuple(frames), per_file=PER_FILE, size=store.size, num_classes=network.num_classes)
        index.write(job.directory)
    job.metrics["frames"] = len(places)
