"""Who gets which frames (splits), and how a video is cut into clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from ifrkit.core.errors import DatasetError
from ifrkit.core.keyed import key_seed
from ifrkit.core.records import Split
from ifrkit.media.lists import read_list, readings

Owner = Split | Literal["gap"] | None
"""The split of a frame; None: in no split, but may fill up a clip; gap: the same, but never a clip of training."""
Owners = list[Owner]
"""Of every frame of a video."""


class Cut(NamedTuple):
    """Frames start..stop-1 of a video as one clip; annotated: the labeled frame's number in the video."""

    split: Split
    start: int
    stop: int
    annotated: int | None


def cut(owners: Sequence[Owner], labels: Sequence[int], length: int) -> list[Cut]:
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
        if split is None or split == "gap":
            continue
        usable = (split, None) if split == "train" else (split, None, "gap")
        start = stop = label
        while start > 0 and label - start + 1 < length and owners[start - 1] in usable:
            start -= 1
        while stop < len(owners) and stop - start < length and owners[stop] in usable:
            stop += 1
        if stop - start >= 2:
            owners[start:stop] = [split] * (stop - start)
            result.append(Cut(split, start, stop, label))
    free = bytearray(owner == "train" for owner in owners)
    for c in result:
        free[c.start : c.stop] = bytes(c.stop - c.start)
    for begin, end in _stretches(free):
        result += _unlabeled(owners, begin, end, length)
    return sorted(result, key=lambda c: (c.start, c.stop, c.annotated or 0))


def _stretches(flags: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where runs of true flags begin, and the place after their end."""
    place = 0
    for flag, run in groupby(flags):
        begin, place = place, place + sum(1 for _ in run)
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
    videos: Mapping[str, Sequence[str]],
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
        for number, line in enumerate(read_list(path), start=1):
            meant = readings(line)
            if not meant:
                continue
            written = meant[0].strip()
            below = next((found for name in meant if (found := _below(videos, name))), [])
            named = below or next((found for name in meant if (found := find(name))), [])
            if not named and any(map(is_lost, meant)):
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


def _below(videos: Mapping[str, Sequence[str]], written: str) -> list[str]:
    """The frames of a video, or of all in a directory."""
    written = written.removesuffix("/")
    return [name for video, own in videos.items() if f"{video}/".startswith(f"{written}/") for name in own]


class Labeled(NamedTuple):
    """A video for splitting. frames: how many; labels: positions of its labels; stretches: which no clip leaves.

    Labels alone in their stretch, of which no clip can be made, are not among them.
    """

    frames: int
    labels: list[int]
    stretches: list[tuple[int, int]]

    def clips(self, owners: Owners, length: int) -> Iterator[Cut]:
        """The clips of all stretches, with positions in the video."""
        for begin, end in self.stretches:
            inside = [i - begin for i in self.labels if begin <= i < end]
            for c in cut(owners[begin:end], inside, length):
                at = None if c.annotated is None else c.annotated + begin
                yield Cut(c.split, c.start + begin, c.stop + begin, at)

    def scored(self, owners: Owners, length: int) -> Counter[Split]:
        """How many labels each split gets."""
        return Counter(c.split for c in self.clips(owners, length) if c.annotated is not None)


class Division(NamedTuple):
    """owners: video -> the split of each frame. note: what was done; warning: why scores may flatter, or lack."""

    owners: dict[str, Owners]
    note: str
    warning: str = ""


def owners_by_fraction(videos: dict[str, Labeled], fraction: float, length: int, seed: int) -> Division:
    """A fraction of the labeled videos becomes val, drawn by name and seed; with only one, its end becomes val."""
    owners: dict[str, Owners] = {name: ["train"] * video.frames for name, video in videos.items()}
    labeled = sorted((v for v in videos if videos[v].labels), key=lambda v: key_seed(seed, "folders", "val", v))
    if not fraction or not labeled:
        note = "all videos are for training" if fraction == 0 else "no labels: all videos are for training"
        return Division(owners, note)
    if len(labeled) > 1:
        chosen = labeled[: min(len(labeled) - 1, max(1, round(fraction * len(labeled))))]
        for name in chosen:
            owners[name] = ["val"] * videos[name].frames
        return Division(
            owners, f"{len(chosen)} of {len(labeled)} labeled videos are val (options.val_fraction {fraction:g})"
        )
    (name,) = labeled
    return _split_by_time(owners, name, videos[name], fraction, length)


def _split_by_time(owners: dict[str, Owners], name: str, video: Labeled, fraction: float, length: int) -> Division:
    """Only one video has labels: its last ones become val, up to a clip after the last frame of training."""
    labels = video.labels
    if len(labels) < 2:
        return Division(owners, f"{name} has the only label: all videos are for training")
    count = min(len(labels) - 1, max(1, round(fraction * len(labels))))
    first, before = labels[-count], labels[-count - 1]
    # The gap keeps nearly equal neighbours apart, unless it would cost training its last label.
    gap = length if labels[0] < first - length else first - before - 1
    own = _divided(video.frames, first, gap)
    if not _both(video.scored(own, length)):
        possible, gap = _possible(video, count, length), 0
        if possible is None:
            text = f"the {len(labels)} labels of {name} lie too close together to hold one back: all are for training"
            return Division(owners, text, text)
        first = possible
        own = _divided(video.frames, first, gap)
    owners[name] = own
    note = f"{name} is the only labeled video: frames from {first} on are val, {gap} frames before are a gap"
    near = "" if gap else f"{name}: val begins right after the frames of training, which flatters its scores"
    return Division(owners, note, near)


def _divided(total: int, first: int, gap: int) -> Owners:
    return [("train" if i < first - gap else None) if i < first else "val" for i in range(total)]


def _both(scored: Counter[Split]) -> bool:
    return scored["train"] > 0 and scored["val"] > 0


def _possible(video: Labeled, count: int, length: int) -> int | None:
    """Where val may begin so that both splits get a label, val close to `count` of them; None: nowhere."""
    # A split that changes no label's side differs in predecessors alone: places near labels are enough.
    places = sorted({p for i in video.labels for p in range(i - 1, i + 2) if 0 < p < video.frames}, reverse=True)
    scored = [(place, video.scored(_divided(video.frames, place, 0), length)) for place in places]
    fitting = [(abs(labels["val"] - count), -place, place) for place, labels in scored if _both(labels)]
    return min(fitting)[2] if fitting else None
