"""TensorBoard gets the numbers of the event log, and a picture of the validation after each of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run
import tiny_video
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ifrkit.artifacts.store import Artifact
from ifrkit.data.store.clips import ClipStore
from ifrkit.media.pictures import strip
from ifrkit.report.curves import read_run
from ifrkit.stages import train_fusion
from ifrkit.train.stage_one import BranchTask
from ifrkit.trained import load_branch

LOOP = {"steps": 4, "batch": 2, "eval_every": 2}
RUNTIME = {"workers": 0, "log_every": 1, "tensorboard": True}
WANTED = {"loss", "losses/sup", "lr/0", "lr/1", "seconds", "metrics/miou", "best"}


def boards(artifact: Artifact) -> dict[str, EventAccumulator]:
    """Every run that TensorBoard finds beside this artifact's files, by its name."""
    found = {path.name: EventAccumulator(str(path)) for path in (artifact.path / "tensorboard").iterdir()}
    return {name: board.Reload() for name, board in found.items()}


def pictures(board: EventAccumulator) -> dict[int, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Step -> picture (h, w, 3)."""
    if "validation" not in board.Tags()["images"]:
        return {}
    return {e.step: np.asarray(Image.open(io.BytesIO(e.encoded_image_string))) for e in board.Images("validation")}


def _train(workspace: Path, clips: Artifact) -> Artifact:
    return tiny_run.train(workspace, tiny_run.branches_config(ssl="none", loop=LOOP, runtime=RUNTIME), clips)


def test_the_numbers_of_the_log_and_a_picture_of_each_validation(tmp_path: Path, clips: Artifact) -> None:
    branches = _train(tmp_path, clips)
    ((name, board),) = boards(branches).items()
    assert name == "update"
    assert {*board.Tags()["scalars"]} == WANTED
    run = read_run(branches.path / "update.events.jsonl")
    for tag, wanted in (("loss", run.loss), ("metrics/miou", run.metric)):
        assert [event.step for event in board.Scalars(tag)] == [step for step, _ in wanted]
        assert [event.value for event in board.Scalars(tag)] == pytest.approx([value for _, value in wanted], rel=1e-6)
    shown = pictures(board)
    assert [*shown] == [2, 4]
    assert not np.array_equal(shown[2], shown[4])
    # The last one shows what the last weights say of the first annotated frame of val.
    store = ClipStore(clips.path)
    (clip, *_) = store.clips_of("val")
    index = store.clips[clip].annotated or 0
    network = load_branch(branches, "update", "last")
    config = tiny_run.branches_config(ssl="none", loop=LOOP, runtime=RUNTIME)
    task = BranchTask(network, config, store, store.clips_of("train"), next(network.parameters()).device).measured()
    task.module.eval()
    picture = task.picture()
    assert picture is not None
    np.testing.assert_array_equal(shown[4], picture)
    label_hw = store.label(clip, index, hidden=True)
    right = np.asarray(strip(store.frame(clip, index), label_hw, label_hw, store.labels, "prediction"))
    half = right.shape[1] // 2 - 8
    np.testing.assert_array_equal(picture[20:200, :half], right[20:200, :half])  # frame and label


def test_a_video_model_shows_pictures_too(tmp_path: Path, clips: Artifact) -> None:
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    config = tiny_video.fusion_config(loop=loop, runtime=RUNTIME, warmup_steps=1)
    model = tiny_video.run(train_fusion.STAGE, config, tmp_path, [tiny_video.make_branches(tmp_path, clips)])
    shown = {name: [*pictures(board)] for name, board in boards(model).items()}
    assert shown.pop("model") == [1]
    assert shown
    assert not any(shown.values())  # flow networks and warm-ups see no classes
