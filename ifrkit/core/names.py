"""Names of frames in few bytes: a video of ten hours has a million of them."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from typing import overload


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
