"""Image passes are counted on the network itself, and a budget of passes shortens the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch

from ifrkit.artifacts.store import Artifact
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.models.network import build_network
from ifrkit.train.passes import Passes
from ifrkit.train.stage_one import BranchTask

PUBLISHED = {
    "none": (1, 0),
    "ifr": (6, 0),
    "fixmatch": (2, 1),
    "cutmix": (2, 1),
    "classmix": (2, 1),
    "unimatch": (4, 0),
    "cps": (4, 0),
    "cac": (3, 0),
    "cct": (2, 0),
    "tdc": (11, 0),
    "tps": (2, 1),
    "pseudoseg": (3, 1),
    "advsemi": (2, 0),
    "s4gan": (2, 0),
    "ifr,cct": (6, 0),
    "advsemi,s4gan": (2, 0),
}
"""Of the table in docs/methods.md; ifr and cct share the pass of a view."""


def task(clips: Artifact, ssl: str, **changes: Any) -> BranchTask:
    config, store = tiny_run.branches_config(ssl=ssl, **changes), ClipStore(clips.path)
    network = build_network(config.update, 8, seed=0)
    return BranchTask(network, config, store, labeled_clips(store, config.labeled), torch.device("cpu")).measured()


@pytest.mark.parametrize("ssl", PUBLISHED)
def test_as_many_as_the_table_says(clips: Artifact, ssl: str) -> None:
    made = task(clips, ssl)
    assert tuple(made.passes) == PUBLISHED[ssl]
    assert f"{PUBLISHED[ssl][0]} FB" in str(made.passes)


def test_counting_leaves_no_trace(clips: Artifact) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    made = task(clips, "fixmatch")
    assert torch.equal(torch.get_rng_state(), before)
    fresh = build_network(made.config.update, 8, seed=0).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in made.network.state_dict().items())


def test_a_budget_of_passes(clips: Artifact, tmp_path: Path) -> None:
    assert Passes(2, 1).cost == pytest.approx(7 / 3)
    loop = {"steps": 12, "batch": 2, "eval_every": 6}
    made = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="ifr", budget="passes", loop=loop), clips)
    index = json.loads(made.file("branches.json").read_text())
    assert index["passes"]["update"] == {"trained": 6.0, "plain": 0.0, "cost": 6.0}
    lines = [json.loads(line) for line in made.file("update.events.jsonl").read_text().splitlines()]
    assert max(line["step"] for line in lines) == 2


def test_a_ramp_up_keeps_its_share_of_the_training(clips: Artifact) -> None:
    options = {"loop": {"steps": 12, "batch": 2, "eval_every": 6}, "method": {"ifr": {"ramp_up": 12}}}
    short, full = task(clips, "ifr", budget="passes", **options), task(clips, "ifr", **options)
    assert (short.steps, full.steps) == (2, 12)

    def terms(made: BranchTask, step: int) -> dict[str, float]:
        batch = made.to_device(next(iter(made.batches(0, 1))))
        torch.manual_seed(0)
        return {name: float(term.detach()) for name, term in made.module.eval()(batch, step).items()}

    assert terms(short, 1) == terms(full, 6)
    assert terms(short, 1) != terms(full, 1)
