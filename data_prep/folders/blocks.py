"""Validation in blocks that are spread over one long video, so that not its end alone is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from data_prep.folders.cut import Division, Labeled, Owners


class Block(NamedTuple):
    """Neighbouring labels that are held out. before: the label before them, -1 where there is none."""

    labels: Sequence[int]
    before: int


def blocks_of(labels: Sequence[int], count: int, blocks: int) -> Iterator[Block]:
    """The labels in as many parts as blocks; the last ones of each part are held out, `count` in all.

    Each part keeps a label for training, so there may be fewer than `count`.
    """
    parts = min(blocks, count)
    for part in range(parts):
        begin, end = (len(labels) * p // parts for p in (part, part + 1))
        wanted = count * (part + 1) // parts - count * part // parts
        first = max(begin + 1, end - wanted)
        if first < end:
            yield Block(labels[first:end], labels[first - 1])


def split_into_blocks(name: str, video: Labeled, fraction: float, length: int, blocks: int) -> Division | None:
    """Owners of the only labeled video's frames; None where it has too few labels for two blocks.

    Frames before a block, up to a clip, are in no split: its first clips find their predecessors there. `gap` keeps
    training away on both sides.
    """
    count = max(1, round(fraction * len(video.labels)))
    found = list(blocks_of(video.labels, count, blocks))
    if len(found) < 2:
        return None
    own: Owners = ["train"] * video.frames
    for block in found:
        first, last = block.labels[0], block.labels[-1]
        begin = max(block.before + 1, first - length + 1)
        own[begin:first] = [None] * (first - begin)
        own[first : last + 1] = ["val"] * (last + 1 - first)
    held = sum(len(block.labels) for block in found)
    where = ", ".join(f"{block.labels[0]} to {block.labels[-1]}" for block in found)
    note = f"{name} is the only labeled video: {held} labels in {len(found)} blocks of it are val, frames {where}"
    return Division({name: own}, note)
