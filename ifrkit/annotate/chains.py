"""The frames of training videos in order, as far as clips say which frame follows which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import training_frames

_NUMBER = re.compile(r"(.*?)(\d+)")


class Link(NamedTuple):
    """One frame: its name, and a clip and a position where it is found."""

    name: str
    clip: int
    place: int


def chains(store: ClipStore) -> list[list[Link]]:
    """Every training frame once, in runs of consecutive frames.

    Clips that share frames are one run, and so are clips that follow each other by the numbers of their frames.
    """
    places = training_frames(store)
    following = dict(_neighbours(store))
    started = set(following.values())
    runs = [list(_walk(name, following)) for name in places if name not in started]
    return [[Link(name, *places[name]) for name in run] for run in _joined(runs)]


def _neighbours(store: ClipStore) -> Iterator[tuple[str, str]]:
    for clip in store.clips_of("train"):
        frames = store.clips[clip].frames
        yield from pairwise(frames)


def _walk(name: str | None, following: dict[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    while name is not None and name not in seen:
        seen.add(name)
        yield name
        name = following.get(name)


def _joined(runs: list[list[str]]) -> list[list[str]]:
    """Put runs together where the second begins one usual step after the end of the first."""
    begins = {run[0]: run for run in runs}
    next_of = {run[0]: begins[after] for run in runs if (after := _expected(run)) in begins and after != run[0]}
    later = {run[0] for run in next_of.values()}
    result = []
    for run in runs:
        if run[0] in later:
            continue
        whole = list(run)
        while (more := next_of.get(run[0])) is not None:
            whole, run = whole + more, more
        result.append(whole)
    return result


def _expected(run: list[str]) -> str | None:
    """The name of the frame that would follow, by the last two."""
    found = [_NUMBER.fullmatch(name) for name in run[-2:]]
    if len(found) < 2 or found[0] is None or found[1] is None or found[0][1] != found[1][1]:
        return None
    before, last = found[0][2], found[1][2]
    return f"{found[1][1]}{2 * int(last) - int(before):0{len(last)}}"
