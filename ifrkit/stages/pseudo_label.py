"""Hard labels and their confidence for every frame of all training clips, by one trained branch."""

from __future__ import annotations

import json
from functools import partial

from ifrkit.artifacts.job import Job
from ifrkit.config.pseudo_label import PseudoLabelConfig
from ifrkit.core.errors import InterruptedRun
from ifrkit.stages.base import Stage


def run(job: Job) -> None:
    """Write files of equal numbers of frames; a resumed run keeps those that are complete. Ranks share the files."""
    from ifrkit.data.store.clips import ClipStore
    from ifrkit.data.store.pseudo import INDEX, PER_FILE, PseudoWriter, file_name, training_frames
    from ifrkit.models.tta import probabilities
    from ifrkit.train import distributed
    from ifrkit.train.validation import predict_frames
    from ifrkit.trained import load_branch

    config: PseudoLabelConfig = job.config
    device = distributed.local_device(job.device)
    network = load_branch(job.input("branches"), config.branch, config.checkpoint).to(device)
    averaged = partial(probabilities, network, scales=config.scales, flip=config.flip)
    store = ClipStore.of(job.input("clips"))
    frames = training_frames(store)
    places = list(frames.values())
    (job.scratch / "begun").touch()  # complete files are kept for --resume
    starts = range(0, len(places), PER_FILE)
    for first in starts[distributed.rank() :: distributed.world()]:
        part, number = places[first : first + PER_FILE], first // PER_FILE
        path = job.directory / file_name(number)
        if path.exists():
            continue
        with PseudoWriter(path, len(part), store.size) as writer:
            rows = range(0, len(part), config.batch)
            for row in job.report.track(rows, f"pseudo-label, file {number + 1} of {len(starts)}"):
                if signum := job.stop():
                    fault = f"pseudo-label: stopped by signal {signum}, {number} of {len(starts)} files are complete"
                    raise InterruptedRun(fault, "run again with --resume to go on", signum=signum)
                writer.write(row, *predict_frames(averaged, store, part[row : row + config.batch], device))
    index = {"frames": list(frames), "per_file": PER_FILE, "size": store.size, "num_classes": network.num_classes}
    if distributed.rank() == 0:
        (job.directory / INDEX).write_text(json.dumps(index) + "\n")
    job.metrics["frames"] = len(places)


STAGE = Stage(
    name="pseudo-label",
    kind="pseudo-labels",
    config=PseudoLabelConfig,
    run=run,
    needs=("branches",),
    resumable=True,
    label=lambda config: f"{config.branch}-{config.checkpoint}",
)
