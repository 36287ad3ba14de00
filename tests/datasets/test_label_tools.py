"""What is written is read by the tools' own programs. pycocotools comes with the other test tools; the rest is heavy:

pip install datumaro labelme label-studio-sdk && python -m pytest tests/datasets/test_label_tools.py
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_exports import whole
from PIL import Image

from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.labels._coco_mask import counts_of, counts_of_text, polygon_mask, text_of
from ifrkit.labels.base import writer_of

LABELS = LabelSpace(names=("background", "road", "car"), colors=((0, 0, 0), (128, 64, 128), (0, 0, 142)))
SIZE = (17, 23)
INSTALLED = pytest.mark.filterwarnings("default")  # their own warnings are not ours


def written(place: Path, name: str) -> dict[str, Label]:
    """Two labels as this format, noise and blocks, both with open places."""
    rng = np.random.default_rng(3)
    ids = np.array([0, 1, 2, IGNORE], np.uint8)
    noise, blocks = ids[rng.integers(0, 4, SIZE)], ids[rng.integers(0, 4, (5, 6))].repeat(4, 0).repeat(4, 1)
    made = {"street_000003": noise, "street_000006": np.ascontiguousarray(blocks[: SIZE[0], : SIZE[1]])}
    with writer_of(name)(place, LABELS) as writer:
        for frame, ids_hw in made.items():
            writer.write(f"{frame}.png", ids_hw)
            Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(place / f"{frame}.png")
    return made


def mask_of_class(ids_hw: Label, name: str) -> Any:
    """Where a label has a class, or `__ignore__`."""
    return ids_hw == (IGNORE if name == "__ignore__" else LABELS.names.index(name))


@INSTALLED
def test_pycocotools_reads_coco(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    made = written(tmp_path, "coco")
    tool = coco.COCO(str(tmp_path / "annotations/instances_default.json"))
    names = {c["id"]: c["name"] for c in tool.loadCats(tool.getCatIds())}
    seen = 0
    for image in tool.loadImgs(tool.getImgIds()):
        own = made[image["file_name"].removesuffix(".png")]
        for annotation in tool.loadAnns(tool.getAnnIds(imgIds=image["id"])):
            mask = tool.annToMask(annotation).astype(bool)
            assert np.array_equal(mask, mask_of_class(own, names[annotation["category_id"]]))
            x, y, width, height = annotation["bbox"]
            assert annotation["area"] == mask.sum() == mask[y : y + height, x : x + width].sum()
            seen += 1
    assert seen == 6


@INSTALLED
def test_pycocotools_makes_the_same_masks() -> None:
    tool = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for number in range(200):
        height, width = (int(n) for n in rng.integers(1, 60, 2))
        mask = rng.random((height, width)) < rng.random() ** 2
        text = tool.encode(np.asfortranarray(mask.view(np.uint8)))["counts"].decode()
        assert text_of(counts_of(mask)) == text
        assert np.array_equal(counts_of_text(text), counts_of(mask))
        points = (rng.random((int(rng.integers(3, 9)), 2)) * 1.4 - 0.2) * (width, height)
        points = points.round() if number % 2 else points
        theirs = tool.decode(tool.frPyObjects([points.ravel().tolist()], height, width))[..., 0]
        ours = whole(polygon_mask([(x, y) for x, y in points], (height, width)), (height, width))
        assert np.array_equal(ours, theirs.astype(bool))


@INSTALLED
@pytest.mark.parametrize(
    ("name", "theirs", "images"),
    [("coco", "coco_instances", "images/default"), ("cvat", "voc_segmentation", "JPEGImages")],
)
def test_datumaro_reads(tmp_path: Path, name: str, theirs: str, images: str) -> None:
    """CVAT reads its masks by Datumaro: Segmentation mask 1.1 is Pascal VOC's. Datumaro alone wants the images, too."""
    dm = pytest.importorskip("datumaro")
    where = tmp_path / "in"
    made = written(where, name)
    (where / images).mkdir(parents=True)
    for image in where.glob("*.png"):
        image.rename(where / images / image.name)
    dataset = dm.Dataset.import_from(str(where), theirs)
    names = [label.name for label in dataset.categories()[dm.AnnotationType.label]]
    found = 0
    for item in dataset:
        own = made[item.id]
        for annotation in item.annotations:
            if annotation.type == dm.AnnotationType.mask and names[annotation.label] != "background":
                assert np.array_equal(annotation.image.astype(bool), mask_of_class(own, names[annotation.label]))
                found += 1
    assert found == 6


@INSTALLED
def test_labelme_reads(tmp_path: Path) -> None:
    module = pytest.importorskip("labelme._label_file", exc_type=ImportError)
    made = written(tmp_path, "labelme")
    for frame, ids_hw in made.items():
        file = module.LabelFile(str(tmp_path / f"{frame}.json"))
        seen = np.zeros(SIZE, np.uint8)
        for shape in file.shapes:
            (left, top), (right, bottom) = np.array(shape["points"]).astype(int)
            inside = np.asarray(shape["mask"]).astype(bool)
            assert shape["shape_type"] == "mask"
            index = IGNORE if shape["label"] == "__ignore__" else LABELS.names.index(shape["label"])
            seen[top : bottom + 1, left : right + 1][inside] = index
        assert np.array_equal(seen, ids_hw)


@INSTALLED
def test_label_studio_reads(tmp_path: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", exc_type=ImportError)
    interface = importlib.import_module("label_studio_sdk.label_interface").LabelInterface
    made = written(tmp_path, "label-studio")
    config = interface((tmp_path / "label_config.xml").read_text())
    for task in json.loads((tmp_path / "tasks.json").read_text()):
        (prediction,) = task["predictions"]
        assert config.validate_prediction(prediction)
        own = made[task["data"]["image"].removesuffix(".png")]
        names = []
        for result in prediction["result"]:
            value = result["value"]
            rgba = brush.decode_rle(value["rle"]).reshape(*SIZE, 4)
            names += value["brushlabels"]
            assert np.array_equal(rgba[..., 3] == 255, mask_of_class(own, value["brushlabels"][0]))
        assert set(names) == {"road", "car", "__ignore__"}
