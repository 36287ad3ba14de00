"""Graphs in 8-bit integers: folded batch norms, calibration on own frames, the loss measured and limited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import own_videos
import pytest
import tiny_run
import torch
from chains import Chain, complaint
from torch import nn

from ifrkit.artifacts.indexes import Exported
from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact
from ifrkit.config.export import ExportConfig
from ifrkit.config.network import NetworkConfig
from ifrkit.core.errors import ConfigError, ThresholdError
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.scored import held_out
from ifrkit.evaluation.systems import to_ids
from ifrkit.export.fold import without_batch_norms
from ifrkit.export.graphs import Branch
from ifrkit.export.runtime import open_exported
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.models.network import build_network
from ifrkit.stages import export
from ifrkit.stages.runner import Run, execute


class Listening(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_run.varied_branches(tmp_path_factory.mktemp("varied"))


def _export(workspace: Path, given: Artifact, **changes: Any) -> Artifact:
    config = ExportConfig.of({"int8": True, "max_drop": 1, "calibration": 4} | changes)
    return execute(export.STAGE, config, Run(workspace=workspace, inputs=[given]))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory, branches: Artifact) -> dict[bool, Artifact]:
    place = tmp_path_factory.mktemp("graphs")
    return {int8: _export(place, branches, int8=int8) for int8 in (False, True)}


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet-lite0"])
def test_folded_batch_norms_change_nothing(backbone: str) -> None:
    network = build_network(NetworkConfig(backbone=backbone, pretrained=None), 3, seed=0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    model = Branch(network).eval()
    frame = torch.randint(0, 255, (2, 3, 33, 40), dtype=torch.uint8)
    folded = without_batch_norms(model, frame)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        torch.testing.assert_close(folded.start(frame)[0], model.start(frame)[0], rtol=1e-4, atol=1e-4)


def test_a_norm_that_reads_something_else_stays() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.twice = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def start(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            y = self.conv(x.float())
            return self.norm(y.relu()) + self.twice(self.twice(y)), None

        def step(self, x: torch.Tensor, state: None) -> tuple[torch.Tensor, None]:
            return self.start(x)

    folded = without_batch_norms(Odd().eval(), torch.zeros(1, 3, 2, 2))
    assert isinstance(folded.norm, nn.BatchNorm2d)
    assert isinstance(folded.twice, nn.BatchNorm2d)


def test_the_graphs_are_integers_and_the_loss_is_true(branches: Artifact, graphs: dict[bool, Artifact]) -> None:
    """mIoU of both forms, counted again here from what `predict --backend onnx` would run."""
    index = Exported.read(graphs[True])
    kinds = {node.op_type for node in onnx.load(graphs[True].file("update.onnx")).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert not {"QuantizeLinear"} & {n.op_type for n in onnx.load(graphs[False].file("update.onnx")).graph.node}
    store = ClipStore.of(branches.ancestor("clips"))  # type: ignore[arg-type]
    found = {}
    for int8, artifact in graphs.items():
        model, counts = open_exported(artifact), np.zeros((store.labels.num_classes,) * 2, np.int64)
        for clip, frame in held_out(store):
            image = torch.from_numpy(store.frame(clip, frame)).permute(2, 0, 1)[None]
            ids = to_ids(model.start(image)[0], store.size)
            counts += confusion(store.label(clip, frame, hidden=True), ids, store.labels.num_classes)
        found[int8] = mean_present(iou(counts))  # type: ignore[arg-type]
    said = index.int8["update"]
    assert said["float"] == pytest.approx(found[False])
    assert said["int8"] == pytest.approx(found[True])
    assert said["drop"] == pytest.approx(found[False] - found[True])  # type: ignore[operator]
    assert said["frames"] == len(held_out(store))
    assert graphs[True].manifest.metrics["int8"] == index.int8
    assert Exported.read(graphs[False]).int8 == {}


def test_too_much_loss_makes_nothing(tmp_path: Path, branches: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 0.46])
    monkeypatch.setattr("ifrkit.stages._export.miou", lambda *_: next(scores))
    with pytest.raises(ThresholdError, match=r"update loses 4.0 points of mIoU, above 3; --set max_drop"):
        _export(tmp_path, branches, max_drop=0.03)
    assert not list(tmp_path.glob("exported/[!.]*"))


def test_without_held_out_labels_it_is_refused(tmp_path: Path) -> None:
    clips = tiny_run.make_clips(tmp_path, val_videos=0)
    given = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none", loop={"steps": 1, "batch": 2}), clips)
    with pytest.raises(ConfigError, match="has no held-out label"):
        _export(tmp_path, given)


def test_predict_runs_them_and_says_so(tmp_path: Path, graphs: dict[bool, Artifact]) -> None:
    folder = own_videos.write_folder(tmp_path / "v", own_videos.street(2))
    display = Listening()
    made = own_videos.run(tmp_path, graphs[True], folder, display=display)
    assert len(own_videos.labels(made, "v")) == 2
    assert [line for line in display.said if line.startswith("update in 8-bit integers: ")]


def test_the_flag(tmp_path: Path, branches: Artifact) -> None:
    chain = Chain(tmp_path)
    line = f"ifrkit export --from {branches.path} --int8"
    assert "have no such form; --format onnx" in complaint(chain.run(f"{line} --format torch -q"), 2)
    assert "would make" in chain.ok(f"{line} --dry-run").stdout
