"""Image and video files: exact, bounded, and clear about what is broken."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep._toys import save_video
from ifrkit.core.errors import DatasetError
from ifrkit.media.images import image_size, read_raw_label, read_rgb
from ifrkit.media.video import VideoReader


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_truncated_png_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(_noise(40, 50)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert image_size(path) == (40, 50)
    with pytest.raises(DatasetError, match=r"a\.png: cannot be read as an image \(.*truncated"):
        read_rgb(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_no_image_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.png"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"b\.png: cannot be read") as error:
        read_rgb(path)
    assert "\n" not in str(error.value)
    assert "object at" not in str(error.value)
    with pytest.raises(DatasetError) as again:
        read_raw_label(path, content)
    assert str(again.value) == str(error.value)


def test_frames_with_a_transparent_palette(tmp_path: Path) -> None:
    """Alpha is dropped, without a warning of Pillow (which is an error here)."""
    image = Image.fromarray(_noise(8, 9)).quantize(16)
    for name, alpha in (("bytes", bytes(range(0, 256, 16))), ("one", 3)):
        image.save(tmp_path / f"{name}.png", transparency=alpha)
        assert np.array_equal(read_rgb(tmp_path / f"{name}.png"), np.asarray(image.convert("RGB")))


def test_huge_image_is_refused_by_its_header(tmp_path: Path) -> None:
    """60 bytes that claim 2.5 gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for name, side in (("far", 50_000), ("above", 15_000)):
        path = tmp_path / f"{name}.png"
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b""))
        with pytest.raises(DatasetError, match=rf"{name}\.png: more than 64 megapixels"):
            read_rgb(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"c\.png: no such file"):
        read_rgb(tmp_path / "c.png")


def test_modes(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    indexed = Image.fromarray(ids).convert("L")
    indexed.putpalette([i % 256 for i in range(768)])  # colours: they are for the eye
    for mode, image in {
        "L": Image.fromarray(ids),
        "P": indexed,
        "I;16": Image.fromarray(ids.astype(np.uint16)),
        "LA": Image.merge("LA", (Image.fromarray(ids), Image.fromarray(ids))),
    }.items():
        path = tmp_path / f"{mode.replace(';', '')}.png"
        image.save(path)
        with Image.open(path) as saved:
            assert saved.mode == mode
        assert np.array_equal(read_raw_label(path), ids), mode
        if mode != "I;16":  # as a frame it would be refused: nothing says what is white
            assert read_rgb(path).shape == (3, 4, 3)
    colors = _noise(3, 4)
    Image.fromarray(colors).convert("RGBA").save(tmp_path / "rgba.png")
    assert np.array_equal(read_raw_label(tmp_path / "rgba.png"), colors)


def _number(frame: np.ndarray) -> int:
    """The number that a test frame shows as seven black and white columns."""
    return int(sum(1 << bit for bit in range(7) if frame[:, bit * 16 : bit * 16 + 16].mean() > 128))


@pytest.fixture
def counting_video(tmp_path: Path) -> Path:
    """Frame k shows k."""
    path = tmp_path / "count.avi"
    columns = [np.repeat([255 * (k >> bit & 1) for bit in range(7)], 16) for k in range(90)]
    save_video(path, (np.broadcast_to(c[None, :, None], (32, 112, 3)).astype(np.uint8) for c in columns))
    return path


def test_frames_are_exact_in_any_order(counting_video: Path) -> None:
    reader = VideoReader(counting_video)
    assert list(reader.numbers()) == list(range(90))
    assert [_number(reader.read(k)) for k in (0, 1, 7, 7, 60, 59, 3, 89)] == [0, 1, 7, 7, 60, 59, 3, 89]
    assert reader.read(5).dtype == np.uint8


def test_reader_pickles_as_its_path(counting_video: Path) -> None:
    reader = VideoReader(counting_video)
    reader.read(30)
    data = pickle.dumps(reader)
    assert len(data) < 500
    assert _number(pickle.loads(data).read(12)) == 12


def test_after_the_end(counting_video: Path) -> None:
    with pytest.raises(DatasetError, match=r"count\.avi: frame 90 is needed, but only 90 frames"):
        VideoReader(counting_video).read(90)


def test_no_video(tmp_path: Path) -> None:
    path = tmp_path / "d.mp4"
    with pytest.raises(DatasetError, match=r"d\.mp4: no such video file"):
        VideoReader(path).read(0)
    path.write_bytes(b"nothing" * 100)
    with pytest.raises(DatasetError, match=r"d\.mp4: OpenCV cannot open"):
        VideoReader(path).numbers()


def test_colours_survive_the_video(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    save_video(tmp_path / "red.avi", [red])
    assert np.abs(VideoReader(tmp_path / "red.avi").read(0).mean((0, 1)) - [200, 0, 0]).max() < 8
