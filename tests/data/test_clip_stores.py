"""The clip store: what is written is read, whole or in windows; what is damaged is refused in one line."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stores import clip, flow, label, pixels, write_store

from ifrkit.core.errors import ArtifactError
from ifrkit.core.records import Window
from ifrkit.data.store.clips import ClipStore

SIZE = (72, 56)
"""More than two bands of checksums, the last one cut short."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClipStore]:
    root = tmp_path_factory.mktemp("stores")
    clips = [clip(0), clip(1, length=3, annotated=0), clip(2, length=1, annotated=None), clip(3, split="val")]
    return {codec: write_store(root / codec, clips, SIZE, codec, has_flow=True) for codec in ("raw", "png", "jpeg")}


@st.composite
def windows(draw: st.DrawFn) -> Window:
    height, width = draw(st.integers(1, SIZE[0])), draw(st.integers(1, SIZE[1]))
    return Window(draw(st.integers(0, SIZE[0] - height)), draw(st.integers(0, SIZE[1] - width)), height, width)


def cut(image: np.ndarray, window: Window | None) -> np.ndarray:
    if window is None:
        return image
    y, x, height, width = window
    return image[..., y : y + height, x : x + width]


@given(window=st.none() | windows(), index=st.integers(0, 3), codec=st.sampled_from(["raw", "png"]))
@settings(deadline=None, max_examples=60)
def test_windows_are_parts_of_what_was_written(
    stores: dict[str, ClipStore], window: Window | None, index: int, codec: str
) -> None:
    store = stores[codec]
    name = store.clips[0].frames[index]
    chw = np.moveaxis(pixels(name, SIZE), 2, 0)
    frame = store.frame(0, index, window)
    np.testing.assert_array_equal(np.moveaxis(frame, 2, 0), cut(chw, window))
    np.testing.assert_array_equal(store.label(0, index, window, hidden=True), cut(label(name, SIZE), window))
    assert frame.flags.writeable
    for backward, there in ((True, index > 0), (False, index < 3)):
        found = store.flow(0, index, backward=backward, window=window)
        assert (found is not None) == there
        if found is not None:
            true = flow(name, SIZE, "backward" if backward else "forward")
            np.testing.assert_array_equal(found.flow_2hw, cut(true.flow_2hw, window))
            np.testing.assert_array_equal(found.visible_hw, cut(true.visible_hw, window))
            assert (found.flow_2hw.dtype, found.visible_hw.dtype) == (np.float32, np.bool_)


def test_jpeg_is_close_and_windows_agree_with_the_whole(stores: dict[str, ClipStore]) -> None:
    store, window = stores["jpeg"], Window(5, 7, 30, 20)
    whole = store.frame(3, 2)
    assert whole.shape == (*SIZE, 3)
    np.testing.assert_array_equal(store.frame(3, 2, window), whole[5:35, 7:27])
    assert whole.astype(int).ravel().dot(pixels("video3/002", SIZE).astype(int).ravel()) > 0


def test_training_cannot_see_hidden_labels(stores: dict[str, ClipStore]) -> None:
    store = stores["raw"]
    store.label(0, 3)
    for number, index, kind in ((0, 1, "hidden"), (2, 0, "no")):
        with pytest.raises(ArtifactError, match=rf"{kind} label"):
            store.label(number, index)
    with pytest.raises(ArtifactError, match="no label"):
        store.label(2, 0, hidden=True)
    with pytest.raises(ArtifactError, match="full_labels"):
        store.full_label(3, 3)


def test_a_store_pickles_as_its_path(stores: dict[str, ClipStore]) -> None:
    stores["raw"].frame(0, 0)
    data = pickle.dumps(stores["raw"])
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data).frame(0, 0), stores["raw"].frame(0, 0))


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    clips = [clip(0), clip(1, length=2, annotated=None)]
    for codec in ("raw", "png", "jpeg"):
        a, b = (write_store(tmp_path / f"{codec}{n}", clips, SIZE, codec, has_flow=True) for n in (1, 2))
        names = sorted(path.name for path in a.path.iterdir())
        assert names == sorted(path.name for path in b.path.iterdir())
        assert len(names) == 3
        for name in names:
            assert (a.path / name).read_bytes() == (b.path / name).read_bytes(), (codec, name)


@pytest.mark.parametrize("codec", ["raw", "png"])
def test_one_flipped_bit_anywhere_is_never_read_as_data(tmp_path: Path, codec: str) -> None:
    """Every bit that a reader uses is checked: it reads what was written, or says that it cannot."""
    good = write_store(tmp_path / "good", [clip(0)], (40, 24), codec, has_flow=True, per_file=9)
    bad = tmp_path / "bad"
    shutil.copytree(good.path, bad)
    target = bad / "frames-00000.h5"
    data = bytearray(target.read_bytes())
    used = len(data.rstrip(b"\0"))
    refused = 0
    for place in (*range(0, 96, 5), *np.random.default_rng(0).integers(0, used, 120).tolist()):
        data[place] ^= 1 << (place % 8)
        target.write_bytes(data)
        data[place] ^= 1 << (place % 8)
        try:
            damaged = ClipStore(bad)
            damaged.verify()
        except ArtifactError:
            refused += 1
            continue
        for index in range(4):
            np.testing.assert_array_equal(damaged.frame(0, index), good.frame(0, index))
            np.testing.assert_array_equal(damaged.label(0, index, hidden=True), good.label(0, index, hidden=True))
            ours, theirs = damaged.flow(0, index, backward=True), good.flow(0, index, backward=True)
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                np.testing.assert_array_equal(ours.flow_2hw, theirs.flow_2hw)
    assert refused > 20  # the rest was padding


def _flip_a_pixel(path: Path) -> None:
    with h5py.File(path, locking=False) as file:
        place = file["frames"].id.get_offset()
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def test_bands_are_checked_by_each_process_once_and_by_verify_again(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [clip(0)])
    window = Window(0, 0, 1, 1)
    store.frame(0, 0, window)
    _flip_a_pixel(store.path / "frames-00000.h5")
    store.frame(0, 0, window)
    for read in (store.verify, lambda: ClipStore(store.path).frame(0, 0, window)):
        with pytest.raises(ArtifactError, match="the pixels of row 0 are not those that were written"):
            read()


def test_what_is_read_is_the_readers_own_unless_it_wants_no_copy(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [clip(0)])
    for read in (partial(store.frame, 0, 3), partial(store.label, 0, 3, hidden=True)):
        before = read().copy()
        read()[:] = 7
        np.testing.assert_array_equal(read(), before)
        shared = read(copy=False)
        np.testing.assert_array_equal(shared, before)
        with pytest.raises(ValueError, match="read-only"):
            shared[:] = 7


@pytest.mark.parametrize("most", [0, 2])
def test_few_unpacked_labels_are_kept(tmp_path: Path, most: int) -> None:
    made = write_store(tmp_path / "s", [clip(0)])
    height, width = made.size
    places = [i for i in range(len(made.clips[0].frames)) if i in {*made.clips[0].labeled, *made.clips[0].hidden}]
    assert len(places) > 2
    store = ClipStore(made.path, kept=most * height * width)
    for index in (*places, *reversed(places)):
        np.testing.assert_array_equal(
            store.label(0, index, hidden=True), ClipStore(made.path).label(0, index, hidden=True)
        )
        assert len(store._labels) <= max(1, most)


def test_a_label_never_moves_to_another_frame(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [clip(0)])
    path = store.path / "frames-00000.h5"
    with h5py.File(path) as file:
        chunk = file["label_rows"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    for place in range(chunk.byte_offset, chunk.byte_offset + chunk.size):
        data[place] ^= 4
        path.write_bytes(data)
        data[place] ^= 4
        with pytest.raises(ArtifactError, match="corrupt"):
            ClipStore(store.path).label(0, 3)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4000])


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("frames-00000.h5", truncate),
        ("frames-00000.h5", lambda path: path.write_bytes(b"")),
        ("frames-00000.h5", lambda path: path.write_text("not HDF5" * 999)),
        ("frames-00000.h5", Path.unlink),
        ("clips.json", Path.unlink),
        ("clips.json", truncate),
        ("clips.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("clips.json", lambda path: path.write_text('{"name": "x"}')),
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path: Path, file: str, damage: Callable[[Path], object]) -> None:
    write_store(tmp_path / "s", [clip(0, length=9)], per_file=9)
    damage(tmp_path / "s" / file)
    with pytest.raises(ArtifactError, match=r"clips\.json|frames-00000\.h5") as caught:
        ClipStore(tmp_path / "s").frame(0, 8)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_an_index_cannot_point_outside(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [clip(0)])
    path = store.path / "clips.json"
    path.write_text(path.read_text().replace("frames-00000.h5", "../frames-00000.h5"))
    with pytest.raises(ArtifactError, match=r"clips\.json"):
        ClipStore(store.path)
