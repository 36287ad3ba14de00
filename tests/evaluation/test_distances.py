"""eval --distances by numpy alone: matrices at each distance, means and pools of key intervals, the curve, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_video
import torch
from PIL import Image
from test_report_by_hand import judge, read

from ifrkit.artifacts.store import Artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import names
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import PerFrame, Video
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.stages import train_flow, train_fusion
from ifrkit.stages.evaluate import STAGE
from ifrkit.stages.runner import Run, execute
from ifrkit.trained import load_branch, load_video_model

COPY, REFERENCE = "key frame, copied", "reference, every frame"
CPU = torch.device("cpu")


def places(store: ClipStore) -> list[tuple[int, int]]:
    return [(clip, store.clips[clip].annotated or 0) for clip in store.clips_of("val")]


@pytest.fixture(scope="module")
def flow(workspace: Path, branches: Artifact) -> Artifact:
    clips = branches.ancestor("clips")
    assert clips is not None
    return tiny_video.run(train_flow.STAGE, tiny_video.flow_config(), workspace, [clips])


@pytest.mark.parametrize("arch", names("architectures"))
def test_every_architecture_over_the_distance(
    workspace: Path, store: ClipStore, branches: Artifact, flow: Artifact, arch: str
) -> None:
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    config = tiny_video.fusion_config(arch=arch, flow=str(flow.path), loop=loop)
    model = tiny_video.run(train_fusion.STAGE, config, workspace, [branches])
    made = judge(model, workspace, metrics="miou,tc", flow="truth", distance=2, distances=3, pictures=2)
    report = read(made)
    assert list(report["systems"]) == [arch, REFERENCE, "update, every frame", COPY]
    assert len(list((made.path / "pictures").iterdir())) == 2
    video = Video(arch, load_video_model(model, "best"), CPU)
    matrices = [np.zeros((8, 8), np.int64) for _ in range(3)]
    with torch.inference_mode():
        for clip, index in places(store):
            for distance, matrix in enumerate(matrices):
                ids = video.scored(store, clip, index, index - distance, store.size).ids_hw
                matrix += confusion(store.label(clip, index, hidden=True), ids, 8)
    found = report["distances"]["systems"][arch]
    assert found["at"] == pytest.approx([mean_present(iou(matrix)) for matrix in matrices])
    assert found["at"][2] == report["systems"][arch]["miou"]["miou"]
    with Image.open(made.file("distances.png")) as curve:
        assert curve.size[0] > 500


@torch.inference_mode()
def test_key_intervals_of_the_copied_key_frame(workspace: Path, store: ClipStore, branches: Artifact) -> None:
    report = read(judge(branches, workspace, metrics="tc", flow="truth", distances=3, pictures=0))
    reference = PerFrame("reference", load_branch(branches, "reference", "best"), CPU)

    def seen(clip: int, index: int, distance: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        label = store.label(clip, index, hidden=True)
        return confusion(label, reference.predict(store, clip, index - distance, store.size).ids_hw, 8)

    found = report["distances"]
    assert found["scored_frames"] == len(places(store)) == 3
    copied, every = found["systems"][COPY], found["systems"][REFERENCE]
    assert copied["at"][0] == every["at"][0] == every["at"][1] == every["at"][2]
    assert len(set(copied["at"])) > 1
    assert copied["mean"] == pytest.approx([copied["at"][0], sum(copied["at"][:2]) / 2, sum(copied["at"]) / 3])
    for interval in (1, 2, 3):
        pooled = sum(seen(clip, index, clip % interval) for clip, index in places(store))
        assert copied["pooled"][interval - 1] == pytest.approx(mean_present(iou(np.asarray(pooled))))


def test_only_frames_with_all_distances_count(workspace: Path, store: ClipStore, branches: Artifact) -> None:
    options = {"metrics": "miou", "frames": "all", "pictures": 0}
    report = read(judge(branches, workspace, distances=3, **options))
    assert report["scored_frames"] == 15
    assert report["distances"]["scored_frames"] == 9
    assert "distances" not in read(judge(branches, workspace, **options))


def test_more_distances_than_frames(workspace: Path, store: ClipStore, branches: Artifact) -> None:
    longest = max(index for _, index in places(store)) + 1
    config = EvalConfig.of({"metrics": "miou", "distances": longest + 1})
    with pytest.raises(ConfigError, match=f"--distances {longest + 1}: no scored frame .*at most {longest}"):
        execute(STAGE, config, Run(workspace=workspace, inputs=[branches]))
    assert json.loads(json.dumps(config.tree()))["distances"] == longest + 1
