"""Every label format, found by its name, keeps the contract of ifrkit/labels/base.py; the check catches faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ifrkit.core.errors import DatasetError
from ifrkit.core.plugins import load, names
from ifrkit.core.records import Label
from ifrkit.labels import png
from ifrkit.labels.base import Entry, LabelFiles, known_format, open_labels
from ifrkit.media.classes import ClassTable
from ifrkit.testing import check_label_format


@pytest.mark.parametrize("name", names("labels"))
def test_contract(name: str, tmp_path: Path) -> None:
    check_label_format(name, tmp_path)


class TakesAll(png.Labels):
    """Claims whatever there is."""

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return True


class Nameless(png.Labels):
    """Does not say whose label it is."""

    def entries(self) -> list[Entry]:
        return [Entry(entry.key, ("one",)) for entry in super().entries()]


class Shifted(png.Labels):
    """Moves labels by a pixel."""

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        return np.roll(super().read(key, size, table), 1, 1)


class AnySize(png.Labels):
    """Cuts what does not fit."""

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        label = super().read(key, (12, 20), table)
        return np.resize(label, size)


class Careless(png.Labels):
    """Lets through what decoding raises."""

    def table(self, keys: Sequence[str]) -> ClassTable:
        if any(len(self.files.read(key)) < 40 for key in keys):
            raise ValueError("not enough bytes")
        return super().table(keys)


@pytest.mark.parametrize(
    ("labels", "contract"),
    [
        (TakesAll, "leaves the files of other formats to them"),
        (Nameless, "each label says what its frame is called"),
        (Shifted, "gives back the label that was written"),
        (AnySize, "a label with another size is refused"),
        (Careless, "a damaged file gives a DatasetError"),
    ],
)
def test_the_check_catches(
    labels: type[png.Labels], contract: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "cvat" if labels is TakesAll else "png"  # plain PNGs give way to every other format
    monkeypatch.setattr(f"ifrkit.labels.{name}.Labels", labels)
    with pytest.raises(AssertionError, match=contract):
        check_label_format(name, tmp_path)


def _written(root: Path, name: str) -> Path:
    files = load("labels", name).make_toy({"street_000003": np.zeros((4, 6), np.uint8)}, ["road"])
    for file, data in files.items():
        (root / file).write_bytes(data)
    return root


def test_a_format_that_does_not_load_is_named_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "broken-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ifrkit.labels]\nbroken = broken_labels:Labels\n")
    (info.parent / "broken_labels.py").write_text("import nobody_has_this\n")
    monkeypatch.syspath_prepend(str(info.parent))
    (tmp_path / "labels").mkdir()
    found = open_labels(_written(tmp_path / "labels", "labelme"), "auto")
    assert found.format == "labelme"
    (note,) = found.notes
    assert note.startswith("label format broken does not load, so it was not tried (ModuleNotFoundError")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").touch()
    with pytest.raises(DatasetError, match="label format broken does not load"):
        open_labels(tmp_path / "none", "auto")


def test_names_are_written_in_any_way() -> None:
    assert known_format("Label_Studio") == "label-studio"
    with pytest.raises(ValueError, match="did you mean 'labelme'"):
        known_format("labelmee")
