"""TensorBoard gets the numbers of the event log, and a picture of the validation behind each of them."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run
import tiny_video

from ifrkit.artifacts.store import Artifact
from ifrkit.data.store import ClipStore
from ifrkit.evaluation.pictures import strip
from ifrkit.models.checkpoints import load_branch
from ifrkit.report.curves import read_run
from ifrkit.stages import train_fusion
from ifrkit.train.branch import BranchTask

LOOP = {"steps": 4, "batch": 2, "eval_every": 2}
RUNTIME = {"workers": 0, "log_every": 1, "tensorboard": True}
WANTED = {"loss", "losses/sup", "lr/0", "lr/1", "seconds", "metrics/miou", "best"}


class Board:
    """In place of `SummaryWriter`, which only the extra `tb` brings: it keeps what it is given."""

    made: dict[str, Board] = {}

    def __init__(self, directory: str, purge_step: int) -> None:
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.pictures: list[tuple[int, Any]] = []
        self.made["/".join(Path(directory).parts[-2:])] = self

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.setdefault(name, []).append((step, value))

    def add_image(self, name: str, picture: Any, step: int, dataformats: str) -> None:
        assert (name, dataformats, picture.dtype, picture.shape[2]) == ("validation", "HWC", np.uint8, 3)
        self.pictures.append((step, picture))

    def close(self) -> None:
        self.scalars["closed"] = []


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> dict[str, Board]:
    module: Any = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Board
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Board, "made", {})
    return Board.made


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_run.make_clips(tmp_path_factory.mktemp("clips"))


def _train(workspace: Path, clips: Artifact) -> Artifact:
    return tiny_run.train(workspace, tiny_run.branches_config(ssl="none", loop=LOOP, runtime=RUNTIME), clips)


def test_what_it_is_given(tmp_path: Path, clips: Artifact, boards: dict[str, Board]) -> None:
    branches = _train(tmp_path, clips)
    (board,) = boards.values()
    assert [*boards] == ["tensorboard/update"]
    assert {*board.scalars} == {*WANTED, "closed"}
    run = read_run(branches.path / "update.events.jsonl")
    assert (board.scalars["loss"], board.scalars["metrics/miou"]) == (run.loss, run.metric)
    assert [step for step, _ in board.pictures] == [2, 4]
    assert not np.array_equal(board.pictures[0][1], board.pictures[1][1])
    # The last one shows what the last weights say of the first annotated frame of val.
    store = ClipStore(clips.path)
    (clip, *_) = store.clips_of("val")
    index = store.clips[clip].annotated or 0
    network = load_branch(branches, "update", "last")
    config = tiny_run.branches_config(ssl="none", loop=LOOP, runtime=RUNTIME)
    task = BranchTask(network, config, store, store.clips_of("train"), next(network.parameters()).device)
    task.module.eval()
    shown = task.picture()
    assert shown is not None
    np.testing.assert_array_equal(board.pictures[-1][1], shown)
    label_hw = store.label(clip, index, hidden=True)
    right = np.asarray(strip(store.frame(clip, index), label_hw, label_hw, store.labels, "prediction"))
    half = right.shape[1] // 2 - 8
    np.testing.assert_array_equal(shown[20:200, :half], right[20:200, :half])  # frame and label


def test_a_video_model_shows_pictures_too(tmp_path: Path, clips: Artifact, boards: dict[str, Board]) -> None:
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    config = tiny_video.fusion_config(loop=loop, runtime=RUNTIME, warmup_steps=1)
    tiny_video.run(train_fusion.STAGE, config, tmp_path, [tiny_video.make_branches(tmp_path, clips)])
    shown = {name: [step for step, _ in board.pictures] for name, board in boards.items()}
    assert shown.pop("tensorboard/model") == [1]
    assert not any(shown.values())  # flow networks and warm-ups see no classes


def test_the_files_that_tensorboard_reads(tmp_path: Path, clips: Artifact) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    branches = _train(tmp_path, clips)
    read = EventAccumulator(str(branches.path / "tensorboard/update"))
    read.Reload()
    assert {*read.Tags()["scalars"]} == WANTED
    assert [event.step for event in read.Images("validation")] == [2, 4]
    assert [event.value for event in read.Scalars("loss")] == pytest.approx(
        [value for _, value in read_run(branches.path / "update.events.jsonl").loss], rel=1e-6
    )
