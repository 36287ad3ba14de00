"""The trust report: the facts of a real evaluation, the sentences that they make, the page, and the model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from msgspec.structs import replace

from ifrkit.artifacts import store as artifacts
from ifrkit.artifacts.store import Artifact
from ifrkit.cli.report import command
from ifrkit.config.evaluate import EvalConfig
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.plugins import load
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.cross_fit import temperatures_of_others
from ifrkit.evaluation.records import read_records
from ifrkit.evaluation.triage import triage
from ifrkit.metrics.base import ClipResult
from ifrkit.report.card import card
from ifrkit.report.trust import _leakage, facts, not_for
from ifrkit.report.trust_page import page
from ifrkit.stages import evaluate
from ifrkit.stages.runner import Run, execute
from ifrkit.trained import load_video_model

METRICS = "miou,worst-class,ece,aurc,tc,flicker"


@pytest.fixture(scope="module")
def report(workspace: Path, model: Artifact) -> Artifact:
    """All that the page shows, of the video model."""
    options = {"metrics": METRICS, "flow": "truth", "corruptions": True, "pictures": 0, "key_interval": 3}
    return execute(evaluate.STAGE, EvalConfig.of(options), Run(workspace=workspace, inputs=[model]))


@pytest.fixture(scope="module")
def found(report: Artifact) -> dict[str, Any]:
    return facts(report)


def test_the_facts_are_those_of_the_evaluation(report: Artifact, found: dict[str, Any], model: Artifact) -> None:
    tree = json.loads(report.file("report.json").read_text())
    numbers = tree["systems"]["accel"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["model"]["id"], found["measured"]["videos"]) == (model.id, 6)
    headlines = {row["metric"]: row for row in found["headlines"]}
    assert headlines["miou"]["value"] == numbers["miou"]["miou"]
    low, high = headlines["miou"]["interval"]
    assert low <= high
    assert tree["intervals"]["accel"]["miou"] == [low, high]
    worst = found["classes"][0]
    assert worst["iou"] == numbers["worst-class"]["worst_class_iou"]
    assert found["corruptions"]["clean"]["miou"] == pytest.approx(numbers["miou"]["miou"])  # fewer than 50 frames
    assert found["stability"]["flicker"] == numbers["flicker"]["flicker"]
    assert found["calibration"]["ece"] == numbers["ece"]["ece"]
    assert not found["calibration"]["fitted_here"], "each of five groups is judged by what the others say"
    assert found["model"]["temperature"] == load_video_model(model, "best").temperature


def test_the_labels_are_those_that_training_saw(found: dict[str, Any], model: Artifact) -> None:
    clips = model.ancestor("clips")
    assert clips is not None
    store = ClipStore.of(clips)
    train = store.clips_of("train")
    labels = [store.label(clip, store.clips[clip].annotated or 0) for clip in train]
    assert found["labels"]["labeled_frames"] == len(train)
    pixels = [int(sum((label == c).sum() for label in labels)) for c in range(store.labels.num_classes)]
    assert list(found["labels"]["pixels"].values()) == pixels


def test_each_video_by_itself(report: Artifact, found: dict[str, Any], model: Artifact) -> None:
    """From the confusion matrices that the report keeps of each clip."""
    records = read_records(report)
    assert records is not None
    matrices: dict[str, Any] = {}
    for video, matrix in zip(records.videos, records.of("accel", "miou")["confusion"], strict=True):
        matrices[video] = matrices.get(video, 0) + matrix
    for row in found["videos"]:
        metric = load("metrics", "miou")(8)
        metric.counts = {"confusion": matrices[row["video"]]}
        assert row["miou"] == metric.compute()["miou"]
    values = [row["miou"] for row in found["videos"]]
    assert values == sorted(values)
    assert len(values) == 6


def test_how_sure_it_is_of_each_frame(report: Artifact, found: dict[str, Any], model: Artifact) -> None:
    records = read_records(report)
    assert records is not None
    assert len(records.frame_confidence) == 6
    assert found["calibration"]["triage"] == triage(records.frame_confidence, records.frame_accuracy)
    # The mean over the frames, which are of one size, is that over all pixels that are labeled.
    assert np.mean(records.frame_accuracy) == pytest.approx(found["calibration"]["accuracy"])
    # How sure it is of a frame is by the temperature that predict uses, the calibration by those of other videos.
    assert np.mean(records.frame_confidence) == pytest.approx(found["corruptions"]["clean"]["confidence"], abs=1e-6)


def facts_with(found: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The facts, some of them replaced: "measured.videos" is one below another."""
    copy = json.loads(json.dumps(found))
    for key, value in changes.items():
        *above, last = key.split("__")
        place = copy
        for part in above:
            place = place[part]
        place[last] = value
    return copy


def test_what_it_should_not_be_used_for(found: dict[str, Any]) -> None:
    sound = facts_with(
        found,
        labels__pixels={"road": 10, "car": 10},
        classes=[{"class": "car", "iou": 0.5, "pixels": 1}],
        calibration__ece=0.02,
        measured__videos=12,
        leakage=[],
        corruptions={"clean": {"miou": 0.8}, "kinds": {"fog": [{"miou": 0.7}, {"miou": 0.41}]}},
    )
    assert len(not_for(sound)) == 1, "nobody may leave safety to it"
    for said, change in {
        "finding car: training saw no label": {"labels__pixels": {"road": 10, "car": 0}},
        "car (29 %)": {"classes": [{"class": "car", "iou": 0.29, "pixels": 1}]},
        "off by 11 points": {"calibration__ece": 0.11},
        "their calibration was not measured": {"calibration": None},
        "judged on one video": {"measured__videos": 1},
        "the part on leakage": {"leakage": ["something"]},
        "this was not measured": {"corruptions": None},
        "fog (strength 2 of 2 and above): 49 %": {
            "corruptions": {"clean": {"miou": 0.8}, "kinds": {"fog": [{"miou": 0.7}, {"miou": 0.39}]}}
        },
    }.items():
        lines = not_for(facts_with(sound, **change))
        assert len(lines) == 2
        assert said in lines[1]


def test_leakage(workspace: Path, model: Artifact, found: dict[str, Any]) -> None:
    more_honest = "on this split: a split that nothing was chosen on is more honest"
    assert found["leakage"] == [f"the checkpoint was chosen {more_honest}"]
    options = {"metrics": "miou", "split": "train", "pictures": 0}
    learned = execute(evaluate.STAGE, EvalConfig.of(options), Run(workspace=workspace, inputs=[model]))
    short = facts(learned)
    assert "learned by heart" in short["leakage"][0]
    assert short["calibration"] is short["corruptions"] is short["stability"] is None
    assert page(short).count("Not measured.") == 3


def test_a_temperature_that_judges_itself(report: Artifact, model: Artifact) -> None:
    """A report of a version that did not cross-fit, or of one clip."""
    clips = model.ancestor("clips")
    assert clips is not None
    tree = json.loads(report.file("report.json").read_text())
    del tree["cross_fitted"]
    (line,) = _leakage(ClipStore.of(clips), set(), tree, {})
    assert line.startswith("the checkpoint was chosen and the temperature was fitted on this split")


def test_what_prepare_measured_of_leakage_is_said(report: Artifact, model: Artifact) -> None:
    clips = model.ancestor("clips")
    assert clips is not None
    tree = json.loads(report.file("report.json").read_text())
    leak = {"near": 3, "alike": 0, "headline": "3 of 6 held-out labels lie within 2 frames of a training frame"}
    store = ClipStore.of(clips)
    assert _leakage(store, set(), tree, leak)[0] == leak["headline"]
    assert leak["headline"] not in _leakage(store, set(), tree, {**leak, "near": 0})


def test_the_page_and_the_card_of_the_command(
    workspace: Path, report: Artifact, reports: list[Artifact], model: Artifact, tmp_path: Path
) -> None:
    out = tmp_path / "trust.html"
    arguments = [str(report.path), "--trust", "--out", str(out), "--workspace", str(workspace)]
    told = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert told.stdout == f"{out}\n"
    text = out.read_text()
    tree = json.loads((tmp_path / "trust.json").read_text())
    for said in tree["not_for"]:
        assert said.replace("'", "&#x27;") in text
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "<script" not in text
    for title in ("Do not use it for", "Headlines", "Worst class", "know when it is wrong", "How does it degrade?"):
        assert title in text
    readme = model.path / "README.md"
    assert readme.read_text() == card(tree)
    assert artifacts.check(model.path) == [], "a card beside the weights harms nothing"
    two = [str(report.path), str(reports[0].path)]
    with pytest.raises(ConfigError, match="a page is of one model"):
        CliRunner().invoke(command, ["--trust", "--workspace", str(workspace), *two], catch_exceptions=False)


def test_the_card_is_one_of_hugging_face(found: dict[str, Any]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    read = hub.ModelCard(card(found))
    results = {result.metric_type: result.metric_value for result in read.data.eval_results}
    assert results["mean_iou"] == next(row["value"] for row in found["headlines"] if row["metric"] == "miou")
    assert read.data.library_name == "ifrkit"
    assert "What it should not be used for" in read.text
    assert found["calibration"]["judged_by"] in read.text


def test_a_report_of_an_older_version(report: Artifact, tmp_path: Path, workspace: Path) -> None:
    tree = json.loads(report.file("report.json").read_text())
    target = tmp_path / "report" / "old"
    partial = artifacts.begin(target)
    del tree["videos"], tree["intervals"]
    (partial / "report.json").write_text(json.dumps(tree))
    old = artifacts.commit(partial, target, replace(report.manifest, files=()))
    with pytest.raises(ArtifactError, match="older version"):
        facts(Artifact(old.path, old.manifest, workspace))


def test_confidences_reach_the_metrics(report: Artifact, model: Artifact) -> None:
    """ECE of the report is that of the softmax over a temperature that other videos gave, frame by frame."""
    clips = model.ancestor("clips")
    assert clips is not None
    store, network = ClipStore.of(clips), load_video_model(model, "best")
    metric = load("metrics", "ece")(8)

    def logits(clip: int, index: int, distance: int) -> torch.Tensor:
        frames = np.stack([store.frame(clip, i) for i in range(max(0, index - distance), index + 1)])
        with torch.no_grad():
            return network.forward_clip(torch.from_numpy(frames).permute(0, 3, 1, 2)[None])

    before = model.manifest.config["key_interval"] - 1
    by = temperatures_of_others(store, lambda clip, index: logits(clip, index, before))
    for clip in store.clips_of("val"):
        index = store.clips[clip].annotated or 0
        sure, ids = (logits(clip, index, 4)[0] / by[clip]).softmax(0).max(0)
        label = store.label(clip, index, hidden=True)
        ids_hw = ids.numpy().astype(np.uint8)
        metric.update(ClipResult("", {0: ids_hw}, {0: label}, confidences={0: sure.clamp(max=1).numpy()}))
    tree = json.loads(report.file("report.json").read_text())
    assert tree["systems"]["accel"]["ece"]["ece"] == pytest.approx(metric.compute()["ece"], abs=1e-5)
