"""Numbers in the names of frames: their order, which of them is the frame's, and where a series begins and ends.

Every decimal digit counts, whatever the script; so do digits in other shapes (a circled or raised 2 is a 2), and a sign
that is a whole number by itself (Ⅳ, ፬). A fraction (½) is not the number of a frame.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    import statistics
else:
    statistics = lazy("statistics")

_DIGITS = re.compile(r"(\d+)")
_NUMBER = re.compile(r"(\d+\.\d{3,}|\d{9,}[_-]\d{6,9}|\d+)")
"""Also seconds with decimals (1305031102.175304), and seconds and their fraction (1305031102_175304)."""
_CLOCK = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])[-_ T.]{1,3}"
    r"([01]\d|2[0-3])([-_.:h]?)([0-5]\d)[-_.:m]?([0-5]\d)((?:\.\d{1,9}|\d{3}(?:\d{3})*)?)(?!\d)"
)
"""Date and time of day, perhaps with parts of the second: 2024-05-01_12-00-59, 20240501_120059123."""
_VIEW = re.compile(r"(?:cam|camera|view|lens|eye)[-_ ]?$", re.IGNORECASE)
_JUMP = 5
"""A step of more than so many usual ones is a jump."""
_ENDS = "-_. "


class Series(NamedTuple):
    """Images of one video by their names. places: in the list that was given, in order; numbers: of the frames."""

    name: str
    places: tuple[int, ...]
    numbers: tuple[Decimal, ...]


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key under which frame2 comes before frame10."""
    parts = (part for part in _DIGITS.split(_plain(text)) if part)
    return [*((int(part), "") if part.isdecimal() else (-1, part) for part in parts), (-2, text)]


def _plain(text: str) -> str:
    """The text with every number in decimal digits."""
    if text.isascii():
        return text
    runs = groupby(text, lambda char: unicodedata.category(char) in ("No", "Nl"))
    return "".join(
        "".join(map(_digits, run)) if signs else unicodedata.normalize("NFKC", "".join(run)) for signs, run in runs
    )


def _digits(sign: str) -> str:
    """A sign that is a number by itself; as it stands where it is not whole."""
    shape, value = unicodedata.normalize("NFKC", sign), unicodedata.numeric(sign, -1.0)
    if shape.isdecimal():
        return shape
    return str(int(value)) if value.is_integer() and value >= 0 else sign


def last_number(name: str) -> int | None:
    """The number that a name ends with; None where it ends with none."""
    match = re.search(r"\d{1,18}$", name)
    return int(match[0]) if match else None


def jumps(numbers: Sequence[Decimal | int]) -> tuple[int, ...]:
    """Places where a stretch of a video begins that is not its first: the number jumps there, or goes back."""
    steps = [] if isinstance(numbers, range) else [Decimal(b) - Decimal(a) for a, b in pairwise(numbers)]
    if not steps:
        return ()
    usual = statistics.median(steps)
    return tuple(place for place, step in enumerate(steps, start=1) if step <= 0 or step > _JUMP * usual)


def find_series(stems: Sequence[str]) -> tuple[list[Series], list[int]]:
    """Sort the images of one directory into series, and name the places of those in none. stems: all different.

    Images are one series when their names differ in one number alone. If several numbers vary, it is the last one, but
    for a number of a camera: seq_000001_000019 is frame 19 of seq_000001, frame_0007_cam1 is frame 7 of camera 1.
    A date with a time of day is one number.
    """
    families: dict[tuple[str, ...], list[_Stem]] = defaultdict(list)
    for place, stem in enumerate(stems):
        parts = _NUMBER.split(_CLOCK.sub(_seconds, _plain(stem)))
        families[tuple(parts[::2])].append(_Stem(place, stem, parts))
    groups = [group for family in families.values() for group in _divided(family)]
    named = _names(groups)
    found = [_series(group, name) for group, name in zip(groups, named, strict=True) if len(group.members) > 1]
    strays = [stem.place for group in groups if len(group.members) == 1 for stem in group.members]
    return sorted(found, key=lambda series: natural(series.name)), sorted(strays)


def _seconds(clock: re.Match[str]) -> str:
    """A date and time as one number, in seconds: minutes have 60 of them, so its digits alone would jump."""
    year, month, day, hour, minute, second = (int(clock[part]) for part in (1, 3, 4, 5, 7, 8))
    days = date(year, month, min(day, monthrange(year, month)[1])).toordinal()
    whole = ((days * 24 + hour) * 60 + minute) * 60 + second
    return f"{whole}.{clock[9].lstrip('.').ljust(3, '0')}"


class _Stem(NamedTuple):
    """parts: text and numbers by turns, a text first and last."""

    place: int
    text: str
    parts: list[str]


class _Group(NamedTuple):
    """Names that differ in the number at `at` of their parts alone."""

    at: int
    members: list[_Stem]


def _divided(family: list[_Stem]) -> list[_Group]:
    """The series of names with the same texts between their numbers."""
    fields = range(1, len(family[0].parts), 2)
    if not fields:
        return [_Group(0, [stem]) for stem in family]
    varying = [at for at in fields if len({stem.parts[at] for stem in family}) > 1]
    views = [at for at in varying if _VIEW.search(family[0].parts[at - 1])]
    for at in [*reversed([at for at in varying if at not in views]), *views]:
        groups = _by_others(family, at)
        if any(len(group.members) > 1 for group in groups):
            return groups
    return [_Group((varying or [*fields])[0], family)]  # all numbers count along: the first one orders them


def _by_others(family: list[_Stem], at: int) -> list[_Group]:
    """Names that share all other numbers. Where two are the same number (f1, f01), its width tells them apart."""
    groups: dict[tuple[str, ...], list[_Stem]] = defaultdict(list)
    for stem in family:
        groups[*stem.parts[:at], *stem.parts[at + 1 :]].append(stem)
    result = []
    for members in groups.values():
        if len({_value(stem.parts[at]) for stem in members}) == len(members):
            result.append(_Group(at, members))
            continue
        widths: dict[int, list[_Stem]] = defaultdict(list)
        for stem in members:
            widths[len(stem.parts[at])].append(stem)
        result += [_Group(at, own) for own in widths.values()]
    return result


def _names(groups: list[_Group]) -> list[str]:
    """What stands before the number; where that is not enough, what stands after it too, then a count."""
    befores = ["".join(group.members[0].parts[: group.at]) for group in groups]
    afters = ["".join(group.members[0].parts[group.at + 1 :]) for group in groups]
    short = [before.rstrip(_ENDS) for before in befores]
    long = [f"{before}{after.lstrip(_ENDS)}".strip(_ENDS) for before, after in zip(befores, afters, strict=True)]
    count, seen = Counter(short), Counter[str]()
    names = []
    for brief, full in zip(short, long, strict=True):
        name = brief if count[brief] == 1 else full
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names


def _series(group: _Group, name: str) -> Series:
    order = sorted(group.members, key=lambda stem: (_value(stem.parts[group.at]), natural(stem.text)))
    numbers = tuple(_value(stem.parts[group.at]) for stem in order)
    return Series(name, tuple(stem.place for stem in order), numbers)


def _value(digits: str) -> Decimal:
    return Decimal(re.sub(r"[_-]", ".", digits))
