"""The eval stage on tiny models: what report.json says is what a plain recomputation finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_run
import tiny_video
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from data_prep import folders
from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact
from ifrkit.cli.compare import command
from ifrkit.config.evaluate import EvalConfig
from ifrkit.config.prepare import PrepareConfig
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.plugins import load
from ifrkit.data.store.clips import ClipStore
from ifrkit.metrics.base import ClipResult
from ifrkit.models.normalisation import IMAGENET
from ifrkit.stages import prepare, train_flow, train_fusion
from ifrkit.stages._evaluate import _leakage
from ifrkit.stages.evaluate import STAGE
from ifrkit.stages.runner import Run, execute, plan
from ifrkit.trained import load_branch, load_video_model

Ids = NDArray[np.uint8]


@pytest.fixture(scope="module")
def model(workspace: Path, branches: Artifact) -> Artifact:
    return tiny_video.run(train_fusion.STAGE, tiny_video.fusion_config(key_interval=4), workspace, [branches])


def judge(source: Artifact, workspace: Path, **config: Any) -> Artifact:
    return execute(STAGE, EvalConfig.of(config), Run(workspace=workspace, inputs=[source]))


def read(artifact: Artifact) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(artifact.file("report.json").read_text())
    return tree


def frames_of(store: ClipStore, clip: int, first: int, last: int) -> torch.Tensor:
    frames = np.stack([store.frame(clip, i) for i in range(first, last + 1)])
    return torch.from_numpy(frames).permute(0, 3, 1, 2)[None]


@torch.no_grad()
def video_ids(model: Artifact, store: ClipStore, clip: int, first: int, last: int) -> Ids:
    logits = load_video_model(model, "best").forward_clip(frames_of(store, clip, first, last))
    return logits[0].argmax(0).numpy().astype(np.uint8)


@torch.no_grad()
def branch_ids(branches: Artifact, branch: str, store: ClipStore, clip: int, index: int) -> Ids:
    logits = load_branch(branches, branch, "best")(IMAGENET(frames_of(store, clip, index, index)[0]))
    return logits[0].argmax(0).numpy().astype(np.uint8)


def miou(pairs: list[tuple[Ids, Ids]]) -> float:
    metric = load("metrics", "miou")(8)
    for number, (label, ids) in enumerate(pairs):
        metric.update(ClipResult(str(number), {0: ids}, {0: label}))
    value: float = metric.compute()["miou"]
    return value


def test_each_system_has_the_miou_of_its_own_predictions(
    workspace: Path, store: ClipStore, branches: Artifact, model: Artifact
) -> None:
    report = read(judge(model, workspace, metrics="miou", distance=3))
    val = [(clip, store.clips[clip].annotated or 0) for clip in store.clips_of("val")]
    labels = [store.label(clip, index, hidden=True) for clip, index in val]
    expected = {
        "accel": [video_ids(model, store, clip, index - 3, index) for clip, index in val],
        "reference, every frame": [branch_ids(branches, "reference", store, *place) for place in val],
        "update, every frame": [branch_ids(branches, "update", store, *place) for place in val],
        "key frame, copied": [branch_ids(branches, "reference", store, clip, index - 3) for clip, index in val],
    }
    assert list(report["systems"]) == list(expected)
    for system, predictions in expected.items():
        found = report["systems"][system]["miou"]["miou"]
        assert found == pytest.approx(miou(list(zip(labels, predictions, strict=True))), rel=1e-6), system
    assert report["scored_frames"] == report["clips"] == 3
    assert report["frames_nearer_to_their_key"] == 0


def test_every_labeled_frame_with_the_key_frame_inside_the_clip(
    workspace: Path, store: ClipStore, model: Artifact
) -> None:
    report = read(judge(model, workspace, metrics="miou", distance=3, frames="all"))
    places = [(clip, i) for clip in store.clips_of("val") for i in range(5)]
    pairs = [(store.label(c, i, hidden=True), video_ids(model, store, c, max(0, i - 3), i)) for c, i in places]
    assert report["systems"]["accel"]["miou"]["miou"] == pytest.approx(miou(pairs), rel=1e-6)
    assert report["scored_frames"] == 15
    assert report["frames_nearer_to_their_key"] == 9


def test_tc_of_a_stream_with_a_key_frame_each_interval(workspace: Path, store: ClipStore, model: Artifact) -> None:
    report = read(judge(model, workspace, metrics="tc", flow="truth", key_interval=2))
    metric, network = load("metrics", "tc")(8), load_video_model(model, "best")
    source = load("flow_sources", "truth")()
    for clip in store.clips_of("val"):
        with torch.no_grad():
            ids, state = {}, None
            for i in range(5):
                frame = frames_of(store, clip, i, i)[:, 0]
                logits, state = network.step(frame, state) if i % 2 else network.start(frame)
                ids[i] = logits[0].argmax(0).numpy().astype(np.uint8)
        metric.update(ClipResult("c", ids, {}, {i: source.pair(store, clip, i) for i in range(4)}))
    assert report["systems"]["accel"]["tc"]["tc"] == pytest.approx(metric.compute()["tc"], rel=1e-6)
    assert report["flow"]["source"] == "truth"


def test_inner_video_gap_counts_labeled_training_clips_only(
    workspace: Path, store: ClipStore, branches: Artifact
) -> None:
    report = read(judge(branches, workspace, metrics="miou", split="train", frames="all"))
    names = json.loads(branches.file("branches.json").read_text())["labeled"]
    (clip,) = [c for c in store.clips_of("train") if store.clips[c].name in names]
    pairs = [(store.label(clip, i, hidden=True), branch_ids(branches, "update", store, clip, i)) for i in range(5)]
    found = report["inner_video"]["update, every frame"]
    assert report["clips"] == 1
    assert found["annotated"] == pytest.approx(miou(pairs[4:]), rel=1e-6)
    assert found["others"] == pytest.approx(miou(pairs[:4]), rel=1e-6)
    assert list(found["by_offset"]) == ["-4", "-3", "-2", "-1", "0"]
    assert found["by_offset"]["-2"] == pytest.approx(miou([pairs[2]]), rel=1e-6)


def test_full_size_labels(tmp_path: Path, branches: Artifact) -> None:
    """Frames of 48x64 stored at half size, scored against labels of 48x64."""
    folders.Dataset.make_toy(tmp_path / "toy")
    config = PrepareConfig.of(
        {"dataset": "folders", "root": str(tmp_path / "toy"), "size": (24, 32), "full_labels": True}
    )
    clips = execute(prepare.STAGE, config, Run(workspace=tmp_path, inputs=[]))
    store = ClipStore(clips.path)
    made = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none", loop={"steps": 1, "batch": 2}), clips)
    report = read(judge(made, tmp_path, metrics="miou", label_size="full"))
    places = [(clip, store.clips[clip].annotated or 0) for clip in store.clips_of("val")]
    network = load_branch(made, "update", "best")
    matrix = np.zeros((3, 3), int)
    for clip, index in places:
        label = store.full_label(clip, index)
        assert label.shape == (48, 64)
        with torch.no_grad():
            logits = network(IMAGENET(frames_of(store, clip, index, index)[0]))
        large = torch.nn.functional.interpolate(logits, label.shape, mode="bilinear", align_corners=False)
        np.add.at(matrix, (label[label != 255], large[0].argmax(0).numpy()[label != 255]), 1)
    assert report["scored_frames"] == len(places)
    assert report["systems"]["update, every frame"]["miou"]["confusion"] == matrix.tolist()
    with pytest.raises(ArtifactError, match="full_labels=true"):
        judge(branches, tmp_path, metrics="miou", label_size="full")


def test_pictures_and_tables(workspace: Path, store: ClipStore, model: Artifact) -> None:
    made = judge(model, workspace, metrics="miou", pictures=2, distance=3)
    pictures = sorted((made.path / "pictures").iterdir())
    assert len(pictures) == 2
    with Image.open(pictures[0]) as sheet:
        assert sheet.size == (4 * 336 + 3 * 4, 224 + 44)  # 48x32 enlarged seven times
        columns = np.asarray(sheet)[22:246, 340:676]
    clip = store.clips_of("val")[0]
    label = store.label(clip, store.clips[clip].annotated or 0, hidden=True)
    colours = np.array(store.labels.colors, np.uint8)
    assert np.array_equal(columns[3::7, 3::7], colours[label])
    assert (made.path / "confusion.png").stat().st_size > 1000
    assert not (judge(model, workspace, metrics="miou", pictures=0, distance=3).path / "pictures").exists()


def test_flow_of_an_artifact_and_of_files(workspace: Path, store: ClipStore, model: Artifact, tmp_path: Path) -> None:
    clips = model.ancestor("clips")
    assert clips is not None
    flow = tiny_video.run(train_flow.STAGE, tiny_video.flow_config(), workspace, [clips])
    report = read(judge(model, workspace, metrics="tc", flow=str(flow.path)))
    assert report["flow"]["id"] == flow.id
    for clip in store.clips_of("val"):
        for i, name in enumerate(store.clips[clip].frames[:-1]):
            truth = store.flow(clip, i, backward=False)
            assert truth is not None
            path = tmp_path / "flow" / f"{name}.flo"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.writeOpticalFlow(str(path), np.ascontiguousarray(truth.flow_2hw.transpose(1, 2, 0)))
    config = EvalConfig.of({"metrics": "tc", "flow": str(tmp_path / "flow")})
    before = plan(STAGE, config, Run(workspace=workspace, inputs=[model])).id
    assert read(execute(STAGE, config, Run(workspace=workspace, inputs=[model])))["flow"]["source"] == "files"
    path.write_bytes(path.read_bytes())  # same size, later: its content may be another
    os.utime(path, ns=(1, 1))
    assert plan(STAGE, config, Run(workspace=workspace, inputs=[model])).id != before


class Told(Silent):
    """Remembers the warnings, and what else was said."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.said: list[str] = []
        self.rows: list[list[str]] = []

    def warn(self, message: str) -> None:
        self.warned.append(message)

    def info(self, message: str) -> None:
        self.said.append(message)

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        self.rows += rows


def test_a_model_that_is_judged_by_its_own_flow(workspace: Path, branches: Artifact) -> None:
    clips = branches.ancestor("clips")
    assert clips is not None
    flow = tiny_video.run(train_flow.STAGE, tiny_video.flow_config(), workspace, [clips])
    fusion = tiny_video.fusion_config(key_interval=2, flow=str(flow.path), loop={"steps": 1, "batch": 2})
    model = tiny_video.run(train_fusion.STAGE, fusion, workspace, [branches])
    for source, warned in ((str(flow.path), True), ("dis", False)):
        told = Told()
        config = EvalConfig.of({"metrics": "tc,flicker", "flow": source, "pictures": 0})
        execute(STAGE, config, Run(workspace=workspace, inputs=[model], display=told))
        assert any("judges itself" in line for line in told.warned) == warned


def test_a_table_has_intervals_over_videos(workspace: Path, branches: Artifact) -> None:
    told = Told()
    config = EvalConfig.of({"metrics": "miou", "pictures": 0, "distance": 1})
    report = read(execute(STAGE, config, Run(workspace=workspace, inputs=[branches], display=told)))
    assert report["videos"] == 3
    low, high = report["intervals"]["update, every frame"]["miou"]
    value = report["systems"]["update, every frame"]["miou"]["miou"]
    assert 0 <= low <= high <= 1
    assert ["update, every frame", f"{100 * value:.2f} [{100 * low:.1f}, {100 * high:.1f}]"] in told.rows
    assert any("3 independent videos" in line for line in told.said)


def test_leakage_stands_beside_the_numbers(workspace: Path, branches: Artifact) -> None:
    """Also where there is none to find: then it says so. Training clips leak by design, so nothing is said of them."""
    told = Told()
    config = EvalConfig.of({"metrics": "miou", "pictures": 0, "distance": 3})
    found = read(execute(STAGE, config, Run(workspace=workspace, inputs=[branches], display=told)))
    assert found["leakage"] == "0 of 3 held-out labels lie within 2 frames of a training frame"
    assert found["leakage"] in told.said
    measured = {"near": 2, "alike": 0, "headline": "2 of 3"}
    assert _leakage("val", measured) == "2 of 3, which flatters their scores"
    own = {**measured, "splits": {"test": {"near": 0, "alike": [], "headline": "0 of 1"}}}
    assert (_leakage("test", own), _leakage("val", own)) == ("0 of 1", _leakage("val", measured))
    assert _leakage("train", measured) == _leakage("val", {}) == ""


def test_what_compare_says_of_real_reports(workspace: Path, branches: Artifact) -> None:
    """Rows of one report: the update branch, the reference branch, and its key frame copied."""
    made = judge(branches, workspace, metrics="miou,tc,ece", distance=2, pictures=0)
    text = CliRunner().invoke(command, [str(made.path), "--power"], catch_exceptions=False).stdout
    assert "6 comparisons with the first row (2 rows, 3 metrics): to be called more than chance" in text
    assert "3 independent videos are few" in text
    rows = json.loads(CliRunner().invoke(command, [str(made.path), "--json", "--power"], catch_exceptions=False).stdout)
    for row in rows[1:]:
        assert set(row["differences"]) == {"miou", "tc", "ece"}
        for metric, found in row["differences"].items():
            value = row["metrics"][metric][0] - rows[0]["metrics"][metric][0]
            assert found["value"] == pytest.approx(value)
            assert found["videos"] == 3
            assert found["low"] <= value <= found["high"]
            assert set(row["needed"][metric]) == {"videos", "seeds"}


def test_a_split_without_clips(workspace: Path, model: Artifact) -> None:
    with pytest.raises(ConfigError, match=r"--split test: synthetic has no such clips; .*val 3, test 0"):
        judge(model, workspace, metrics="miou", split="test")


def test_two_ranks_report_the_same_bytes(workspace: Path, model: Artifact, tmp_path: Path) -> None:
    config = {"metrics": "miou,tc,mvc8,tc-pair", "flow": "truth", "frames": "all"}
    alone = judge(model, workspace, **config)
    code = f"""
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from ifrkit.artifacts.store import open_artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.config.prepare import PrepareConfig
from ifrkit.stages.evaluate import STAGE
from ifrkit.stages.runner import Run, execute
model = open_artifact(Path({str(model.path)!r}))
execute(STAGE, EvalConfig.of({config!r}), Run(workspace=Path(sys.argv[1]), inputs=[model]))
"""
    script = tmp_path / "run.py"
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run([*command, str(tmp_path / "other")], capture_output=True, timeout=300, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = (tmp_path / "other" / "report").glob("[!.]*")
    assert (made / "report.json").read_bytes() == alone.file("report.json").read_bytes()
    names = sorted(p.name for p in (made / "pictures").iterdir())
    assert names == sorted(p.name for p in (alone.path / "pictures").iterdir())
