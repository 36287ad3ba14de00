"""The contract test of label formats: `ifrkit/labels/base.py`, on the export that a format's own `make_toy` writes."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ifrkit.core.errors import DatasetError
from ifrkit.core.plugins import load, names
from ifrkit.core.records import IGNORE, Label
from ifrkit.labels.base import LabelFiles, LabelReader, open_labels
from ifrkit.media.classes import named_table

_CLASSES = ("car", "road", "tree")
_SIZE = (12, 20)
_CLUTTER = {".DS_Store": b"\0", "__MACOSX/._labels": b"\0", ".cache/old.png": b"old", ".cache/old.json": b"{}"}
"""Hidden files, as file managers leave them: no label."""


def check_label_format(name: str, root: Path) -> None:
    """The whole contract. root: an empty directory."""
    cls: type[LabelReader] = load("labels", name)
    _require(bool(cls.__doc__), "it has a docstring")
    labels = _toy_labels()
    toy = cls.make_toy(labels, _CLASSES)
    _require(bool(toy), "make_toy() gives the files of an export")
    plain, zipped = root / "labels", root / "packed" / "labels.zip"
    _write(plain, toy)
    _pack(zipped, toy)
    for path in (plain, zipped, zipped.parent):
        _check_round_trip(name, path, labels)
    _check_others(name, root, toy)
    _check_clutter(cls, root, toy)
    _check_refusals(cls(LabelFiles(plain)))
    _check_damage(cls, root, toy)


def _require(condition: bool, contract: str) -> None:
    if not condition:
        raise AssertionError(f"contract of a label format: {contract}")


def _toy_labels() -> dict[str, Label]:
    """Frame names and their labels: noise, blocks, and pixels without a class. Every class occurs."""
    rng = np.random.default_rng(0)
    values = np.array([*range(len(_CLASSES)), IGNORE], np.uint8)
    noise = values[rng.integers(0, len(values), _SIZE)]
    blocks = values[rng.integers(0, len(values), (_SIZE[0] // 4, _SIZE[1] // 4))].repeat(4, 0).repeat(4, 1)
    return {"street_000003": noise, "street_000006": blocks, "park_000003": noise[::-1].copy()}


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def _pack(path: Path, files: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _check_round_trip(name: str, path: Path, labels: Mapping[str, Label]) -> None:
    """A directory, a zip, or a directory with a zip in it: what make_toy was given comes back."""
    found = open_labels(path, "auto")
    _require(found.format == name, f"it claims its own files ({path.name}: {found.format} does)")
    entries = found.reader.entries()
    keys = [entry.key for entry in entries]
    _require(len(set(keys)) == len(keys), "keys of entries are unique")
    _require([e.key for e in found.reader.entries()] == keys, "entries() gives the same each time")
    missing = [frame for frame in labels if not any(frame in entry.names for entry in entries)]
    _require(len(entries) == len(labels) and not missing, f"each label says what its frame is called (not {missing})")
    table = found.reader.table(keys)
    own = table.space.names
    _require(len(own) == len(_CLASSES), f"table() has the classes that occur (it has {own})")
    # Formats that store ids and no names give the classes in the order of the ids.
    places = [own.index(c) for c in _CLASSES] if set(own) == set(_CLASSES) else range(len(_CLASSES))
    ids = np.full(256, IGNORE, np.uint8)
    ids[: len(_CLASSES)] = places
    copy: LabelReader = pickle.loads(pickle.dumps(found.reader))
    for entry in entries:
        frame = next(frame for frame in labels if frame in entry.names)
        label = found.reader.read(entry.key, _SIZE, table)
        _require(label.dtype == np.uint8 and label.shape == _SIZE, f"read() gives (h, w) uint8 ({entry.key})")
        _require(np.array_equal(label, ids[labels[frame]]), f"read() gives back the label that was written ({frame})")
        same = np.array_equal(copy.read(entry.key, _SIZE, table), label)
        _require(same, f"a pickled reader, as workers get it, reads the same ({frame})")
    notes = found.reader.notes()
    _require(all(isinstance(note, str) and "\n" not in note for note in notes), "notes() is a list of single lines")


def _check_others(name: str, root: Path, toy: Mapping[str, bytes]) -> None:
    """No format takes the files of another one; PNGs may lie beside any of them."""
    for other in names("labels"):
        try:
            files = {} if other == name else load("labels", other).make_toy(_toy_labels(), _CLASSES)
        except Exception:  # another package's format, which does not load or has no toy
            continue
        if files:
            _write(root / "others" / other, files)
            try:
                found = open_labels(root / "others" / other, "auto").format
            except DatasetError as error:  # two of them claim it
                found = str(error)
            _require(found == other, f"it leaves the files of other formats to them ({other}: {found})")


def _check_clutter(cls: type[LabelReader], root: Path, toy: Mapping[str, bytes]) -> None:
    _write(root / "clutter", {**toy, **_CLUTTER})
    _pack(root / "clutter.zip", {**toy, **_CLUTTER})
    wanted = cls(LabelFiles(root / "labels")).entries()
    for path in (root / "clutter", root / "clutter.zip"):
        _require(cls(LabelFiles(path)).entries() == wanted, f"hidden files are not labels ({path.name})")


def _check_refusals(reader: LabelReader) -> None:
    entries = reader.entries()
    table = reader.table([entry.key for entry in entries])
    few = named_table("toy", ["something else"])
    cases = (("another size", (_SIZE[0] + 1, _SIZE[1]), table), ("classes not in the table", _SIZE, few))
    for what, size, classes in cases:
        try:
            reader.read(entries[0].key, size, classes)
        except DatasetError as error:
            _require_line(error)
        else:
            _require(False, f"a label with {what} is refused")


def _check_damage(cls: type[LabelReader], root: Path, toy: Mapping[str, bytes]) -> None:
    """Files that are cut off, empty or something else give one line that names a file, never another exception."""
    for name, data in toy.items():
        for what, damaged in {"cut": data[: len(data) // 2], "empty": b"", "other": b"\xff{[" + data}.items():
            path = root / what / name.replace("/", "_")
            _write(path, {**toy, name: damaged})
            try:
                _read_all(cls, LabelFiles(path))
            except DatasetError as error:
                _require_line(error)
                _require(path.name in str(error), f"an error names the file at fault ({error})")
            except Exception as error:
                fault = f"a damaged file gives a DatasetError ({name}, {what}: {type(error).__name__}: {error})"
                raise AssertionError(f"contract of a label format: {fault}") from error


def _read_all(cls: type[LabelReader], files: LabelFiles) -> None:
    if cls.claims(files):
        reader = cls(files)
        keys = [entry.key for entry in reader.entries()]
        table = reader.table(keys)
        for key in keys:
            reader.read(key, _SIZE, table)


def _require_line(error: DatasetError) -> None:
    _require("\n" not in str(error) and bool(error.remedy), f"an error is one line with a remedy ({error})")
