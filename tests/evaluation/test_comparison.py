"""`ifrkit compare`: seeds become one row, and what was measured differently is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ifrkit.artifacts.manifest import Manifest
from ifrkit.artifacts.store import begin, commit
from ifrkit.cli.compare import command
from ifrkit.core.errors import ConfigError
from ifrkit.evaluation.comparison import comparison, differences
from ifrkit.evaluation.tables import inner_video, percent, spread, summary


def report(ssl: str, seed: int, value: float, **changes: Any) -> dict[str, Any]:
    weights = f"{ssl}{seed}"
    model: dict[str, Any] = {"kind": "branches", "id": weights, "branches_id": weights, "ssl": [ssl], "seed": seed}
    model |= {"labeled": "1/4", "backbones": {"update": "resnet18"}, "settings": {"branches": {"loop.steps": 8}}}
    model["passes"] = {"update": {"trained": 6, "plain": 0, "cost": 6.0}}
    systems = {"update, every frame": {"miou": {"miou": value, "iou": [value]}}}
    same = {"clips_id": "c", "split": "val", "frames": "annotated", "key_interval": 5, "distance": 4}
    counts = {"clips": 1, "scored_frames": 1, "frames_nearer_to_their_key": 0, "classes": ["road"]}
    rest = {"dataset": "d", "label_size": "store", "flow": None, "systems": systems}
    return {"model": model, **same, **counts, **rest} | changes


def store(workspace: Path, tree: dict[str, Any], number: int) -> str:
    target = workspace / "report" / f"val-{number}"
    partial = begin(target)
    (partial / "report.json").write_text(json.dumps(tree))
    manifest = Manifest.of(
        {
            "kind": "report",
            "schema_version": 1,
            "id": f"{number:064x}",
            "stage": "eval",
            "created": "2026-01-01T00:00:00+00:00",
            "inputs": [],
            "config": {},
            "origins": {},
            "seed": None,
            "command": ["eval"],
            "environment": {},
            "metrics": {},
        }
    )
    return str(commit(partial, target, manifest).path)


def test_numbers_of_a_cell() -> None:
    assert percent(None) == "-"
    assert percent(0.12345) == "12.35"
    assert spread([0.5]) == "50.00"
    assert spread([0.4, 0.6]) == "50.00 +- 14.14"  # the sample standard deviation, sqrt(0.02)
    assert spread([0.4, None]) == "-"


def test_tables_of_a_report() -> None:
    tree = report("ifr", 0, 0.5) | {"clips": 3, "scored_frames": 7}
    assert summary(tree) == ("d val, 3 clips, 7 scored frames (%)", ["", "mIoU"], [["update, every frame", "50.00"]])
    tree["inner_video"] = {"a": {"annotated": 0.5, "others": 0.25}, "b": {"annotated": 0.5, "others": None}}
    assert inner_video(tree)[2] == [["a", "50.00", "25.00", "25.00"], ["b", "50.00", "-", "-"]]


def test_seeds_become_one_row(tmp_path: Path) -> None:
    runs = [report("ifr", 0, 0.4), report("none", 0, 0.3), report("ifr", 1, 0.5)]
    metrics, rows = comparison(runs)
    assert metrics == ["miou"]
    assert [(row["model"], row["seeds"]) for row in rows] == [("ifr 1/4 resnet18", [0, 1]), ("none 1/4 resnet18", [0])]
    paths = [store(tmp_path, tree, number) for number, tree in enumerate(runs)]
    result = CliRunner().invoke(command, [*paths, paths[0], "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)[0]["metrics"] == {"miou": [0.4, 0.5]}
    text = CliRunner().invoke(command, paths, catch_exceptions=False).stdout
    assert "45.00 +- 7.07" in text
    assert "ifr 1/4 resnet18: update, every frame" in text


def test_the_leakage_stands_below_the_table(tmp_path: Path) -> None:
    leak = "3 of 6 held-out labels lie within 2 frames of a training frame, which flatters their scores"
    paths = [store(tmp_path, report("ifr", seed, 0.4, leakage=leak), seed) for seed in (0, 1)]
    assert leak in CliRunner().invoke(command, paths, catch_exceptions=False).stdout
    one = store(tmp_path, report("ifr", 2, 0.4), 2)
    assert "training frame" not in CliRunner().invoke(command, [one], catch_exceptions=False).stdout


@pytest.mark.parametrize("change", [{"split": "test"}, {"flow": {"source": "dis"}}, {"distance": 2}, {"clips_id": "x"}])
def test_other_measurements_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    flow = {"flow": {"source": "truth"}}
    runs = [report("ifr", 0, 0.4, **flow), report("none", 0, 0.3, **flow | change)]
    paths = [store(tmp_path, tree, number) for number, tree in enumerate(runs)]
    with pytest.raises(ConfigError, match=rf"the reports differ in {next(iter(change))} \("):
        CliRunner().invoke(command, paths, catch_exceptions=False)


def video(seed: int, value: float, base: float, **fusion: Any) -> dict[str, Any]:
    """A video model of the branches of report("ifr", seed, base)."""
    tree = report("ifr", seed, base)
    tree["model"] |= {"kind": "video-model", "id": f"{seed}{fusion}"}
    tree["model"]["settings"]["video-model"] = fusion
    tree["systems"] = {"accel": {"miou": {"miou": value, "iou": [value]}}, **tree["systems"]}
    return tree


def test_other_settings_are_another_row_and_are_named() -> None:
    longer = report("ifr", 0, 0.6)
    longer["model"] |= {"branches_id": "other", "settings": {"branches": {"loop.steps": 16}}}
    _, rows = comparison([report("ifr", 0, 0.4), report("ifr", 1, 0.5), longer])
    assert [(row["model"], row["seeds"], row["metrics"]["miou"]) for row in rows] == [
        ("ifr 1/4 resnet18 (branches.loop.steps=8)", [0, 1], [0.4, 0.5]),
        ("ifr 1/4 resnet18 (branches.loop.steps=16)", [0], [0.6]),
    ]


def test_weights_that_two_reports_judged_count_once() -> None:
    """The branches of a video model have a report of their own; a second stage two judges them once more."""
    alone = report("ifr", 0, 0.4)
    models = [video(0, 0.6, 0.4, lr=1), video(0, 0.7, 0.4, lr=2), video(1, 0.8, 0.5, lr=1)]
    _, rows = comparison([alone, *models])
    assert [(row["model"], row["system"], row["metrics"]["miou"]) for row in rows] == [
        ("ifr 1/4 resnet18", "update, every frame", [0.4, 0.5]),
        ("ifr 1/4 resnet18 (video-model.lr=1)", "accel", [0.6, 0.8]),
        ("ifr 1/4 resnet18 (video-model.lr=2)", "accel", [0.7]),
    ]


def test_flow_counts_where_it_was_used(tmp_path: Path) -> None:
    runs = [report("ifr", 0, 0.4), report("ifr", 1, 0.5, flow={"source": "dis"})]
    assert differences(runs) == []
    runs.append(report("ifr", 2, 0.5, flow={"source": "truth"}))
    assert differences(runs) == ['flow ({"source": "dis"}, {"source": "truth"})']


def test_no_reports_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no reports named"):
        CliRunner().invoke(command, [], catch_exceptions=False)
