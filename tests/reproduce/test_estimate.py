"""`--dry-run`: what is done, what is left, and what it costs, by finished runs or by a probe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from tiny_tables import FLAGS, Answer

from ifrkit.cli.main import in_process
from ifrkit.reproduce import estimate
from ifrkit.reproduce.matrix import Data, Matrix

SETS = [word for word in FLAGS if "." in word]


def plan(reproduce: Callable[..., Answer], *words: str) -> dict[str, Any]:
    code, tree = reproduce("5", "--only", "baseline", "--dry-run", *words)
    assert code == 0
    return tree


def test_a_new_plan_is_probed_and_writes_nothing(reproduce: Callable[..., Answer], workspace: Path) -> None:
    tree = plan(reproduce)
    assert [node["name"].partition("-s0")[0] for node in tree["nodes"]][1:] == [
        "train-branches-psp18-baseline-1_30",
        "eval-mIoU-val-psp18-baseline-1_30",
    ]
    assert not any(node["done"] for node in tree["nodes"])
    (row,) = tree["trainings"]
    assert (row["runs"], row["steps"], row["passes"], row["measured"]) == (1, 2, "1 FB", False)
    assert row["hours"] == pytest.approx(2 * row["seconds"] / 3600)
    assert row["seconds"] > 0
    assert not list(workspace.iterdir())


def test_finished_runs_are_done_and_tell_the_time_of_the_others(
    reproduce: Callable[..., Answer], workspace: Path
) -> None:
    reproduce("5", "--only", "baseline", "-q")
    tree = plan(reproduce, "--seeds", "0-1")
    assert [node["done"] for node in tree["nodes"]] == [True, True, True, False, False]
    (row,) = tree["trainings"]
    (log,) = workspace.glob("branches/*/update.events.jsonl")
    seconds = [record["seconds"] for line in log.read_text().splitlines() if "seconds" in (record := json.loads(line))]
    assert (row["runs"], row["measured"], row["seconds"]) == (1, True, median(seconds))
    longer = plan(reproduce, "--set", "train-branches.loop.steps=30")
    assert [node["done"] for node in longer["nodes"]] == [True, False, False]
    assert longer["trainings"][0]["seconds"] == row["seconds"]
    assert plan(reproduce)["trainings"] == []
    log.unlink()  # damaged: its times are unknown, and the probe is asked
    assert [row["measured"] for row in plan(reproduce, "--seeds", "0-1")["trainings"]] == [False]


def test_every_kind_of_training_can_be_probed(tmp_path: Path) -> None:
    from ifrkit.artifacts.job import Silent

    matrix = Matrix.of("7", Data(scale="tiny", sets=SETS), (0, 1), "+ IFR")
    costs = estimate.costs(matrix.nodes, matrix.check(in_process), tmp_path, "cpu", Silent())
    rows = {row["training"]: (row["runs"], row["passes"]) for row in map(estimate.entry, costs)}
    assert rows == {
        "update resnet18 psp, ifr": (2, "6 FB"),
        "reference resnet18 psp, ifr": (2, "6 FB"),
        "flow": (2, ""),
        "dff": (2, ""),
        "davss, distortion": (2, ""),
        "davss": (2, ""),
    }
    title, columns, lines = estimate.lines(costs, len(matrix.nodes), 3, "cpu")
    assert title.startswith(f"{len(matrix.nodes)} runs, 3 of them done; what is left trains 24 steps in ")
    assert all(len(line) == len(columns) for line in lines)


def test_switched_off_terms_have_a_cost_of_their_own() -> None:
    matrix = Matrix.of("5", Data("cityscapes", "somewhere"), (0, 1), None)
    assert len({training.key for _, training in estimate.planned(matrix.nodes, matrix.check(in_process))}) == 6
