"""Frames of more than 8 bits a channel: the right grey level where the range is known, one line where it is not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ifrkit.core.errors import DatasetError
from ifrkit.media.images import image_size, read_rgb

GREYS = np.linspace(0, 1, 256).reshape(8, 32)
"""All levels from black to white."""
WANTED = np.repeat((GREYS * 255).round().astype(np.uint8)[..., None], 3, 2)
Tags = dict[int, tuple[str, Sequence[float]]]


def tiff(pixels: np.ndarray, tags: Tags | None = None, bits: int = 0) -> bytes:
    """An uncompressed TIFF; further tags as number -> (kind of struct, values). bits: if not those of the array."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes() if not bits else _packed(pixels)
    own: Tags = {
        256: ("I", [width]), 257: ("I", [height]), 259: ("H", [1]),
        258: ("H", [bits or 8 * pixels.itemsize] * channels),
        262: ("H", [2 if channels > 1 else 1]), 273: ("I", [8]), 277: ("H", [channels]), 278: ("I", [height]),
        279: ("I", [len(data)]), 284: ("H", [1]), **(tags or {}),
    }  # fmt: skip
    directory = 8 + len(data) + len(data) % 2
    more = directory + 2 + 12 * len(own) + 4
    rows, tail = b"", b""
    for tag, (kind, values) in sorted(own.items()):
        raw = struct.pack(f"<{len(values)}{kind}", *values)
        rows += struct.pack("<HHI", tag, {"H": 3, "I": 4, "f": 11}[kind], len(values))
        rows += struct.pack("<I", more + len(tail)) if len(raw) > 4 else raw.ljust(4, b"\0")
        tail += raw if len(raw) > 4 else b""
    head = b"II*\0" + struct.pack("<I", directory) + data + b"\0" * (len(data) % 2)
    return head + struct.pack("<H", len(own)) + rows + b"\0" * 4 + tail


def _packed(values: np.ndarray) -> bytes:
    """12 bits each, the highest first."""
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    return np.packbits(bits).tobytes()


def _png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def _scaled(most: int, kind: type = np.uint16) -> np.ndarray:
    return (GREYS * most).round().astype(kind)


WIDE = _scaled(65535)
KNOWN = {
    "16 bits": ("png", _png(WIDE)),
    "16-bit colours": ("png", _png(np.repeat(WIDE[..., None], 3, 2))),
    "16-bit colours and alpha": ("png", _png(np.repeat(WIDE[..., None], 4, 2))),
    "TIFF of 16 bits": ("tif", tiff(WIDE)),
    "TIFF of 16-bit colours": ("tif", tiff(np.repeat(WIDE[..., None], 3, 2))),
    "TIFF of 12 bits": ("tif", tiff(_scaled(4095), bits=12)),
    "12 bits in 16, and the file says so": ("tif", tiff(_scaled(4095), {281: ("H", [4095])})),
    "black is not 0": ("tif", tiff(_scaled(3000) + 1000, {280: ("H", [1000]), 281: ("H", [4000])})),
    "floats, and the file says their range": (
        "tiff", tiff(GREYS.astype(np.float32) * 4 - 1, {339: ("H", [3]), 340: ("f", [-1.0]), 341: ("f", [3.0])}),
    ),
    "white is 0": ("tif", tiff(65535 - WIDE, {262: ("H", [0])})),
    "PGM of its own range": ("ppm", b"P5 32 8 4095\n" + _scaled(4095).astype(">u2").tobytes()),
    "PPM of its own range": ("ppm", b"P6 32 8 1023\n" + _scaled(1023).repeat(3).astype(">u2").tobytes()),
}  # fmt: skip


@pytest.mark.parametrize("kind", KNOWN)
def test_grey_levels_where_the_range_is_known(tmp_path: Path, kind: str) -> None:
    suffix, data = KNOWN[kind]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    found = read_rgb(path)
    assert image_size(path) == found.shape[:2] == (8, 32)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - WANTED).max() <= 1
    assert len(np.unique(found)) > 250


def test_colours_of_16_bits_keep_their_order(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 65536, (4, 5, 3), np.uint16)
    for name, data in (("a.png", _png(colors[..., ::-1])), ("a.tif", tiff(colors))):
        (tmp_path / name).write_bytes(data)
        assert np.array_equal(read_rgb(tmp_path / name), (colors / 257).round())


@pytest.mark.parametrize("how", [3, 6])
def test_deep_images_are_turned_too(tmp_path: Path, how: int) -> None:
    stored = np.rot90(WIDE, 2) if how == 3 else np.rot90(WIDE)
    for pixels in (stored, np.repeat(stored[..., None], 3, 2)):
        (tmp_path / "a.tif").write_bytes(tiff(np.ascontiguousarray(pixels), {274: ("H", [how])}))
        assert np.abs(read_rgb(tmp_path / "a.tif").astype(int) - WANTED).max() <= 1


def test_deep_colours_with_metadata_after_the_pixels(tmp_path: Path) -> None:
    """Pillow has to decode them before it knows how they lie."""
    plain = _png(np.repeat(np.rot90(WIDE, 2)[..., None], 3, 2))
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0"
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    place = plain.rindex(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(plain[:place] + chunk + plain[place:])
    assert np.abs(read_rgb(tmp_path / "a.png").astype(int) - WANTED).max() <= 1


def test_black_is_black_in_any_range(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png(np.zeros((4, 5), np.uint16)))
    assert not read_rgb(tmp_path / "a.png").any()


UNKNOWN = {
    "12 bits in a PNG of 16": ("png", _png(_scaled(4095)), "16-bit pixels of 4095 at most; they may hold 10, 12 or 14"),
    "14 bits in a TIFF of 16": ("tif", tiff(_scaled(16383)), "16-bit pixels of 16383 at most"),
    "8 bits in colours of 16": ("png", _png(np.repeat(_scaled(255)[..., None], 3, 2)), "16-bit pixels of 255 at most"),
    "floats": ("tif", tiff(GREYS.astype(np.float32), {339: ("H", [3])}), "floats, and the file does not say their"),
    "32 bits": ("tif", tiff(_scaled(1 << 30, np.uint32)), "signed or have more than 16 bits"),
    "signed": ("tif", tiff(_scaled(20000, np.int16), {339: ("H", [2])}), "signed or have more than 16 bits"),
    "double floats": ("tif", tiff(GREYS, {339: ("H", [3])}), "cannot be read as an image"),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_ranges_are_refused(tmp_path: Path, kind: str) -> None:
    suffix, data, message = UNKNOWN[kind]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=message) as error:
        read_rgb(path)
    assert str(path) in str(error.value)
    assert error.value.remedy
    assert "\n" not in str(error.value)


def test_a_deep_image_that_is_cut_off(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (40, 50, 3), np.uint16)
    for suffix, data in {"png": _png(noise), "tif": tiff(noise)}.items():
        (tmp_path / f"a.{suffix}").write_bytes(data[: len(data) // 2])
        with pytest.raises(DatasetError, match=rf"a\.{suffix}: "):
            read_rgb(tmp_path / f"a.{suffix}")


def test_pictures_of_8_bits_are_as_before(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.tif"
        Image.fromarray(WANTED).convert(mode).save(path)
        with Image.open(path) as image:
            assert np.array_equal(read_rgb(path), np.asarray(image.convert("RGB")))
