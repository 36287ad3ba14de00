"""Text files and names that are not UTF-8, lists with names that other lists would split, paths of other machines."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import label_exports as exports
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_exports import SIZE

from data_prep._toys import save, save_video
from data_prep.folders import Dataset
from ifrkit.core.encoding import decode, lines, readable
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.media.classes import read_table
from ifrkit.media.lists import read_list, readings
from ifrkit.media.video import VideoReader, video_size
from ifrkit.predict.sources import read, survey

NAMES = "straße\nüber\nplain\n"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
LATIN = os.fsdecode(b"stra\xdfe")
"""A name as Latin-1 systems wrote it: not UTF-8."""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_in_any_usual_encoding(encoding: str) -> None:
    assert decode(NAMES.encode(encoding)) == NAMES


@pytest.mark.parametrize(
    "data", ["дорога".encode("cp1251"), "道路".encode("gbk"), "道路".encode("shift-jis"), b"\x89PNG\0\0"]
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnicodeError):
        decode(data)
    (tmp_path / "train.txt").write_bytes(data)
    with pytest.raises(DatasetError, match=r"cannot read .*train\.txt \(.*\); save it as UTF-8"):
        read_list(tmp_path / "train.txt")
    (tmp_path / "classes.yaml").write_bytes(b"classes: {" + data + b": }")
    with pytest.raises(DatasetError, match=r"classes\.yaml"):
        read_table(tmp_path / "classes.yaml")


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=1))
@settings(deadline=None, max_examples=200)
def test_utf8_is_always_itself(text: str) -> None:
    assert decode(text.encode()) == text
    assert "\n".join(lines(text)) == text.replace("\r\n", "\n").replace("\r", "\n")


def test_readable_names() -> None:
    assert readable("道路 ü.png") == "道路 ü.png"
    assert readable(LATIN) == "straße"
    assert readable(os.fsdecode(b"\x90\x8d")) == r"\x90\x8d"
    assert readable("a\nb\t") == r"a\nb\t"
    for name in (LATIN, os.fsdecode(b"\xff\xfe"), "a\x1b[0m", "x"):
        assert readable(name).encode()
        assert readable(readable(name)) == readable(name)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lists_tables_and_exports(tmp_path: Path, encoding: str) -> None:
    for video in ("straße", "park"):
        for n in range(6):
            save(tmp_path / "frames" / video / f"{n:06}.png", np.full((*SIZE, 3), n, np.uint8))
    tree = {"shapes": [exports.labelme_shape("Straße", [[0, 0], [39, 0], [39, 23], [0, 23]])], "imagePath": "x.png"}
    (tmp_path / "labels").mkdir()
    data = json.dumps(tree, ensure_ascii=False).encode(encoding)
    (tmp_path / "labels" / "straße_000003.json").write_bytes(data)
    (tmp_path / "classes.yaml").write_bytes("classes: {background: , Straße: }\r\n".encode(encoding))
    (tmp_path / "train.txt").write_bytes("straße\r\n".encode(encoding))
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=4))
    assert {clip.video for clip in dataset.clips()} == {"straße"}
    assert dataset.label_space().names == ("background", "Straße")
    assert (dataset.label("straße/000003") == 1).all()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_label_maps(tmp_path: Path, encoding: str) -> None:
    exports.frames(tmp_path)
    ids = exports.labels(1)
    files = exports.cvat(ids)
    files["labelmap.txt"] = files["labelmap.txt"].decode().replace("road", "Straße").encode(encoding)
    exports.packed(tmp_path / "labels", files)
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=4))
    assert dataset.label_space().names == ("Straße", "car", "tree")


def test_directories_and_files_whose_names_are_not_utf8(tmp_path: Path) -> None:
    for n in range(6):
        save(tmp_path / "frames" / LATIN / f"{LATIN}_{n}.png", np.full((*SIZE, 3), 20 * n, np.uint8))
    save(tmp_path / "labels" / LATIN / f"{LATIN}_3.png", np.ones(SIZE, np.uint8))
    (tmp_path / "train.txt").write_bytes(b"stra\xdfe\n")
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=4))
    (clip,) = (clip for clip in dataset.clips() if clip.annotated is not None)
    assert clip.frames[-1] == "straße/straße_3"
    assert json.loads(json.dumps(clip.tree()))["video"] == "straße"
    assert (dataset.frame(clip.frames[-1]) == 60).all()
    assert dataset.fingerprint()
    sources, _ = survey([str(tmp_path / "frames" / LATIN)])
    assert [source.name for source, _ in sources] == ["straße"]
    assert [item.name for item in read(*sources[0])] == [f"straße_{n}" for n in range(6)]


def test_a_video_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    """OpenCV crashes the process on it."""
    save_video(tmp_path / "a.avi", [np.full((32, 32, 3), 10 * n, np.uint8) for n in range(6)])
    path = (tmp_path / "a.avi").rename(tmp_path / f"{LATIN}.avi")
    assert video_size(path) == (32, 32)
    assert list(VideoReader(path).numbers()) == list(range(6))
    sources, _ = survey([str(path)])
    assert [item.name for item in read(*sources[0])] == [f"{n:06}" for n in range(6)]
    assert sources[0][0].name == "straße"


NASTY = ["my video", "a,b", "tab\tname", "#1", "half # full", 'say "hi"', "back\\slash", "new\nline", "dots.v1.2"]


@pytest.mark.parametrize("name", NASTY)
def test_names_that_other_lists_would_split(tmp_path: Path, name: str) -> None:
    """The line of a list is the name as the program shows it."""
    for video in (name, "other"):
        for n in range(6):
            save(tmp_path / "frames" / video / f"{n:06}.png", np.zeros((*SIZE, 3), np.uint8))
    save(tmp_path / "labels" / name / "000003.png", np.ones(SIZE, np.uint8))
    plain = Dataset(tmp_path, Dataset.Config(clip_length=4, val_fraction=0))
    (shown,) = {clip.video for clip in plain.clips()} - {"other"}
    assert "\n" not in shown
    assert list(plain.catalog.labels) == [f"{shown}/000003"]
    if not shown.startswith("#"):  # such a line is a comment
        (tmp_path / "train.txt").write_text(f"{shown}\n")
        assert {clip.video for clip in Dataset(tmp_path, plain.config).clips()} == {shown}


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("", []),
        ("  \t", []),
        ("# all", []),
        ("v0  # all of it", "v0"),
        ("v1/0012.png", "v1/0012"),
        ("v1/0012.png labels/v1/0012.png", "v1/0012"),
        ("v1/0012.jpg\tv1/0012_L.png", "v1/0012"),
        ("v1/0012.jpg,train", "v1/0012"),
        ("'my video'", "my video"),
    ],
)
def test_readings_of_a_line(line: str, meant: object) -> None:
    assert readings(line) == [] if meant == [] else meant in readings(line)


def test_names_that_macos_writes_in_pieces(tmp_path: Path) -> None:
    whole, pieces = unicodedata.normalize("NFC", "über"), unicodedata.normalize("NFD", "über")
    assert whole != pieces
    for n in range(6):
        save(tmp_path / "frames" / whole / f"{n:06}.png", np.zeros((*SIZE, 3), np.uint8))
    save(tmp_path / "labels" / pieces / "000003.png", np.ones(SIZE, np.uint8))
    assert list(Dataset(tmp_path, Dataset.Config(clip_length=4)).catalog.labels) == [f"{whole}/000003"]


Export = Callable[[str], dict[str, bytes]]
DRAWN = exports.strokes(np.zeros(SIZE, np.uint8))
PREFIXED: dict[str, Export] = {
    "png": lambda name: {f"{name}.png": exports.png(np.zeros(SIZE, np.uint8))},
    "cvat": lambda name: exports.cvat({name: np.zeros(SIZE, np.uint8)}),
    "label-studio": lambda name: {"a.json": json.dumps([exports.task(f"/data/?d={name}.png", DRAWN)]).encode()},
    "labelme": lambda name: {"000003.json": exports.labelme("x", []).replace(b"../to_label/x", f"../{name}".encode())},
    "coco": lambda name: {"a.json": json.dumps({
        "images": [{"id": 1, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": 1, "name": "road"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 39, 0, 39, 23, 0, 23]]}],
    }).encode()},
}  # fmt: skip


@pytest.mark.parametrize("kind", PREFIXED)
@pytest.mark.parametrize("prefix", ["frames/", "home/me/project/frames/", ""])
def test_paths_of_the_machine_that_an_export_comes_from(tmp_path: Path, kind: str, prefix: str) -> None:
    exports.frames(tmp_path, ["a", "b"])
    exports.packed(tmp_path / "labels", PREFIXED[kind](f"{prefix}a/000003"))
    (tmp_path / "classes.yaml").write_text("classes: {road: , background: }\n")
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=4, label_format=kind))
    assert list(dataset.matches.labels) == ["a/000003"]


def test_windows_paths_and_paths_in_lists(tmp_path: Path) -> None:
    exports.frames(tmp_path, ["a", "b"])
    save(tmp_path / "labels" / "a" / "000003.png", np.zeros(SIZE, np.uint8))
    (tmp_path / "train.txt").write_text("C:\\data\\frames\\a\\000003.png\n./frames/b/000002.png\n")
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=4))
    assert {clip.name for clip in dataset.clips() if clip.annotated is not None} == {"a/000003"}


def test_another_video_of_the_same_numbers_is_not_meant(tmp_path: Path) -> None:
    exports.frames(tmp_path, ["a"])
    save(tmp_path / "labels" / "c" / "000003.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(DatasetError, match="none of 1 labels has a frame's name"):
        Dataset(tmp_path, Dataset.Config(clip_length=4)).clips()


def test_a_limit_that_is_not_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros(SIZE, np.uint8))
    monkeypatch.setenv("IFRKIT_MAX_MEGAPIXELS", "many")
    with pytest.raises(ConfigError, match="IFRKIT_MAX_MEGAPIXELS='many' is not a whole number above 0"):
        list(survey([str(tmp_path)]))
