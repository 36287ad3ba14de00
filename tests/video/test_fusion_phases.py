"""train-fusion with architectures of other phases, and with unlabeled clips: draws, files, resume, pseudo labels."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny_video
import torch
from tiny_video import fusion_config, run

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import InterruptedRun
from ifrkit.core.invalid import Invalid
from ifrkit.core.keyed import key_rng
from ifrkit.data.loading.batch import ClipBatch
from ifrkit.data.loading.sampler import Key, earlier, target
from ifrkit.data.store.clips import ClipStore
from ifrkit.models.weights import load_weights
from ifrkit.stages import train_flow, train_fusion
from ifrkit.train.stage_two import FusionBatch, FusionTask
from ifrkit.trained import load_branch, load_video_model

FUSION = train_fusion.STAGE


@pytest.fixture(scope="module")
def branches(workspace: Path, clips: Artifact) -> Artifact:
    return tiny_video.make_branches(workspace, clips)


@pytest.fixture(scope="module")
def flow(workspace: Path, clips: Artifact) -> Artifact:
    return run(train_flow.STAGE, tiny_video.flow_config(), workspace, [clips])


def terms_of(artifact: Artifact, name: str) -> list[set[str]]:
    records = [json.loads(line) for line in artifact.file(f"{name}.events.jsonl").read_text().splitlines()]
    return [set(r["losses"]) for r in records if "losses" in r]


@pytest.mark.parametrize(("arch", "added"), [("dff", {"scale.weight"}), ("davss", None)])
def test_another_architecture_on_the_same_branches(
    workspace: Path, branches: Artifact, flow: Artifact, arch: str, added: set[str] | None
) -> None:
    made = run(FUSION, fusion_config(arch=arch, flow=flow.id[:12]), workspace, [branches])
    index = json.loads(made.file("model.json").read_text())
    assert (index["arch"], list(index["networks"])) == (arch, ["reference"])
    assert set(index["best"]) == {"miou"}
    model = load_video_model(made, "last")
    reference = load_branch(branches, "reference", "best").state_dict()
    assert all(torch.equal(value, reference[key]) for key, value in model.reference.state_dict().items())
    own = {key for key in model.state_dict() if not key.startswith(("reference.", "flow."))}
    if added is not None:
        assert own == added
    else:
        assert {key.split(".")[0] for key in own} == {"distortion", "correction"}
        phase = load_weights(made.file("distortion.last.safetensors"))
        final = model.distortion.state_dict()  # type: ignore[union-attr, operator]
        assert {key: value.tolist() for key, value in final.items()} == {  # type: ignore[union-attr]
            key.removeprefix("0."): value.tolist() for key, value in phase.items()
        }
        assert terms_of(made, "distortion") == [{"distortion"}] * 4
        assert terms_of(made, "model") == [{"semantic", "correction"}] * 4


@pytest.mark.parametrize("stopped_after", [3, 6])
def test_davss_resumes_exactly_in_either_phase(
    workspace: Path, branches: Artifact, flow: Artifact, tmp_path: Path, stopped_after: int
) -> None:
    config = fusion_config(arch="davss", flow=str(flow.path), ssl="pseudo", pseudo={"threshold": 0.1})
    whole = run(FUSION, config, workspace, [branches])
    calls = iter(range(1, 100))
    phase = "distortion: stopped" if stopped_after == 3 else "model: stopped"
    with pytest.raises(InterruptedRun, match=phase):
        run(FUSION, config, tmp_path, [branches], stop=lambda: signal.SIGTERM if next(calls) == stopped_after else 0)
    resumed = run(FUSION, config, tmp_path, [branches], resume=True)
    for name in ("distortion.last", "model.best", "model.last"):
        ours, theirs = (made.file(f"{name}.safetensors").read_bytes() for made in (whole, resumed))
        assert ours == theirs


def task_of(clips: Artifact, arch: str, **changes: Any) -> FusionTask:
    store = ClipStore(clips.path)
    config = fusion_config(arch=arch, **changes)
    return FusionTask(tiny_video.video_model(arch), config, store, store.clips_of("train"), torch.device("cpu"))


def test_rates_of_adam(clips: Artifact) -> None:
    task = task_of(clips, "davss", loop={"steps": 9})
    assert [task.lrs(step) for step in (0, 4, 5, 8)] == [[1e-4], [1e-4], [pytest.approx(1e-5)], [pytest.approx(1e-5)]]
    assert isinstance(task.optimizers[0], torch.optim.Adam)


@pytest.mark.parametrize(("arch", "frames"), [("accel", 3), ("dff", 2), ("davss", 3), ("tdnet", 3)])
def test_frames_of_a_batch(clips: Artifact, arch: str, frames: int) -> None:
    task = task_of(clips, arch, ssl="pseudo")
    batch = next(iter(task.batches(0, 1)))
    assert batch.unlabeled is not None
    for part in (batch.labeled, batch.unlabeled):
        assert part.frames_bt3hw.shape == (2, frames, 3, 24, 32)
    assert (batch.labeled.label_bhw != 255).any()
    assert (batch.unlabeled.label_bhw == 255).all()
    plain = next(iter(task_of(clips, arch).batches(0, 1)))
    assert plain.unlabeled is None
    assert torch.equal(plain.labeled.frames_bt3hw, batch.labeled.frames_bt3hw)


@pytest.mark.parametrize(("last", "count", "reach"), [(9, 2, 9), (9, 1, 3), (2, 2, 9), (1, 2, 9), (0, 2, 9)])
def test_earlier_frames(last: int, count: int, reach: int) -> None:
    drawn = {tuple(earlier(last, count, reach, Key(0, step, 0))) for step in range(200)}
    assert all(len(d) == count and list(d) == sorted(d) for d in drawn)
    positions = {i for d in drawn for i in d}
    assert positions == ({*range(max(0, last - reach), last)} or {last})
    if last >= count:
        assert all(len({*d}) == count for d in drawn)


def test_the_target_of_an_unlabeled_run() -> None:
    assert {target(6, 4, Key(0, step, 0)) for step in range(50)} == {4, 5}
    assert {target(3, 4, Key(0, step, 0)) for step in range(50)} == {2}
    assert target(30, 4, Key(1, 2, 3)) == int(key_rng(1, 2, 3, "target").integers(4, 30))


def test_pseudo_labels_are_those_of_stage_one(clips: Artifact) -> None:
    """Where it is sure, and also when the model's own classifier has moved on."""
    task = task_of(clips, "accel", ssl="pseudo", pseudo={"threshold": 0.6})
    frame = tiny_video.moving_clip((24, 32), 1)[:, 0]
    model, losses = task.model, task.module
    logits, _ = model.start(frame)
    label = losses.pseudo_label(frame)  # type: ignore[operator]
    sure = label != 255
    assert 0 < sure.float().mean() < 1
    direct = model.reference(tiny_frames(frame)).softmax(1).max(1)
    assert torch.equal(sure, direct.values >= 0.6)
    assert torch.equal(label[sure], direct.indices[sure])
    torch.nn.init.zeros_(model.reference.decode_head.conv_seg.weight)
    assert torch.equal(losses.pseudo_label(frame), label)  # type: ignore[operator]
    assert not torch.equal(model.start(frame)[0], logits)


def tiny_frames(frame: torch.Tensor) -> torch.Tensor:
    from ifrkit.models.normalisation import IMAGENET

    return IMAGENET(frame)


def test_terms_of_unlabeled_clips(clips: Artifact) -> None:
    """The same losses, weighted; nothing where the teacher is never sure."""
    frames, label = tiny_video.moving_clip((24, 32), 3), torch.zeros(2, 24, 32, dtype=torch.long)
    batch = FusionBatch(ClipBatch(frames, label), ClipBatch(frames, torch.full_like(label, 255)))
    once, twice = (
        task_of(clips, "accel", ssl="pseudo", pseudo={"threshold": 0, "weight": w}).module(batch, 0) for w in (1, 2)
    )
    assert once["ce"] == twice["ce"]
    assert twice["pseudo.ce"].item() == pytest.approx(2 * once["pseudo.ce"].item())
    never = task_of(clips, "accel", ssl="pseudo", pseudo={"threshold": 1}).module(batch, 0)
    assert never["pseudo.ce"] == 0


def test_other_methods_are_refused() -> None:
    with pytest.raises(Invalid, match="ssl"):
        fusion_config(ssl="ifr")
