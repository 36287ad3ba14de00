"""Stage one as a stage: both branches, its files and loader, validation, resume, ranks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny_run
import torch

from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact, newest
from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.errors import ArtifactError, ConfigError, InterruptedRun
from ifrkit.core.plugins import load
from ifrkit.data.loading.batch import Batch
from ifrkit.data.loading.views import ANNOTATED, View
from ifrkit.data.store.clips import ClipStore
from ifrkit.methods import base
from ifrkit.methods.ifr import Method
from ifrkit.metrics.base import ClipResult
from ifrkit.models.network import Network, build_network
from ifrkit.models.normalisation import IMAGENET
from ifrkit.models.weights import load_weights
from ifrkit.train.chosen import merged_views
from ifrkit.train.optim import branch_optimizer, poly
from ifrkit.train.stage_one import BranchLosses
from ifrkit.trained import load_branch

VIEWS = ["v0_0", "v0_1", "v0_1_s", "v1_0", "v1_1", "v1_1_s"]
BOTH = {"branches": "update,reference", "ssl": "ifr"}


@pytest.fixture(scope="module")
def branches(workspace: Path, clips: Artifact) -> Artifact:
    return tiny_run.train(workspace, tiny_run.branches_config(**BOTH), clips)


def miou_of(network: Network, clips: Artifact) -> float:
    """Validation written out: one frame after the other."""
    store = ClipStore(clips.path)
    metric = load("metrics", "miou")(store.labels.num_classes)
    for clip in store.clips_of("val"):
        index = store.clips[clip].annotated
        assert index is not None
        image = torch.from_numpy(store.frame(clip, index)).permute(2, 0, 1)[None]
        with torch.no_grad():
            ids = network(IMAGENET(image)).argmax(1)[0].to(torch.uint8).numpy()
        metric.update(ClipResult(str(clip), {index: ids}, {index: store.label(clip, index, hidden=True)}))
    return float(metric.compute()["miou"])


def test_files_and_index(branches: Artifact, clips: Artifact) -> None:
    index = json.loads(branches.file("branches.json").read_text())
    assert index["num_classes"] == 8
    assert set(index["branches"]) == {"update", "reference"}
    assert len(index["labeled"]) == len(ClipStore(clips.path).clips_of("train"))
    for name, entry in index["branches"].items():
        network_config(entry["network"])
        assert entry["best_step"] in (2, 4)
        assert set(entry["best"]) == set(entry["last"]) == {"miou"}
        assert branches.manifest.metrics[name]["best"] == entry["best"]
        records = [json.loads(line) for line in branches.file(f"{name}.events.jsonl").read_text().splitlines()]
        assert set(records[0]["losses"]) == {"sup", *(f"ifr.{t}" for t in ("labeled", "labeled_strong")),
                                             *(f"ifr.{t}" for t in ("unlabeled", "unlabeled_strong"))}  # fmt: skip


@pytest.mark.parametrize("checkpoint", ["best", "last"])
@pytest.mark.parametrize("branch", ["update", "reference"])
def test_a_loaded_branch_reaches_its_recorded_miou(
    branches: Artifact, clips: Artifact, branch: str, checkpoint: str
) -> None:
    network = load_branch(branches, branch, checkpoint)
    assert not network.training
    recorded = json.loads(branches.file("branches.json").read_text())["branches"][branch][checkpoint]["miou"]
    assert miou_of(network, clips) == pytest.approx(recorded, abs=1e-6)


def test_a_branch_that_was_not_trained(workspace: Path, clips: Artifact) -> None:
    artifact = tiny_run.train(workspace, tiny_run.branches_config(ssl="none"), clips)
    with pytest.raises(ArtifactError, match="has no reference branch"):
        load_branch(artifact, "reference", "best")


def test_a_finished_branch_is_not_trained_again(branches: Artifact, clips: Artifact, tmp_path: Path) -> None:
    calls = iter(range(1, 100))
    with pytest.raises(InterruptedRun, match="update: stopped by signal 15 after step 2"):
        tiny_run.train(
            tmp_path,
            tiny_run.branches_config(**BOTH),
            clips,
            stop=lambda: signal.SIGTERM if next(calls) == 6 else 0,
        )
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("branches/.*/reference.*")}
    assert len(before) == 3
    with pytest.raises(ConfigError, match="--resume"):
        tiny_run.train(tmp_path, tiny_run.branches_config(**BOTH), clips)
    resumed = tiny_run.train(tmp_path, tiny_run.branches_config(**BOTH), clips, resume=True)
    assert {p.name: p.stat().st_mtime_ns for p in resumed.path.glob("reference.*")} == before
    for name in ("update.best", "update.last", "reference.best", "reference.last"):
        file = f"{name}.safetensors"
        assert resumed.file(file).read_bytes() == branches.file(file).read_bytes()


def test_a_crop_larger_than_the_frames(workspace: Path, clips: Artifact) -> None:
    with pytest.raises(ConfigError, match=r"crop\.size 24x64 is larger .*32x48.*crop\.size=\[24,48\]"):
        tiny_run.train(workspace, tiny_run.branches_config(crop={"size": (24, 64)}), clips)


def test_the_table_shows_best_and_last(clips: Artifact, tmp_path: Path) -> None:
    class Table(Silent):
        rows: list[list[str]] = []

        def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
            assert columns == ["branch", "backbone", "best", "at step", "last", "image passes"]
            self.rows += rows

    report = Table()
    tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none"), clips, report=report)
    assert report.rows[0][:2] == ["update", "resnet18"]


def test_without_val_labels_the_last_weights_are_the_best(tmp_path: Path) -> None:
    clips = tiny_run.make_clips(tmp_path, val_videos=0)
    artifact = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none"), clips)
    assert (
        artifact.file("update.best.safetensors").read_bytes() == artifact.file("update.last.safetensors").read_bytes()
    )


def count_passes(options: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], int, int]:
    """Views declared, images batches through the network, and updates of a batch norm, in one IFR step."""
    network = build_network(NetworkConfig(width=0.125), 8, 0)
    methods: dict[str, base.Method] = {"ifr": Method(Method.Config.of(options))}
    views = [view.name for view in merged_views(methods)]
    images = torch.randn(len(views), 2, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch(dict(zip(views, images, strict=True)), {"v0_0": torch.zeros(2, 24, 32, dtype=torch.long)})
    passes = []
    features = network.features
    monkeypatch.setattr(network, "features", lambda x: passes.append(len(x)) or features(x))
    BranchLosses(network, methods, TrainBranchesConfig()).train()(batch, 10)
    return views, len(passes), int(dict(network.named_buffers())["decode_head.bottleneck.bn.num_batches_tracked"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, VIEWS),
        ({"strong": 0.0}, ["v0_0", "v0_1", "v1_0", "v1_1"]),
        ({"unlabeled": 0.0}, VIEWS[:3]),
        ({"labeled": 0.0}, ["v0_0", *VIEWS[3:]]),
        ({"unlabeled": 0.0, "strong": 0.0}, VIEWS[:2]),
        ({"labeled": 0.0, "unlabeled": 0.0}, VIEWS[:1]),
    ],
)
def test_a_term_that_is_off_costs_nothing(
    options: Mapping[str, object], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 5: no view is read, no pass is run, no batch norm is updated for it."""
    assert count_passes(options, monkeypatch) == (expected, len(expected), len(expected))


def test_all_views_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_passes({"passes": "joint"}, monkeypatch) == (VIEWS, 1, 1)


def test_passes_run_in_the_released_order() -> None:
    """The last view weighs most in running statistics: its pass has to be the last."""
    network = build_network(NetworkConfig(width=0.125), 8, 0)
    batch = Batch(
        {name: torch.full((2, 3, 24, 32), float(i)) for i, name in enumerate(VIEWS)},
        {"v0_0": torch.zeros(2, 24, 32, dtype=torch.long)},
    )
    order: list[int] = []
    network.backbone.register_forward_pre_hook(lambda module, args: order.append(int(args[0].mean())))
    BranchLosses(network, {"ifr": Method(Method.Config())}, TrainBranchesConfig()).train()(batch, 0)
    assert order == list(range(6))


def test_labels_without_dropout() -> None:
    """`label_dropout: false` asks the classifier itself, so pseudo labels do not change from call to call."""
    network = build_network(NetworkConfig(width=0.125, dropout=0.9), 8, 0).train()
    f_bchw = torch.rand(2, network.feature_channels, 3, 4, generator=torch.Generator().manual_seed(0))
    for dropout in (True, False):
        method = Method(Method.Config(label_dropout=dropout))
        draws = [method._pseudo_logits(network, f_bchw) for _ in range(3)]
        assert all(torch.equal(d, draws[0]) for d in draws) != dropout
        assert not draws[0].requires_grad


def test_methods_that_disagree_on_a_view() -> None:
    class Other(base.Method):
        def views(self) -> list[View]:
            return [View("v1_0", "unlabeled", ANNOTATED)]

    with pytest.raises(ConfigError, match="v1_0"):
        merged_views({"ifr": Method(Method.Config()), "other": Other(Other.Config())})


def test_rates_of_the_released_schedule() -> None:
    for step, backbone, head in [
        (0, 1e-3, 1e-2),
        (10000, 7.947006e-4, 7.741706e-3),
        (20000, 5.822981e-4, 5.405279e-3),
        (30000, 3.584571e-4, 2.943028e-3),
        (39999, 1.000649e-4, 1.007141e-4),
    ]:
        assert poly(1e-3, 1e-4, 0.9, step, 40000) == pytest.approx(backbone, rel=1e-6)
        assert poly(1e-2, 1e-4, 0.9, step, 40000) == pytest.approx(head, rel=1e-6)


def test_parameter_groups() -> None:
    network = build_network(NetworkConfig(width=0.125), 8, 0)
    module = BranchLosses(network, {}, TrainBranchesConfig())
    backbone, others = branch_optimizer(module, TrainBranchesConfig()).param_groups
    assert {id(p) for p in backbone["params"]} == {id(p) for p in network.backbone.parameters()}
    assert {id(p) for p in others["params"]} == {id(p) for p in network.decode_head.parameters()}
    assert (backbone["lr"], others["lr"]) == (1e-3, 1e-2)
    assert all(group["weight_decay"] == 1e-4 and group["momentum"] == 0.9 for group in (backbone, others))


def test_two_ranks_validate_and_save_the_weights_of_rank_zero(tmp_path: Path) -> None:
    clips = tiny_run.make_clips(tmp_path, val_videos=3)  # an odd number: ranks share it unevenly
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, tiny_run.__file__, str(tmp_path)], check=True, capture_output=True, timeout=300)
    artifact = newest(tmp_path, ("branches",))
    assert artifact is not None
    for checkpoint in ("best", "last"):
        recorded = artifact.manifest.metrics["update"][checkpoint]["miou"]
        assert miou_of(load_branch(artifact, "update", checkpoint), clips) == pytest.approx(recorded, abs=1e-6)
    assert all(t.isfinite().all() for t in load_weights(artifact.file("update.last.safetensors")).values())
