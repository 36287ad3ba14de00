"""`clips.json`: what a clip store holds. It is read clip by clip, and held in few bytes a frame."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from ifrkit.core.config import Config
from ifrkit.core.errors import ArtifactError
from ifrkit.core.faults import PASSING
from ifrkit.core.names import Chosen, Names
from ifrkit.core.plain import read_plain
from ifrkit.core.records import ClipRecord, FrameNames, LabelSpace, Split
from ifrkit.data.store.layout import REMAKE, Layout

INDEX = "clips.json"
_SPACE = re.compile(r"[ \t\n\r]*")


class StoreFile(Config):
    """One HDF5 file and the names of its frames, in the order of its rows."""

    FINITE = False  # no fractions here, and a million frames to look through

    name: Annotated[str, Meta(pattern=r"^frames-[0-9]{5,}\.h5$")]
    frames: FrameNames


class StoreIndex(Config, dict=True):
    """`clips.json`."""

    name: str
    """Of the dataset."""
    size: tuple[int, int]
    """(height, width) of every frame and label."""
    codec: str
    has_flow: bool
    labels: LabelSpace
    clips: tuple[ClipRecord, ...]
    files: tuple[StoreFile, ...]
    histogram: dict[Split, tuple[int, ...]] = {}
    """Pixels of each class, then of the ignored ones, in the visible labels of each split."""

    @property
    def layout(self) -> Layout:
        return Layout(self.size, self.codec, self.has_flow, self.labels.num_classes)

    @cached_property
    def label_names(self) -> frozenset[str]:
        """Frames that have a label, visible or hidden."""
        return frozenset(clip.frames[i] for clip in self.clips for i in (*clip.labeled, *clip.hidden))

    def pieces(self) -> Iterator[str]:
        """The text of `clips.json`, a name at a time: of a long video it is long."""
        head = _text(replace(self, clips=(), files=()))
        for line in head.split("\n"):
            items: Sequence[ClipRecord | StoreFile] = ()
            if line in (' "clips": [],', ' "files": [],'):
                items = self.clips if "clips" in line else self.files
            if items:
                yield line[: -len("],")]
                for number, item in enumerate(items):
                    yield "," if number else ""
                    yield from _pieces(item)
                yield "\n ],\n"
            else:
                yield line + "\n"


def _text(config: Config) -> str:
    return json.dumps(config.tree(), indent=1, ensure_ascii=False)


def _pieces(record: ClipRecord | StoreFile) -> Iterator[str]:
    begin, end = _text(replace(record, frames=())).split('"frames": []')
    yield f"\n{begin}".replace("\n", "\n  ") + '"frames": ['
    for number, name in enumerate(record.frames):
        yield ("," if number else "") + "\n    " + json.dumps(name, ensure_ascii=False)
    yield "\n   ]" + end.replace("\n", "\n  ")


def read_index(directory: Path) -> tuple[StoreIndex, list[Sequence[int]]]:
    """The index, and for each clip the rows of its frames, counted through all files.

    Raises ArtifactError if it is missing, or not what was written.
    """
    path = directory / INDEX
    try:
        text = read_plain(path).decode()
        index = _Parts(text).index()
    except FileNotFoundError:
        raise ArtifactError(f"{directory} holds no {INDEX}", "name a clips artifact") from None
    except (OSError, ValueError, RecursionError) as error:  # Invalid is a ValueError
        if isinstance(error, OSError) and error.errno in PASSING:
            raise
        fault = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise ArtifactError(f"{path}: the file is corrupt ({fault})", REMAKE) from error
    return index, [_rows(record) for record in index.clips]


class _Parts:
    """Takes the JSON apart: of the long lists one item at a time."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._decoder = text, 0, JSONDecoder()
        self._shared: dict[Any, Any] = {}
        self._shown, self._stored = Names(), Names()
        """Frames as the clips show them, and as the files hold them."""

    def index(self) -> StoreIndex:
        """All of it. Raises ValueError for anything else than an index."""
        head: dict[str, Any] = {}
        clips: list[ClipRecord] = []
        files: list[StoreFile] = []
        for key in self._keys():
            if key == "clips":
                self._shown, clips = Names(), []
                clips.extend(self._clip(item) for item in self._items())
            elif key == "files":
                self._stored, files = Names(), []
                files.extend(self._file(item) for item in self._items())
            else:
                head[key] = self._value()
                continue
            head[key] = ()
        if self._next():
            raise ValueError("something stands after its end")
        index = StoreIndex.of(head)
        if self._shown == self._stored:  # as usual: each clip has frames of its own, in their order
            files = [replace(file, frames=_moved(file.frames, self._shown)) for file in files]
        else:
            numbers = {name: row for row, name in enumerate(self._stored)}
            clips = [self._placed(clip, numbers) for clip in clips]
        return replace(index, clips=tuple(clips), files=tuple(files))

    def _clip(self, item: Any) -> ClipRecord:
        record = ClipRecord.of(item)
        shared = {name: self._one(getattr(record, name)) for name in ("video", "labeled", "hidden")}
        return replace(record, frames=_put(self._shown, record.frames), **shared)

    def _file(self, item: Any) -> StoreFile:
        file = StoreFile.of(item)
        return replace(file, frames=_put(self._stored, file.frames))

    def _one(self, value: Any) -> Any:
        """The first value that is equal to it: clips share them."""
        return self._shared.setdefault(value, value)

    def _placed(self, clip: ClipRecord, numbers: dict[str, int]) -> ClipRecord:
        """The clip with the rows where the files hold its frames."""
        try:
            rows = array("q", (numbers[name] for name in clip.frames))
        except KeyError as missing:
            raise ValueError(f"no place for frame {missing.args[0]}") from None
        return replace(clip, frames=Chosen(self._stored, rows))

    def _keys(self) -> Iterator[str]:
        """The keys of the object; the caller takes the value of each."""
        self._take("{")
        while self._next() != "}":
            key = self._value()
            if not isinstance(key, str):
                raise self._wrong()
            self._take(":")
            yield key
            if self._next() != "}":
                self._take(",")
                if self._next() == "}":
                    raise self._wrong()
        self._take("}")

    def _items(self) -> Iterator[Any]:
        """The items of a list."""
        self._take("[")
        while self._next() != "]":
            yield self._value()
            if self._next() != "]":
                self._take(",")
                if self._next() == "]":
                    raise self._wrong()
        self._take("]")

    def _value(self) -> Any:
        self._next()
        value, self._at = self._decoder.raw_decode(self._text, self._at)
        return value

    def _next(self) -> str:
        """The next mark; empty at the end."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _take(self, mark: str) -> None:
        if self._next() != mark:
            raise self._wrong()
        self._at += 1

    def _wrong(self) -> JSONDecodeError:
        return JSONDecodeError("not the JSON of an index", self._text, self._at)


def _put(names: Names, frames: Sequence[str]) -> Chosen:
    """Put frames to the names: these, as part of them."""
    begin = len(names)
    names.extend(frames)
    return Chosen(names, range(begin, len(names)))


def _moved(frames: Sequence[str], names: Names) -> Chosen:
    """The same rows of equal names."""
    assert isinstance(frames, Chosen)
    return Chosen(names, frames.rows)


def _rows(record: ClipRecord) -> Sequence[int]:
    assert isinstance(record.frames, Chosen)
    return record.frames.rows
