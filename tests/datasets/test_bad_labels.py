"""Exports that do not fit, are damaged or mean harm: one line that counts, names the first, and says what to do."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import label_exports as exports
import numpy as np
import pytest
from chains import complaint
from label_exports import SIZE

from ifrkit.core.errors import DatasetError
from ifrkit.labels._files import LabelFiles

Cli = Callable[[str], subprocess.CompletedProcess[str]]
Refused = Callable[..., str]

WHOLE = [(0.0, 0.0), (39.0, 0.0), (39.0, 23.0), (0.0, 23.0)]
ROAD = exports.strokes(np.zeros(SIZE, np.uint8))


@pytest.fixture
def refused(tmp_path: Path, cli: Cli) -> Refused:
    """A function (files of an export, class table, format) -> what `prepare` says when it refuses them, exit 4."""

    def run(files: dict[str, bytes], table: str | None = exports.YAML, kind: str = "auto", code: int = 4) -> str:
        exports.frames(tmp_path)
        exports.packed(tmp_path / "export", files)
        if table:
            (tmp_path / "classes.yaml").write_text(table)
        line = f"ifrkit prepare folders --root . --labels export --label-format {kind} --clip-length 4 -q"
        return complaint(cli(line), code)

    return run


def _studio(*tasks: object) -> dict[str, bytes]:
    return {"project.json": json.dumps(tasks).encode()}


def _with(result: dict, **value: object) -> dict:
    return {**result, "value": {**result["value"], **value}}


def _labelme(*shapes: dict, name: str = "street_000003", **changes: object) -> dict[str, bytes]:
    tree = {**json.loads(exports.labelme(name, list(shapes))), **changes}
    return {f"{name}.json": json.dumps({k: v for k, v in tree.items() if v != "gone"}).encode()}


def _cvat(labelmap: str, name: str = "street_000003") -> dict[str, bytes]:
    files = exports.cvat({name: np.zeros(SIZE, np.uint8)})
    return {**files, "labelmap.txt": labelmap.encode()}


UNKNOWN = {
    "colours": (
        exports.cvat(exports.labels(2)) | {"labelmap.txt": b"road:128,64,128::\ncar:0,0,142::\n"},
        r"2 of 2 labels cannot be used, the first: .*street_000003\.png: \d+ pixels in \d+ colours that labelmap\.txt "
        r"does not have, most of them \d+ x \[.*\]; export again",
    ),
    "colour of a PNG": (
        {"street_000003.png": exports.png(np.full((*SIZE, 3), (9, 8, 7), np.uint8))},
        r"street_000003\.png: 960 pixels in 1 colours outside the class table, most of them 960 x \[9, 8, 7\]; add",
    ),
    "label of CVAT": (
        _cvat("road:1,1,1::\nbus:128,64,128::\n"),
        r"street_000003\.png: 960 pixels of label 'bus', which is not in the class table; add it to classes\.yaml",
    ),
    "class of Label Studio": (
        _studio(
            exports.task("a/street_000003.png", [exports.region("polygonlabels", "bus", {"points": [[0, 0]] * 3})]),
            exports.task("a/park_000003.png", [exports.region("polygonlabels", "sky", {"points": [[0, 0]] * 3})]),
        ),
        r"2 of 2 labels cannot be used, the first: .*task 1 \(a/street_000003\): 1 shapes of class 'bus', ",
    ),
    "class of LabelMe": (
        _labelme(*[exports.labelme_shape(name, WHOLE) for name in ("road", "bus", "bus", "sky")]),
        r"street_000003\.json: 2 shapes of class 'bus' \(and 'sky'\), which is not in the class table; add it",
    ),
    "another spelling": (
        _labelme(exports.labelme_shape("Road", WHOLE)),
        r"1 shapes of class 'Road', which is not in the class table; it has 'road': write both alike",
    ),
    "class of Cityscapes": (
        {"street_000003_gtFine_polygons.json": exports.cityscapes([("busgroup", WHOLE)])},
        r"_polygons\.json: 1 shapes of class 'bus', which is not in the class table",
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_colours_and_classes(refused: Refused, kind: str) -> None:
    files, message = UNKNOWN[kind]
    assert re.search(message, refused(files))


OTHER = (12, 40)
SIZES = {
    "png": {"street_000003.png": exports.png(np.zeros(OTHER, np.uint8))},
    "cvat": exports.cvat({"street_000003": np.zeros(OTHER, np.uint8)}),
    "label-studio": _studio(
        exports.task("street_000003.png", [{**ROAD[0], "original_height": OTHER[0], "original_width": OTHER[1]}])
    ),
    "labelme": {"street_000003.json": exports.labelme("street_000003", [], OTHER)},
    "cityscapes-polygons": {"street_000003_gtFine_polygons.json": exports.cityscapes([], OTHER)},
}


@pytest.mark.parametrize("kind", SIZES)
def test_wrong_sizes(refused: Refused, kind: str) -> None:
    assert "label is 40x12, its frame is 40x24; make both the same size" in refused(SIZES[kind], kind=kind)


NAMES = {
    "png": {f"{n}.png": exports.png(np.zeros(SIZE, np.uint8)) for n in ("street_000003", "street_3000", "x")},
    "cvat": exports.cvat(dict.fromkeys(("street_000003", "street_3000", "x"), np.zeros(SIZE, np.uint8))),
    "label-studio": _studio(*[exports.task(f"{n}.png", ROAD) for n in ("street_000003", "street_3000", "x")]),
    "labelme": {f"{n}.json": exports.labelme(n, []) for n in ("street_000003", "street_3000", "x")},
    "cityscapes-polygons": {
        f"{n}_gtFine_polygons.json": exports.cityscapes([]) for n in ("street_000003", "street_3000", "x")
    },
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_no_frame(refused: Refused, kind: str) -> None:
    line = refused(NAMES[kind])
    assert "2 of 3 labels have no frame of their name: street_3000, x; name them like their frames, or leave" in line


RLE = exports.brush(np.ones(SIZE, bool))
BROKEN = {
    "no JSON": ({"street_000003.json": b'{"shapes": ['}, "street_000003.json: no readable JSON"),
    "deep JSON": ({"a.json": b'[{"annotations": ' + b"[" * 100_000}, "a.json: no readable JSON"),
    "JSON-MIN": ({"a.json": b'[{"image": "x.png", "data": 1}]'}, "choose JSON, not JSON-MIN, for the export"),
    "stroke cut off": (
        _studio(exports.task("street_000003.png", [_with(ROAD[0], rle=RLE[:9])])),
        "not as Label Studio writes it (the brush stroke ends before its last pixel)",
    ),
    "stroke of another size": (
        _studio(exports.task("street_000003.png", [_with(ROAD[0], rle=exports.brush(np.ones((9, 9), bool)))])),
        "a brush stroke of 324 words of 8 bits, expected 3840 of 8",
    ),
    "stroke that is a number": (
        _studio(exports.task("street_000003.png", [_with(ROAD[0], rle=10**15)])),
        "a brush stroke in the format 'rle'",
    ),
    "stroke of no bytes": (
        _studio(exports.task("street_000003.png", [_with(ROAD[0], rle=[1, 2, 999])])),
        "not as Label Studio writes it",
    ),
    "box": (
        _studio(exports.task("street_000003.png", [exports.region("videorectangle", "road", {"x": 1})])),
        "a region of type videorectangle; draw with BrushLabels or PolygonLabels",
    ),
    "rotated": (
        _studio(exports.task("street_000003.png", [{**ROAD[0], "image_rotation": 90}])),
        "the image was rotated for labeling; turn the frame itself",
    ),
    "no image": (_studio({"annotations": [], "data": {"text": "hello"}}), "a task without an image in its data"),
    "not a number": (_labelme(exports.labelme_shape("road", [*WHOLE, [float("nan"), 0]])), "far outside the frame"),
    "far away": (_labelme(exports.labelme_shape("road", [*WHOLE, [1e300, 0]])), "far outside the frame"),
    "no shapes": (_labelme(shapes="gone"), "not as LabelMe writes it (no 'shapes')"),
    "mask outside": (
        _labelme(exports.labelme_shape("road", [[30, 0], [49, 3]], "mask", np.ones((4, 20), np.uint8))),
        "a mask of class 'road' lies outside the frame",
    ),
    "mask of another size": (
        _labelme(exports.labelme_shape("road", [[0, 0], [9, 9]], "mask", np.ones((4, 4), np.uint8))),
        "a mask: label is 4x4, its frame is 10x10",
    ),
    "no objects": ({"street_000003_gtFine_polygons.json": b'{"imgHeight": 24, "imgWidth": 40}'}, "(no 'objects')"),
    "no labelmap": (
        {"a/labelmap.txt": b"", "b/SegmentationClass/street_000003.png": exports.png(np.zeros(SIZE, np.uint8))},
        "b/labelmap.txt: missing beside the masks; export or unpack it again",
    ),
    "bad labelmap": (_cvat("road:1,2::\n"), "labelmap.txt: not as CVAT writes it"),
    "colour twice": (_cvat("a:1,2,3::\nb:1,2,3::\n"), "line 2: colour 1,2,3 is given twice or is none"),
    "nothing known": (
        {"street_000003.xml": b"<annotation/>"},
        "none of its 1 files is a label (first: street_000003.xml)",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_exports(refused: Refused, kind: str) -> None:
    files, message = BROKEN[kind]
    assert message in refused(files)


def test_a_format_that_is_not_there(refused: Refused) -> None:
    files = NAMES["png"]
    assert "export: holds no cvat labels; give another --label-format, or auto" in refused(files, kind="cvat")
    assert "no label format 'labelm'; did you mean 'labelme'?" in refused(files, kind="labelm", code=2)


def test_no_such_export(tmp_path: Path, cli: Cli) -> None:
    exports.frames(tmp_path)
    line = complaint(cli("ifrkit prepare folders --root . --labels nowhere.zip -q"), 4)
    assert "nowhere.zip: no such file or directory; name the labels with --labels" in line


def _zip(tmp_path: Path, *entries: tuple[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> LabelFiles:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that comes twice
        with zipfile.ZipFile(tmp_path / "e.zip", "w", kind) as archive:
            for name, data in entries:
                archive.writestr(zipfile.ZipInfo(name), data, kind)
    return LabelFiles(tmp_path / "e.zip")


@pytest.mark.parametrize(
    "name",
    [
        "../street_000003.png",
        "a/../../escaped.png",
        "/etc/street_000003.png",
        "C:/escaped.png",
        "..\\escaped.png",
        "a/..",
    ],
)
def test_entries_that_lead_out_of_the_archive(tmp_path: Path, cli: Cli, name: str) -> None:
    exports.frames(tmp_path)
    _zip(tmp_path, ("street_000003.png", exports.png(np.zeros(SIZE, np.uint8))), (name, b"x"))
    line = complaint(cli("ifrkit prepare folders --root . --labels e.zip -q"), 4)
    assert "e.zip: the entry" in line
    assert "leads out of the archive; do not trust this file" in line
    assert not list(tmp_path.parent.rglob("escaped.png"))


def test_an_entry_that_claims_too_much(tmp_path: Path, cli: Cli) -> None:
    """300 MiB of zeros are 300 kB packed."""
    exports.frames(tmp_path)
    packed = zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED)
    with packed, packed.open("street_000003.png", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1 << 20))
    line = complaint(cli("ifrkit prepare folders --root . --labels e.zip -q"), 4)
    assert "the entry 'street_000003.png' claims 300 MiB; no label needs more than 256 MiB" in line


def test_entries_that_claim_too_much_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFRKIT_MAX_FILE_MIB", "9999")
    monkeypatch.setenv("IFRKIT_MAX_EXPORT_GIB", "1")
    with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.png", "b.png"):
            archive.writestr(name, b"x")
            archive.getinfo(name).file_size = 600 << 20  # what the directory of the archive claims
    fault = r"e\.zip: its files claim 1 GiB together, more than 1; .* or set IFRKIT_MAX_EXPORT_GIB higher"
    with pytest.raises(DatasetError, match=fault):
        _ = LabelFiles(tmp_path / "e.zip").names


def test_an_entry_that_holds_more_than_it_claims(tmp_path: Path) -> None:
    """The size in the directory of the archive says 100 bytes, the content goes on for 64 MiB."""
    _zip(tmp_path, ("a.png", bytes(64 << 20)))
    data = bytearray((tmp_path / "e.zip").read_bytes())
    place = data.rindex(b"PK\x01\x02") + 24
    assert struct.unpack_from("<I", data, place) == (64 << 20,)
    struct.pack_into("<I", data, place, 100)
    (tmp_path / "e.zip").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"a\.png: cannot be read \(Bad CRC-32"):
        LabelFiles(tmp_path / "e.zip").read("a.png")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        ([("a.png", b"1"), ("a.png", b"2")], zipfile.ZIP_STORED, "the entry 'a.png' is in it twice"),
        ([("a.png", bytes(1 << 20))], zipfile.ZIP_BZIP2, "the entry 'a.png' is encrypted or not deflated"),
    ],
)
def test_entries_that_no_tool_writes(tmp_path: Path, entries: list, kind: int, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _ = _zip(tmp_path, *entries, kind=kind).names


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip at all"])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"e\.zip: cannot be read \(.*; export or copy it again"):
        _ = LabelFiles(tmp_path / "e.zip").names


def test_an_image_that_claims_gigapixels_is_not_decoded(refused: Refused) -> None:
    """Its header says 7000 x 7000, which is below what is refused for any image; its frame has 40 x 24."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 7_000, 7_000, 8, 0, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    for files in ({"street_000003.png": image}, {**_cvat("a:1,1,1::\n"), "SegmentationClass/street_000003.png": image}):
        assert "label is 7000x7000, its frame is 40x24" in refused(files)


def test_names_that_unfold_to_too_much(refused: Refused) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]" for i in range(12)]
    bomb = "\n".join([*lines, "names: [road]\n"])
    told = refused(
        {"data.yaml": bomb.encode(), "labels/street_000003.txt": b"0 0.1 0.1 0.2 0.1 0.2 0.2\n"}, None, "yolo"
    )
    assert "data.yaml" in told
    assert "unfold to too much" in told
