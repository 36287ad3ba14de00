"""Names of frames in few bytes: a video of ten hours has a million of them."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate, chain
from typing import overload

_CELLS = 8
"""Bytes for each text in which `distinct` looks: an eighth of the texts meet another one by chance."""


class Made(Sequence[str]):
    """Texts each of which is made when it is asked for, by `at`."""

    __slots__ = ()

    @abstractmethod
    def at(self, place: int) -> str:
        """The text at a place, from 0 to the length."""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        places = range(len(self))[index]
        return self.at(places) if isinstance(places, int) else tuple(map(self.at, places))


class Names(Made):
    """Texts one after the other: as UTF-8 in one piece, and where each begins."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._text = bytearray()
        self._begins = array("q", [0])
        self.extend(names)

    def extend(self, names: Iterable[str]) -> None:
        """Put more at the end."""
        for name in names:
            self._text += name.encode("utf-8", "surrogatepass")
            self._begins.append(len(self._text))

    def __len__(self) -> int:
        return len(self._begins) - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self._text == other._text and self._begins == other._begins

    __hash__ = None  # type: ignore[assignment]  # it grows

    def at(self, place: int) -> str:
        """Read from its bytes."""
        return self._text[self._begins[place] : self._begins[place + 1]].decode("utf-8", "surrogatepass")


class Joined(Made):
    """The texts of several parts, one part after the other."""

    def __init__(self, parts: Iterable[Sequence[str]]) -> None:
        self._parts = list(parts)
        self._begins = array("q", accumulate(map(len, self._parts), initial=0))

    def __len__(self) -> int:
        return self._begins[-1]

    def at(self, place: int) -> str:
        """That of its part."""
        part = bisect_right(self._begins, place) - 1
        return self._parts[part][place - self._begins[part]]


def distinct(parts: Collection[Sequence[str]]) -> Joined:
    """Every text of the parts once, in order; a set of them all would take over 100 bytes of each."""
    met = bytearray(1 + _CELLS * sum(map(len, parts)))
    """1 where the hash of one text falls, 2 where those of more do: only these can be there twice."""
    for text in chain.from_iterable(parts):
        cell = hash(text) % len(met)
        met[cell] = min(2, met[cell] + 1)
    seen: set[str] = set()
    return Joined(_new(part, met, seen) for part in parts)


def _new(part: Sequence[str], met: bytearray, seen: set[str]) -> Sequence[str]:
    """Those of a part that were not seen before; the part itself where that is all of them."""
    suspects = [text for text in part if met[hash(text) % len(met)] > 1]
    once = seen.isdisjoint(suspects) and len(set(suspects)) == len(suspects)
    new = part if once else tuple(dict.fromkeys(text for text in part if text not in seen))
    seen.update(suspects)
    return new


class Chosen(Made):
    """Some of `names`, by their numbers `rows`. Equal to a tuple of the same texts."""

    __slots__ = ("names", "rows")

    def __init__(self, names: Sequence[str], rows: Sequence[int]) -> None:
        self.names, self.rows = names, rows

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, place: int) -> str:
        """That of its row."""
        return self.names[self.rows[place]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chosen | tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))
