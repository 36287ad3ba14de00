"""Clip stores that the prepare stage made: what the dataset gives is what they hold."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.base import Dataset
from ifrkit.core.errors import ArtifactError
from ifrkit.core.plugins import load
from ifrkit.core.records import Window
from ifrkit.data.store.clips import INDEX, ClipStore
from ifrkit.data.store.file import StoredFrame, StoreFileWriter
from ifrkit.data.store.layout import Layout
from ifrkit.data.store.rows import BAND


def toyset(**options: Any) -> Dataset:
    cls = load("datasets", "toyset")
    dataset: Dataset = cls(Path(), cls.Config.of(options), 3)
    return dataset


def places(store: ClipStore) -> list[tuple[int, int]]:
    return [(c, i) for c, clip in enumerate(store.clips) for i in range(len(clip.frames))]


@pytest.mark.parametrize("codec", ["raw", "png"])
def test_frames_and_labels_come_back_to_the_bit(make_store: Any, codec: str) -> None:
    store, dataset = make_store(codec=codec), toyset()
    assert store.clips == dataset.clips()
    assert store.size == (24, 40)
    for clip, index in places(store):
        record = store.clips[clip]
        frame = store.frame(clip, index)
        assert np.array_equal(frame, dataset.frame(record.frames[index]))
        assert frame.flags.writeable
        assert frame.flags.c_contiguous
        if index in (1, 3):
            assert np.array_equal(store.label(clip, index, hidden=True), dataset.label(record.frames[index]))
    store.verify()


def test_a_shared_frame_is_stored_once(store: ClipStore) -> None:
    stored = [name for file in store.index.files for name in file.frames]
    assert len(stored) == len(set(stored)) == 19 + 7
    assert store.clips[0].frames[3] == store.clips[1].frames[0]
    assert np.array_equal(store.frame(0, 3), store.frame(1, 0))


def test_full_labels_of_held_out_frames(make_store: Any) -> None:
    store, dataset = make_store(size=(12, 20), full_labels=True), toyset()
    assert np.array_equal(store.full_label(6, 3), dataset.label(store.clips[6].frames[3]))
    assert store.label(6, 3).shape == (12, 20)
    with pytest.raises(ArtifactError, match="full_labels"):
        store.full_label(0, 3)
    store.verify()


def test_a_forked_process_opens_its_own_files(store: ClipStore) -> None:
    expected = [store.frame(0, 1).tobytes(), store.label(0, 3).tobytes()]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for answer in pool.map(_read_first, [store] * 4):
            assert answer == expected
    inherited = multiprocessing.get_context("fork").Process(target=_compare, args=(store, expected))
    inherited.start()
    inherited.join(20)
    assert inherited.exitcode == 0


def _read_first(store: ClipStore) -> list[bytes]:
    return [store.frame(0, 1).tobytes(), store.label(0, 3).tobytes()]


def _compare(store: ClipStore, expected: list[bytes]) -> None:
    assert _read_first(store) == expected


def test_only_the_touched_part_of_a_raw_frame_is_read(make_store: Any, tmp_path: Path) -> None:
    good = make_store({"height": 3 * BAND})
    copy = tmp_path / "copy"
    shutil.copytree(good.path, copy)
    file = copy / "frames-00000.h5"
    data = bytearray(file.read_bytes())
    data[data.index(good.frame(0, 0)[-1].tobytes())] ^= 1  # in the last row of the first frame
    file.write_bytes(data)
    store = ClipStore(copy)
    assert np.array_equal(store.frame(0, 0, Window(0, 3, 2 * BAND, 8)), good.frame(0, 0)[: 2 * BAND, 3:11])
    with pytest.raises(ArtifactError, match="row 0"):
        store.frame(0, 0, Window(2 * BAND, 3, 1, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree["files"][0]["frames"].pop(), "no place for frame val/000006"),
        (lambda tree: tree.update(size=[24, 41]), "is not"),
    ],
)
def test_an_index_that_does_not_fit(make_store: Any, tmp_path: Path, change: Any, message: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(make_store().path, copy)
    tree = json.loads((copy / INDEX).read_text())
    change(tree)
    (copy / INDEX).write_text(json.dumps(tree))
    with pytest.raises(ArtifactError, match=message) as caught:
        ClipStore(copy).frame(0, 0)
    assert "\n" not in str(caught.value)


def test_labels_do_not_wait_in_memory_until_a_file_is_complete(tmp_path: Path) -> None:
    """A cache of HDF5 2 would hold 8 MiB of them: a long video fills it, a short one does not."""
    size = (512, 512)
    label, frame = np.zeros(size, np.uint8), np.zeros((*size, 3), np.uint8)
    layout = Layout(size, "raw", False, 2)
    with StoreFileWriter(tmp_path / "frames.h5", tmp_path / "partial", layout, 8, 8) as writer:
        for _ in range(8):
            writer.write(StoredFrame(frame, label))
        waiting = 8 - writer.file["labels"].id.get_num_chunks()
        assert waiting * label.nbytes <= 1 << 20


def test_checksums_are_mapped_not_read(store: ClipStore) -> None:
    """Of a frame 1,080 pixels high they are 136 bytes."""
    store.frame(0, 0)
    assert isinstance(store._files[0]._frames._sums.base, np.memmap)
