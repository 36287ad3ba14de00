"""When each picture of an mp4 is shown: OpenCV writes one rate for all of them, cameras and screens record none.

The times are a table in the file's index (`moov`, ISO/IEC 14496-12), which FFmpeg writes at the end: so the table can
be replaced, and nothing else in the file moves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

TIMESCALE = 90_000
"""Units of a second."""
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"}


def retime(path: Path, durations: Sequence[int]) -> bool:
    """Give each picture its duration, in units of TIMESCALE. False: the file is not as it should be, and as it was.

    durations: one for each picture, above 0.
    """
    with path.open("r+b") as file:
        found = _index(file.read(), len(durations))
        if found is None:
            return False
        start, moov = found
        file.seek(start)
        file.write(_rebuilt(b"moov", moov, durations))
        file.truncate()
    return True


def _index(data: bytes, count: int) -> tuple[int, bytes] | None:
    """Where the index begins, and its content, if it is the last box of a file of one track with so many pictures."""
    boxes = list(_boxes(data))
    if not boxes or boxes[-1][0] != b"moov" or sum(kind == b"mdat" for kind, _, _ in boxes) != 1:
        return None
    _, begin, end = boxes[-1]
    moov = data[begin + 8 : end]
    times, tracks = _all(moov, b"stts"), _all(moov, b"trak")
    if len(tracks) != 1 or len(times) != 1 or _all(moov, b"ctts"):
        return None
    entries = struct.iter_unpack(">II", times[0][8:])
    return (begin, moov) if sum(number for number, _ in entries) == count else None


def _boxes(data: bytes) -> list[tuple[bytes, int, int]]:
    """(kind, begin, end) of the boxes one after the other."""
    found, place = [], 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
        if size < 8 or place + size > len(data):
            return []
        found.append((kind, place, place + size))
        place += size
    return found


def _all(data: bytes, wanted: bytes) -> list[bytes]:
    """Contents of every box of this kind, at any depth."""
    found = []
    for kind, begin, end in _boxes(data):
        if kind == wanted:
            found.append(data[begin + 8 : end])
        if kind in _CONTAINERS:
            found += _all(data[begin + 8 : end], wanted)
    return found


def _rebuilt(kind: bytes, content: bytes, durations: Sequence[int]) -> bytes:
    """The same box with other times."""
    if kind in _CONTAINERS:
        parts = [_rebuilt(inner, content[begin + 8 : end], durations) for inner, begin, end in _boxes(content)]
        content = b"".join(parts)
    elif kind == b"stts":
        runs = [(len(list(run)), duration) for duration, run in groupby(durations)]
        content = struct.pack(">II", 0, len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)
    elif kind in (b"mvhd", b"mdhd"):
        content = _header(content, 4, sum(durations), timescale=True)
    elif kind == b"tkhd":
        content = _header(content, 5, sum(durations), timescale=False)
    elif kind == b"elst" and content[0] == 0 and content[4:8] == b"\0\0\0\1":
        content = content[:8] + struct.pack(">I", sum(durations)) + content[12:]
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _header(content: bytes, field: int, duration: int, timescale: bool) -> bytes:
    """A header with another duration. field: how many 32-bit fields stand before it in version 0, flags too."""
    long = content[0] == 1  # version 1: both dates and the duration have 64 bits
    place = 4 * field + (8 if long else 0)
    if timescale:
        content = content[: place - 4] + struct.pack(">I", TIMESCALE) + content[place:]
    width = ">Q" if long else ">I"
    return content[:place] + struct.pack(width, duration) + content[place + struct.calcsize(width) :]
