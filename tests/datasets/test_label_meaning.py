"""What a label image means is said by the class table: never by the way in which its PNG stores it."""

from __future__ import annotations

import io
import pickle
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import label_exports as exports
import numpy as np
import pytest
from label_exports import SIZE
from PIL import Image

from data_prep.folders import Dataset
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import IGNORE
from ifrkit.labels.png import Labels

COLORS = {"sky": (0, 0, 255), "road": (128, 64, 128), "car": (255, 0, 0)}
TRUTH = np.random.default_rng(0).integers(0, 3, SIZE, np.uint8)
"""Ids 0-2 of `COLORS`."""
RGB = np.array(list(COLORS.values()), np.uint8)[TRUTH]
CLASSES = "classes: {sky: [0, 0, 255], road: [128, 64, 128], car: [255, 0, 0]}\n"
NO_COLORS = "classes: {sky: , road: , car: }\n"
Ids = np.ndarray


def saved(image: Image.Image | np.ndarray, **options: object) -> bytes:
    """A PNG."""
    data = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(data, "png", **options)
    return data.getvalue()


def indexed(ids: np.ndarray, palette: list[tuple[int, int, int]], **options: object) -> bytes:
    """An indexed PNG."""
    image = Image.fromarray(ids)
    image.putpalette([part for color in palette for part in color])
    return saved(image, **options)


def packed(pixels: np.ndarray, order: int = 0) -> bytes:
    """What a program makes of an image that makes files smaller: a palette in any order, and places in it."""
    colors = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
    found, places = np.unique(colors.reshape(-1, 3), axis=0, return_inverse=True)
    turned = np.random.default_rng(order).permutation(len(found))
    palette = [tuple(found[i]) for i in np.argsort(turned)]
    return indexed(turned[places].reshape(pixels.shape[:2]).astype(np.uint8), palette)


def few_bits(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits a pixel."""
    rows = np.unpackbits(values[..., None], axis=2)[..., -bits:].reshape(len(values), -1)
    packed_rows = np.packbits(rows, axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in packed_rows)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Ids]]:
    """Labels and a class table -> class ids as `prepare` would store them."""

    def run(*labels: bytes, table: str | None = CLASSES) -> list[Ids]:
        exports.frames(tmp_path, ["v"], 2 * len(labels))
        names = {f"v/{2 * n + 1:06}": data for n, data in enumerate(labels)}
        exports.packed(tmp_path / "labels", {f"{name}.png": data for name, data in names.items()})
        if table:
            (tmp_path / "classes.yaml").write_text(table)
        dataset = Dataset(tmp_path, Dataset.Config(clip_length=2, val_fraction=0))
        dataset.clips()
        worker = pickle.loads(pickle.dumps(dataset))
        assert all(np.array_equal(worker.label(name), dataset.label(name)) for name in names)
        return [dataset.label(name) for name in names]

    return run


Read = Callable[..., list[Ids]]
SHADES = [(v, v, v) for v in range(256)]
SAME = {
    "ids": saved(TRUTH),
    "ids of 16 bits": saved(TRUTH.astype(np.uint16)),
    "ids of 2 bits": few_bits(TRUTH, 2),
    "ids of 4 bits": few_bits(TRUTH, 4),
    "ids as grey RGB": saved(np.repeat(TRUTH[..., None], 3, 2)),
    "ids with alpha": saved(Image.merge("LA", (Image.fromarray(TRUTH), Image.new("L", SIZE[::-1], 255)))),
    "ids in a palette of greys": packed(TRUTH, 1),
    "ids in another palette of greys": packed(TRUTH, 4),
    "ids in a palette of all greys": indexed(TRUTH, SHADES),
    "colours": saved(RGB),
    "colours with alpha": saved(np.dstack([RGB, np.full(SIZE, 255, np.uint8)])),
    "colours half transparent everywhere": saved(np.dstack([RGB, np.full(SIZE, 128, np.uint8)])),
    "colours of 16 bits": bytes(cv2.imencode(".png", RGB[..., ::-1].astype(np.uint16) * 257)[1]),
    "colours in a palette": packed(RGB, 0),
    "colours in another palette": packed(RGB, 3),
    "ids with their colours as palette": indexed(TRUTH, list(COLORS.values())),
    "colours and places that no pixel has": indexed(TRUTH, [*COLORS.values(), (7, 8, 9), (0, 0, 0)]),
}


@pytest.mark.parametrize("first", SAME)
def test_the_same_label_in_any_storage(read: Read, first: str) -> None:
    assert np.array_equal(read(SAME[first])[0], TRUTH)


@pytest.mark.parametrize("what", ["ids", "colours"])
def test_all_storages_in_one_export(read: Read, what: str) -> None:
    names = [name for name in SAME if ("colours" in name) == (what == "colours") and "bits" not in name]
    found = read(*(SAME[name] for name in names))
    assert [name for name, label in zip(names, found, strict=True) if not np.array_equal(label, TRUTH)] == []


@pytest.mark.parametrize("kind", [k for k in SAME if "colours" not in k and "RGB" not in k])
@pytest.mark.parametrize("table", [None, NO_COLORS])
def test_ids_without_colours_in_a_table(read: Read, kind: str, table: str | None) -> None:
    assert np.array_equal(read(SAME[kind], table=table)[0], TRUTH)


def test_palettes_of_ids_are_for_the_eye_where_no_class_has_a_colour(read: Read) -> None:
    voc = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    for table in (None, NO_COLORS):
        assert all(np.array_equal(label, TRUTH) for label in read(*[indexed(TRUTH, voc)] * 2, table=table))


@pytest.mark.parametrize("table", [None, NO_COLORS])
def test_a_class_and_void_that_are_both_black(read: Read, table: str | None) -> None:
    """As prediction PNGs have it: a palette that shows two numbers alike is not a packed image."""
    ids = np.where(TRUTH > 0, 255, 0).astype(np.uint8)
    ids[0] = 1
    found = read(indexed(ids, [(0, 0, 0), (90, 90, 90), *[(0, 0, 0)] * 254]), table=table)
    assert np.array_equal(found[0], ids)


def test_void_may_have_a_colour_that_the_table_lacks(read: Read) -> None:
    ids = TRUTH.copy()
    ids[0] = IGNORE
    palette = [*COLORS.values(), *[(9, 9, 9)] * 252, (224, 224, 192)]
    (found,) = read(indexed(ids, palette))
    assert np.array_equal(found, ids)


BLACK_WHITE = "classes: {background: [0, 0, 0], road: [255, 255, 255]}\n"
MASK = (TRUTH > 0).astype(np.uint8)


@pytest.mark.parametrize("kind", ["L", "1", "P", "RGB", "LA"])
def test_masks_of_black_and_white(read: Read, kind: str) -> None:
    white = Image.fromarray(MASK * 255)
    data = packed(MASK * 255, 1) if kind == "P" else saved(white.convert(kind))
    assert np.array_equal(read(data, table=BLACK_WHITE)[0], MASK)


def test_masks_of_one_bit_are_ids(read: Read) -> None:
    one_bit = saved(Image.fromarray(MASK * 255).convert("1"))
    for table in (None, NO_COLORS, CLASSES):
        assert np.array_equal(read(one_bit, table=table)[0], MASK)


def test_a_written_id_settles_it(read: Read) -> None:
    table = "classes: {background: {color: [0, 0, 0], id: 0}, road: {color: [255, 255, 255], id: 255}}\nignore: []\n"
    assert np.array_equal(read(saved(MASK * 255), table=table)[0], MASK)
    assert np.array_equal(read(saved(MASK * 255), table=table.replace("ignore: []\n", ""))[0], MASK)


def test_an_image_of_one_class_is_read_as_the_others_are(read: Read) -> None:
    """Ids 0 alone look like a black image, and black is ignored; another label shows that it holds ids."""
    table = CLASSES + "ignore: [255, [0, 0, 0]]\n"
    first, second = read(saved(np.zeros_like(TRUTH)), saved(TRUTH), table=table)
    assert (first == 0).all()
    assert np.array_equal(second, TRUTH)


def _erase(kind: str, where: np.ndarray) -> bytes:
    """The third class is erased: its colour is still there, under alpha 0."""
    alpha = np.where(where, 0, 255).astype(np.uint8)
    if kind == "RGBA":
        return saved(np.dstack([RGB, alpha]))
    if kind == "LA":
        return saved(Image.merge("LA", (Image.fromarray(TRUTH), Image.fromarray(alpha))))
    if kind == "P":
        return indexed(TRUTH, list(COLORS.values()), transparency=bytes([255, 255, 0]))
    if kind == "one place":
        return indexed(TRUTH, list(COLORS.values()), transparency=2)
    if kind == "one colour":
        return saved(RGB, transparency=COLORS["car"])
    return saved(TRUTH, transparency=2)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "one place", "one colour", "one grey value"])
@pytest.mark.parametrize("background", [False, True])
def test_erased_pixels_are_not_labeled(read: Read, kind: str, background: bool) -> None:
    """As after every drawing tool: what nobody labeled is `background`, or ignored without such a class."""
    table = CLASSES.replace("}", ", background: [1, 1, 1]}") if background else CLASSES
    wanted = TRUTH.copy()
    wanted[TRUTH == 2] = 3 if background else IGNORE
    assert np.array_equal(read(_erase(kind, TRUTH == 2), table=table)[0], wanted)


def test_erased_pixels_are_said(read: Read, tmp_path: Path) -> None:
    read(_erase("RGBA", TRUTH == 2))
    dataset = Dataset(tmp_path, Dataset.Config(clip_length=2, val_fraction=0))
    assert "1 labels have transparent pixels: these count as not labeled" in dataset.summary()


VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
SOFT = np.dstack([RGB, np.arange(TRUTH.size, dtype=np.uint8).reshape(SIZE)])
WRITTEN = "ignore: [255]\n"
FOUR = "classes: {sky: , road: , car: {id: 127}, tree: {id: 254}}\n"
UNSCALED = bytes(cv2.imencode(".png", RGB.astype(np.uint16))[1])
OTHERS = [indexed(TRUTH, VOC), indexed(TRUTH, VOC[::-1])]
DOUBTFUL = {
    "a palette of neither": ([indexed(TRUTH, VOC)], CLASSES,
        r"may mean two things; read by numbers as ids: 0 sky, 1 road, 2 car; read by colours: \[0, 0, 0\] no class, "
        r"\[128, 0, 0\] no class, .*; write the palette's colours into classes.yaml, or give the classes ids without"),
    "shades for the eye in a palette": ([indexed(TRUTH, [(0, 0, 0), (127, 127, 127), (254, 254, 254)])], CLASSES,
        "read by numbers as ids: 0 sky, 1 road, 2 car; read by grey values as ids: 0 sky, 127 no class, 254 no class"),
    "palettes that differ": (OTHERS, None, "palettes of labels differ"),
    "palettes that differ, ids in the table": (OTHERS, NO_COLORS, "may mean two"),
    "black and white, 255 written as ignored": ([saved(MASK * 255)], BLACK_WHITE + WRITTEN,
        r"read by numbers as ids: 0 background, 255 ignored; read by colours: .* road; give each class its id beside"),
    "black and white without a table": ([saved(MASK * 255)], None, "the labels hold 0, 255 and nothing else"),
    "black and white, ids in the table": ([saved(MASK * 255)], NO_COLORS, "may mean two things"),
    "shades without a table": ([saved(TRUTH * 127)], None, "hold 0, 127, 254 and nothing else"),
    "shades packed into a palette": ([packed(TRUTH * 127)], None, "hold 0, 127, 254 and nothing else"),
    "few bits beside many": ([few_bits(MASK, 1), saved(TRUTH * 127)], FOUR,
        "save all labels with 8 bits a pixel"),
    "a soft brush": ([saved(SOFT)], CLASSES, r"\d+ pixels are half transparent, as a soft brush leaves them"),
    "colours that 8 bits do not hold": ([UNSCALED], CLASSES, "colours of 16 bits a channel that 8"),
    "a number that the palette lacks": ([indexed(TRUTH + (TRUTH == 2), list(COLORS.values()))], CLASSES,
        r"\d+ pixels hold the number 3, which its palette has no colour for; save the label again, as RGB"),
    "one colour for two classes": ([indexed(TRUTH, [(0, 0, 255), (0, 0, 255), (255, 0, 0)])], CLASSES, "may mean two"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_doubt_is_refused(read: Read, kind: str) -> None:
    labels, table, message = DOUBTFUL[kind]
    with pytest.raises(DatasetError, match=message) as error:
        read(*labels, table=table)
    assert error.value.remedy
    assert "\n" not in str(error.value)
    assert re.search(r"v/000001\.png", str(error.value))


@pytest.mark.parametrize("kind", ["jpeg", "mpo", "webp"])
def test_a_lossy_image_is_no_label_whatever_its_name(read: Read, kind: str) -> None:
    """Ids 0 to 2 come back as others, and nobody would see it."""
    data = io.BytesIO()
    Image.fromarray(TRUTH).convert("RGB").save(data, kind)
    with pytest.raises(DatasetError, match=r"v/000001\.png: is a .* by its content, which changes ids") as error:
        read(data.getvalue(), table=NO_COLORS)
    assert "save the labels as PNG" in str(error.value.remedy)


def test_a_lossless_image_of_another_kind_is_a_label(read: Read) -> None:
    for kind, options in (("webp", {"lossless": True}), ("bmp", {}), ("tiff", {})):
        data = io.BytesIO()
        Image.fromarray(RGB).save(data, kind, **options)
        assert np.array_equal(read(data.getvalue(), table=CLASSES)[0], TRUTH)


def test_what_the_table_lacks_is_named_in_every_storage(read: Read) -> None:
    table = "classes: {sky: [0, 0, 255], road: [128, 64, 128]}\n"
    for data, message in ((packed(RGB), r"in 1 colours outside the class table, most of them \d+ x \[255, 0, 0\]"),
                          (saved(TRUTH), "label ids 2 are outside the label space"),
                          (packed(TRUTH, 2), "label ids 2 are outside the label space")):  # fmt: skip
        with pytest.raises(DatasetError, match=message):
            read(data, table=table)


def test_labels_are_not_listed_again_for_each_one(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them would take the square of their number: 1,440 took 10 s."""
    listed: list[int] = []
    entries = Labels.entries
    monkeypatch.setattr(Labels, "entries", lambda self: listed.append(1) or entries(self))
    read(*[saved(TRUTH)] * 2)
    few = len(listed)
    read(*[saved(TRUTH)] * 5)
    assert len(listed) == 2 * few
