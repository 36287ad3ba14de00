"""safetensors files: complete or not there, and one line for any other file."""

from __future__ import annotations

import os
import resource
import zipfile
from pathlib import Path

import pytest
import torch
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
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ResourceError, match=r"w\.safetensors"):
            save_weights(file, {"big": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
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
    path = _hostile(tmp_path / "many", "{" + ",".join(entry % n for n in range(300_000)) + "}")
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
