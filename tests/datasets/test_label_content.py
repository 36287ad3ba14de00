"""What is in an export decides: shapes without an area, the format of a file, labels among frames, limits."""

from __future__ import annotations

import json
import re
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import label_exports as exports
import numpy as np
import pytest
from label_exports import SIZE

from data_prep._toys import save
from data_prep.folders import Dataset
from ifrkit.artifacts.job import Silent
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import IGNORE
from ifrkit.init.footage import Footage
from ifrkit.labels._unread import TABLE
from ifrkit.labels.base import LabelFiles, open_labels
from ifrkit.media.images import read_rgb
from ifrkit.media.label_image import read_label_image

WHOLE = [[0, 0], [39, 0], [39, 23], [0, 23]]
HALF = [[0, 0], [39, 0], [39, 10], [0, 10]]
Open = Callable[..., Dataset]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Files of an export and a class table -> the dataset."""

    def run(files: dict[str, bytes], table: str | None = None, **options: object) -> Dataset:
        exports.frames(tmp_path)
        exports.packed(tmp_path / "labels", files)
        if table:
            (tmp_path / "classes.yaml").write_text(table)
        return Dataset(tmp_path, Dataset.Config.of({"clip_length": 4, "val_fraction": 0, **options}))

    return run


def _studio(*results: dict) -> dict[str, bytes]:
    return {"a.json": json.dumps([exports.task("street_000003.png", list(results))]).encode()}


def _labelme(*shapes: dict) -> dict[str, bytes]:
    return {"street_000003.json": exports.labelme("street_000003", list(shapes))}


def _coco(annotations: list[dict], **more: object) -> dict[str, bytes]:
    image = {"id": 1, "file_name": "street_000003.png", "height": SIZE[0], "width": SIZE[1]}
    tree = {"images": [image], "categories": [{"id": 1, "name": "road"}], "annotations": annotations, **more}
    return {"a.json": json.dumps(tree).encode()}


def _datumaro(*annotations: dict) -> dict[str, bytes]:
    item = {"id": "street_000003", "annotations": annotations, "image": {"path": "street_000003.png", "size": SIZE}}
    labels = [{"name": "road"}]
    return {"a.json": json.dumps({"categories": {"label": {"labels": labels}}, "items": [item]}).encode()}


def _yolo(*lines: str) -> dict[str, bytes]:
    return {"data.yaml": b"names: [road]", "labels/street_000003.txt": "\n".join(lines).encode()}


ROAD_DATUMARO = {"type": "polygon", "label_id": 0, "points": [0, 0, 40, 0, 40, 24, 0, 24]}
ROAD_COCO = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 40, 0, 40, 24, 0, 24]]}
PERCENT = {"points": [[0, 0], [100, 0], [100, 100], [0, 100]]}
ROAD = exports.labelme_shape("road", WHOLE)
REGION = exports.region("polygonlabels", "road", PERCENT)
STRAYS = {
    "a point": _labelme(ROAD, exports.labelme_shape("car", [[3, 4]], "point")),
    "a line": _labelme(ROAD, exports.labelme_shape("car", [[3, 4], [5, 6]], "line")),
    "a linestrip": _labelme(exports.labelme_shape("car", [[3, 4], [5, 6], [7, 8]], "linestrip"), ROAD),
    "a polygon of 2 points": _labelme(ROAD, exports.labelme_shape("car", [[3, 4], [5, 6]])),
    "a rectangle of one point": _labelme(ROAD, exports.labelme_shape("car", [[3, 4]], "rectangle")),
    "a point of Label Studio": _studio(REGION, exports.region("keypointlabels", "car", {"x": 1, "y": 2, "width": 1})),
    "a polygon of 1 points": _studio(exports.region("polygonlabels", "car", {"points": [[1, 1]]}), REGION),
    "a rectangle of 0 points": _labelme(ROAD, exports.labelme_shape("car", [], "rectangle")),
    "a circle of 3 points": _labelme(ROAD, exports.labelme_shape("car", [[3, 4], [5, 6], [7, 8]], "circle")),
    "a polygon of 2 points of COCO": _coco([ROAD_COCO, {**ROAD_COCO, "segmentation": [[3, 4, 5, 6]]}]),
    "a box of COCO": _coco([ROAD_COCO, {"image_id": 1, "category_id": 1, "segmentation": [], "bbox": [3, 4, 5, 6]}]),
    "an annotation without an outline of COCO": _coco([ROAD_COCO, {**ROAD_COCO, "segmentation": None}]),
    "a box of Datumaro": _datumaro(ROAD_DATUMARO, {"type": "bbox", "label_id": 0, "bbox": [3, 4, 5, 6]}),
    "a line of Datumaro": _datumaro({"type": "polyline", "label_id": 0, "points": [3, 4, 5, 6]}, ROAD_DATUMARO),
    "a polygon of 2 points of Datumaro": _datumaro(
        {"type": "polygon", "label_id": 0, "points": [3, 4, 5, 6]}, ROAD_DATUMARO
    ),
    "a box of YOLO": _yolo("0 0 0 1 0 1 1 0 1", "0 0.5 0.5 0.1 0.1"),
    "a polygon of 0 points": {
        "street_000003_gtFine_polygons.json": exports.cityscapes([("road", WHOLE), ("car", [])]),
    },
}


@pytest.mark.parametrize("kind", STRAYS)
@pytest.mark.parametrize("table", [None, "classes: {road: }\n"])
def test_one_stray_shape_does_not_block_the_others(opened: Open, kind: str, table: str | None) -> None:
    """It is counted and named; its class need not be in the table."""
    dataset = opened(STRAYS[kind], table)
    assert (dataset.label("street/000003")[1:-1, 1:-1] == 0).all()
    assert dataset.label_space().names == ("road",)
    (note,) = (line for line in dataset.summary() if "without an area" in line)
    what = re.sub(" of (COCO|Datumaro|YOLO|Label Studio)$", "", kind)
    name = "road" if kind.endswith(("COCO", "Datumaro", "YOLO")) else "car"  # all that they list are classes
    assert note.startswith(f"1 shapes without an area left out: {what} of class {name!r} in ")


@pytest.mark.parametrize("kind", ["COCO", "Datumaro", "YOLO"])
def test_what_nobody_drew_inside_a_box_is_not_background(opened: Open, kind: str) -> None:
    """An object is there, and nobody says which pixels; what is drawn there counts."""
    half = [0, 0, 40, 0, 40, 8, 0, 8]
    files = {
        "COCO": _coco(
            [{**ROAD_COCO, "segmentation": [half]}, {"image_id": 1, "category_id": 1, "bbox": [3, 4, 5.5, 9]}]
        ),
        "Datumaro": _datumaro(
            {**ROAD_DATUMARO, "points": half}, {"type": "bbox", "label_id": 0, "bbox": [3, 4, 5.5, 9]}
        ),
        "YOLO": _yolo(f"0 0 0 1 0 1 {8 / 24} 0 {8 / 24}", f"0 {5.75 / 40} {8.5 / 24} {5.5 / 40} {9 / 24}"),
    }
    ids = opened(files[kind], "classes: {background: , road: }\n").label("street/000003")
    assert (ids[:8, 1:-1] == 1).all()
    assert (ids[9:13, 3:9] == IGNORE).all()
    assert (ids[13:] == 0).all()
    assert (ids[9:, 9:] == 0).all()
    assert (ids[9:, :3] == 0).all()


@pytest.mark.parametrize("kind", ["COCO", "Datumaro", "YOLO", "LabelMe"])
def test_strays_alone_are_refused(opened: Open, kind: str) -> None:
    """Also with a class that is background: what they mean would be learned as that."""
    boxes = {
        "COCO": _coco([{"image_id": 1, "category_id": 1, "bbox": [3, 4, 5, 6]}]),
        "Datumaro": _datumaro({"type": "bbox", "label_id": 0, "bbox": [3, 4, 5, 6]}),
        "YOLO": _yolo("0 0.5 0.5 0.1 0.1"),
        "LabelMe": _labelme(exports.labelme_shape("road", [[3, 4]], "point")),
    }
    dataset = opened(boxes[kind], "classes: {background: , road: }\n")
    what = "a point" if kind == "LabelMe" else "a box"
    with pytest.raises(DatasetError, match=f"none of its 1 shapes has an area: {what} of class 'road' in ") as error:
        dataset.summary()
    assert "boxes, lines and points do not say which pixels" in (error.value.remedy or "")


def test_labels_of_yolo_that_begin_with_something_else(opened: Open) -> None:
    files = _yolo("0 0 0 1 0 1 1 0 1") | {
        "labels/street_000006.txt": b"road 0 0 1 0 1 1\n",
        "labels/classes.txt": b"road",
    }
    text = "1 text files left out, their first line is not a class and numbers: labels/street_000006.txt"
    assert text in opened(files).summary()


UNCLEAR = {
    "no class": _labelme(exports.labelme_shape("", WHOLE), exports.labelme_shape("road", HALF)),
    "no class, null": _labelme(
        {**exports.labelme_shape("x", WHOLE), "label": None}, exports.labelme_shape("road", HALF)
    ),
    "no class of Label Studio": _studio(
        {**REGION, "value": {**PERCENT, "polygonlabels": []}},
        exports.region("polygonlabels", "road", {"points": [[0, 0], [100, 0], [100, 45], [0, 45]]}),
    ),
    "the classes car, tree": _studio(
        {**REGION, "value": {**PERCENT, "polygonlabels": ["car", "tree"]}},
        exports.region("polygonlabels", "road", {"points": [[0, 0], [100, 0], [100, 45], [0, 45]]}),
    ),
}


@pytest.mark.parametrize("kind", UNCLEAR)
@pytest.mark.parametrize("table", [None, "classes: {road: , background: }\n"])
def test_what_is_under_a_shape_of_no_class_is_ignored(opened: Open, kind: str, table: str | None) -> None:
    """It is neither a class called 'None' nor background, and it does not block the others."""
    dataset = opened(UNCLEAR[kind], table)
    label = dataset.label("street/000003")
    assert (label[1:10, 1:-1] == 0).all()
    assert (label[14:-1, 1:-1] == 255).all()
    assert dataset.label_space().names == (("road", "background") if table else ("road",))
    what = kind.partition(", null")[0].removesuffix(" of Label Studio")
    (note,) = (line for line in dataset.summary() if "what is under them is ignored" in line)
    assert f"1 shapes have no class, or several: what is under them is ignored: one of {what} in " in note


def test_one_spelling_of_a_class(opened: Open) -> None:
    """Tools write one letter by two codes, people blanks that nobody sees; these are one class."""
    shapes = [exports.labelme_shape(name, WHOLE) for name in ("\u00fcber ", "u\u0308ber", "road")]
    assert opened(_labelme(*shapes)).label_space().names == ("road", "\u00fcber")
    dataset = opened(_labelme(*shapes), "classes: {road: , 'u\u0308ber': }\n")
    assert (dataset.label("street/000003") == 0).all()
    with pytest.raises(DatasetError, match="is given twice, with other blanks"):
        _ = opened(_labelme(*shapes), "classes: {road: , 'road ': }\n").table


def test_classes_that_differ_in_case_alone(opened: Open) -> None:
    files = _labelme(exports.labelme_shape("Road", WHOLE), ROAD)
    with pytest.raises(DatasetError, match="have the classes 'Road' and 'road'; write both alike, or"):
        _ = opened(files).table
    assert opened(files, "classes: {Road: , road: }\n").label_space().names == ("Road", "road")


def test_one_class_alone_is_said(opened: Open) -> None:
    def said(dataset: Dataset) -> bool:
        return any("there is one class alone, 'road'" in line for line in dataset.summary())

    assert said(opened(_labelme(ROAD)))
    assert not said(opened(_labelme(ROAD), "classes: {background: , road: }\n"))


def test_without_labels_nothing_is_said_of_classes(tmp_path: Path) -> None:
    exports.frames(tmp_path)
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=4))
    assert "no classes: there is no classes.yaml, and no label" in dataset.summary()


def test_rectangles_of_four_corners(opened: Open) -> None:
    """Siblings of LabelMe write them so."""
    corners = [[10, 5], [29, 5], [29, 14], [10, 14]]
    label = opened(_labelme(exports.labelme_shape("road", corners, "rectangle"))).label("street/000003")
    assert (label[5:15, 10:30] == 0).all()
    assert (label == 0).sum() == 200


def test_rectangles_of_label_studio_turn_about_their_corner(opened: Open) -> None:
    box = {"x": 50, "y": 25, "width": 25, "height": 50, "rotation": 90}
    label = opened(_studio(exports.region("rectanglelabels", "road", box))).label("street/000003")
    assert (label[7:15, 9:20] == 0).all()
    assert (label == 0).sum() == 13 * 11  # 10 wide and 12 high, turned, with its border


def test_ellipses_of_label_studio(opened: Open) -> None:
    place = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 25, "rotation": 0}
    label = opened(_studio(exports.region("ellipselabels", "road", place))).label("street/000003")
    assert label[12, 20] == 0
    assert label[7, 11] == 255
    assert abs(int((label == 0).sum()) - np.pi * 10 * 6) < 30


WRONG = {
    "two categories of one id": (_coco([ROAD_COCO], categories=[{"id": 1, "name": n} for n in "ab"]),
        "two categories have the id 1: 'a' and 'b'"),
    "a category without a name": (_coco([ROAD_COCO], categories=[{"id": 1, "name": None}]), "category 1 has no name"),
    "an unknown category": (_coco([{**ROAD_COCO, "category_id": 9}]), "category 9, which is not among its categories"),
    "no image of any annotation": (_coco([{**ROAD_COCO, "image_id": 9}]), "of all 1 annotations the image is"),
    "pixels instead of shares": ({"labels/street_000003.txt": b"0 0 0 40 0 40 24 0 24\n"}, "not pixels"),
    "a confidence at the end": ({"labels/street_000003.txt": b"0 0 0 1 0 1 1 0.9\n"}, "an odd number of values"),
    "a class that nothing names": ({"labels/street_000003.txt": b"99999999 0 0 1 0 1 1\n"}, "has a class 99999999"),
    "half a character": (_labelme(exports.labelme_shape("ro\ud800ad", WHOLE)), "half a character"),
    "deep": ({"street_000003.json": b'{"shapes":' + b"[" * 10**5 + b"]" * 10**5 + b',"imagePath":"x"}'}, "too deeply"),
    "many digits": ({"street_000003.json": b'{"shapes": [' + b"9" * 5000 + b'], "imagePath": ""}'}, "of digits"),
    "JPEG": ({"street_000003.jpg": b"\xff\xd8"}, "images that are not PNG, .*first: street_000003.jpg.*labels as PNG"),
    "not UTF-8": ({"a.json": '{"shapes": [], "label": "\u9053\u8def"}'.encode("gbk")}, "cannot be read as text"),
    "drafts": ({"a.json": b'[{"id": 1, "annotations": [], "data": {"image": "a.png"}}]'}, "no task is annotated"),
    "no object": (_labelme({"label": "a", "points": None}), "a list, a text or a number of it is something"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_in_plain_words(opened: Open, kind: str) -> None:
    files, message = WRONG[kind]
    with pytest.raises(DatasetError, match=message) as error:
        opened(files).summary()
    assert error.value.remedy
    assert "\n" not in str(error.value)


def test_annotations_of_images_that_are_not_there(opened: Open) -> None:
    """Ids may be numbers or text; what has no image is counted."""
    image = {"id": "1", "file_name": "street_000003.png", "height": SIZE[0], "width": SIZE[1]}
    dataset = opened(_coco([ROAD_COCO, {**ROAD_COCO, "image_id": 7}], images=[image]))
    assert (dataset.label("street/000003")[1:-1, 1:-1] == 0).all()
    assert "1 annotations of a.json left out, their image is not in it" in dataset.summary()


def test_images_among_drawn_labels_are_named(opened: Open) -> None:
    """A PNG may be a label; one beside its JSON is the picture that was labeled."""
    files = _labelme(ROAD) | {"street_000003.png": b"", "street_000006.png": b""}
    text = "\n".join(opened(files).summary())
    assert "1 PNG left out, the labels are labelme: street_000006.png" in text


def test_a_label_of_strays_alone_is_left_out(opened: Open) -> None:
    points = [exports.labelme_shape("car", [[n, n]], "point") for n in range(5)]
    files = _labelme(*points) | {"park_000003.json": exports.labelme("park_000003", [ROAD])}
    dataset = opened(files)
    assert list(dataset.catalog.labels) == ["park/000003"]
    text = "\n".join(dataset.summary())
    assert "5 shapes without an area left out: " in text
    assert ", and 2 more" in text
    assert "1 labels left out, nothing is labeled in them: street/000003" in text


LATE = {"imageData": "A" * 200_000, "imageHeight": SIZE[0], "imagePath": "street_000003.png", "imageWidth": SIZE[1]}
CONTENT = {
    "labelme": {"street_000003.json": json.dumps({"flags": {}, **LATE, "shapes": [ROAD], "version": "5"}).encode()},
    "label-studio": {
        "street_polygons.json": json.dumps(
            [{"id": 1, "meta": "x" * 100_000, **exports.task("street_000003.png", [REGION])}]
        ).encode()
    },
    "cityscapes-polygons": {"street_000003.json": exports.cityscapes([("road", WHOLE)])},
}


@pytest.mark.parametrize("kind", CONTENT)
@pytest.mark.parametrize("named", [False, True])
def test_content_decides_the_format(opened: Open, kind: str, named: bool) -> None:
    """However long the values are that come before the telling keys, and whatever the file is called."""
    dataset = opened(CONTENT[kind], label_format=kind if named else "auto")
    assert dataset.export.format == kind
    assert (dataset.label("street/000003")[1:-1, 1:-1] == 0).all()


def test_keys_inside_values_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"a": {"shapes": 1}, "b": "\\"imagePath\\": {", "c": [[1], {"imgHeight": 2}], "d": 1}'
    )
    assert LabelFiles(tmp_path).keys("a.json") == {"a", "b", "c", "d"}


UNREAD = {
    "CVAT's XML (CVAT for images": ("annotations.xml", b"<?xml?><annotations><meta><task><id>1</id></task></meta>"),
    "CVAT's XML": ("annotations.xml", b'<?xml?><annotations><image id="0" name="a.png">'),
    "Pascal VOC's XML, which holds boxes": ("a.xml", b"<annotation><size/><object><bndbox/></object></annotation>"),
    "Mapillary's polygons": ("a.json", b'{"properties": {}, "width": 4, "height": 3, "objects": [{"polygon": []}]}'),
    "Supervisely's JSON": ("a.json", b'{"description": "", "size": {"height": 3}, "objects": []}'),
    "a project of the VGG Image Annotator": ("via.json", b'{"_via_settings": {}, "_via_img_metadata": {}}'),
    "YOLO's text with commas between the numbers (line 1)": ("labels/a.txt", b"0,0.5, 0.25,0.75 0.5;1e-1,-0,1\n"),
    "Labelbox's JSON": ("a.ndjson", b'{"data_row": {"id": "x"}, "projects": {}}'),
    "Label Studio's JSON-MIN": ("a.json", b'[{"image": "a.png", "id": 1, "label": [], "annotator": 1}]'),
    "Label Studio's CSV": ("a.csv", b"image,id,label,annotator,annotation_id\n"),
}


@pytest.mark.parametrize("title", UNREAD)
def test_exports_that_are_not_read_are_named(tmp_path: Path, title: str) -> None:
    name, data = UNREAD[title]
    exports.packed(tmp_path, {name: data})
    with pytest.raises(DatasetError, match=r"this is .*, which is not read") as error:
        open_labels(tmp_path, "auto")
    assert f"{name}: this is {title}" in str(error.value)
    assert error.value.remedy in {entry.advice for entry in TABLE}


def test_label_maps_without_colours(opened: Open) -> None:
    ids = exports.labels(1)
    (name, own), *_ = ids.items()
    bare = b"background:::\nroad:::\ncar:::\ntree\n"
    files = exports.cvat(ids, "grey") | {"labelmap.txt": bare}
    dataset = opened(files)
    assert dataset.label_space().names == ("road", "car", "tree")
    assert np.array_equal(dataset.label(name.replace("_", "/")), np.where(own == 3, 255, own))
    for path in (dataset.root / "labels").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(DatasetError, match=r"labelmap.txt has no colours: write them into it, as in road:128,64,128::"):
        opened(exports.cvat(ids) | {"labelmap.txt": bare}).clips()


def test_names_that_say_that_they_are_no_class(opened: Open) -> None:
    files = {"street_000003_gtFine_polygons.json": exports.cityscapes(
        [("road", WHOLE), ("ego vehicle", WHOLE[:3]), ("out of roi", WHOLE[1:])]
    )}  # fmt: skip
    fault = (
        r"labels have the classes 'ego vehicle', 'out of roi', whose names say that they are none, and there is no "
        r"classes\.yaml; write it, to train without them: `classes: \{(.*)\}` and `ignore: \[(.*)\]`$"
    )
    with pytest.raises(DatasetError, match=fault) as error:
        opened(files).clips()
    remedy = error.value.remedy
    table = remedy.split("`")[1] + "\n" + remedy.split("`")[3] + "\n"  # what it says can be pasted
    dataset = opened(files, table)
    assert dataset.label_space().names == ("road",)
    assert set(np.unique(dataset.label("street/000003"))) == {0, 255}


def _beside(root: Path, frames: str, masks: str, suffix: str = "jpg") -> np.ndarray:
    ids = np.zeros(SIZE, np.uint8)
    ids[5:] = 7
    for video in ("v1", "v2"):
        for n in range(6):
            save(root / video / frames / f"{n:08}.{suffix}", np.full((*SIZE, 3), 20 * n, np.uint8))
            save(root / video / masks / f"{n:08}.png", ids)
    return ids


@pytest.mark.parametrize(("frames", "masks"), [("origin", "mask"), ("images", "labels"), ("JPEGImages", "Annotations")])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("named", [False, True])
def test_labels_beside_their_frames(tmp_path: Path, frames: str, masks: str, suffix: str, named: bool) -> None:
    ids = _beside(tmp_path / "data", frames, masks, suffix)
    options = {"frames": "data", **({"labels": "data"} if named else {})}
    dataset = Dataset(tmp_path, Dataset.Config.of({"clip_length": 4, **options}))
    assert {clip.video for clip in dataset.clips()} == {f"v1/{frames}", f"v2/{frames}"}
    assert len(dataset.catalog.labels) == len(dataset.sources) == 12
    assert np.array_equal(dataset.label(f"v2/{frames}/00000003"), ids // 7)
    assert dataset.frame(f"v2/{frames}/00000003").max() == 60
    assert any(f"as v1/{masks} and v1/{frames}" in line for line in dataset.summary())
    assert set(Footage(tmp_path / "data", tmp_path / "none", Silent()).videos) == {f"v1/{frames}", f"v2/{frames}"}


@pytest.mark.parametrize("labels", ["frames", "link"])
def test_a_file_as_frame_and_as_label(tmp_path: Path, labels: str) -> None:
    exports.frames(tmp_path)
    (tmp_path / "link").symlink_to("frames")
    with pytest.raises(DatasetError, match=r"\.png: taken as a frame and as a label \(\d+ such files\); name the dir"):
        Dataset(tmp_path, Dataset.Config(clip_length=4, labels=labels)).clips()


def _one_bit(side: int) -> bytes:
    """A black picture of one bit a pixel, as small as a file can be."""
    row = b"\0" + bytes((side + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    parts = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts
    )


def test_a_small_file_of_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_one_bit(14_000))
    assert path.stat().st_size < 30_000
    tracemalloc.start()
    for read in (read_rgb, read_label_image):
        with pytest.raises(DatasetError, match=r"a\.png: more than 64 megapixels; .*set IFRKIT_MAX_MEGAPIXELS higher"):
            read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    path.write_bytes(_one_bit(1200))
    monkeypatch.setenv("IFRKIT_MAX_MEGAPIXELS", "1")
    with pytest.raises(DatasetError, match=r"a\.png: more than 1 megapixels"):
        read_rgb(path)
    monkeypatch.setenv("IFRKIT_MAX_MEGAPIXELS", "2")
    assert read_rgb(path).shape == (1200, 1200, 3)


def test_a_polygon_of_very_many_points(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = [[20 + 10 * (k % 2), 12 + k % 7] for k in range(300_000)]
    files = _labelme(exports.labelme_shape("road", ring))
    begun = time.process_time()
    with pytest.raises(
        DatasetError, match="a polygon of 300000 points, more than 250000; set IFRKIT_MAX_POINTS higher"
    ):
        opened(files).clips()
    assert time.process_time() - begun < 20
    many = _labelme(*[exports.labelme_shape("road", WHOLE)] * 5)
    monkeypatch.setenv("IFRKIT_MAX_POINTS", "19")
    with pytest.raises(DatasetError, match="polygons of more than 19 points; set IFRKIT_MAX_POINTS higher"):
        opened(many).clips()
    monkeypatch.setenv("IFRKIT_MAX_POINTS", "20")
    assert (opened(many).label("street/000003")[1:-1, 1:-1] == 0).all()


def test_outlines_that_go_far_are_bounded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 points may claim a way of a billion pixels, of which each is a step."""
    far = [float(x) for n in range(400) for x in (9e5 if n % 2 else -9e5, n % 24)]
    began = time.perf_counter()
    with pytest.raises(
        DatasetError, match="an outline of 719999920 pixels, longer than 8000000; set IFRKIT_MAX_POINTS"
    ):
        opened(_coco([{**ROAD_COCO, "segmentation": [far]}])).summary()
    assert time.perf_counter() - began < 10
    monkeypatch.setattr("ifrkit.labels._coco_mask._STRETCH", 7)
    assert (opened(_coco([ROAD_COCO])).label("street/000003") == 0).all()


def test_masks_of_many_shapes_are_painted_one_at_a_time(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask takes as much as the frame."""
    dataset = opened(_coco([ROAD_COCO] * 300))
    dataset.catalog  # noqa: B018
    tracemalloc.start()
    label = dataset.label("street/000003")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (label == 0).all()
    assert peak < 150 * label.size
    monkeypatch.setenv("IFRKIT_MAX_SHAPES", "299")
    with pytest.raises(DatasetError, match="more than 299 shapes; set IFRKIT_MAX_SHAPES higher"):
        dataset.label("street/000003")


def test_a_file_that_is_too_long(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFRKIT_MAX_FILE_MIB", "1")
    files = _labelme(exports.labelme_shape("road", WHOLE))
    files["street_000003.json"] += b" " * (3 << 20)
    with pytest.raises(
        DatasetError, match=r"\.json claims 3 MiB; no label needs more .* set IFRKIT_MAX_FILE_MIB higher"
    ):
        opened(files, label_format="labelme").clips()


def test_the_run_says_what_it_leaves_out_of_labels(opened: Open) -> None:
    said: list[str] = []

    class Listening(Silent):
        def warn(self, message: str) -> None:
            said.append(message)

    opened(STRAYS["a point"]).tell(Listening())
    assert any(line.startswith("1 shapes without an area left out: a point of class 'car'") for line in said)
