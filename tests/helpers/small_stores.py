"""Clip stores written by hand, for tests: any clips, pixels that say which frame they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ifrkit.core.keyed import key_rng
from ifrkit.core.records import ClipRecord, Frame, Label, LabelSpace, Split, TrueFlow
from ifrkit.data.store.clips import ClipStore, ClipStoreWriter
from ifrkit.data.store.file import StoredFrame
from ifrkit.data.store.index import StoreFile, StoreIndex
from ifrkit.data.store.rows import encode

CLASSES = 4
SPACE = LabelSpace(names=("a", "b", "c", "d"), colors=((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)))


def clip(number: int, length: int = 4, annotated: int | None = -1, split: Split = "train") -> ClipRecord:
    """A clip of its own video; all its other frames have hidden labels. annotated: negative counts from the end."""
    place = None if annotated is None else annotated % length
    return ClipRecord(
        name=f"clip{number}",
        video=f"video{number}",
        split=split,
        frames=tuple(f"video{number}/{i:03d}" for i in range(length)),
        annotated=place,
        labeled=() if place is None else (place,),
        hidden=() if place is None else tuple(i for i in range(length) if i != place),
    )


def pixels(name: str, size: tuple[int, int]) -> Frame:
    """Noise that belongs to this frame."""
    return key_rng("pixels", name).integers(0, 256, (*size, 3)).astype(np.uint8)


def label(name: str, size: tuple[int, int]) -> Label:
    """Class ids that belong to this frame, some of them ignored."""
    ids = key_rng("label", name).integers(0, CLASSES + 1, size).astype(np.uint8)
    ids[ids == CLASSES] = 255
    return ids


def flow(name: str, size: tuple[int, int], side: str) -> TrueFlow:
    """Flow that belongs to this frame."""
    rng = key_rng("flow", side, name)
    return TrueFlow(rng.normal(0, 9, (2, *size)).astype(np.float32), rng.random(size) < 0.7)


def write_store(
    directory: Path,
    clips: Sequence[ClipRecord],
    size: tuple[int, int] = (40, 56),
    codec: str = "raw",
    has_flow: bool = False,
    per_file: int = 5,
) -> ClipStore:
    """A store of these clips."""
    directory.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for record in clips for name in record.frames))
    parts = [tuple(names[i : i + per_file]) for i in range(0, len(names), per_file)]
    files = tuple(StoreFile(name=f"frames-{n:05d}.h5", frames=part) for n, part in enumerate(parts))
    index = StoreIndex(
        name="hand", size=size, codec=codec, has_flow=has_flow, labels=SPACE, clips=tuple(clips), files=files
    )
    first, last = {record.frames[0] for record in clips}, {record.frames[-1] for record in clips}
    writer = ClipStoreWriter(directory, directory, index)
    for number, part in enumerate(parts):
        with writer.file(number) as file:
            for name in part:
                frame = pixels(name, size)
                file.write(
                    StoredFrame(
                        frame if codec == "raw" else encode(frame, codec, 95),
                        label(name, size) if name in index.label_names else None,
                        backward=flow(name, size, "backward") if has_flow and name not in first else None,
                        forward=flow(name, size, "forward") if has_flow and name not in last else None,
                    )
                )
    writer.finish({})
    return ClipStore(directory)
