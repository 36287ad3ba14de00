"""HDF5 files that a stranger changed: what is not in the file itself, or not in our form, is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_stores import CLASSES, clip, write_store

from ifrkit.core.errors import ArtifactError
from ifrkit.data.store.clips import ClipStore

SIZE = (40, 56)


def _edited(directory: Path, name: str, edit: Callable[[Any, tuple[int, ...]], None], codec: str) -> ClipStore:
    """A store of two clips whose dataset `name` was taken out and made again by `edit` (file, shape)."""
    write_store(directory / "store", [clip(0), clip(1)], SIZE, codec=codec, per_file=8)
    with h5py.File(directory / "store/frames-00000.h5", "r+") as file:
        shape = file[name].shape
        with h5py.File(directory / "secret.h5", "w") as other:
            other["x"] = np.full(shape, 2, file[name].dtype)
        del file[name]
        edit(file, shape)
    return ClipStore(directory / "store")


def _external(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    def edit(file: Any, shape: tuple[int, ...]) -> None:
        file[name] = h5py.ExternalLink(str(directory / "secret.h5"), "x")

    return edit


def _virtual(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    def edit(file: Any, shape: tuple[int, ...]) -> None:
        layout = h5py.VirtualLayout(shape, "u1")
        layout[:] = h5py.VirtualSource(str(directory / "secret.h5"), "x", shape)
        file.create_virtual_dataset(name, layout)

    return edit


def _raw_file(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    def edit(file: Any, shape: tuple[int, ...]) -> None:
        (directory / "bytes").write_bytes(bytes(int(np.prod(shape))))
        file.create_dataset(name, shape, "u1", external=[(str(directory / "bytes"), 0, int(np.prod(shape)))])

    return edit


def _soft(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    def edit(file: Any, shape: tuple[int, ...]) -> None:
        file["other"] = np.zeros(shape, "u1")
        file[name] = h5py.SoftLink("/other")

    return edit


def _group(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    return lambda file, shape: file.create_group(name)


def _unwritten(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    """HDF5 reads zeros, which are a class."""

    def edit(file: Any, shape: tuple[int, ...]) -> None:
        file.create_dataset(name, shape, "u1", chunks=(1, *shape[1:]), fletcher32=name == "labels")

    return edit


def _terabytes(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    def edit(file: Any, shape: tuple[int, ...]) -> None:
        file.create_dataset(name, (1 << 40, *shape[1:]), "u1", chunks=(1, *shape[1:]), fletcher32=name == "labels")

    return edit


def _wide(directory: Path, name: str) -> Callable[[Any, tuple[int, ...]], None]:
    """A few bytes are packed into a chunk of gigabytes."""

    def edit(file: Any, shape: tuple[int, ...]) -> None:
        options = {"maxshape": (None,) * len(shape), "chunks": (60_000,) * len(shape[-2:]), "fletcher32": True}
        options["chunks"] = (1,) * (len(shape) - len(options["chunks"])) + options["chunks"]
        file.create_dataset(name, shape, "u1", **options)

    return edit


@pytest.mark.parametrize("codec", ["raw", "png"])
@pytest.mark.parametrize("name", ["labels", "frames"])
@pytest.mark.parametrize("how", [_external, _virtual, _raw_file, _soft, _group, _unwritten, _terabytes, _wide])
def test_data_from_elsewhere_is_refused(tmp_path: Path, how: Any, name: str, codec: str) -> None:
    store = _edited(tmp_path, name, how(tmp_path, name), codec)
    with pytest.raises(ArtifactError, match=r"frames-00000\.h5: the file is corrupt"):
        store.label(0, store.clips[0].labeled[0])


def _packed(value: int, shape: tuple[int, ...]) -> Callable[[Any, tuple[int, ...]], None]:
    def edit(file: Any, old: tuple[int, ...]) -> None:
        data = np.full((old[0], *shape), value, "u1")
        file.create_dataset("labels", data=data, chunks=(1, *shape), fletcher32=True)

    return edit


def test_labels_have_to_fit(tmp_path: Path) -> None:
    good = _edited(tmp_path / "good", "labels", _packed(CLASSES - 1, SIZE), "raw")
    assert (good.label(0, 3) == CLASSES - 1).all()
    ignored = _edited(tmp_path / "ignored", "labels", _packed(255, SIZE), "raw")
    assert (ignored.label(0, 3) == 255).all()
    for number, (value, shape, told) in enumerate(
        [(0, (1, 1), "dataset 'labels' is not"), (CLASSES, SIZE, "there are 4 classes"), (200, SIZE, "holds id 200")]
    ):
        store = _edited(tmp_path / str(number), "labels", _packed(value, shape), "raw")
        with pytest.raises(ArtifactError, match=told):
            store.label(0, 3)


def test_labels_without_checksums_and_too_few_are_refused(tmp_path: Path) -> None:
    def plain(file: Any, shape: tuple[int, ...]) -> None:
        file["labels"] = np.zeros(shape, "u1")

    def few(file: Any, shape: tuple[int, ...]) -> None:
        _packed(0, SIZE)(file, (1,))

    for name, edit, told in (("plain", plain, "has no checksums"), ("few", few, "there are 1 labels")):
        store = _edited(tmp_path / name, "labels", edit, "raw")
        with pytest.raises(ArtifactError, match=told):
            store.label(0, 3)


def test_which_frame_a_label_belongs_to_has_to_be_written(tmp_path: Path) -> None:
    """All zeros would give every frame the first label."""

    def unwritten(file: Any, shape: tuple[int, ...]) -> None:
        file.create_dataset("label_rows", shape, "i4", chunks=shape, fletcher32=True)

    def plain(file: Any, shape: tuple[int, ...]) -> None:
        file["label_rows"] = np.zeros(shape, "i4")

    for name, edit, told in (("unwritten", unwritten, "was never written"), ("plain", plain, "has no checksums")):
        store = _edited(tmp_path / name, "label_rows", edit, "raw")
        with pytest.raises(ArtifactError, match=told):
            store.label(0, 3)


def test_a_pipe_in_the_place_of_a_file(tmp_path: Path) -> None:
    """To open it would wait for ever."""
    write_store(tmp_path / "store", [clip(0)], SIZE, codec="raw", per_file=8)
    (tmp_path / "store/frames-00000.h5").unlink()
    os.mkfifo(tmp_path / "store/frames-00000.h5")
    with pytest.raises(ArtifactError, match=r"frames-00000\.h5: the file is corrupt \(it is not a plain file\)"):
        ClipStore(tmp_path / "store").frame(0, 0)
