"""The frames of training videos in order, as far as clips say which frame follows which."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, overload

from ifrkit.data.store.clips import ClipStore

_NUMBER = re.compile(r"(.*?)(\d+)")


class Link(NamedTuple):
    """One frame: its name, and a clip and a position where it is found."""

    name: str
    clip: int
    place: int


class Chain(Sequence[Link]):
    """Consecutive frames. Held as numbers, a few bytes a frame: each link is made when it is asked for."""

    def __init__(self, frames: _Frames, rows: array[int]) -> None:
        self._frames, self._rows = frames, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Link: ...
    @overload
    def __getitem__(self, index: slice) -> Chain: ...
    def __getitem__(self, index: int | slice) -> Link | Chain:
        if isinstance(index, slice):
            return Chain(self._frames, self._rows[index])
        return self._frames.link(self._rows[index])


def chains(store: ClipStore) -> list[Chain]:
    """Every training frame once, in runs of consecutive frames.

    Clips that share frames are one run, and so are clips that follow each other by the numbers of their frames.
    """
    frames = _Frames(store)
    return [Chain(frames, run) for run in _joined(list(frames.runs()), frames)]


class _Frames:
    """The training frames by their rows in the store: where each is found first, which one follows it (-1: none)."""

    def __init__(self, store: ClipStore) -> None:
        self._store = store
        count = store.stored_frames
        self._clip, self._place = array("i", [-1]) * count, array("i", [0]) * count
        self._next = array("i", [-1]) * count
        self._order = array("i")
        for clip in store.clips_of("train"):
            rows = store.rows(clip)
            for place, row in enumerate(rows):
                if self._clip[row] < 0:
                    self._clip[row], self._place[row] = clip, place
                    self._order.append(row)
            for row, after in pairwise(rows):
                self._next[row] = after

    def link(self, row: int) -> Link:
        clip, place = self._clip[row], self._place[row]
        return Link(self._store.clips[clip].frames[place], clip, place)

    def runs(self) -> Iterator[array[int]]:
        """From each frame that follows none, in the order of the clips."""
        follows = bytearray(len(self._next))
        for after in self._next:
            if after >= 0:
                follows[after] = 1
        seen = array("i", [-1]) * len(self._next)
        for begin in self._order:
            if not follows[begin]:
                run, row = array("i"), begin
                while row >= 0 and seen[row] != begin:  # clips may go round in a circle
                    seen[row] = begin
                    run.append(row)
                    row = self._next[row]
                yield run


def _joined(runs: list[array[int]], frames: _Frames) -> list[array[int]]:
    """Put runs together where the second begins one usual step after the end of the first."""
    begins = {frames.link(run[0]).name: run for run in runs}
    next_of = {
        run[0]: begins[after]
        for run in runs
        if (after := _expected([frames.link(row).name for row in run[-2:]])) in begins and begins[after][0] != run[0]
    }
    later = {run[0] for run in next_of.values()}
    result = []
    for run in runs:
        if run[0] in later:
            continue
        whole = array("i", run)
        while (more := next_of.get(run[0])) is not None:
            whole.extend(more)
            run = more
        result.append(whole)
    return result


def _expected(last: list[str]) -> str | None:
    """The name of the frame that would follow, by the last two of a run."""
    found = [_NUMBER.fullmatch(name) for name in last]
    if len(found) < 2 or found[0] is None or found[1] is None or found[0][1] != found[1][1]:
        return None
    before, after = found[0][2], found[1][2]
    return f"{found[1][1]}{2 * int(after) - int(before):0{len(after)}}"
