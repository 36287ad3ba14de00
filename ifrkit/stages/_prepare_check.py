"""What `prepare` refuses before it reads pixels, and where each frame will be."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from data_prep.base import Dataset
from ifrkit.artifacts.store import Artifact
from ifrkit.config.prepare import PrepareConfig
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.invalid import Invalid
from ifrkit.core.names import Chosen, distinct
from ifrkit.core.records import ClipRecord, LabelSpace, Split
from ifrkit.data.store.index import StoreFile, StoreIndex
from ifrkit.data.store.layout import require_size
from ifrkit.stages.prepare import open_dataset


def check(config: PrepareConfig, inputs: list[Artifact]) -> None:
    """Clips, classes and splits fit together, and by their headers all frames have one size."""
    dataset = open_dataset(config)
    clips = dataset.clips()
    check_clips(clips)
    index, own_size = plan(config, dataset, clips)
    if config.size:
        return
    for file in index.files:
        for name in file.frames:
            size = dataset.frame_size(name)
            if size is not None:
                require_size(name, size, own_size)


def check_clips(clips: Sequence[ClipRecord]) -> None:
    """What every later stage relies on. Raises DatasetError at the first clip that breaks it."""
    # A frame that is nowhere held out fits everywhere: most are, and need not be remembered.
    held_out = {frame for clip in clips if clip.split != "train" for frame in clip.frames}
    split_of: dict[str, Split] = {}
    names: set[str] = set()
    for clip in clips:
        _require_typed(clip)
        if clip.name in names:
            raise DatasetError(f"two clips are named {clip.name}", "give each its own name")
        names.add(clip.name)
        positions = {*clip.labeled, *clip.hidden, *(() if clip.annotated is None else (clip.annotated,))}
        if not positions <= set(range(len(clip.frames))):
            fault = f"clip {clip.name} has {len(clip.frames)} frames, but labels at {sorted(positions)}"
            raise DatasetError(fault, "correct the dataset's clips")
        for frame in (frame for frame in clip.frames if frame in held_out):
            if split_of.setdefault(frame, clip.split) != clip.split:
                fault = f"frame {frame} is in {split_of[frame]} and in {clip.split} (clip {clip.name})"
                raise DatasetError(fault, "a frame that is scored must not be trained on; correct the splits")
    if not any(clip.split == "train" for clip in clips):
        raise DatasetError("the train split is empty", "check --root and the dataset's split options")


def _require_typed(clip: ClipRecord) -> None:
    """A plug-in makes its records by their fields, which checks none of them. Of the frames the first is looked at."""
    try:
        ClipRecord.of(replace(clip, frames=clip.frames[:1]).tree())
    except Invalid as error:
        raise DatasetError(f"clip {clip.name}: {error.message}", "correct the dataset's clips") from None


def plan(config: PrepareConfig, dataset: Dataset, clips: Sequence[ClipRecord]) -> tuple[StoreIndex, tuple[int, int]]:
    """Which frame goes into which file, and the (height, width) of the first one in the dataset."""
    names = distinct([clip.frames for clip in clips])
    height, width = dataset.frame_size(names[0]) or dataset.frame(names[0]).shape[:2]
    size = config.size or dataset.default_size or (height, width)
    if dataset.has_flow and size != (height, width):
        fault = f"size: {config.dataset} has exact flow, which is stored at its own {height}x{width} pixels"
        raise ConfigError(fault, "remove size, and set the size in the dataset's own options")
    # An upper bound: labels pack well, and encoded frames are smaller than raw ones.
    frame_bytes = size[0] * size[1] * (3 + 1 + (18 if dataset.has_flow else 0))
    length = max(1, (config.file_mib << 20) // frame_bytes)
    parts = [range(len(names))[i : i + length] for i in range(0, len(names), length)]
    files = tuple(StoreFile(name=f"frames-{n:05d}.h5", frames=Chosen(names, part)) for n, part in enumerate(parts))
    space = LabelSpace.of(dataset.label_space().tree())
    index = StoreIndex(
        name=config.dataset,
        size=size,
        codec=config.codec,
        has_flow=dataset.has_flow,
        labels=space,
        clips=tuple(clips),
        files=files,
    )
    return index, (height, width)
