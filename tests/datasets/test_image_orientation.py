"""Images that EXIF or XMP turns: frames, labels, polygons and predictions lie as every viewer shows them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from label_exports import SIZE, labelme, labelme_shape, png, region, task
from PIL import Image, ImageOps

from data_prep.folders import Dataset
from ifrkit.artifacts.job import Silent
from ifrkit.init.footage import Footage
from ifrkit.init.project import Chooser, Project
from ifrkit.media.images import image_size, read_raw_label, read_rgb
from ifrkit.predict.sources import read, survey

SHOWN = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
"""The picture as viewers show it."""
STORE = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}  # fmt: skip
"""How the pixels of a picture are stored that has to be turned by this number of EXIF."""
LOSSLESS = {"png": {}, "tiff": {}, "webp": {"lossless": True, "exact": True}}


def turned(pixels: np.ndarray, how: int, kind: str = "png") -> bytes:
    """The file of a picture that viewers show as `pixels`, and that is stored otherwise."""
    exif, data = Image.Exif(), io.BytesIO()
    exif[0x0112] = how
    Image.fromarray(np.ascontiguousarray(STORE[how](pixels))).save(data, kind, exif=exif, **LOSSLESS[kind])
    return data.getvalue()


@pytest.mark.parametrize("how", range(1, 9))
@pytest.mark.parametrize("kind", LOSSLESS)
def test_images_are_read_as_they_are_shown(tmp_path: Path, kind: str, how: int) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(turned(SHOWN, how, kind))
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(image).convert("RGB")), SHOWN)  # as others read it
    assert image_size(path) == SIZE
    assert np.array_equal(read_rgb(path), SHOWN)
    assert np.array_equal(read_raw_label(path, size=SIZE), SHOWN)
    ids = SHOWN[..., 0]
    path.write_bytes(turned(ids, how, kind))
    assert np.array_equal(read_raw_label(path)[..., 0] if kind == "webp" else read_raw_label(path), ids)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_chunk(plain: bytes, chunk: bytes, before: bytes) -> bytes:
    place = plain.index(before) - 4
    return plain[:place] + chunk + plain[place:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("how", [3, 6])
def test_a_png_may_say_it_before_and_after_its_pixels(tmp_path: Path, before: bytes, how: int) -> None:
    plain = png(np.ascontiguousarray(STORE[how](SHOWN)))
    tree = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HHI", how, 0, 0)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % how
    text = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    for chunk in (_chunk(b"eXIf", tree), text):
        path = tmp_path / "a.png"
        path.write_bytes(_with_chunk(plain, chunk, before))
        assert image_size(path) == SIZE
        assert np.array_equal(read_rgb(path), SHOWN)


NINETY_NINE = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0"
"""An orientation that is none."""


@pytest.mark.parametrize("broken", [b"", b"MM", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff", NINETY_NINE])
def test_damaged_metadata_turn_nothing(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_with_chunk(png(SHOWN), _chunk(b"eXIf", broken), b"IDAT"))
    assert image_size(path) == SIZE
    assert np.array_equal(read_rgb(path), SHOWN)


def _labels(kind: str, ids: np.ndarray, how: int) -> dict[str, bytes]:
    """A label of the right half of the shown frame."""
    h, w = SIZE
    half = [[w / 2, 0], [w, 0], [w, h], [w / 2, h]]
    if kind == "labelme":
        return {"000003.json": labelme("000003", [labelme_shape("red", half)])}
    if kind == "label-studio":
        percent = [[50, 0], [100, 0], [100, 100], [50, 100]]
        drawn = region("polygonlabels", "red", {"points": percent})
        return {"a.json": json.dumps([task("000003.jpg", [drawn])]).encode()}
    return {"000003.png": turned(ids, how) if kind == "png turned" else png(ids)}


@pytest.mark.parametrize("kind", ["labelme", "label-studio", "png", "png turned"])
@pytest.mark.parametrize("how", [3, 6, 8])
def test_labels_lie_on_what_the_labeling_tool_showed(tmp_path: Path, kind: str, how: int) -> None:
    ids = np.zeros(SIZE, np.uint8)
    ids[:, SIZE[1] // 2 :] = 1
    shown = np.zeros((*SIZE, 3), np.uint8)
    shown[ids == 1] = (250, 0, 0)
    (tmp_path / "frames" / "s").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    for n in range(5):
        (tmp_path / "frames" / "s" / f"{n:06}.png").write_bytes(turned(shown, how))
    for name, data in _labels(kind, ids, how).items():
        (tmp_path / "labels" / name).write_bytes(data)
    (tmp_path / "classes.yaml").write_text("classes: {background: [0, 0, 0], red: [250, 0, 0]}\n")
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=5))
    frame, label = dataset.frame("s/000003"), dataset.label("s/000003")
    assert dataset.frame_size("s/000003") == SIZE == label.shape
    wrong = (frame[..., 0] > 120) != (label == 1)
    assert wrong.sum() <= SIZE[0]  # polygons end on a column of pixels
    assert not wrong[:, : SIZE[1] // 2 - 1].any()


def test_predict_and_init_see_the_same(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for n in range(3):
        (tmp_path / "s" / f"{n}.png").write_bytes(turned(SHOWN, 6))
    ((source, facts),) = survey([str(tmp_path / "s")]).videos
    assert facts.size == SIZE
    assert [np.array_equal(item.frame, SHOWN) for item in read(source, facts)] == [True] * 3
    project = Project(tmp_path / "project")
    footage = Footage(project.place(tmp_path / "s"), project.labels, Silent())
    proposal = project.propose(footage, 3, 1, Chooser(None, Silent()))
    project.create(tmp_path / "s")
    project.write(footage, proposal)
    (name,) = proposal.names
    with Image.open(project.to_label / f"{name.replace('/', '_')}.png") as image:
        assert image.getexif().get(0x0112, 1) == 1
        assert np.array_equal(np.asarray(image), SHOWN)
