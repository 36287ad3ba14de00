"""Where evaluation flow comes from: each source finds the motion, says what it did, and refuses what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import small_stores
import torch
from numpy.typing import NDArray

from ifrkit.artifacts.store import Artifact
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.plugins import load, names
from ifrkit.data.store.clips import ClipStore
from ifrkit.flow_sources import flow_source, is_artifact
from ifrkit.metrics._pairs import warp_nearest
from ifrkit.stages import train_flow
from ifrkit.stages.runner import Run, execute


def textured(height: int, width: int) -> NDArray[np.uint8]:
    """Smooth coloured noise of full contrast."""
    noise = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def frames_store(*frames: NDArray[np.uint8]) -> Any:
    """All that `dis` asks of a store."""
    return SimpleNamespace(frame=lambda clip, index: np.ascontiguousarray(frames[index]))


@pytest.fixture(scope="module")
def store(clips: Artifact) -> ClipStore:
    return ClipStore(clips.path)


@pytest.fixture(scope="module")
def flow_artifact(clips: Artifact) -> Artifact:
    config = TrainFlowConfig.of(
        {
            "width": 0.125,
            "crop": (32, 48),
            "loop": {"steps": 2, "batch": 2, "eval_every": 2},
            "runtime": {"workers": 0, "log_every": 1, "save_every": 1},
        }
    )
    return execute(train_flow.STAGE, config, Run(workspace=clips.path.parents[1], inputs=[clips]))


# -- dis --


@pytest.mark.parametrize("shift", [(3, -2), (-5, 1), (0, 0)])
def test_dis_recovers_a_shift(shift: tuple[int, int]) -> None:
    picture, (dx, dy) = textured(80, 110), shift
    first, second = picture[8:72, 8:104], picture[8 - dy : 72 - dy, 8 - dx : 104 - dx]
    pair = load("flow_sources", "dis")().pair(frames_store(first, second), 0, 0)
    assert pair.flow_2hw.shape == (2, 64, 96)
    assert pair.flow_2hw.dtype == np.float32
    inner = np.s_[10:-10, 10:-10]
    for part, expected in zip(pair.flow_2hw, shift, strict=True):
        assert np.abs(part[inner] - expected).mean() < 0.1
    assert pair.consistent_hw[inner].mean() > 0.98
    leaving = {3: np.s_[:, -3:], -5: np.s_[:, :5], 0: np.s_[:0]}[dx]
    assert not pair.consistent_hw[leaving].any()


def test_dis_is_the_same_every_time_and_on_any_number_of_cores() -> None:
    picture, threads = textured(64, 96), cv2.getNumThreads()
    scene, source = frames_store(picture, np.roll(picture, 3, 1)), load("flow_sources", "dis")()
    try:
        found = []
        for count in (1, 1, 4):
            cv2.setNumThreads(count)
            found.append(source.pair(scene, 0, 0))
    finally:
        cv2.setNumThreads(threads)
    for other in found[1:]:
        assert np.array_equal(other.flow_2hw, found[0].flow_2hw)
        assert np.array_equal(other.consistent_hw, found[0].consistent_hw)


def test_dis_distrusts_what_is_covered_in_the_next_frame() -> None:
    """A patch moves over a still background by 8 pixels."""
    first, patch = textured(96, 128), textured(200, 300)[150:190, 200:240]
    second = first.copy()
    first[28:68, 40:80] = second[28:68, 48:88] = patch
    pair = load("flow_sources", "dis")().pair(frames_store(first, second), 0, 0)
    assert np.median(pair.flow_2hw[0, 32:64, 44:76]) == pytest.approx(8, abs=0.2)
    assert pair.consistent_hw[32:64, 44:76].mean() > 0.9
    assert pair.consistent_hw[30:66, 80:88].mean() < 0.5


# -- truth --


def test_truth_carries_every_label_where_the_next_frame_shows_it(store: ClipStore) -> None:
    source = load("flow_sources", "truth")()
    moved = 0.0
    for clip, record in enumerate(store.clips):
        for index in range(len(record.frames) - 1):
            pair = source.pair(store, clip, index)
            here, there = (store.label(clip, i, hidden=True) for i in (index, index + 1))
            good = pair.consistent_hw
            assert 0.5 < good.mean() < 1
            assert (warp_nearest(there, pair.flow_2hw) == here)[good].mean() > 0.999
            moved += (there != here)[good].mean()
    assert moved > 0.05, "without motion nothing was tested"


def test_truth_needs_a_dataset_that_has_it(tmp_path: Path) -> None:
    store = small_stores.write_store(tmp_path / "store", [small_stores.clip(0)])
    with pytest.raises(ConfigError, match=r"--flow truth: hand has no exact flow; use --flow dis") as error:
        load("flow_sources", "truth")().pair(store, 0, 0)
    assert "\n" not in str(error.value)


# -- files --


def write_flow(path: Path, flow: tuple[float, float], size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.broadcast_to(np.array(flow, np.float32), (*size, 2)).copy()
    values[5, 7] = 0.25, -0.5
    assert cv2.writeOpticalFlow(str(path), values)


def test_files_without_backward_flow(store: ClipStore, tmp_path: Path) -> None:
    height, width = store.size
    write_flow(tmp_path / f"{store.clips[1].frames[2]}.flo", (2, 1), store.size)
    source = flow_source(str(tmp_path), None)
    pair = source.pair(store, 1, 2)
    assert pair.flow_2hw.dtype == np.float32
    assert pair.flow_2hw[:, 0, 0].tolist() == [2, 1]
    assert pair.flow_2hw[:, 5, 7].tolist() == [0.25, -0.5]
    inside = np.zeros(store.size, bool)
    inside[: height - 1, : width - 2] = True
    assert np.array_equal(pair.consistent_hw, inside)
    assert source.describe() == {"source": "files", "folder": tmp_path.name, "consistent": "inside the frame"}


def test_files_with_backward_flow(store: ClipStore, tmp_path: Path) -> None:
    first, second, third = store.clips[1].frames[:3]
    write_flow(tmp_path / f"{first}.flo", (2, 0), store.size)
    write_flow(tmp_path / "backward" / f"{second}.flo", (-2, 0), store.size)
    source = flow_source(str(tmp_path), None)
    good = source.pair(store, 1, 0).consistent_hw
    assert good[20:, :-2].all()
    assert not good[:, -2:].any()
    assert not good[5, 5], "it arrives at the one pixel that goes back elsewhere"
    assert "|f + b'|^2" in source.describe()["consistent"]
    write_flow(tmp_path / f"{second}.flo", (2, 0), store.size)
    with pytest.raises(DatasetError, match=f"backward.{third}.flo: no readable flow file"):
        source.pair(store, 1, 1)


@pytest.mark.parametrize("broken", ["missing", "empty", "junk", "cut", "long", "size"])
def test_files_that_do_not_fit(store: ClipStore, tmp_path: Path, broken: str) -> None:
    write_flow(tmp_path / f"{store.clips[0].frames[0]}.flo", (1, 0), store.size)
    path = tmp_path / f"{store.clips[0].frames[1]}.flo"
    if broken == "size":
        write_flow(path, (1, 0), (store.size[0], store.size[1] + 2))
    elif broken != "missing":
        whole = (tmp_path / f"{store.clips[0].frames[0]}.flo").read_bytes()
        junk = b"PIEH and then something else"
        path.write_bytes({"empty": b"", "junk": junk, "cut": whole[:-8], "long": whole + whole}[broken])
    said = r"flow of \(32, 50\), frames are \(32, 48\); compute" if broken == "size" else "no readable flow file; name"
    with pytest.raises(DatasetError, match=f"{store.clips[0].frames[1]}.flo: {said}") as error:
        flow_source(str(tmp_path), None).pair(store, 0, 1)
    assert "\n" not in str(error.value)


# -- artifact --


def test_artifact_is_its_network_at_full_size_both_ways(flow_artifact: Artifact, store: ClipStore) -> None:
    source = flow_source(str(flow_artifact.path), flow_artifact.path)
    pair = source.pair(store, 0, 1)
    assert pair.flow_2hw.shape == (2, *store.size)
    assert pair.flow_2hw.dtype == np.float32
    assert np.array_equal(source.pair(store, 0, 1).flow_2hw, pair.flow_2hw)
    assert source.describe()["id"] == flow_artifact.id


def test_artifact_asks_where_the_first_frame_is_in_the_second(
    flow_artifact: Artifact, store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the network says at 1/4 size is a forward flow, in pixels of that size."""
    source: Any = flow_source("", flow_artifact.path)
    asked: list[torch.Tensor] = []

    def network(here: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        asked.append(here)
        side = 1 if len(asked) == 1 else -1
        return torch.tensor([0.5 * side, 0.25 * side]).view(1, 2, 1, 1).expand(1, 2, 8, 12)

    monkeypatch.setitem(source.__dict__, "_network", network)
    pair = source.pair(store, 0, 1)
    assert torch.equal((asked[0][0].flip(0) * 255).round().byte().permute(1, 2, 0), torch.from_numpy(store.frame(0, 1)))
    assert np.allclose(pair.flow_2hw.reshape(2, -1).T, [2, 1])
    assert pair.consistent_hw[:-1, :-2].all()
    assert not pair.consistent_hw[-1].any()


# -- the choice --


def test_every_source_describes_itself(flow_artifact: Artifact, tmp_path: Path) -> None:
    places = {"artifact": str(flow_artifact.path), "files": str(tmp_path)}
    for name in names("flow_sources"):
        source = load("flow_sources", name)(places.get(name, ""))
        told = source.describe()
        assert told["source"] == name
        assert told["consistent"]
        assert json.loads(json.dumps(told, allow_nan=False)) == told
        assert str(tmp_path.parent) not in json.dumps(told), "a report names no place of this machine"


def test_choice(flow_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_flow(tmp_path / "flows" / "video" / "000.flo", (0, 0), (32, 48))
    for choice, name in (("dis", "dis"), ("DIS", "dis"), ("truth", "truth"), ("flows", "files")):
        assert not is_artifact(choice)
        assert type(flow_source(choice, None)) is load("flow_sources", name)
    for choice in (str(flow_artifact.path), "flow", flow_artifact.id[:8], "runs/flow-1"):
        assert is_artifact(choice)
    assert type(flow_source("flow", flow_artifact.path)) is load("flow_sources", "artifact")


@pytest.mark.parametrize("choice", ["diss", "raft", "", "abc"])
def test_unknown_source_is_told_which_there_are(choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_flow(tmp_path / "000.flo", (0, 0), (32, 48))  # the current directory is not meant
    with pytest.raises(ConfigError) as error:
        is_artifact(choice)
    sources = "use dis, truth, a flow artifact, or a folder of .flo files"
    assert str(error.value) == f"--flow {choice!r}: no such source; {sources}"


@pytest.mark.parametrize("choice", ["files", "artifact"])
def test_source_with_a_place_is_asked_for_the_place(choice: str) -> None:
    assert not is_artifact(choice)
    with pytest.raises(ConfigError, match=f"--flow {choice}: needs a place; give the artifact, or the folder"):
        flow_source(choice, None)
