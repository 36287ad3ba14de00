"""Confidences on the split that fitted the temperature are judged by temperatures that did not see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ifrkit.artifacts.store import Artifact
from ifrkit.cli.compare import command
from ifrkit.config.evaluate import EvalConfig
from ifrkit.core.plugins import load
from ifrkit.core.records import ClipRecord
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation import cross_fit
from ifrkit.evaluation.tables import calibration
from ifrkit.metrics.base import ClipResult
from ifrkit.models.normalisation import IMAGENET
from ifrkit.stages.evaluate import STAGE
from ifrkit.stages.runner import Run, execute
from ifrkit.train.calibration import fit
from ifrkit.trained import load_branch


class Clips:
    """A store that knows its val clips alone, by the videos that they are of."""

    def __init__(self, *videos: str) -> None:
        self.clips = [
            ClipRecord(name=f"{number}", video=video, split="val", frames=(f"{number}",), annotated=0, labeled=(0,))
            for number, video in enumerate(videos)
        ]

    def clips_of(self, split: str) -> list[int]:
        return list(range(len(self.clips))) if split == "val" else []


def groups(*videos: str) -> list[int]:
    return [*cross_fit.groups(Clips(*videos)).values()]  # type: ignore[arg-type]


def test_whole_videos_or_halves_of_one() -> None:
    assert groups("a", "b", "a", "c") == [0, 1, 0, 2]
    assert groups(*"abcdefghij") == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert groups("a", "a", "a", "a", "a") == [0, 0, 0, 1, 1]
    assert groups("a") == groups() == []


@pytest.fixture(scope="module")
def report(workspace: Path, branches: Artifact) -> Artifact:
    config = EvalConfig.of({"metrics": "miou,ece", "pictures": 0})
    return execute(STAGE, config, Run(workspace=workspace, inputs=[branches]))


def tree_of(report: Artifact) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(report.file("report.json").read_text())
    return tree


@torch.inference_mode()
def test_each_video_by_what_the_others_say(report: Artifact, store: ClipStore, branches: Artifact) -> None:
    """ECE once more by hand: of each of three videos with the temperature of the other two."""
    network, system = load_branch(branches, "update", "best"), "update, every frame"
    seen = []
    for clip in store.clips_of("val"):
        place = clip, store.clips[clip].annotated or 0
        frame = torch.from_numpy(store.frame(*place)).permute(2, 0, 1)[None]
        seen.append((network(IMAGENET(frame)), store.label(*place, hidden=True)))
    metric, found = load("metrics", "ece")(8), []
    for own, (logits, label) in enumerate(seen):
        rows, truth = [], []
        for other, other_label in (pair for number, pair in enumerate(seen) if number != own):
            known = np.flatnonzero(other_label.ravel() != 255)
            chosen = known[np.arange(min(1024, len(known))) * len(known) // min(1024, len(known))]
            rows.append(other[0].flatten(1).T.numpy()[chosen])
            truth.append(other_label.ravel()[chosen].astype(np.int64))
        value = fit(np.concatenate(rows), np.concatenate(truth))
        assert value is not None
        found.append(value)
        sure, ids = (logits[0] / value).softmax(0).max(0)
        ids_hw = ids.numpy().astype(np.uint8)
        metric.update(ClipResult("", {0: ids_hw}, {0: label}, confidences={0: sure.clamp(max=1).numpy()}))
    tree = tree_of(report)
    assert tree["cross_fitted"]["temperatures"][system] == pytest.approx(sorted(found))
    assert len(set(found)) == 3, "else this test could not tell them apart"
    assert network.temperature not in found
    assert tree["systems"][system]["ece"]["ece"] == pytest.approx(metric.compute()["ece"], abs=1e-5)


def test_it_is_said_beside_the_number(report: Artifact) -> None:
    tree, text = tree_of(report), CliRunner().invoke(command, [str(report.path)], catch_exceptions=False).stdout
    said = calibration(tree)
    assert said.startswith("ECE: the model's temperature was fitted on this split, so each of 3 groups of videos")
    assert said in text
    halves = {**tree, "cross_fitted": {"groups": 2, "halves": True, "temperatures": {}}}
    assert "each half of its one video is judged by one fitted on the other half" in calibration(halves)
    older = {key: value for key, value in tree.items() if key != "cross_fitted"}
    assert calibration(older) == "ECE: the model's temperature was fitted on this split, which flatters"
    assert calibration({**tree, "split": "test"}) == ""
    assert calibration({**tree, "model": {**tree["model"], "temperature": None}}) == ""
    assert calibration({**tree, "systems": {"a": {"miou": {}}}}) == ""


def test_nothing_is_fitted_where_nobody_asks(workspace: Path, branches: Artifact, monkeypatch: Any) -> None:
    monkeypatch.setattr(cross_fit, "temperatures_of_others", None)
    for options in ({"metrics": "miou"}, {"metrics": "ece", "split": "train"}):
        config = EvalConfig.of({**options, "pictures": 0, "key_interval": 2})
        assert "cross_fitted" not in tree_of(execute(STAGE, config, Run(workspace=workspace, inputs=[branches])))
