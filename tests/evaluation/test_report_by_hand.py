"""report.json against numpy alone: confusion matrices, copied key frames, checkpoints, pictures, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_video
import torch
from numpy.typing import NDArray

from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.plugins import load
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import CopyKey, PerFrame
from ifrkit.metrics.base import ClipResult
from ifrkit.stages import train_fusion
from ifrkit.stages.evaluate import STAGE
from ifrkit.stages.runner import Run, execute
from ifrkit.trained import load_branch

UPDATE, REFERENCE, COPY = "update, every frame", "reference, every frame", "key frame, copied"
LENGTH = 5


def judge(source: Artifact, workspace: Path, **config: Any) -> Artifact:
    return execute(STAGE, EvalConfig.of(config), Run(workspace=workspace, inputs=[source]))


def read(artifact: Artifact) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(artifact.file("report.json").read_text())
    return tree


def system(branches: Artifact, branch: str, checkpoint: str = "best") -> PerFrame:
    return PerFrame(branch, load_branch(branches, branch, checkpoint), torch.device("cpu"))


def count(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]], classes: int) -> NDArray[np.int64]:
    """Confusion matrix of (label, prediction) pairs: rows are the truth."""
    matrix = np.zeros((classes, classes), np.int64)
    for label, ids in pairs:
        for row, column in zip(label.ravel(), ids.ravel(), strict=True):
            if row != 255:
                matrix[row, column] += 1
    return matrix


@pytest.mark.parametrize("checkpoint", ["best", "last"])
@torch.inference_mode()
def test_the_confusion_matrix_of_the_chosen_checkpoint(
    workspace: Path, store: ClipStore, branches: Artifact, checkpoint: str
) -> None:
    made = judge(branches, workspace, metrics="miou", checkpoint=checkpoint, distance=2, pictures=0)
    report = read(made)
    update, reference = (system(branches, name, checkpoint) for name in ("update", "reference"))
    places = [(clip, store.clips[clip].annotated or 0) for clip in store.clips_of("val")]
    labels = [store.label(clip, index, hidden=True) for clip, index in places]
    predicted = {
        UPDATE: [update.predict(store, clip, index, store.size).ids_hw for clip, index in places],
        REFERENCE: [reference.predict(store, clip, index, store.size).ids_hw for clip, index in places],
        COPY: [reference.predict(store, clip, index - 2, store.size).ids_hw for clip, index in places],
    }
    assert list(report["systems"]) == list(predicted)
    for name, ids in predicted.items():
        matrix = count(list(zip(labels, ids, strict=True)), 8)
        found = report["systems"][name]["miou"]
        assert found["confusion"] == matrix.tolist()
        hits, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        assert found["iou"] == pytest.approx([h / u if u else None for h, u in zip(hits, union, strict=True)])
        assert found["miou"] == pytest.approx(np.mean([h / u for h, u in zip(hits, union, strict=True) if u]))
        assert made.manifest.metrics["systems"][name]["miou"] == found["miou"]
    assert report["model"]["checkpoint"] == report["model"]["settings"]["branches"]["checkpoint"] == checkpoint
    assert report["classes"] == list(store.labels.names)


def test_the_checkpoints_differ(branches: Artifact) -> None:
    """Otherwise the test above would not tell them apart."""
    best, last = (branches.file(f"reference.{kept}.safetensors").read_bytes() for kept in ("best", "last"))
    assert best != last


@pytest.mark.parametrize("interval", [1, 2, 3, 9])
@torch.inference_mode()
def test_the_copied_key_frame_as_a_stream(workspace: Path, store: ClipStore, branches: Artifact, interval: int) -> None:
    reference = system(branches, "reference")
    clip = store.clips_of("val")[0]
    stream = [seen.ids_hw for seen in CopyKey(reference).stream(store, clip, interval)]
    keys = {1: [0, 1, 2, 3, 4], 2: [0, 0, 2, 2, 4], 3: [0, 0, 0, 3, 3], 9: [0, 0, 0, 0, 0]}[interval]
    for ids, key in zip(stream, keys, strict=True):
        assert np.array_equal(ids, reference.predict(store, clip, key, store.size).ids_hw)


@torch.inference_mode()
def test_tc_by_dis_of_branches_and_copies(workspace: Path, store: ClipStore, branches: Artifact) -> None:
    report = read(judge(branches, workspace, metrics="tc", flow="dis", key_interval=2))
    source, reference = load("flow_sources", "dis")(), system(branches, "reference")
    streams = {REFERENCE: [0, 1, 2, 3, 4], COPY: [0, 0, 2, 2, 4]}
    for name, shown in streams.items():
        metric = load("metrics", "tc")(8)
        for clip in store.clips_of("val"):
            ids = {i: reference.predict(store, clip, key, store.size).ids_hw for i, key in enumerate(shown)}
            flows = {i: source.pair(store, clip, i) for i in range(LENGTH - 1)}
            metric.update(ClipResult("c", ids, {}, flows))
        assert report["systems"][name]["tc"] == json.loads(json.dumps(metric.compute()))
    assert report["flow"]["source"] == "dis"
    assert report["scored_frames"] == 0


def test_inner_video_numbers_need_a_scored_metric(workspace: Path, branches: Artifact) -> None:
    report = read(judge(branches, workspace, metrics="tc", flow="truth", split="train", frames="all", pictures=0))
    assert "inner_video" not in report


def test_a_video_model_stands_beside_the_branches_it_was_made_of(workspace: Path, branches: Artifact) -> None:
    fusion = tiny_video.fusion_config(key_interval=4, checkpoint="last", loop={"steps": 1, "batch": 2})
    model = tiny_video.run(train_fusion.STAGE, fusion, workspace, [branches])
    options = {"metrics": "miou,tc,mvc8", "flow": "truth", "key_interval": 4, "distance": 3, "pictures": 0}
    ours = read(judge(model, workspace, **options))
    alone = read(judge(branches, workspace, checkpoint="last", **options))
    assert ours["systems"] == {"accel": ours["systems"]["accel"], **alone["systems"]}
    assert list(ours["systems"]) == ["accel", REFERENCE, UPDATE, COPY]
    assert (ours["model"]["kind"], ours["model"]["id"]) == ("video-model", model.id)
    assert ours["model"]["branches_id"] == alone["model"]["id"] == branches.id
    assert ours["model"]["settings"]["branches"] == alone["model"]["settings"]["branches"]
    assert ours["model"]["settings"]["video-model"]["key_interval"] == 4
    assert not [key for kind in ours["model"]["settings"].values() for key in kind if "seed" in key or "runtime" in key]


def test_pictures_are_spread_over_all_scored_frames(workspace: Path, store: ClipStore, branches: Artifact) -> None:
    made = judge(branches, workspace, metrics="miou", frames="all", pictures=5)
    names = [name.replace("/", "_") for clip in store.clips_of("val") for name in store.clips[clip].frames]
    assert len(names) == 15
    drawn = {path.stem for path in (made.path / "pictures").iterdir()}
    assert drawn == set(names[1::3])
    every = judge(branches, workspace, metrics="miou", pictures=99)
    assert len(list((every.path / "pictures").iterdir())) == 3


def test_the_same_again_is_the_same_bytes(workspace: Path, branches: Artifact, tmp_path: Path) -> None:
    options = {"metrics": "miou,tc,tc-etc", "pictures": 2}
    first, second = (judge(branches, place, **options) for place in (workspace, tmp_path))
    assert [entry for entry in first.entries() if entry.path != "confusion.png"] == [
        entry for entry in second.entries() if entry.path != "confusion.png"
    ]
    assert first.id == second.id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "train", "label_size": "full"}, "training clips keep no full-size labels"),
        ({"metrics": "tc", "flow": "files"}, "needs a place"),
    ],
)
def test_refusals(workspace: Path, branches: Artifact, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        judge(branches, workspace, **options)


@pytest.mark.parametrize("name", ["branches.json", "update.best.safetensors"])
def test_one_flipped_bit_of_any_file_that_is_read(
    workspace: Path, branches: Artifact, tmp_path: Path, name: str
) -> None:
    """Still valid JSON, but another number: only the checksum can tell."""
    copy = tmp_path / "branches" / branches.path.name
    shutil.copytree(branches.path, copy)
    data = bytearray((copy / name).read_bytes())
    place = data.index(b'"num_classes": 8') + 15 if name.endswith("json") else len(data) // 2
    data[place] ^= 1
    (copy / name).write_bytes(data)
    damaged = Artifact(copy, open_artifact(copy).manifest, workspace)
    with pytest.raises(ArtifactError, match=f"{name}: the file is corrupt"):
        judge(damaged, tmp_path, metrics="miou")
