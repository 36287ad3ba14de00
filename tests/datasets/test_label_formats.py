"""Labels that come back from labeling tools: the same ids as were drawn, through `prepare folders`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import label_exports as exports
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_exports import BACKGROUND, CLASSES, SIZE
from matplotlib.path import Path as Outline

from data_prep.folders import Dataset
from ifrkit.core.errors import DatasetError
from ifrkit.core.plugins import names
from ifrkit.data.store.clips import ClipStore
from ifrkit.labels._rle import decode, encode

Cli = Callable[[str], subprocess.CompletedProcess[str]]
Files = Mapping[str, bytes]

SHAPES = [
    ("road", [(0.0, 12.0), (39.0, 9.5), (39.0, 23.0), (0.0, 23.0)]),
    ("car", [(6.2, 5.1), (20.9, 4.0), (25.5, 15.3), (9.7, 18.8)]),
    ("tree", [(18.0, 2.0), (34.5, 3.5), (30.0, 12.0)]),
]
"""Each over a part of the one before."""


def _open(root: Path, labels: Path | str, **options: object) -> Dataset:
    return Dataset(root, Dataset.Config.of({"clip_length": 4, "labels": str(labels), **options}))


def _read(dataset: Dataset) -> dict[str, np.ndarray]:
    """Flat names -> labels, in the classes of these tests."""
    names = dataset.label_space().names
    table = np.full(256, BACKGROUND, np.uint8)
    table[: len(names)] = [[*CLASSES, "background"].index(name) for name in names]
    return {name.replace("/", "_"): table[dataset.label(name)] for name in dataset.catalog.labels}


def _same(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _grey(ids: Mapping[str, np.ndarray]) -> Files:
    """Ids as the class table of these tests has them, 1 up."""
    return {f"{name}.png": exports.png(((own + 1) % 4).astype(np.uint8)) for name, own in ids.items()}


LOSSLESS: dict[str, Callable[[Mapping[str, np.ndarray]], Files]] = {
    "png": _grey,
    "cvat": exports.cvat,
    "cvat indexed": lambda ids: exports.cvat(ids, "indexed"),
    "cvat grey": lambda ids: exports.cvat(ids, "grey"),
    "label-studio": lambda ids: {"project-1.json": exports.label_studio(ids)},
    "labelme": lambda ids: {f"{n}.json": exports.labelme(n, exports.labelme_masks(own)) for n, own in ids.items()},
}


@pytest.mark.parametrize("place", ["labels", "labels.zip", "labels/export.zip"])
@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_bit_for_bit(tmp_path: Path, kind: str, place: str) -> None:
    exports.frames(tmp_path)
    ids = exports.labels()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    exports.packed(tmp_path / place, LOSSLESS[kind](ids))
    (tmp_path / "classes.yaml").write_text(exports.YAML)
    dataset = _open(tmp_path, place.partition("/")[0])
    assert _same(_read(dataset), ids)
    name = Path(place).name
    assert f"4 labels have a frame ({kind.split()[0]}: {name})" in dataset.summary()


@pytest.mark.parametrize("kind", [kind for kind in LOSSLESS if kind != "png"])
def test_labels_that_name_their_classes_need_no_table(tmp_path: Path, kind: str) -> None:
    exports.frames(tmp_path)
    ids = exports.labels()
    exports.packed(tmp_path / "labels", LOSSLESS[kind](ids))
    dataset = _open(tmp_path, "labels")
    assert set(dataset.label_space().names) == set(CLASSES)
    assert _same(_read(dataset), ids)
    if kind.startswith("cvat"):
        assert dict(zip(dataset.label_space().names, dataset.label_space().colors, strict=True)) == CLASSES


@pytest.mark.parametrize("kind", ["png", "cvat", "label-studio", "labelme"])
def test_prepare_stores_the_same_ids(tmp_path: Path, cli: Cli, kind: str) -> None:
    exports.frames(tmp_path / "project")
    ids = exports.labels()
    exports.packed(tmp_path / "back.zip", LOSSLESS[kind](ids))
    (tmp_path / "project" / "classes.yaml").write_text(exports.YAML)
    done = cli(f"ifrkit prepare folders --root project --labels back.zip --clip-length 4 --label-format {kind}")
    assert done.returncode == 0, done.stderr
    store = ClipStore(Path(done.stdout.strip()))
    assert store.labels.names == ("background", *CLASSES)
    found = {c.frames[c.annotated]: store.label(i, c.annotated) for i, c in enumerate(store.clips) if c.labeled}
    assert _same({n.replace("/", "_"): (label + 3) % 4 for n, label in found.items()}, ids)


def test_frames_and_labels_anywhere(tmp_path: Path, cli: Cli) -> None:
    exports.frames(tmp_path / "a")
    exports.packed(tmp_path / "b.zip", exports.cvat(exports.labels()))
    done = cli("ifrkit prepare folders --frames a/frames --labels b.zip --clip-length 4 --dry-run")
    assert done.returncode == 0, done.stderr
    assert "4 labels have a frame (cvat: b.zip)" in done.stdout
    assert "3 classes (taken from the labels: there is no classes.yaml): road, car, tree" in done.stdout


def _polygons(kind: str, shapes: list = SHAPES) -> Files:
    if kind == "cityscapes-polygons":
        return {"gtFine/street_000003_gtFine_polygons.json": exports.cityscapes(shapes)}
    if kind == "labelme":
        drawn = [exports.labelme_shape(label, points) for label, points in shapes]
        return {"street_000003.json": exports.labelme("street_000003", drawn)}
    percent = [(label, [(100 * x / SIZE[1], 100 * y / SIZE[0]) for x, y in points]) for label, points in shapes]
    drawn = [exports.region("polygonlabels", label, {"points": points, "closed": True}) for label, points in percent]
    return {
        "project.json": json.dumps(
            [exports.task("http://host:8080/data/upload/1/0011aabb-street_000003.png", drawn)]
        ).encode()
    }


@pytest.mark.parametrize("kind", ["cityscapes-polygons", "labelme", "label-studio"])
def test_polygons_but_for_the_pixels_of_their_outlines(tmp_path: Path, kind: str) -> None:
    exports.frames(tmp_path)
    exports.packed(tmp_path / "labels", _polygons(kind))
    (tmp_path / "classes.yaml").write_text(exports.YAML)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    centres = np.stack([x.ravel(), y.ravel()], 1)
    wanted, near = np.full(SIZE, BACKGROUND), np.zeros(SIZE, bool)
    for label, points in SHAPES:
        closed = np.array([*points, points[0]])
        wanted[Outline(closed).contains_points(centres).reshape(SIZE)] = list(CLASSES).index(label)
        dense = np.concatenate([np.linspace(a, b, 200) for a, b in pairwise(closed)])
        near |= (np.abs(centres[:, None] - dense[None]).max(2).min(1) < 1).reshape(SIZE)
    (found,) = _read(_open(tmp_path, "labels", label_format=kind)).values()
    assert np.array_equal(found[~near], wanted[~near])
    assert (~near).mean() > 0.6
    assert all((found == k).any() for k in range(4))


@pytest.mark.parametrize("kind", ["cityscapes-polygons", "labelme", "label-studio"])
def test_what_nobody_labeled_is_ignored_without_a_background_class(tmp_path: Path, kind: str) -> None:
    exports.frames(tmp_path)
    exports.packed(tmp_path / "labels", _polygons(kind))
    dataset = _open(tmp_path, "labels")
    assert dataset.label_space().names == ("car", "road", "tree")
    assert dataset.label("street/000003")[0, 0] == 255


def test_groups_and_deleted_objects_of_cityscapes(tmp_path: Path) -> None:
    exports.frames(tmp_path)
    whole = [(0.0, 0.0), (39.0, 0.0), (39.0, 23.0), (0.0, 23.0)]
    tree = json.loads(exports.cityscapes([("car", whole), ("cargroup", whole), ("road", whole)]))
    tree["objects"][2]["deleted"] = 1
    exports.packed(tmp_path / "labels", {"street_000003_gtCoarse_polygons.json": json.dumps(tree).encode()})
    dataset = _open(tmp_path, "labels")
    assert dataset.label_space().names == ("car",)
    assert (dataset.label("street/000003") == 0).all()


def test_frames_named_as_cityscapes_does(tmp_path: Path) -> None:
    exports.frames(tmp_path, ["ulm"], 4)
    for n, path in enumerate(sorted((tmp_path / "frames" / "ulm").iterdir())):
        path.rename(path.with_name(f"ulm_000000_{n:06}_leftImg8bit.png"))
    exports.packed(tmp_path / "labels", {"ulm/ulm_000000_000002_gtFine_polygons.json": exports.cityscapes(SHAPES)})
    assert list(_open(tmp_path, "labels").catalog.labels) == ["ulm/ulm_000000_000002_leftImg8bit"]


def test_special_names_of_labelme_and_ignored_names(tmp_path: Path) -> None:
    exports.frames(tmp_path)
    rectangles = [("road", 0, 39), ("_background_", 10, 19), ("__ignore__", 20, 29), ("ego vehicle", 30, 39)]
    shapes = [exports.labelme_shape(label, [[a, 0], [b, 23]], "rectangle") for label, a, b in rectangles]
    exports.packed(tmp_path / "labels", {"street_000003.json": exports.labelme("street_000003", shapes)})
    (tmp_path / "classes.yaml").write_text("classes: {background: [0, 0, 0], road: [1, 1, 1]}\nignore: [ego vehicle]\n")
    row = _open(tmp_path, "labels").label("street/000003")[5]
    assert [set(row[a:b].tolist()) for a, b in ((0, 10), (10, 20), (20, 30), (30, 40))] == [{1}, {0}, {255}, {255}]


def test_circles_of_labelme(tmp_path: Path) -> None:
    exports.frames(tmp_path)
    circle = exports.labelme_shape("car", [[20.0, 12.0], [20.0, 4.0]], "circle")
    exports.packed(tmp_path / "labels", {"street_000003.json": exports.labelme("street_000003", [circle])})
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(x - 20, y - 12)
    found = _open(tmp_path, "labels").label("street/000003") == 0
    assert found[distance < 7].all()
    assert not found[distance > 9.5].any()


def test_images_of_label_studio_by_any_address(tmp_path: Path) -> None:
    exports.frames(tmp_path, ["my street"])
    stroke = exports.strokes(np.zeros(SIZE, np.uint8))
    addresses = ["http://host:8080/data/local-files/?d=videos/my%20street/000002.png", "s3://bucket/my%20street/000004.jpg",
                 "http://host:8080/data/upload/9/deadbeef-my_street_000006.png"]  # fmt: skip
    tasks = [exports.task(address, stroke) for address in addresses]
    tasks += [exports.task("http://host:8080/data/upload/9/deadbeef-my_street_000007.png", None)]
    (tmp_path / "labels.json").write_text(json.dumps(tasks))
    dataset = _open(tmp_path, "labels.json")
    assert set(dataset.catalog.labels) == {f"my street/00000{n}" for n in (2, 4, 6)}
    assert "1 tasks of labels.json are not annotated" in dataset.summary()


def test_the_last_annotation_of_label_studio_that_was_not_skipped(tmp_path: Path) -> None:
    exports.frames(tmp_path)
    task = exports.task("street_000003.png", exports.strokes(np.zeros(SIZE, np.uint8)))
    task["annotations"] += [{"was_cancelled": False, "result": exports.strokes(np.ones(SIZE, np.uint8))}]
    task["annotations"] += [{"was_cancelled": True, "result": exports.strokes(np.full(SIZE, 2, np.uint8))}]
    (tmp_path / "labels.json").write_text(json.dumps([task]))
    dataset = _open(tmp_path, "labels.json")
    assert dataset.label_space().names == ("car",)
    assert (dataset.label("street/000003") == 0).all()


def test_several_exports_of_cvat_with_their_own_colours(tmp_path: Path) -> None:
    exports.frames(tmp_path)
    ids = exports.labels()
    (first, a), (second, b), *_ = ids.items()
    swapped = dict(zip(CLASSES, list(CLASSES.values())[::-1], strict=True))
    exports.packed(tmp_path / "labels" / "task 1", exports.cvat({first: a}))
    exports.packed(tmp_path / "labels" / "task 2", exports.cvat({second: b}, classes=swapped))
    assert _same(_read(_open(tmp_path, "labels")), {first: a, second: b})


@given(
    words=st.one_of(
        st.lists(st.integers(0, 255), max_size=300),
        st.lists(st.tuples(st.integers(0, 255), st.integers(1, 400)), max_size=12).map(
            lambda runs: [word for word, length in runs for _ in range(length)]
        ),
    ),
    sizes=st.lists(st.integers(1, 16), min_size=4, max_size=4),
    least=st.integers(1, 9),
)
@settings(deadline=None, max_examples=200)
def test_brush_code_gives_back_every_word(words: list[int], sizes: list[int], least: int) -> None:
    """Whatever sizes of lengths and least run an encoder takes; a stroke cut off is refused."""
    wanted = np.array(words, np.uint8)
    data = encode(wanted, sizes, least)
    assert np.array_equal(decode(data, len(wanted)), wanted)
    if words:
        with pytest.raises(ValueError, match="ends before its last pixel"):
            decode(data[:-1], len(wanted))
        with pytest.raises(ValueError, match="words of 8 bits, expected"):
            decode(data, len(wanted) + 1)


@given(data=st.binary(max_size=60), count=st.integers(0, 64))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_decoded_or_refused(data: bytes, count: int) -> None:
    header = count.to_bytes(4, "big") + b"\x38"  # 8 bits a word, so that most get past the header
    for stream in (data, header + data):
        try:
            assert decode(stream, count).shape == (count,)
        except ValueError:
            continue


def test_formats_are_found_by_their_files() -> None:
    assert {"cityscapes-polygons", "cvat", "label-studio", "labelme", "png"} <= set(names("labels"))


def test_a_format_may_be_said_where_several_fit(tmp_path: Path) -> None:
    exports.frames(tmp_path)
    exports.packed(tmp_path / "labels", {**_polygons("labelme"), **_polygons("label-studio")})
    with pytest.raises(DatasetError, match=r"may be label-studio or labelme; say which with --label-format"):
        _open(tmp_path, "labels").clips()
    assert list(_open(tmp_path, "labels", label_format="labelme").catalog.labels) == ["street/000003"]
