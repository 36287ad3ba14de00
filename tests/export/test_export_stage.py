"""The stage: what the artifact holds, its lineage, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import tiny_video
import torch

from ifrkit.artifacts.store import Artifact
from ifrkit.config.export import ExportConfig
from ifrkit.core.errors import ArtifactError, ConfigError, ThresholdError
from ifrkit.data.store.clips import ClipStore
from ifrkit.export import check, runtime
from ifrkit.export.extra import require_onnx
from ifrkit.stages import _export, export, train_fusion
from ifrkit.stages.runner import Run, execute
from ifrkit.trained import load_video_model

try:
    require_onnx()
    ONNX = ""
except Exception as error:
    ONNX = str(error)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """One branch, and a video model, of 32x48 clips."""
    workspace = tmp_path_factory.mktemp("ws")
    clips = tiny_run.make_clips(workspace)
    branches = tiny_video.make_branches(workspace, clips)
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    pretrain = {"width": 0.0625, "crop": (24, 32), "loop": loop}
    config = tiny_video.fusion_config(loop=loop, pretrain=pretrain)
    video = tiny_video.run(train_fusion.STAGE, config, workspace, [branches])
    one = tiny_run.branches_config(ssl="none", loop=loop)
    return {"branches": tiny_run.train(workspace, one, clips), "video-model": video}


def made(source: Artifact, workspace: Path, **config: Any) -> Artifact:
    return execute(export.STAGE, ExportConfig.of(config), Run(workspace=workspace, inputs=[source]))


def test_a_branch_as_a_program(models: dict[str, Artifact], tmp_path: Path) -> None:
    artifact = made(models["branches"], tmp_path, format="torch")
    index = json.loads(artifact.file("exported.json").read_text())
    store = ClipStore(artifact.ancestor("clips").path)  # type: ignore[union-attr]
    assert index["classes"] == list(store.labels.names)
    assert index["colors"] == [list(color) for color in store.labels.colors]
    assert index["normalisation"]["mean"] == [123.675, 116.28, 103.53]
    assert index["source"] == {"kind": "branches", "id": models["branches"].id, "checkpoint": "best"}
    graph = index["graphs"]["update"]
    assert graph["inputs"] == [{"name": "frame", "type": "uint8", "shape": ["batch", 3, 32, 48]}]
    assert graph["outputs"] == [
        {"name": "logits", "type": "float32", "shape": ["batch", len(index["classes"]), 32, 48]}
    ]
    assert graph["checked"]["sizes"] == [[1, 32, 48], [3, 32, 48]]
    assert graph["checked"]["frames"] == 4  # one key frame, then it and its two mirror images
    assert artifact.manifest.metrics["relative_difference"] == graph["checked"]["relative"] == 0
    files: dict[str, Any] = {"metadata.json": ""}
    program = torch.export.load(artifact.path / graph["file"], extra_files=files).module()
    assert json.loads(files["metadata.json"])["classes"] == index["classes"]
    frame = torch.from_numpy(store.frame(0, 0)).permute(2, 0, 1)[None]
    assert program(frame)[0].shape == (1, len(index["classes"]), 32, 48)
    with pytest.raises(ArtifactError, match="--format onnx"):
        runtime.open_exported(artifact)
    assert made(models["branches"], tmp_path, format="torch").path == artifact.path


def test_a_difference_above_the_tolerance_is_an_error(
    models: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = runtime.open_graph
    monkeypatch.setattr(_export, "open_graph", lambda path: lambda inputs: [y + 0.5 for y in opened(path)(inputs)])
    with pytest.raises(ThresholdError, match=r"above tolerance 0\.001; --set tolerance") as caught:
        made(models["branches"], tmp_path, format="torch")
    assert caught.value.exit_code == 7
    assert not [*tmp_path.glob("exported/*")]
    assert made(models["branches"], tmp_path, format="torch", tolerance=1).manifest.metrics["relative_difference"] > 0


def test_what_cannot_be_open_is_fixed_and_said(
    models: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that holds for one frame alone is exported with a fixed batch."""
    compare = check.compare

    def one_only(model: Any, exported: Any, runs: list[torch.Tensor]) -> Any:
        if max(len(run) for run in runs) > 1:
            raise ValueError("no batch")
        return compare(model, exported, runs)

    monkeypatch.setattr(_export, "compare", one_only)
    artifact = made(models["branches"], tmp_path, format="torch")
    graph = json.loads(artifact.file("exported.json").read_text())["graphs"]["update"]
    assert graph["dynamic"] == []
    assert graph["inputs"][0]["shape"] == [1, 3, 32, 48]
    monkeypatch.setattr(_export, "compare", lambda *arguments: (_ for _ in ()).throw(ValueError("never")))
    with pytest.raises(ConfigError, match=r"update: cannot be exported as torch \(never\)"):
        made(models["branches"], tmp_path, format="torch", tolerance=0.5)


@pytest.mark.skipif(bool(ONNX), reason=ONNX)
def test_a_video_model_in_onnx_streams_as_in_torch(models: dict[str, Artifact], tmp_path: Path) -> None:
    artifact = made(models["video-model"], tmp_path, format="onnx")
    index = json.loads(artifact.file("exported.json").read_text())
    assert set(index["graphs"]) == {"key-step", "update-step"}
    assert index["key_interval"] == 3
    assert 0 <= artifact.manifest.metrics["relative_difference"] < 1e-4
    model, exported = load_video_model(models["video-model"], "best"), runtime.open_exported(artifact)
    frames = tiny_video.moving_clip((32, 48), 4, batch=3, seed=5)
    found = check.compare(model, exported, [frames])
    assert max(d.relative for d in found.values()) < 1e-4
    # The softmax of the graphs' logits is the probability that eval measures: the temperature is inside.
    assert model.temperature != 1
    key, frame = frames[:, 0], frames[:, 1]
    with torch.inference_mode():
        (wanted, state), (found_key, found_state) = model.start(key), exported.start(key)
        torch.testing.assert_close(found_key, wanted / model.temperature, rtol=1e-4, atol=1e-4)
        wanted, found_step = model.step(frame, state)[0], exported.step(frame, found_state)[0]
    torch.testing.assert_close(found_step, wanted / model.temperature, rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="uses both"):
        runtime.open_exported(artifact, "update")
    file = artifact.path / "update-step.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match="corrupt"):
        runtime.open_exported(artifact)
