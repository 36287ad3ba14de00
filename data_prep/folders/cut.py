"""Who gets which frames (splits), and how a video is cut into clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ifrkit.core.errors import DatasetError
from ifrkit.core.keyed import key_seed
from ifrkit.core.records import Split

Owners = list[Split | None]
"""The split of every frame of a video; None: in no split, but may fill up a clip."""


class Cut(NamedTuple):
    """Frames start..stop-1 of a video as one clip; annotated: the labeled frame's number in the video."""

    split: Split
    start: int
    stop: int
    annotated: int | None


def cut(owners: Sequence[Split | None], labels: Sequence[int], length: int) -> list[Cut]:
    """One clip for each labeled frame, then unlabeled training clips from the frames that are left.

    A labeled frame's clip is the `length` frames that end at it; near the beginning, where there are fewer, the
    following frames fill it up. So every label is used, with as many predecessors as exist, and dense labels give clips
    that share frames. A clip never takes a frame of another split. Left-over stretches become training clips without a
    label; a rest of half a clip or more gets a clip too, which shares frames with the one before.
    """
    owners = list(owners)
    result: list[Cut] = []
    for label in sorted(labels):
        split = owners[label]
        if split is None:
            continue
        start = stop = label
        while start > 0 and label - start + 1 < length and owners[start - 1] in (split, None):
            start -= 1
        while stop < len(owners) and stop - start < length and owners[stop] in (split, None):
            stop += 1
        if stop - start >= 2:
            owners[start:stop] = [split] * (stop - start)
            result.append(Cut(split, start, stop, label))
    covered = {i for c in result for i in range(c.start, c.stop)}
    free = [owner == "train" and i not in covered for i, owner in enumerate(owners)]
    for begin, end in _stretches(free):
        result += _unlabeled(owners, begin, end, length)
    return sorted(result, key=lambda c: (c.start, c.stop, c.annotated or 0))


def _stretches(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Where runs of True begin, and the place after their end."""
    place = 0
    for flag, run in groupby(flags):
        begin, place = place, place + len(list(run))
        if flag:
            yield begin, place


def _unlabeled(owners: Owners, begin: int, end: int, length: int) -> Iterator[Cut]:
    """Training clips of the stretch begin..end-1 that no labeled clip covers."""
    whole, rest = divmod(end - begin, length)
    for k in range(whole):
        yield Cut("train", begin + k * length, begin + (k + 1) * length, None)
    start = end
    while start > 0 and end - start < length and owners[start - 1] == "train":
        start -= 1
    alone = start == begin and (end == len(owners) or owners[end] != "train")
    if end - start >= 2 and (2 * rest >= length or (alone and not whole)):
        yield Cut("train", start, end, None)


def owners_by_lists(
    videos: dict[str, list[str]],
    lists: dict[Split, Path],
    find: Callable[[str], list[str]],
    is_lost: Callable[[str], bool],
) -> dict[str, Owners]:
    """Splits from train.txt, val.txt, test.txt: each line names a video, a directory of videos, or one frame.

    is_lost: whether a line names a frame that is left out. Without train.txt, training gets every video that no other
    list mentions.
    """
    place = {name: (video, i) for video, names in videos.items() for i, name in enumerate(names)}
    owners: dict[str, Owners] = {video: [None] * len(names) for video, names in videos.items()}
    for split, path in lists.items():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            written = line.partition("#")[0].strip()
            if not written:
                continue
            below = [name for video, own in videos.items() if f"{video}/".startswith(f"{written}/") for name in own]
            named = below or find(written) or find(written.rpartition(".")[0])
            if not named and (is_lost(written) or is_lost(written.rpartition(".")[0])):
                continue
            if not named or (not below and len(named) > 1):
                what = "several frames have" if named else "no video and no frame has"
                raise DatasetError(f"{path}:{number}: {what} the name {written!r}", "correct or remove the line")
            for video, i in (place[name] for name in named):
                if owners[video][i] not in (None, split):
                    raise DatasetError(
                        f"{path}:{number}: {written!r} is also in {owners[video][i]}.txt", "list it once"
                    )
                owners[video][i] = split
    if "train" not in lists:
        owners = {v: own if any(own) else ["train"] * len(own) for v, own in owners.items()}
    return owners


def owners_by_fraction(
    videos: dict[str, list[str]], labels: dict[str, list[int]], fraction: float, length: int, seed: int
) -> tuple[dict[str, Owners], str]:
    """A fraction of the labeled videos becomes val, drawn by name and seed; with only one, its end becomes val.

    labels: video -> numbers of its labeled frames, ascending. Also says what was done.
    """
    owners: dict[str, Owners] = {video: ["train"] * len(names) for video, names in videos.items()}
    labeled = sorted((v for v in videos if labels.get(v)), key=lambda v: key_seed(seed, "folders", "val", v))
    if not fraction or not labeled:
        return owners, "all videos are for training" if fraction == 0 else "no labels: all videos are for training"
    if len(labeled) > 1:
        chosen = labeled[: min(len(labeled) - 1, max(1, round(fraction * len(labeled))))]
        for video in chosen:
            owners[video] = ["val"] * len(videos[video])
        return owners, f"{len(chosen)} of {len(labeled)} labeled videos are val (options.val_fraction {fraction:g})"
    return _split_by_time(owners, labeled[0], labels[labeled[0]], fraction, length)


def _split_by_time(
    owners: dict[str, Owners], video: str, labels: list[int], fraction: float, length: int
) -> tuple[dict[str, Owners], str]:
    """Only one video has labels: its last ones become val, up to a clip after the last frame of training."""
    if len(labels) < 2:
        return owners, f"{video} has the only label: all videos are for training"
    count = min(len(labels) - 1, max(1, round(fraction * len(labels))))
    first, before = labels[-count], labels[-count - 1]
    # The gap keeps nearly equal neighbours apart, unless it would cost training its last label.
    gap = length if labels[0] < first - length else first - before - 1
    total = len(owners[video])
    owners[video] = [("train" if i < first - gap else None) if i < first else "val" for i in range(total)]
    return owners, f"{video} is the only labeled video: frames from {first} on are val, {gap} frames before are a gap"
