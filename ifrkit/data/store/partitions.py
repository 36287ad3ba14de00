"""Which training clips may show their label.

A partition 1/K sorts the training clips that have an annotated frame by sha256(seed, name) and takes the first ones: it
depends on neither file order nor machine, and smaller partitions of a seed lie inside larger ones. `--labeled-count`
names the number itself, `--labeled-list` takes a published list instead.

Clips may overlap: every second frame of CamVid's 15 Hz part (0016E5) is annotated, so a frame of a labeled clip can
be an unlabeled frame, even the annotated one, of another clip. No label leaks that way: labels are read only at the
annotated position of a clip in the labeled set. But near-copies of labeled frames then count as unlabeled, which makes
the unlabeled set easier than separate videos would be; the published CamVid lists share this. Between splits nothing
may overlap: `prepare` refuses a frame in two of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ifrkit.config.training import LabeledSet
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.media.lists import read_list, readings

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore

PUBLISHED = {(2975, 30): 100, (468, 30): 15}
"""(clips, K) -> size where the paper's lists (Cityscapes, CamVid) have not the rounded one, 99 and 16."""


def partition_size(clips: int, k: int) -> int:
    """How many of so many clips 1/K labels: n/K rounded, halves to even, at least one."""
    return PUBLISHED.get((clips, k), max(1, round(clips / k)))


def labeled_clips(store: ClipStore, labeled: LabeledSet) -> list[int]:
    """Numbers of the clips that may show their label, ascending. Raises DatasetError for a list that does not fit."""
    annotated = [clip for clip in store.clips_of("train") if store.clips[clip].annotated is not None]
    if not annotated:
        raise DatasetError(f"{store.path}: no training clip has a label", "prepare a dataset with labels")
    given = [name for name, value in (("list", labeled.list), ("count", labeled.count)) if value is not None]
    given += ["partition"] * (labeled.partition != "1/1")
    if len(given) > 1:
        raise ConfigError(f"labeled.{given[0]} and labeled.{given[1]} exclude each other", "give one of them")
    if labeled.list is not None:
        return _listed(store, annotated, Path(labeled.list))
    wanted = labeled.count or partition_size(len(annotated), int(labeled.partition.removeprefix("1/")))
    if wanted > len(annotated):
        fault = f"labeled.count {wanted}: only {len(annotated)} training clips have a label"
        raise ConfigError(fault, "name fewer, or label more")
    drawn = sorted(annotated, key=lambda clip: _rank(labeled.seed, store.clips[clip].name))
    return sorted(drawn[:wanted])


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()


def _listed(store: ClipStore, annotated: list[int], path: Path) -> list[int]:
    """Clips of a list with one annotated frame a line, by the frame's name or by the last part of it."""
    by_name: dict[str, set[int]] = {}
    for clip in annotated:
        record = store.clips[clip]
        name = record.frames[record.annotated or 0]
        for key in {name, PurePosixPath(name).name}:
            by_name.setdefault(key, set()).add(clip)
    chosen: set[int] = set()
    unknown = []
    for meant in filter(None, map(readings, _lines(path))):
        line = meant[0].strip()
        keys = [*meant, *(PurePosixPath(name).name for name in meant)]
        found = next((by_name[key] for key in keys if key in by_name), set())
        if len({store.clips[clip].frames[store.clips[clip].annotated or 0] for clip in found}) > 1:
            raise ConfigError(f"{path}: {line} fits several annotated frames", "write the whole name of the frame")
        chosen |= found
        if not found:
            unknown.append(line)
    if unknown:
        fault = f"{path}: lines that name no annotated training frame: {len(unknown)}, first {unknown[0]}"
        raise DatasetError(fault, f"names look like {next(iter(by_name))}")
    if not chosen:
        raise ConfigError(f"{path} lists no frame", "write the name of one annotated frame on each line")
    return sorted(chosen)


def _lines(path: Path) -> list[str]:
    try:
        return read_list(path)
    except DatasetError as error:
        raise ConfigError(f"labeled.list: {error.message}", error.remedy) from error
