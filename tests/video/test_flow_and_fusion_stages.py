"""train-flow and train-fusion as stages: files, lineage, resume, refusals."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import tiny_video
import torch
from tiny_video import flow_config, fusion_config, run

from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ConfigError, InterruptedRun
from ifrkit.data.loading.batch import ClipBatch
from ifrkit.data.store.clips import ClipStore
from ifrkit.models.flownet import build_flownet, full_size
from ifrkit.models.video import flow_input
from ifrkit.models.weights import load_weights
from ifrkit.stages import train_flow, train_fusion
from ifrkit.train.flow import FlowLosses, FlowTask
from ifrkit.train.stage_two import FusionBatch, FusionTask
from ifrkit.trained import load_branch, load_flow, load_video_model

FLOW, FUSION = train_flow.STAGE, train_fusion.STAGE


class Talk(Silent):
    """Remembers what a stage says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.rows: list[list[str]] = []

    def info(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.said.append(message)

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        self.rows += rows


@pytest.fixture(scope="module")
def branches(workspace: Path, clips: Artifact) -> Artifact:
    return tiny_video.make_branches(workspace, clips)


def same_weights(a: Artifact, b: Artifact, name: str) -> bool:
    return all(
        a.file(f"{name}.{which}.safetensors").read_bytes() == b.file(f"{name}.{which}.safetensors").read_bytes()
        for which in ("best", "last")
    )


def losses_of(artifact: Artifact, name: str) -> list[dict[str, float]]:
    records = [json.loads(line) for line in artifact.file(f"{name}.events.jsonl").read_text().splitlines()]
    return [r["losses"] for r in records if "losses" in r]


@pytest.mark.parametrize(
    ("supervision", "terms"), [("truth", {"epe"}), ("auto", {"epe"}), ("photometric", {"photometric", "smooth"})]
)
def test_train_flow(workspace: Path, clips: Artifact, supervision: str, terms: set[str]) -> None:
    report = Talk()
    made = run(FLOW, flow_config(supervision=supervision), workspace, [clips], report=report)
    assert made.path.name.startswith(supervision)
    assert [set(step) for step in losses_of(made, "flow")] == [terms] * 4
    best = json.loads(made.file("flow.json").read_text())["best"]
    assert best["gain"] == pytest.approx(1 - best["epe"] / best["epe_zero"])
    assert report.rows[0][0] == "epe"
    flow = load_flow(made)
    assert not flow.training
    weights = load_weights(made.file("flow.best.safetensors"))
    assert all(torch.equal(weights[name], value) for name, value in flow.state_dict().items())


@pytest.mark.parametrize("supervision", ["truth", "photometric"])
def test_flow_learns_which_way_a_scene_slides(supervision: str) -> None:
    """The scene moves to the right by two pixels: each pixel was two further left before."""
    frames = tiny_video.moving_clip((32, 48), 2)
    truth = torch.tensor([-2.0, 0.0]).view(1, 1, 2, 1, 1).expand(2, 1, 2, 32, 48)
    exact = (truth, torch.ones(2, 1, 32, 48, dtype=torch.bool)) if supervision == "truth" else ()
    batch = ClipBatch(frames, torch.full((2, 32, 48), 255), *exact)
    flow = build_flownet(0.125, 0)
    module = FlowLosses(flow, smoothness=4.0, warmup=30)
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-4)
    values = []
    for step in range(30):
        optimizer.zero_grad()
        loss = torch.stack(list(module(batch, step).values())).sum()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.6 * values[0]
    with torch.no_grad():
        dx, dy = 4 * flow(flow_input(frames[:, 1]), flow_input(frames[:, 0])).mean((0, 2, 3))
    assert -3 < dx < -0.5
    assert abs(dy) < 0.4


def test_the_census_phase_has_something_to_learn_from(clips: Artifact) -> None:
    config = flow_config(supervision="photometric", crop=(32, 48))
    task = FlowTask(build_flownet(0.0625, 0), config, ClipStore(clips.path), torch.device("cpu"))
    batch = next(iter(task.batches(0, 1)))
    for step in (0, 3):  # warm-up, and after it
        task.optimizers[0].zero_grad()
        task.module(batch, step)["photometric"].backward()
        grads = [p.grad for p in task.flow.parameters()]
        assert all(grad is not None and grad.isfinite().all() for grad in grads)
        assert max(grad.abs().max() for grad in grads if grad is not None) > 1e-6
    smooth = [task.module(batch, step)["smooth"].item() for step in (0, 3)]
    assert smooth[0] == pytest.approx(0.05 * smooth[1])


def test_photometric_loss_does_not_care_for_the_order_of_the_pair(clips: Artifact) -> None:
    """Both directions are trained in one step."""
    module = FlowLosses(build_flownet(0.0625, 0), 4.0, warmup=1)
    frames = tiny_video.moving_clip((32, 48), 2)
    label = torch.full((2, 32, 48), 255)
    for step in (0, 1):
        there, back = (module(ClipBatch(f, label), step) for f in (frames, frames.flip(1)))
        assert there["photometric"].item() == pytest.approx(back["photometric"].item(), rel=1e-5)


def test_rate_of_the_flow_rises_and_falls(clips: Artifact) -> None:
    config = flow_config(lr=1.0, loop={"steps": 399})
    task = FlowTask(build_flownet(0.0625, 0), config, ClipStore(clips.path), torch.device("cpu"))
    rates = [task.lrs(step) for step in range(399)]
    assert all(a == b for a, b in rates)
    assert [rates[s][0] for s in (0, 49, 99, 249, 398)] == pytest.approx([0.01, 0.5, 1, 0.5, 1 / 300])


def test_weight_decay_spares_biases(clips: Artifact) -> None:
    task = FlowTask(build_flownet(0.0625, 0), flow_config(), ClipStore(clips.path), torch.device("cpu"))
    weights, biases = task.optimizers[0].param_groups
    assert (weights["weight_decay"], biases["weight_decay"]) == (4e-4, 0)
    assert all(p.ndim == 4 for p in weights["params"])
    assert all(p.ndim == 1 for p in biases["params"])
    assert len(weights["params"]) == len(biases["params"]) == 23


def test_flow_at_full_size_is_in_full_pixels() -> None:
    flow = torch.ones(1, 2, 8, 12) * torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(full_size(flow, (32, 36))[0, :, 5, 5], torch.tensor([3.0, 8.0]))


def test_a_flow_no_better_than_none_is_said(clips: Artifact, tmp_path: Path) -> None:
    report = Talk()
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    made = run(FLOW, flow_config(loop=loop, lr=1.0), tmp_path, [clips], report=report)
    assert made.manifest.metrics["best"]["gain"] <= 0
    assert "the flow does not beat zero flow" in report.said[-1]


def test_fusion_on_a_flow_artifact(clips: Artifact, branches: Artifact, tmp_path: Path) -> None:
    flow = run(FLOW, flow_config(), tmp_path, [clips])
    report = Talk()
    made = run(FUSION, fusion_config(), tmp_path, [branches], report=report)
    assert [a.id for a in made.inputs()] == [branches.id, flow.id]
    assert [line.split()[0] for line in report.said] == ["with", "temperature"]  # no flow is trained
    assert {p.name for p in made.path.glob("flow.*")} == set()
    index = json.loads(made.file("model.json").read_text())
    assert (index["arch"], index["key_interval"], index["flow_width"]) == ("accel", 3, 0.0625)
    assert set(index["best"]) == {"miou"}
    store = ClipStore(clips.path)
    assert sorted(index["labeled"]) == sorted(store.clips[i].name for i in store.clips_of("train"))
    # What is frozen is the branches' own, bit for bit; what trains has moved on from the flow artifact's weights.
    model = load_video_model(made, "last")
    for name in ("reference", "update"):
        branch, trained = load_branch(branches, name, "best").state_dict(), getattr(model, name).state_dict()
        assert {k for k in branch if not torch.equal(branch[k], trained[k])} == {
            "decode_head.conv_seg.weight", "decode_head.conv_seg.bias"}  # fmt: skip
    start, end = load_flow(flow).state_dict(), model.flow.state_dict()
    assert all((start[k] - end[k]).abs().max() < 0.1 for k in start)
    assert any(not torch.equal(start[k], end[k]) for k in start)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_loaded_model_reaches_its_recorded_miou(
    workspace: Path, clips: Artifact, branches: Artifact, checkpoint: str
) -> None:
    config = fusion_config()
    made = run(FUSION, config, workspace, [branches])
    store, model = ClipStore(clips.path), load_video_model(made, checkpoint)
    assert not model.training
    task = FusionTask(model, config, store, list(store.clips_of("train")), torch.device("cpu"))
    task.module.eval()
    with torch.no_grad():
        assert task.validate()["miou"] == pytest.approx(made.manifest.metrics[checkpoint]["miou"], abs=1e-6)


def test_fusion_without_a_flow_artifact_trains_flow_first(clips: Artifact, branches: Artifact, tmp_path: Path) -> None:
    report = Talk()
    made = run(FUSION, fusion_config(), tmp_path, [branches], report=report)
    assert "no flow artifact of these clips" in report.said[0]
    assert len(losses_of(made, "flow")) == 2
    assert [a.kind for a in made.inputs()] == ["branches"]
    # It starts from the best flow: with rates of nearly nothing the model's flow is still that.
    still = fusion_config(lr=1e-12, warmup_lr=1e-12)
    other = run(FUSION, still, tmp_path, [branches])
    best = load_weights(other.file("flow.best.safetensors"))
    end = load_video_model(other, "last").flow.state_dict()
    assert all(torch.allclose(best[k], end[k], atol=1e-7) for k in best)


def test_the_newest_flow_of_the_same_clips(clips: Artifact, branches: Artifact, tmp_path: Path) -> None:
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    first, second = (run(FLOW, flow_config(loop=loop, seed=seed), tmp_path, [clips]) for seed in (0, 1))
    foreign = tiny_run.make_clips(tmp_path / "other", train_videos=1)
    other = run(FLOW, flow_config(loop=loop, seed=2), tmp_path, [foreign])
    broken = run(FLOW, flow_config(loop=loop, seed=3), tmp_path, [clips])
    (broken.path / "manifest.json").write_text("{")

    def chosen(config: Any) -> list[Artifact]:
        assert FUSION.extra_inputs is not None
        return FUSION.extra_inputs(config, [branches], tmp_path)

    assert [a.id for a in chosen(fusion_config())] == [second.id]
    assert [a.id for a in chosen(fusion_config(flow=first.id[:12]))] == [first.id]
    assert [a.id for a in chosen(fusion_config(flow=str(other.path)))] == [other.id]
    with pytest.raises(ArtifactError, match="clips, needed is flow"):
        chosen(fusion_config(flow=str(clips.path)))


@pytest.mark.parametrize(("supervision", "stopped_after"), [("truth", 2), ("photometric", 1), ("photometric", 3)])
def test_flow_resumes_exactly(
    workspace: Path, clips: Artifact, tmp_path: Path, supervision: str, stopped_after: int
) -> None:
    config = flow_config(supervision=supervision)
    whole = run(FLOW, config, workspace, [clips])
    calls = iter(range(1, 100))
    with pytest.raises(InterruptedRun, match=f"flow: stopped by signal 15 after step {stopped_after}"):
        run(FLOW, config, tmp_path, [clips], stop=lambda: signal.SIGTERM if next(calls) == stopped_after else 0)
    resumed = run(FLOW, config, tmp_path, [clips], resume=True)
    assert same_weights(whole, resumed, "flow")
    assert losses_of(whole, "flow") == losses_of(resumed, "flow")


@pytest.mark.parametrize(("distance", "stopped_after"), [("fixed", 1), ("fixed", 4), ("uniform", 5)])
def test_fusion_resumes_exactly(
    branches: Artifact, tmp_path_factory: pytest.TempPathFactory, distance: str, stopped_after: int
) -> None:
    """Stopped while it trains its own flow (2 steps), or while it trains the fusion."""
    config = fusion_config(distance=distance)
    whole = run(FUSION, config, tmp_path_factory.getbasetemp() / f"whole-{distance}", [branches])
    calls = iter(range(1, 100))
    workspace = tmp_path_factory.mktemp("stopped")
    with pytest.raises(InterruptedRun, match="flow: stopped" if stopped_after == 1 else "model: stopped"):
        run(FUSION, config, workspace, [branches], stop=lambda: signal.SIGTERM if next(calls) == stopped_after else 0)
    resumed = run(FUSION, config, workspace, [branches], resume=True)
    assert same_weights(whole, resumed, "model")
    assert same_weights(whole, resumed, "flow")
    assert losses_of(whole, "model") == losses_of(resumed, "model")


def test_half_precision_is_nearly_the_same(clips: Artifact, branches: Artifact, tmp_path: Path) -> None:
    """Scores may be bf16; flow and the place that a warp reads are not.

    The crop is wide enough for two pixels at 1/32: oneDNN's bf16 gradient of a strided convolution of a single pixel is
    uninitialised memory.
    """
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    half = loop | {"amp": "bf16", "channels_last": True}
    for stage, config, source, name in (
        (FLOW, flow_config, clips, "flow"),
        (FUSION, fusion_config, branches, "model"),
    ):
        full, low = (
            losses_of(run(stage, config(loop=x, crop=(24, 40)), tmp_path, [source]), name)[0] for x in (loop, half)
        )
        assert low == pytest.approx(full, rel=0.02)
        assert low != full


def test_accumulated_micro_batches_are_one_step(branches: Artifact, tmp_path: Path) -> None:
    """At the same distance for all; a mean of means, so only where each has as many labeled pixels is it the same."""
    loops = [{"steps": 2, "batch": 2, "eval_every": 2, "accumulate": n} for n in (1, 2)]
    whole, parts = (run(FUSION, fusion_config(distance="uniform", loop=x), tmp_path, [branches]) for x in loops)
    a, b = (load_weights(made.file("model.last.safetensors")) for made in (whole, parts))
    assert all(torch.allclose(a[name], b[name], atol=1e-4) for name in a)


def test_another_labeled_set(clips: Artifact, branches: Artifact, tmp_path: Path) -> None:
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    made = run(FUSION, fusion_config(labeled={"partition": "1/2"}, loop=loop), tmp_path, [branches])
    assert len(json.loads(made.file("model.json").read_text())["labeled"]) == 1


def test_rates_of_the_released_schedule(clips: Artifact, branches: Artifact) -> None:
    store = ClipStore(clips.path)
    config = fusion_config(warmup_steps=1000)
    task = FusionTask(tiny_video.video_model("accel"), config, store, [0], torch.device("cpu"))
    assert [task.lrs(step) for step in (0, 1, 1000, 1001, 39999)] == [[5e-4], [5e-5], [5e-5], [5e-4], [5e-4]]
    group = task.optimizers[0].param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.9, 5e-4)
    assert sum(p.numel() for p in group["params"]) < sum(p.numel() for p in task.model.parameters())


def test_every_trained_part_has_a_gradient_at_distance_zero(clips: Artifact) -> None:
    """Ranks wait for each one."""
    store = ClipStore(clips.path)
    task = FusionTask(tiny_video.video_model("accel"), fusion_config(), store, [0], torch.device("cpu"))
    frames, label = tiny_video.moving_clip((24, 32), 1), torch.zeros(2, 24, 32, dtype=torch.long)
    task.module.train()(FusionBatch(ClipBatch(frames, label)), 0)["ce"].backward()
    grads = {name: p.grad for name, p in task.model.named_parameters() if p.requires_grad}
    assert all(grad is not None for grad in grads.values())
    moved = {name for name, grad in grads.items() if grad is not None and grad.any()}
    assert moved == {"reference.decode_head.conv_seg.weight", "reference.decode_head.conv_seg.bias"}


@pytest.mark.parametrize("crop", [(33, 48), (32, 49)])
def test_a_crop_larger_than_the_frames(clips: Artifact, branches: Artifact, tmp_path: Path, crop: Any) -> None:
    with pytest.raises(ConfigError, match=r"crop .* is larger than the stored frames"):
        run(FLOW, flow_config(crop=crop), tmp_path, [clips])
    with pytest.raises(ConfigError, match=r"crop .* is larger than the stored frames"):
        run(FUSION, fusion_config(crop=crop), tmp_path, [branches])
    assert not [*tmp_path.rglob("*.safetensors")]


def test_truth_without_flow(clips: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClipStore, "has_flow", property(lambda self: False))
    with pytest.raises(ConfigError, match="no exact flow"):
        run(FLOW, flow_config(supervision="truth"), tmp_path, [clips])
    report = Talk()
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    monkeypatch.setattr(ClipStore, "flow", lambda *args, **options: None)
    made = run(FLOW, flow_config(supervision="auto", loop=loop), tmp_path, [clips], report=report)
    assert set(losses_of(made, "flow")[0]) == {"photometric", "smooth"}
    assert report.rows[0][0] == "photometric"


def test_fusion_needs_both_branches(clips: Artifact, tmp_path: Path) -> None:
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    update = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none", loop=loop), clips)
    with pytest.raises(ArtifactError, match="has no reference branch"):
        run(FUSION, fusion_config(), tmp_path, [update])
