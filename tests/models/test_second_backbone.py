"""One file is enough for a backbone: an entry point of another package trains, is judged, predicts and is exported."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import own_videos
import pytest
import tiny_run
import tiny_video
import torch

from ifrkit.artifacts.store import Artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.config.export import ExportConfig
from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core import plugins
from ifrkit.core.errors import ConfigError
from ifrkit.data.store.clips import ClipStore
from ifrkit.export.graphs import Branch, normalisation
from ifrkit.models.backbones import base
from ifrkit.models.layers import ConvBNReLU, conv, init_convolutions, scale_channels
from ifrkit.models.network import build_network
from ifrkit.models.normalisation import Normalisation
from ifrkit.models.trunk import Stages, Trunk
from ifrkit.stages import evaluate, export, train_fusion
from ifrkit.stages.runner import Run, execute
from ifrkit.testing.networks import check_backbone
from ifrkit.trained import load_branch, load_video_model


class Backbone(base.Backbone):
    """Halvings, one after the other; made for strides 16 and 8, and frames from -1 to 1."""

    class Config(NetworkConfig):
        first: Literal[8, 16] = 8

    config: Config
    strides = (16, 8)
    normalisation = Normalisation((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))

    def build(self, low_level: bool) -> Trunk:
        widths = [3, *(scale_channels(self.config.first * 2**i, self.config.width) for i in range(4))]
        stages = [torch.nn.Sequential(conv(a, b, 3, 2), ConvBNReLU(b, b, 3)) for a, b in pairwise(widths)]
        stages = stages[: 4 if self.stride == 16 else 3]
        kept = [1, len(stages) - 1] if low_level else [len(stages) - 1]
        trunk = Stages(stages, kept, [widths[i + 1] for i in kept], [2 ** (i + 1) for i in kept])
        init_convolutions(trunk)
        return trunk


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("halvings", f"{__name__}:Backbone", "ifrkit.backbones")
    monkeypatch.setattr(plugins, "_entry_points", lambda kind: {"halvings": point} if kind == "backbones" else {})


NETWORK = {"backbone": "halvings", "width": 1.0, "first": 16}
LOOP = {"steps": 3, "batch": 2, "eval_every": 3}
ONCE = {**LOOP, "steps": 1}


def trained(workspace: Path, clips: Artifact, **changes: Any) -> Artifact:
    return tiny_run.train(workspace, tiny_run.branches_config(update=NETWORK, loop=LOOP, **changes), clips)


def test_it_keeps_the_contract() -> None:
    check_backbone("halvings", {})


def test_its_options_are_checked() -> None:
    assert network_config(NETWORK).tree()["first"] == 16
    with pytest.raises(ConfigError, match="stride 32: halvings cannot be built for it; known: 16, 8"):
        network_config({**NETWORK, "stride": 32})
    with pytest.raises(ValueError, match="stem"):
        network_config({**NETWORK, "stem": "deep"})


@pytest.mark.parametrize("ssl", ["ifr", "s4gan"])
def test_it_trains_with_its_own_normalisation(tmp_path: Path, clips: Artifact, ssl: str) -> None:
    made = trained(tmp_path, clips, ssl=ssl)
    network = load_branch(made, "update", "last")
    assert network.stride == 16
    index = json.loads(made.file("branches.json").read_text())
    assert index["branches"]["update"]["network"]["first"] == 16
    assert index["passes"]["update"]["trained"] >= 2


def test_the_batch_is_normalised_for_the_network(clips: Artifact) -> None:
    from ifrkit.data.store.partitions import labeled_clips
    from ifrkit.train.stage_one import BranchTask

    config, store = tiny_run.branches_config(update=NETWORK, ssl="fixmatch"), ClipStore(clips.path)
    network = build_network(config.update, 8, seed=0)
    task = BranchTask(network, config, store, labeled_clips(store, config.labeled), torch.device("cpu")).measured()
    raw = next(iter(task.batches(0, 1)))
    batch = task.to_device(raw)
    torch.testing.assert_close(batch.views["v0_0"], (raw.images["v0_0"].float() - 127) / 128)
    assert all(image.abs().max() <= 1 for image in batch.views.values())
    assert (task.passes.trained, task.passes.plain) == (2, 1)


def test_it_is_judged_predicts_and_is_exported(tmp_path: Path, clips: Artifact) -> None:
    branches = trained(tmp_path, clips, ssl="none")
    report = execute(evaluate.STAGE, EvalConfig(), Run(workspace=tmp_path, inputs=[branches]))
    assert report.file("report.json").exists()
    video = own_videos.write_folder(tmp_path / "street", own_videos.street(3))
    done = own_videos.run(tmp_path, branches, video)
    network, frame = load_branch(branches, "update", "best"), torch.from_numpy(own_videos.street(3)[0])
    with torch.no_grad():
        ids = network(network.normalise(frame.permute(2, 0, 1)[None])).argmax(1)[0]
    assert (own_videos.labels(done, "street")["f1"] == ids.numpy()).mean() > 0.999
    exported = execute(export.STAGE, ExportConfig(format="torch"), Run(workspace=tmp_path, inputs=[branches]))
    index = json.loads(exported.file("exported.json").read_text())
    wanted = {"inside": True, **Backbone.normalisation.describe()}
    assert index["normalisation"] == wanted
    assert exported.manifest.metrics["relative_difference"] == 0


def test_two_branches_with_two_normalisations(tmp_path: Path, clips: Artifact) -> None:
    branches = trained(tmp_path, clips, ssl="none", branches="update,reference", reference={"width": 0.0625})
    config = tiny_video.fusion_config(loop=ONCE, pretrain={"width": 0.0625, "crop": (24, 32), "loop": ONCE})
    made = tiny_video.run(train_fusion.STAGE, config, tmp_path, [branches])
    model: Any = load_video_model(made, "last")
    frames = torch.stack([torch.from_numpy(f).permute(2, 0, 1) for f in own_videos.street(2)])[None]
    with torch.no_grad():
        found = model.seen(model.update, frames[:, 1]), model.seen(model.reference, frames[:, 1])
        wanted = model.scores(model.update, (frames[:, 1].float() - 127) / 128)
    torch.testing.assert_close(found[0], wanted)
    assert found[1].shape == wanted.shape
    rules = normalisation({"video model": model})
    assert rules["inside"] is True
    assert rules["networks"]["update"]["std"] == [128, 128, 128]
    assert rules["networks"]["reference"]["mean"] == [123.675, 116.28, 103.53]
    alone = normalisation({"update": Branch(model.update)})
    assert alone == {"inside": True, **Backbone.normalisation.describe()}
