"""What every --ssl choice must do. New methods are found by name: nothing is to be added here."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import tiny_run
import torch

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError, InterruptedRun
from ifrkit.core.plugins import load, names
from ifrkit.data.loading.batch import Batch, Guess
from ifrkit.data.store.clips import ClipStore
from ifrkit.testing.methods import check_method, check_switched_off, terms_of, toy_task
from ifrkit.train.stage_one import BranchTask

METHODS = names("methods")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds clips, a supervised branch, and its pseudo labels."""
    path = tmp_path_factory.mktemp("workspace")
    clips = tiny_run.make_clips(path)
    tiny_run.label(path, tiny_run.train(path, tiny_run.branches_config(ssl="none"), clips))
    return path


def batches(task: BranchTask, steps: int) -> list[Batch]:
    return [task.to_device(raw) for raw in task.batches(0, steps)]


BESIDE = ("ifr", "advsemi")  # with worker processes in the default suite: several views, optimizers of its own
RESUMED = [
    pytest.param(ssl, workers, marks=pytest.mark.slow if workers and ssl not in BESIDE else ())
    for workers in (0, 2)
    for ssl in (*METHODS, "ifr,cutmix")
]


@pytest.mark.parametrize("ssl", METHODS)
def test_the_public_contract(ssl: str, tmp_path: Path) -> None:
    check_method(ssl, tmp_path)


def test_all_together_switched_off_equal_the_baseline(clips: Artifact) -> None:
    check_switched_off(",".join(METHODS), clips)


@pytest.mark.parametrize("ssl", [name for name in METHODS if name != "none"])
def test_every_term_reaches_the_backbone_or_what_has_an_optimizer_of_its_own(clips: Artifact, ssl: str) -> None:
    task = toy_task(ssl, clips, method={ssl: dict(load("methods", ssl).OPEN)})
    terms = terms_of(task, batches(task, 1)[0])
    assert len(terms) > 1
    backbones = [p for name, p in task.module.named_parameters() if "backbone" in name and p.requires_grad]
    own = [p for optimizer in task.optimizers[1:] for group in optimizer.param_groups for p in group["params"]]
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, [*backbones, *own], retain_graph=True, allow_unused=True)
        moved = [g is not None and bool(g.any()) for g in gradients]
        assert any(moved[: len(backbones)]) != any(moved[len(backbones) :]), name  # never both


@pytest.mark.parametrize(("ssl", "workers"), RESUMED)
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


@pytest.mark.parametrize("ssl", [name for name in METHODS if name not in ("none", "ifr")])
def test_listed_beside_ifr_the_terms_add_up(clips: Artifact, ssl: str) -> None:
    task = toy_task(f"ifr,{ssl}", clips)
    terms = terms_of(task, batches(task, 1)[0])
    assert {name.partition(".")[0] for name in terms} == {"sup", "ifr", ssl}
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize("ssl", [name for name in METHODS if name != "none"])
def test_the_accuracy_of_its_pseudo_labels_is_measured(clips: Artifact, ssl: str) -> None:
    """Against labels that training never sees: they are all there in the synthetic street."""
    task = toy_task(ssl, clips, method={ssl: dict(load("methods", ssl).OPEN)})
    for batch in batches(task, 2):
        terms_of(task, batch)
    (notes,) = task.notes().values()
    assert notes.keys() == {ssl}
    assert 0 <= notes[ssl]["accuracy"] <= 1
    assert 0 < notes[ssl]["share"] <= 1
    assert task.notes() == {}  # the next interval begins empty


def test_known_pseudo_labels_are_judged_right(clips: Artifact) -> None:
    """Of the sure pixels with a known label; a map at 1/8 is compared with the pixels in the middle of its cells."""
    task = toy_task("none", clips)
    truth = torch.full((1, 16, 32), 255, dtype=torch.uint8)
    truth[:, :, :16], truth[:, 4, 4] = 3, 2  # the left half is known
    label = torch.full((1, 2, 4), 3)
    sure = torch.ones(1, 2, 4, dtype=torch.bool)
    sure[0, 1, 1] = False
    task.judge.expect({"view": truth})
    task.judge.hear("any", {"view": Guess(label, sure), "unknown": Guess(label, sure)})
    assert task.notes() == {"pseudo": {"any": {"accuracy": 2 / 3, "share": 3 / 4}}}


def test_the_log_of_a_run_holds_the_accuracy(clips: Artifact, tmp_path: Path) -> None:
    artifact = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="ifr,cct"), clips)
    records = [json.loads(line) for line in artifact.file("update.events.jsonl").read_text().splitlines()]
    losses = [record for record in records if "losses" in record]
    assert len(losses) == 4
    assert all(record["pseudo"].keys() == {"ifr", "cct"} for record in losses)


@pytest.mark.parametrize("ssl", ["cac", "cps", "fixmatch"])
def test_image_methods_can_be_kept_to_annotated_frames(clips: Artifact, ssl: str) -> None:
    """The image protocol of Table 1: the frames that have a label, without it."""
    task = toy_task(ssl, clips, unlabeled="annotated")
    store = ClipStore(clips.path)
    for raw in task.batches(0, 3):
        for sample, place in enumerate(raw.places["v1_0"]):
            record = store.clips[raw.clips["unlabeled"][sample]]
            frame = store.frame(raw.clips["unlabeled"][sample], record.annotated or 0)
            seen = frame[place.y : place.y + 24, place.x : place.x + 32]
            seen = seen[:, ::-1] if place.mirrored else seen
            assert (raw.images["v1_0"][sample].permute(1, 2, 0).numpy() == seen).all()
        assert set(raw.labels) == {"v0_0"}


def test_methods_of_several_frames_refuse_the_image_protocol(clips: Artifact) -> None:
    with pytest.raises(ConfigError, match="ifr wants several frames of each unlabeled clip"):
        toy_task("ifr", clips, unlabeled="annotated")


PASSES: dict[tuple[str, str], tuple[int, int]] = {
    ("self-training", ""): (2, 0),
    ("dars", ""): (2, 0),
    ("unimatch", "version=2"): (3, 1),
    ("cps", "cutmix=true"): (4, 2),
    ("tdc", "frames=3"): (7, 0),
    ("ifr,cutmix", ""): (7, 1),
    ("ifr,cct,advsemi,s4gan", ""): (6, 0),
    ("ifr,cct,cps", ""): (8, 0),
}
"""Beside those of tests/train/test_passes.py: of options and combinations; there one pass of v1_0 serves several."""


@pytest.mark.parametrize(("ssl", "option"), PASSES)
def test_passes_of_options_and_combinations(clips: Artifact, ssl: str, option: str) -> None:
    key, _, value = option.partition("=")
    method = {ssl: {key: json.loads(value)}} if key else {}
    assert tuple(toy_task(ssl, clips, method=method).passes) == PASSES[ssl, option]


def test_a_combination_reads_a_view_of_several_methods_once(clips: Artifact) -> None:
    raw = next(iter(toy_task("ifr,cutmix,fixmatch,cct", clips).batches(0, 1)))
    assert raw.images.keys() == {"v0_0", "v0_1", "v1_0", "v1_1"}  # copies with other colours are made of v1_0
    assert raw.distortions.keys() == {"v0_1_s", "v1_1_s", "v1_0_c", "v1_0_j"}
