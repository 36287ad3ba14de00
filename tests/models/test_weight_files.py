"""safetensors files: complete or not there, and one line for any other file."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from file_limit import files_of_at_most
from safetensors import safe_open

from ifrkit.core.errors import ArtifactError, ResourceError
from ifrkit.models.importers import read_state
from ifrkit.models.weights import load_weights, save_weights

STATE = {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(7), "h": torch.ones(2, dtype=torch.bfloat16)}


def test_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    image_like = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    save_weights(file, {**STATE, "c": image_like, "t": torch.arange(6).reshape(2, 3).T}, {"step": "3", "a": "b"})
    loaded = load_weights(file)
    assert all(torch.equal(loaded[k], v) and loaded[k].dtype == v.dtype for k, v in STATE.items())
    assert torch.equal(loaded["c"], image_like)
    assert loaded["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    with safe_open(file, "pt") as opened:
        assert opened.metadata() == {"ifrkit": '{"a": "b", "step": "3"}'}
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_equal_content_makes_equal_bytes(tmp_path: Path) -> None:
    save_weights(tmp_path / "1", STATE, {"x": "1", "y": "2"})
    save_weights(tmp_path / "2", dict(reversed(STATE.items())), {"y": "2", "x": "1"})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, STATE)
    before = file.read_bytes()
    with files_of_at_most(10_000), pytest.raises(ResourceError, match=r"w\.safetensors"):
        save_weights(file, {"big": torch.zeros(100_000)})
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_what_is_no_weights_file(tmp_path: Path) -> None:
    save_weights(tmp_path / "good", STATE)
    torch.save(STATE, tmp_path / "pickle")
    torch.save(STATE, tmp_path / "old", _use_new_zipfile_serialization=False)
    (tmp_path / "empty").touch()
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-1])
    (tmp_path / "header").write_bytes(b"\xff" + (tmp_path / "good").read_bytes()[1:])
    (tmp_path / "folder").mkdir()
    for name in ("pickle", "old", "empty", "cut", "header", "folder", "nothing"):
        with pytest.raises(ArtifactError) as caught:
            load_weights(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.remedy


def _hostile(path: Path, header: str, size: int = 0) -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    os.truncate(path, 8 + len(header) + size)  # takes no room on the disk
    return path


def test_more_tensors_than_any_network_has_are_refused_by_the_header(tmp_path: Path) -> None:
    entry = '"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    for written in (entry, entry.replace("data_offsets", r"data\u005foffsets")):
        path = _hostile(tmp_path / "many", "{" + ",".join(written % n for n in range(300_000)) + "}")
        with pytest.raises(ArtifactError, match="300000 tensors are not the weights of a network"):
            load_weights(path)


def test_larger_files_than_the_limit_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = '{"t":{"dtype":"U8","shape":[8589934592],"data_offsets":[0,8589934592]}}'
    path = _hostile(tmp_path / "large", header, 1 << 33)
    with pytest.raises(ArtifactError, match=r"8192 MiB of weights, 2048 are read; set IFRKIT_MAX_WEIGHTS_MIB higher"):
        load_weights(path)
    save_weights(tmp_path / "small", {"x": torch.zeros(1 << 19)})
    monkeypatch.setenv("IFRKIT_MAX_WEIGHTS_MIB", "1")
    with pytest.raises(ArtifactError, match="2 MiB of weights, 1 are read"):
        load_weights(tmp_path / "small")
    monkeypatch.setenv("IFRKIT_MAX_WEIGHTS_MIB", "3")
    assert load_weights(tmp_path / "small")["x"].shape == (1 << 19,)


def test_an_archive_that_unfolds_to_more_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes stand in its list of files: nothing is unfolded to know them."""
    monkeypatch.setenv("IFRKIT_MAX_WEIGHTS_MIB", "16")
    torch.save(STATE, tmp_path / "sound.pth")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in ("archive/data.pkl", "archive/data/0"):
            bomb.writestr(name, bytes(10 << 20))
    assert (tmp_path / "bomb.pth").stat().st_size < 1 << 20
    with pytest.raises(ArtifactError, match="20 MiB of weights, 16 are read"):
        read_state(tmp_path / "bomb.pth")
    monkeypatch.delenv("IFRKIT_MAX_WEIGHTS_MIB")
    with pytest.raises(ArtifactError, match="is a packed archive"):
        read_state(tmp_path / "bomb.pth")
    assert read_state(tmp_path / "sound.pth").keys() == STATE.keys()


def _archive(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings(action="ignore"):
        for name, data in entries:
            archive.writestr(name, data)
    return path


def test_files_of_torch_that_would_take_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pickle nearly each byte is a step, in both formats of torch; so is each entry of an archive."""
    monkeypatch.setenv("IFRKIT_MAX_TENSORS", "10")
    many = {str(n): torch.zeros(0) for n in range(11)}
    torch.save(many, tmp_path / "many.pth")
    with pytest.raises(ArtifactError, match=r"1\d tensors are not the weights of a network; set IFRKIT_MAX_TENSORS"):
        read_state(tmp_path / "many.pth")
    steps = b"\x80\x02" + b"(" * 2000
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_state(tmp_path / "old.pth").keys() == STATE.keys()
    start = (tmp_path / "old.pth").read_bytes().index(b"}q\x00(X\x01")  # of its third object, the dict
    (tmp_path / "long.pth").write_bytes((tmp_path / "old.pth").read_bytes()[:start] + b"(" * 2000)
    for path in (_archive(tmp_path / "long.zip", ("a/data.pkl", steps), ("a/version", b"3")), tmp_path / "long.pth"):
        with pytest.raises(ArtifactError, match="its pickle is too long for the weights of a network; set "):
            read_state(path)
        monkeypatch.setenv("IFRKIT_MAX_TENSORS", "1000")
        with pytest.raises(ArtifactError, match="is damaged"):
            read_state(path)
        monkeypatch.setenv("IFRKIT_MAX_TENSORS", "10")


def test_archives_that_torch_did_not_write(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as archive:
        own = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    good = (tmp_path / "good.pth").read_bytes()
    (tmp_path / "cut").write_bytes(good[:-30])
    for path in (_archive(tmp_path / "twice", *own, *own), _archive(tmp_path / "none", ("a", b"x")), tmp_path / "cut"):
        with pytest.raises(ArtifactError, match="is damaged, or holds more than tensors"):
            read_state(path)


def test_tensors_that_cannot_be_weights(tmp_path: Path) -> None:
    odd = {
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.ones(2, device="meta"),
    }
    for name, tensor in odd.items():
        torch.save({**STATE, "x": tensor}, tmp_path / name)
        with pytest.raises(ArtifactError, match="holds no state dict of tensors"):
            read_state(tmp_path / name)
