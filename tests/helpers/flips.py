"""Flip bits of the files of artifacts, one at a time, and let what reads them say what it finds."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ifrkit.artifacts import indexes, store
from ifrkit.artifacts.listing import LIST
from ifrkit.artifacts.manifest import FILE
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.data.store import features
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.features import CachedFeatures
from ifrkit.data.store.pseudo import PseudoLabels
from ifrkit.evaluation.records import read_records
from ifrkit.export.runtime import open_exported
from ifrkit.report import page
from ifrkit.report.curves import read_runs
from ifrkit.trained import load_branch, load_flow, load_video_model


@dataclass(frozen=True)
class Flip:
    """One flipped bit, and what came of it: "error" (exit 3), "same" (nothing read it), "silent" or a traceback."""

    file: str
    bit: int
    outcome: str


def flips(artifact: Artifact, count: int, seed: int = 0) -> Iterator[Flip]:
    """Flip `count` bits, spread over all files of an artifact (its manifest too), each alone. Leaves it as it was."""
    names = [FILE, LIST, *(entry.path for entry in artifact.entries())]
    draw, sound = random.Random(seed), consumed(artifact.path)
    for number in range(count):
        path = artifact.path / names[number % len(names)]
        whole = path.read_bytes()
        bit = draw.randrange(8 * len(whole))
        path.unlink()  # it may be a link to a file that others read
        path.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
        try:
            outcome = "same" if consumed(artifact.path) == sound else "silent"
        except ArtifactError as error:
            outcome = "error" if str(artifact.path) in str(error) and error.remedy else f"unclear: {error}"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        path.write_bytes(whole)
        yield Flip(f"{artifact.kind}/{names[number % len(names)]}", bit, outcome)


def told(path: Path, read: Callable[[], Sequence[Any]]) -> list[str]:
    """What is said when one bit of a file is flipped, at forty places, each alone. What can be read is the same."""
    data, whole, faults = path.read_bytes(), read(), []
    for at in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        try:
            assert all(map(np.array_equal, read(), whole))
        except ArtifactError as error:
            faults.append(error.message)
    return faults


def copied(artifact: Artifact, workspace: Path) -> Artifact:
    """The same artifact in another workspace, beside links to all others of its own."""
    shutil.copytree(artifact.path.parent.parent, workspace, dirs_exist_ok=True, copy_function=_link)
    return store.open_artifact(workspace / artifact.path.parent.name / artifact.path.name)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def consumed(path: Path) -> str:
    """sha256 of all that the readers of an artifact make of it, as stages and commands read it."""
    artifact = store.open_artifact(path)
    digest = hashlib.sha256()
    for value in _READERS[artifact.kind](artifact):
        digest.update(value if isinstance(value, bytes) else repr(value).encode())
    return digest.hexdigest()


def _clips(artifact: Artifact) -> Iterator[Any]:
    clips = ClipStore.of(artifact)
    yield clips.index
    for number, clip in enumerate(clips.clips):
        for index in range(len(clip.frames)):
            yield clips.frame(number, index).tobytes()
            for backward in (True, False):
                flow = clips.flow(number, index, backward=backward)
                yield b"" if flow is None else flow.flow_2hw.tobytes() + flow.visible_hw.tobytes()
        for index in (*clip.labeled, *clip.hidden):
            yield clips.label(number, index, hidden=True).tobytes()


def _tensors(module: torch.nn.Module) -> Iterator[Any]:
    for name, value in module.state_dict().items():
        yield name
        yield value.numpy().tobytes()


def _branches(artifact: Artifact) -> Iterator[Any]:
    for name in indexes.Branches.read(artifact).branches:
        for checkpoint in ("best", "last"):
            yield from _tensors(load_branch(artifact, name, checkpoint))
    yield read_runs(artifact)


def _flow(artifact: Artifact) -> Iterator[Any]:
    yield from _tensors(load_flow(artifact))
    yield artifact.file("flow.last.safetensors").read_bytes()
    yield read_runs(artifact)


def _video_model(artifact: Artifact) -> Iterator[Any]:
    for checkpoint in ("best", "last"):
        yield from _tensors(load_video_model(artifact, checkpoint))
    yield read_runs(artifact)


def _pseudo(artifact: Artifact) -> Iterator[Any]:
    clips = ClipStore.of(artifact.ancestor("clips") or artifact)
    labels = PseudoLabels(artifact, clips, [])
    for clip in clips.clips_of("train"):
        for index in range(len(clips.clips[clip].frames)):
            yield labels.label(clip, index, threshold=0.5).tobytes()


def _features(artifact: Artifact) -> Iterator[Any]:
    reader = CachedFeatures(artifact)
    reader.require(ClipStore.of(artifact.ancestor("clips") or artifact))
    for row in range(len(reader.index.frames)):
        yield from (m.tobytes() for mirrored in (False, True) for m in reader.maps(row, mirrored))
    yield artifact.file(features.WEIGHTS).read_bytes()
    yield reader.index


def _report(artifact: Artifact) -> Iterator[Any]:
    yield read_records(artifact)
    yield page.page([artifact])
    yield from (path.read_bytes() for path in artifact.files("*"))


def _exported(artifact: Artifact) -> Iterator[Any]:
    index = indexes.Exported.read(artifact)
    model = open_exported(artifact)
    frame = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (1, 3, *index.size), dtype=np.uint8))
    logits, state = model.start(frame)
    yield logits.numpy().tobytes()
    yield model.step(frame, state)[0].numpy().tobytes()


def _predictions(artifact: Artifact) -> Iterator[Any]:
    yield indexes.Predictions.read(artifact)
    yield from (path.read_bytes() for path in artifact.files("*"))


_READERS: dict[str, Callable[[Artifact], Iterator[Any]]] = {
    "clips": _clips,
    "branches": _branches,
    "flow": _flow,
    "video-model": _video_model,
    "pseudo-labels": _pseudo,
    "features": _features,
    "report": _report,
    "exported": _exported,
    "predictions": _predictions,
}
