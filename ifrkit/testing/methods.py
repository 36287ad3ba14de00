"""Contract tests for authors of methods (`--ssl NAME`): call them from your own test suite.

    from ifrkit.testing.methods import check_method

    def test_my_method(tmp_path):
        check_method("mine", tmp_path)

The name is found as `--ssl` finds it. Training runs on a synthetic street of two clips with a tiny network, in seconds.
Every check raises AssertionError with a sentence that says what the contract (`ifrkit/methods/base.py`) wants.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ifrkit.artifacts.indexes import Pseudo
from ifrkit.artifacts.manifest import Manifest
from ifrkit.artifacts.store import SCRATCH, Artifact, begin, commit, open_artifact
from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.bounds import require_apart
from ifrkit.core.keyed import key_rng
from ifrkit.core.plugins import load
from ifrkit.data.loading.batch import Batch
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.data.store.pseudo import PseudoLabels, PseudoWriter, file_name, training_frames
from ifrkit.models.network import build_network
from ifrkit.stages import prepare
from ifrkit.stages.runner import Run, execute
from ifrkit.train.stage_one import BranchTask, Sources

STREET = {"val_videos": 1, "clip_length": 5, "height": 32, "width": 48}
LATE = 10**6
"""A step after every ramp-up and late start."""


def toy_clips(root: Path, videos: int = 2) -> Artifact:
    """Training clips of five frames, 32x48, and one to validate on. Every frame has a label; most are hidden."""
    config = PrepareConfig.of({"dataset": "synthetic", "options": {**STREET, "train_videos": videos}})
    return execute(prepare.STAGE, config, Run(workspace=root, inputs=[]))


def toy_task(ssl: str, clips: Artifact, **changes: Any) -> BranchTask:
    """Stage one with these methods, as the training loop gets it: a step takes two labeled and two unlabeled clips.

    changes: fields of TrainBranchesConfig. Pseudo labels, where a view wants some, are random, and so is a teacher.
    """
    config = TrainBranchesConfig.of(
        {
            "ssl": ssl,
            "branches": "update",
            "update": {"backbone": "resnet18", "width": 0.125},
            "crop": {"size": (24, 32)},
            "loop": {"steps": 4, "batch": 2, "eval_every": 2},
            "runtime": {"workers": 0},
        }
        | changes
    )
    store = ClipStore(clips.path)
    labeled = labeled_clips(store, config.labeled)
    network = build_network(config.update, store.labels.num_classes, seed=0)
    pseudo = PseudoLabels(_random_labels(clips, store), store, labeled)
    teacher = build_network(config.update, store.labels.num_classes, seed=1).eval()
    sources: Sources = {"pseudo-labels": pseudo, "branches": teacher}
    return BranchTask(network, config, store, labeled, torch.device("cpu"), sources).measured()


def train(task: BranchTask, start: int = 0, stop: int = 2, late: int = 0) -> list[dict[str, float]]:
    """These steps as the loop makes them, each as if it were `late` steps later. Returns the terms of each."""
    task.module.train()
    made = []
    for step, raw in enumerate(task.batches(start, stop), start):
        for group, rate in zip((g for o in task.optimizers for g in o.param_groups), task.lrs(step), strict=True):
            group["lr"] = rate
        for optimizer in task.optimizers:
            optimizer.zero_grad()
        terms = terms_of(task, task.to_device(raw), step + late)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        for optimizer in task.optimizers:
            optimizer.step()
        task.stepped(step)
        made.append({name: float(term.detach()) for name, term in terms.items()})
    return made


def terms_of(task: BranchTask, batch: Batch, step: int = LATE) -> dict[str, torch.Tensor]:
    """The loss terms of a batch; random draws depend on the step alone."""
    torch.manual_seed(step)
    terms: dict[str, torch.Tensor] = task.module(batch, step)
    others = [name for name, term in terms.items() if term.shape != ()]
    _require(not others, f"terms are scalars (not {others})")
    return terms


def check_method(name: str, root: Path, options: Mapping[str, Any] | None = None) -> None:
    """The whole contract. root: an empty directory. options: of the method, beside its `OPEN` ones."""
    clips, method = toy_clips(root), load("methods", name)
    require_apart(method.Config)
    chosen = {"method": {name: {**method.OPEN, **(options or {})}}}
    _check_views(toy_task(name, clips, **chosen))
    for size in ((24, 32), (25, 31)):
        _check_steps(toy_task(name, clips, **chosen, crop={"size": size}))
    _check_fairness(toy_task(name, clips, **chosen), toy_task("none", clips))
    for share in (0.01, 0.0):
        _check_ignored_pixels(toy_task(name, clips, **chosen, ce_mean="valid"), share)
    _check_one_clip(toy_task(name, toy_clips(root, videos=1), **chosen))
    torch.manual_seed(1)
    one = toy_task(name, clips, **chosen)
    torch.manual_seed(2)
    two = toy_task(name, clips, **chosen)
    same = all(map(torch.equal, one.module.state_dict().values(), two.module.state_dict().values()))
    _require(same, "what it builds depends on the network's seed alone (see ifrkit.models.layers.seeded)")
    _check_state(one, two)
    check_switched_off(name, clips)


def check_switched_off(ssl: str, clips: Artifact) -> None:
    """With its OFF options each of these methods costs nothing, and the network trains bit for bit as with `none`."""
    off = {name: dict(load("methods", name).OFF) for name in ssl.split(",")}
    task, plain = toy_task(ssl, clips, method=off), toy_task("none", clips)
    _require([view.name for view in task.views] == ["v0_0"], "switched off, it declares no view")
    _require(not task.module.extra and len(task.optimizers) == 1, "switched off, it builds nothing")
    _require(train(task) == train(plain), "switched off, it has no terms")
    same = all(torch.equal(a, b) for a, b in zip(_values(task), _values(plain), strict=True))
    _require(same, "switched off, the weights equal those of `none` bit for bit")


def _require(condition: bool, contract: str) -> None:
    if not condition:
        raise AssertionError(f"contract of a method: {contract}")


def _values(task: BranchTask) -> list[torch.Tensor]:
    return list(task.network.state_dict().values())


def _check_steps(task: BranchTask) -> None:
    before = [value.clone() for value in task.network.parameters()]
    for terms in train(task, stop=3, late=LATE):
        wild = [name for name, value in terms.items() if not np.isfinite(value)]
        _require(not wild, f"every term is finite (not {wild})")
    trained = [p for optimizer in task.optimizers for group in optimizer.param_groups for p in group["params"]]
    idle = [name for name, p in task.module.named_parameters() if p.requires_grad and p.grad is None]
    _require(not idle, f"each step gives every trained parameter a gradient (not {idle[:3]}): ranks wait for it")
    ids = sorted(id(p) for p in task.module.parameters() if p.requires_grad)
    _require(sorted(map(id, trained)) == ids, "every trained parameter has one optimizer")
    _require(all(p.grad is None for p in task.module.parameters() if not p.requires_grad), "what is frozen stays so")
    moved = [not torch.equal(a, b) for a, b in zip(before, task.network.parameters(), strict=True)]
    _require(all(moved), "the network is trained")


def _check_fairness(task: BranchTask, plain: BranchTask) -> None:
    own, base = (next(iter(t.batches(0, 1))) for t in (task, plain))
    same = torch.equal(own.images["v0_0"], base.images["v0_0"]) and torch.equal(own.labels["v0_0"], base.labels["v0_0"])
    _require(same and own.clips["labeled"] == base.clips["labeled"], "the labeled draw is that of the baseline")
    _require(task.lrs(1)[:2] == plain.lrs(1)[:2], "the schedule is that of the baseline")
    if len(task.module.first_pass) == 1:
        sups = [terms_of(t, t.to_device(raw))["sup"] for t, raw in ((task, own), (plain, base))]
        _require(torch.equal(*sups), "the supervised loss is that of the baseline")


class _Recorder(dict[str, torch.Tensor]):
    """Views that remember which of them were read."""

    def __init__(self, views: Mapping[str, torch.Tensor]) -> None:
        super().__init__(views)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> torch.Tensor:
        self.read.add(name)
        return super().__getitem__(name)


def _check_views(task: BranchTask) -> None:
    batch = task.to_device(next(iter(task.batches(0, 1))))
    views = _Recorder(batch.views)
    terms_of(task, replace(batch, views=views))
    declared = {view.name for view in task.views}
    sources = {view.placement.of for view in task.views}
    _require(views.read <= declared, f"only declared views are read (not {sorted(views.read - declared)})")
    _require(declared <= views.read | sources, f"no view in vain ({sorted(declared - views.read - sources)})")


def _check_ignored_pixels(task: BranchTask, share: float) -> None:
    """share: of the labeled frames' pixels that have a class."""
    batch = task.to_device(next(iter(task.batches(0, 1))))
    for label in batch.labels.values():
        known = torch.rand(label.shape, generator=torch.Generator().manual_seed(0)) < share
        label[~known.to(label.device)] = 255
    terms = torch.stack(list(terms_of(task, batch).values()))
    torch.autograd.backward(terms.sum())
    gradients = [p.grad for p in task.module.parameters() if p.grad is not None]
    finite = all(bool(x.isfinite().all()) for x in (terms, *gradients))
    known_pixels = "a hundredth of the labels" if share else "no label at all"
    _require(finite, f"a crop with {known_pixels} gives finite terms and gradients")


def _check_one_clip(task: BranchTask) -> None:
    finite = all(np.isfinite(value) for terms in train(task, late=LATE) for value in terms.values())
    _require(
        finite and len(task.clips.labeled) == 1, "one labeled clip, which is the only unlabeled one too, is enough"
    )


def _check_state(task: BranchTask, other: BranchTask) -> None:
    """The second task takes over after a step, from what is saved of the first: modules and optimizers."""
    train(task, 0, 1)
    other.module.load_state_dict(task.module.state_dict())
    for optimizer, saved in zip(other.optimizers, task.optimizers, strict=True):
        optimizer.load_state_dict(copy.deepcopy(saved.state_dict()))  # as it is, both would share the momentum
    _require(train(task, 1, 3) == train(other, 1, 3), "a resumed run goes on as if it had not stopped")
    plain = build_network(task.config.update, task.network.num_classes, seed=0)
    _require(task.state().keys() == plain.state_dict().keys(), "what is exported is a plain network")


def _random_labels(clips: Artifact, store: ClipStore) -> Artifact:
    target = clips.path.parent.parent / "pseudo-labels" / clips.id
    if target.exists():
        return open_artifact(target)
    partial, frames, rng = begin(target), list(training_frames(store)), key_rng(0, "labels")
    shape = (len(frames), *store.size)
    with PseudoWriter(partial / file_name(0), partial / SCRATCH, len(frames), store.size) as writer:
        ids = rng.integers(store.labels.num_classes, size=shape, dtype=np.uint8)
        writer.write(0, ids, rng.random(shape, dtype=np.float32))
    index = Pseudo(frames=tuple(frames), per_file=len(frames), size=store.size, num_classes=store.labels.num_classes)
    index.write(partial)
    return commit(partial, target, Manifest(kind="pseudo-labels", id=clips.id))
