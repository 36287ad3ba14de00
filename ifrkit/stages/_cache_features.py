"""What a frozen backbone makes of every frame and of its mirror image, written file by file."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ifrkit.artifacts import store as artifacts
from ifrkit.artifacts.about import in_bytes
from ifrkit.artifacts.atomic import write_atomic
from ifrkit.artifacts.indexes import Features
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.listing import sha256
from ifrkit.artifacts.notes import changed, checksums, read_note, write_note
from ifrkit.config.cache_features import CacheFeaturesConfig
from ifrkit.core.errors import ArtifactError, ConfigError, InterruptedRun
from ifrkit.data.store import features
from ifrkit.data.store.clips import ClipStore
from ifrkit.models.network import Network
from ifrkit.models.public import AUTO
from ifrkit.models.weights import packed
from ifrkit.stages._cache_features_check import built, frame_bytes, maps_of
from ifrkit.train import distributed

_APART = ("head", "dropout", "norm", "pretrained", "model")
"""Of a network's config, what its maps depend on by their number and by its weights alone."""
Maps = Sequence[NDArray[np.float16]]
"""Of one frame: each (2, c, h, w), the second of its mirror image."""


def run(job: Job) -> None:
    """Write files of equal numbers of frames; a resumed run keeps those that are complete. Ranks share the files."""
    config: CacheFeaturesConfig = job.config
    store, device = ClipStore.of(job.input("clips")), distributed.local_device(job.device)
    network = built(config, store)
    if config.network.pretrained is None and distributed.rank() == 0:
        remedy = f"name its weights (--set {config.branch}.pretrained=...)"
        job.display.warn(f"the backbone starts from random weights, and frozen it keeps them: {remedy}")
    weights, places = packed(network.backbone.state_dict()), features.stored_places(store)
    names = [features.digest(store.frame(*place, copy=False)) for place in job.display.track(places, "read frames")]
    index = _index(config, network, store.size, names)
    bytes_of_one = frame_bytes(index.maps)
    job.display.info(
        f"{len(places)} frames and their mirror images: {in_bytes(len(places) * bytes_of_one)} of features"
    )
    if distributed.rank() == 0:
        write_atomic(job.directory / features.WEIGHTS, weights)
        index.write(job.directory)
    write_note(job.scratch / "begun.json", {})  # complete files are kept for --resume
    known = _made_before(job.input("clips").workspace, index, hashlib.sha256(weights).hexdigest())
    if shared := sum(name in known for name in index.frames):
        job.display.info(f"{shared} of them are copied: the same backbone has seen them")
    maker = _Maker(network.to(device).eval(), store, places, index.frames, known, device)
    starts = range(0, len(places), index.per_file)
    for first in starts[distributed.rank() :: distributed.world()]:
        rows, number = range(first, min(first + index.per_file, len(places))), first // index.per_file
        path = job.directory / features.file_name(number)
        note = job.scratch / f"{path.name}.json"
        if note.exists() and changed(job.directory, read_note(note)["files"]) is None:
            continue
        with features.FeatureWriter(path, job.scratch, len(rows), index.maps) as writer:
            title = f"cache-features, file {number + 1} of {len(starts)}"
            for start in job.display.track(range(0, len(rows), config.batch), title):
                if signum := job.stop():
                    fault = f"cache-features: stopped by signal {signum}, {number} of {len(starts)} files are complete"
                    raise InterruptedRun(fault, "run again with --resume to go on", signum=signum)
                for row, made in maker.made(rows[start : start + config.batch]):
                    writer.write(row - first, made)
        write_note(note, {"files": checksums(path)})
    job.metrics["frames"] = len(places)


def _index(config: CacheFeaturesConfig, network: Network, size: tuple[int, int], names: Sequence[str]) -> Features:
    maps = maps_of(network.backbone, size)
    return Features(
        branch=config.branch,
        network=config.network.tree(),
        pretrained=_source(network),
        size=size,
        maps=tuple(maps),
        per_file=max(1, features.FILE_BYTES // frame_bytes(maps)),
        frames=tuple(names),
    )


def _source(network: Network) -> dict[str, str]:
    given = network.config.pretrained
    if given is None or given == AUTO:
        return network.plugin.source() if given else {}
    return {"file": Path(given).name, "sha256": sha256(Path(given))}


Known = Mapping[str, tuple[features.CachedFeatures, int]]
"""Digest of a frame -> where its maps are."""


def _made_before(workspace: Path | None, index: Features, weights: str) -> Known:
    """Frames that the same backbone has seen: more labels make new clips of mostly the same frames.

    Only those of files whose sha256 is as recorded: a checksum of a row does not see every damage.
    """
    known: dict[str, tuple[features.CachedFeatures, int]] = {}
    for artifact in artifacts.artifacts(workspace, "features") if workspace else ():
        with contextlib.suppress(ArtifactError):  # a damaged one is of no use
            sums = {entry.path: entry.sha256 for entry in artifact.entries()}
            other = features.CachedFeatures(artifact)
            if sums.get(features.WEIGHTS) != weights or _seen_as(other.index) != _seen_as(index):
                continue
            sound = {name for name in sums if changed(artifact.path, {name: sums[name]}) is None}
            for row, name in enumerate(other.index.frames):
                if features.file_name(row // other.index.per_file) in sound:
                    known[name] = other, row
    return known


def _seen_as(index: Features) -> tuple[Any, ...]:
    trunk = {key: value for key, value in index.network.items() if key not in _APART}
    return trunk, index.size, index.maps


class _Maker:
    """Maps of frames, by the network or copied. names: digests of the frames of all places."""

    def __init__(
        self,
        network: Network,
        store: ClipStore,
        places: Sequence[tuple[int, int]],
        names: Sequence[str],
        known: Known,
        device: torch.device,
    ) -> None:
        self.network, self.store, self.places, self.names = network, store, places, names
        self.known, self.device = known, device

    def made(self, rows: Sequence[int]) -> Iterator[tuple[int, Maps]]:
        """Each row with its maps."""
        fresh = [row for row in rows if self.names[row] not in self.known]
        computed = dict(zip(fresh, self._computed(fresh), strict=True)) if fresh else {}
        yield from ((row, computed[row] if row in computed else self._copied(row)) for row in rows)

    def _copied(self, row: int) -> Maps:
        other, place = self.known[self.names[row]]
        return [np.stack(pair) for pair in zip(other.maps(place, False), other.maps(place, True), strict=True)]

    @torch.inference_mode()
    def _computed(self, rows: Sequence[int]) -> list[Maps]:
        frames = np.stack([self.store.frame(*self.places[row]) for row in rows])
        images_b3hw = self.network.normalise(torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2))
        seen = self.network.backbone(images_b3hw), self.network.backbone(images_b3hw.flip(3))
        maps = [torch.stack(pair, 1).half().cpu().numpy() for pair in zip(*seen, strict=True)]  # (b, 2, c, h, w)
        for place, row in enumerate(rows):
            if not all(np.isfinite(m[place]).all() for m in maps):
                fault = f"{self.store.path}: features of stored frame {row} do not fit into 16 bits"
                raise ConfigError(fault, "train without a cache: train-branches --set update.freeze=all")
        return [[m[place] for m in maps] for place in range(len(rows))]
