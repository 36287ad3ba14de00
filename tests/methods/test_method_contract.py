"""What every --ssl choice must do. New methods are found by name: nothing is to be added here."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch

from ifrkit.artifacts.store import Artifact, newest
from ifrkit.data.batch import Batch, Guess
from ifrkit.data.partitions import labeled_clips
from ifrkit.data.pseudo import PseudoLabels
from ifrkit.data.store import ClipStore
from ifrkit.errors import ConfigError, InterruptedRun
from ifrkit.models.network import build_network
from ifrkit.plugins import load, names
from ifrkit.train.branch import BranchTask

METHODS = names("methods")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds clips, a supervised branch, and its pseudo labels."""
    path = tmp_path_factory.mktemp("workspace")
    clips = tiny_run.make_clips(path)
    tiny_run.label(path, tiny_run.train(path, tiny_run.branches_config(ssl="none"), clips))
    return path


@pytest.fixture(scope="module")
def clips(workspace: Path) -> Artifact:
    return tiny_run.make_clips(workspace)


def make_task(workspace: Path, clips: Artifact, ssl: str, **changes: Any) -> BranchTask:
    config = tiny_run.branches_config(ssl=ssl, **changes)
    store = ClipStore(clips.path)
    labeled = labeled_clips(store, config.labeled)
    found = newest(workspace, ("pseudo-labels",))
    assert found is not None
    network = build_network(config.update, store.labels.num_classes, seed=0)
    return BranchTask(network, config, store, labeled, torch.device("cpu"), PseudoLabels(found, store, labeled))


def batches(task: BranchTask, steps: int) -> list[Batch]:
    return [task.to_device(raw) for raw in task.batches(0, steps)]


def total(task: BranchTask, batch: Batch, step: int) -> torch.Tensor:
    torch.manual_seed(step)
    terms = task.module(batch, step)
    assert all(term.shape == () for term in terms.values())
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize("ssl", METHODS)
@pytest.mark.parametrize("size", [(24, 32), (25, 31)])
def test_three_steps_are_finite_and_move_the_network(
    workspace: Path, clips: Artifact, ssl: str, size: tuple[int, int]
) -> None:
    task = make_task(workspace, clips, ssl, crop={"size": size})
    task.module.train()
    before = {name: p.detach().clone() for name, p in task.network.named_parameters()}
    for step, batch in enumerate(batches(task, 3)):
        assert all(view.shape[-2:] == size for view in batch.views.values())
        for optimizer in task.optimizers:
            optimizer.zero_grad()
        loss = total(task, batch, step)
        torch.autograd.backward(loss)
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in task.module.parameters())
        for optimizer in task.optimizers:
            optimizer.step()
    assert all(not torch.equal(p, before[name]) for name, p in task.network.named_parameters())


@pytest.mark.parametrize("ssl", [name for name in METHODS if name != "none"])
def test_every_term_reaches_the_backbone_or_what_has_an_optimizer_of_its_own(
    workspace: Path, clips: Artifact, ssl: str
) -> None:
    task = make_task(workspace, clips, ssl, method={ssl: dict(load("methods", ssl).OPEN)})
    task.module.train()
    terms = task.module(batches(task, 1)[0], 10**6)  # after any ramp-up
    assert len(terms) > 1
    backbones = [p for name, p in task.module.named_parameters() if "backbone" in name and p.requires_grad]
    own = [p for optimizer in task.optimizers[1:] for group in optimizer.param_groups for p in group["params"]]
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, [*backbones, *own], retain_graph=True, allow_unused=True)
        moved = [g is not None and bool(g.any()) for g in gradients]
        assert any(moved[: len(backbones)]) != any(moved[len(backbones) :]), name  # never both


@pytest.mark.parametrize("ssl", METHODS)
def test_every_parameter_has_one_optimizer(workspace: Path, clips: Artifact, ssl: str) -> None:
    task = make_task(workspace, clips, ssl)
    groups = [group for optimizer in task.optimizers for group in optimizer.param_groups]
    trained = [id(p) for group in groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in task.module.parameters() if p.requires_grad)
    assert task.lrs(0) == pytest.approx([group["lr"] for group in groups])


@pytest.mark.parametrize("ssl", METHODS)
def test_switched_off_it_equals_the_baseline_bit_for_bit(
    workspace: Path, clips: Artifact, tmp_path: Path, ssl: str
) -> None:
    off = {ssl: dict(load("methods", ssl).OFF)}
    artifact = tiny_run.train(tmp_path, tiny_run.branches_config(ssl=ssl, method=off, seed=3), clips)
    baseline = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none", seed=3), clips)
    for which in ("last", "best"):
        name = f"update.{which}.safetensors"
        assert artifact.file(name).read_bytes() == baseline.file(name).read_bytes()


@pytest.mark.parametrize("ssl", METHODS)
@pytest.mark.parametrize("workers", [0, 2])
def test_resume_is_exact(workspace: Path, clips: Artifact, tmp_path: Path, ssl: str, workers: int) -> None:
    config = tiny_run.branches_config(ssl=ssl, runtime={"workers": workers, "save_every": 1})
    whole = tiny_run.train(workspace, config, clips, out=tmp_path / "whole")
    calls, out = iter(range(1, 5)), tmp_path / "parts"
    with pytest.raises(InterruptedRun):
        tiny_run.train(workspace, config, clips, out=out, stop=lambda: signal.SIGINT if next(calls) == 3 else 0)
    parts = tiny_run.train(workspace, config, clips, out=out, resume=True)
    for which in ("last", "best"):
        name = f"update.{which}.safetensors"
        assert parts.file(name).read_bytes() == whole.file(name).read_bytes()


@pytest.mark.parametrize("ssl", METHODS)
def test_a_crop_without_any_label_gives_no_nan(workspace: Path, clips: Artifact, ssl: str) -> None:
    for mean in ("all", "valid"):
        task = make_task(workspace, clips, ssl, ce_mean=mean)
        task.module.train()
        batch = batches(task, 1)[0]
        batch.labels = {name: torch.full_like(label, 255) for name, label in batch.labels.items()}
        loss = total(task, batch, 5000)
        torch.autograd.backward(loss)
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in task.module.parameters())


@pytest.mark.parametrize("ssl", METHODS)
def test_one_labeled_and_one_unlabeled_clip_are_enough(workspace: Path, clips: Artifact, ssl: str) -> None:
    task = make_task(workspace, clips, ssl, labeled={"partition": "1/2"})
    assert len(task.labeled) == 1
    for batch in batches(task, 2):
        assert total(task, batch, 0).isfinite()


@pytest.mark.parametrize("ssl", [name for name in METHODS if name not in ("none", "ifr")])
def test_listed_beside_ifr_the_terms_add_up(workspace: Path, clips: Artifact, ssl: str) -> None:
    task = make_task(workspace, clips, f"ifr,{ssl}")
    task.module.train()
    terms = task.module(batches(task, 1)[0], 10**6)
    assert {name.partition(".")[0] for name in terms} == {"sup", "ifr", ssl}
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize("ssl", [name for name in METHODS if name != "none"])
def test_the_accuracy_of_its_pseudo_labels_is_measured(workspace: Path, clips: Artifact, ssl: str) -> None:
    """Against labels that training never sees: they are all there in the synthetic street."""
    task = make_task(workspace, clips, ssl, method={ssl: dict(load("methods", ssl).OPEN)})
    task.module.train()
    for batch in batches(task, 2):
        total(task, batch, 10**6)
    (notes,) = task.notes().values()
    assert notes.keys() == {ssl}
    assert 0 <= notes[ssl]["accuracy"] <= 1
    assert 0 < notes[ssl]["share"] <= 1
    assert task.notes() == {}  # the next interval begins empty


def test_known_pseudo_labels_are_judged_right(workspace: Path, clips: Artifact) -> None:
    """Of the sure pixels with a known label; a map at 1/8 is compared with the pixels in the middle of its cells."""
    task = make_task(workspace, clips, "none")
    truth = torch.full((1, 16, 32), 255, dtype=torch.uint8)
    truth[:, :, :16], truth[:, 4, 4] = 3, 2  # the left half is known
    label = torch.full((1, 2, 4), 3)
    sure = torch.ones(1, 2, 4, dtype=torch.bool)
    sure[0, 1, 1] = False
    task.module.truth = {"view": truth}
    task.module._judge("any", {"view": Guess(label, sure), "unknown": Guess(label, sure)})
    assert task.notes() == {"pseudo": {"any": {"accuracy": 2 / 3, "share": 3 / 4}}}


def test_the_log_of_a_run_holds_the_accuracy(clips: Artifact, tmp_path: Path) -> None:
    artifact = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="ifr,cct"), clips)
    records = [json.loads(line) for line in artifact.file("update.events.jsonl").read_text().splitlines()]
    losses = [record for record in records if "losses" in record]
    assert len(losses) == 4
    assert all(record["pseudo"].keys() == {"ifr", "cct"} for record in losses)


@pytest.mark.parametrize("ssl", ["cac", "cps", "fixmatch"])
def test_image_methods_can_be_kept_to_annotated_frames(workspace: Path, clips: Artifact, ssl: str) -> None:
    """The image protocol of Table 1: the frames that have a label, without it."""
    task = make_task(workspace, clips, ssl, unlabeled="annotated")
    store = ClipStore(clips.path)
    for raw in task.batches(0, 3):
        for sample, place in enumerate(raw.places["v1_0"]):
            record = store.clips[raw.clips["unlabeled"][sample]]
            frame = store.frame(raw.clips["unlabeled"][sample], record.annotated or 0)
            seen = frame[place.y : place.y + 24, place.x : place.x + 32]
            seen = seen[:, ::-1] if place.mirrored else seen
            assert (raw.images["v1_0"][sample].permute(1, 2, 0).numpy() == seen).all()
        assert set(raw.labels) == {"v0_0"}


def test_methods_of_several_frames_refuse_the_image_protocol(workspace: Path, clips: Artifact) -> None:
    with pytest.raises(ConfigError, match="ifr wants 2 frames of each unlabeled clip"):
        make_task(workspace, clips, "ifr", unlabeled="annotated")
