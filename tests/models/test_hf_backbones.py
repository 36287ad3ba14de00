"""Models of Hugging Face as backbones: tiny random ones of seven types, through the code that real ones take."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import own_videos
import pytest
import tiny_hf
import tiny_run
import torch
from msgspec.structs import replace

from ifrkit.artifacts.store import Artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.config.export import ExportConfig
from ifrkit.config.network import network_config
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.plugins import load
from ifrkit.models import hub
from ifrkit.models.layers import seeded
from ifrkit.models.network import Network, build_network
from ifrkit.models.normalisation import IMAGENET
from ifrkit.models.weights import save_weights
from ifrkit.stages import evaluate, export
from ifrkit.stages.runner import Run, execute
from ifrkit.testing.networks import check_backbone
from ifrkit.trained import load_branch

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one of each type; the capital letter must stay."""
    root = tmp_path_factory.mktemp("Models")
    for kind in tiny_hf.KINDS:
        tiny_hf.save(kind, root / kind)
    return root


def built(directory: Path, **options: Any) -> Network:
    return build_network(network_config({"backbone": f"hf:{directory}", **options}), 5, seed=0)


def images(h: int, w: int) -> torch.Tensor:
    return torch.randn(2, 3, h, w, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", tiny_hf.KINDS)
def test_the_contract_holds(models: Path, kind: str) -> None:
    check_backbone(f"hf:{models / kind}", {"width": 0.125})


@pytest.mark.parametrize("kind", tiny_hf.KINDS)
def test_strides(models: Path, kind: str) -> None:
    plugin = load("backbones", "hf")(network_config({"backbone": f"hf:{models / kind}"}))
    assert plugin.strides == tiny_hf.STRIDES.get(kind, tiny_hf.HIERARCHICAL)
    with pytest.raises(ConfigError, match="stride 12: hf cannot be built for it"):
        network_config({"backbone": f"hf:{models / kind}", "stride": 12})


@pytest.mark.parametrize("kind", tiny_hf.KINDS)
def test_maps_are_those_of_transformers(models: Path, kind: str) -> None:
    """Loaded by transformers itself, on images of the size that the model was made for."""
    transformers = importlib.import_module("transformers")
    side = 56 if kind == "dinov2" else 64
    frames = images(side, side)
    trunk = built(models / kind).eval().backbone
    if kind == "segformer":
        reference = transformers.SegformerModel.from_pretrained(models / kind).eval()
        with torch.no_grad():
            wanted = reference(frames).last_hidden_state
    elif kind == "hiera":
        reference = transformers.HieraModel.from_pretrained(models / kind).eval()
        with torch.no_grad():
            wanted = reference(frames, output_hidden_states=True).reshaped_hidden_states[-1].permute(0, 3, 1, 2)
    else:
        mapping = transformers.MODEL_FOR_BACKBONE_MAPPING
        config = transformers.AutoConfig.from_pretrained(models / kind)
        reference = mapping[type(config)].from_pretrained(models / kind).eval()
        with torch.no_grad():
            wanted = reference(frames).feature_maps[-1]
    with torch.no_grad():
        torch.testing.assert_close(trunk(frames)[-1], wanted)


@pytest.mark.parametrize("kind", ["swin", "hiera", "convnextv2"])
def test_what_is_cut_off_changes_nothing_before_it(models: Path, kind: str) -> None:
    whole, cut = (built(models / kind, stride=s, head="light").eval().backbone for s in (32, 16))
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in whole.parameters())
    with torch.no_grad():
        torch.testing.assert_close(cut(images(45, 61))[0], whole(images(45, 61))[0])
        if kind != "hiera":
            mapping = importlib.import_module("transformers").MODEL_FOR_BACKBONE_MAPPING
            reference = mapping[type(cut.model.config)].from_pretrained(models / kind, out_features=["stage3"]).eval()
            torch.testing.assert_close(cut(images(64, 64))[1], reference(images(64, 64)).feature_maps[0])


@pytest.mark.parametrize(("kind", "count"), [("dinov2", 4), ("swin", 5), ("segformer", 4), ("resnet", 5)])
def test_freezing_and_depths(models: Path, kind: str, count: int) -> None:
    network = built(models / kind, freeze=2).train()
    trunk = network.backbone
    assert len(trunk.parts()) == count
    depths = trunk.depths()
    used = {id(p) for p in trunk.parameters() if p.requires_grad}
    assert {depths[key] for key in used} == set(range(2, count))
    assert not any(m.training for part in trunk.parts()[:2] for module in part for m in module.modules())
    check_backbone(f"hf:{models / kind}", {"width": 0.125, "freeze": 2})
    check_backbone(f"hf:{models / kind}", {"width": 0.125, "freeze": "all"})


def test_pixels_of_the_model(models: Path, tmp_path: Path) -> None:
    assert built(models / "swin").normalisation == IMAGENET
    model = shutil.copytree(models / "swin", tmp_path / "swin")
    tiny_hf.set_pixels(model, image_mean=[0.5] * 3, image_std=[0.25] * 3, rescale_factor=1 / 255)
    rule = built(model).normalisation
    assert rule.mean == pytest.approx([127.5] * 3)
    assert rule.std == pytest.approx([63.75] * 3)
    tiny_hf.set_pixels(model, image_mean=[0.5] * 3, image_std=[0.25] * 3, do_normalize=False)
    assert built(model).normalisation.describe()["mean"] == [0, 0, 0]
    tiny_hf.set_pixels(model, image_mean=[10, 20, 30], image_std=[2, 3, 4], do_rescale=False)
    assert built(model).normalisation.mean == (10, 20, 30)
    assert built(model, pixel_mean=(1, 2, 3)).normalisation.mean == (1, 2, 3)


def test_the_id_depends_on_the_weights_and_not_on_their_place(models: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(models / "swin", tmp_path / "elsewhere")
    other = tiny_hf.save("swin", tmp_path / "other", seed=1)
    ids = [network_config({"backbone": f"hf:{d}"}).identity() for d in (models / "swin", moved, other)]
    assert ids[0] == ids[1] != ids[2]


def test_the_start_of_a_network(models: Path) -> None:
    """The weights of the model, whatever the seed; with `pretrained: null` those of the seed."""
    config = network_config({"backbone": f"hf:{models / 'dinov2'}"})
    one, two = (build_network(config, 5, seed).backbone.state_dict() for seed in (0, 1))
    assert all(torch.equal(one[key], two[key]) for key in one)
    before = torch.get_rng_state()
    fresh = replace(config, pretrained=None)
    one, two = (build_network(fresh, 5, seed).backbone.state_dict() for seed in (0, 1))
    assert not all(torch.equal(one[key], two[key]) for key in one)
    assert torch.equal(before, torch.get_rng_state())


def test_an_id_in_the_local_cache(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--Some--tiny_Dino"
    shutil.copytree(models / "dinov2", place / "snapshots" / "0123abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123abc")
    assert built(Path("Some/tiny_Dino")).stride == 14
    assert hub.source("Some/tiny_Dino")["model"] == "Some/tiny_Dino"


def test_nothing_is_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*args: Any, **options: Any) -> str:
        raise OSError("no network in tests")

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "huggingface_hub", type("Hub", (), {"snapshot_download": staticmethod(fetch)}))
    with pytest.raises(ConfigError, match=r"Some/Dino is neither .*--allow-download"):
        network_config({"backbone": "hf:Some/Dino"})
    monkeypatch.setattr(hub, "_allowed", True)
    with pytest.raises(ConfigError, match=r"Some/Dino cannot be fetched .*no network in tests"):
        network_config({"backbone": "hf:Some/Dino"})


def test_a_config_is_checked_without_torch_and_transformers(models: Path) -> None:
    code = f"""
import sys
from ifrkit.config.network import network_config
network_config({{"backbone": "hf:{models / "swin"}"}}).identity()
assert not {{"torch", "transformers", "huggingface_hub"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_faults(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"which model.*write hf:DIR"):
        network_config({"backbone": "hf"})
    with pytest.raises(ConfigError, match="no directory /nowhere/at/all"):
        network_config({"backbone": "hf:/nowhere/at/all"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"config\.json cannot be read"):
        network_config({"backbone": f"hf:{tmp_path / 'empty'}"})
    text = tmp_path / "text"
    text.mkdir()
    (text / "config.json").write_text(json.dumps({"model_type": "bert", "num_hidden_layers": 2}))
    with pytest.raises(ConfigError, match=r"bert: its config\.json does not say which maps"):
        network_config({"backbone": f"hf:{text}"})
    odd = shutil.copytree(models / "dinov2", tmp_path / "odd")
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps({**config, "patch_size": 7}))
    with pytest.raises(ConfigError, match="the head wants an earlier map"):
        built(odd, head="light", pretrained=None)


def test_weights_that_do_not_fit(models: Path, tmp_path: Path) -> None:
    pickled = shutil.copytree(models / "dinov2", tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match=r"holds no \.safetensors file \(pickles are not read\)"):
        built(pickled)
    part = shutil.copytree(models / "dinov2", tmp_path / "part")
    state = importlib.import_module("safetensors.torch").load_file(part / "model.safetensors")
    lacking = {key: value for key, value in state.items() if "layer.1." not in key}
    importlib.import_module("safetensors.torch").save_file(lacking, part / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArtifactError, match=r"does not fit: \d+ missing \(encoder\.layer\.1\."):
        built(part)
    (part / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="its weights cannot be read"):
        built(part)
    save_weights(tmp_path / "own.safetensors", built(models / "dinov2").backbone.state_dict())
    with pytest.raises(ArtifactError, match="same swin and stride"):
        built(models / "swin", pretrained=str(tmp_path / "own.safetensors"))


def test_without_transformers(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = network_config({"backbone": f"hf:{models / 'swin'}"})
    monkeypatch.setattr(importlib, "import_module", _refusing(importlib.import_module))
    with pytest.raises(ConfigError, match=r"hf needs the package transformers .*pip install 'ifrkit\[hf\]'"):
        build_network(config, 5, seed=0)


def _refusing(original: Any) -> Any:
    def import_module(name: str, package: str | None = None) -> Any:
        if name == "transformers":
            raise RuntimeError("broken in a way of its own")
        return original(name, package)

    return import_module


def test_a_trained_branch_stands_on_its_own(models: Path, tmp_path: Path, clips: Artifact) -> None:
    """It trains, with frozen blocks and decay; then the directory is gone, and it is judged, predicts, is exported."""
    model = shutil.copytree(models / "dinov2", tmp_path / "Given")
    tiny_hf.set_pixels(model, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    update = {"backbone": f"hf:{model}", "freeze": 2, "head": "light", "width": 0.125}
    config = tiny_run.branches_config(update=update, ssl="ifr", sgd={"layer_decay": 0.7})
    branches = tiny_run.train(tmp_path, config, clips)
    entry = json.loads(branches.file("branches.json").read_text())["branches"]["update"]
    assert entry["pretrained"]["licence"] == "apache-2.0"
    assert entry["pretrained"]["sha256"] == hub.digest(str(model))
    assert entry["network"]["definition"]["model_type"] == "dinov2"
    trained = load_branch(branches, "update", "last")
    start = build_network(config.update, 8, seed=0)
    depths = start.backbone.depths()
    for (key, old), new in zip(start.backbone.named_parameters(), trained.backbone.parameters(), strict=True):
        if "mask_token" not in key:
            assert torch.equal(old, new) == (depths[id(old)] < 2), key
    model.rename(tmp_path / "gone")
    network, street = load_branch(branches, "update", "best"), own_videos.street(3)
    frame = torch.from_numpy(street[0]).permute(2, 0, 1)[None]
    assert network.normalisation.mean == pytest.approx([127.5] * 3)
    with torch.no_grad():
        ids = network(network.normalise(frame)).argmax(1)[0].numpy()
    video = own_videos.write_folder(tmp_path / "street", street)
    done = own_videos.run(tmp_path, branches, video)
    assert (own_videos.labels(done, "street")["f1"] == ids).mean() > 0.999
    report = execute(evaluate.STAGE, EvalConfig(), Run(workspace=tmp_path, inputs=[branches]))
    assert json.loads(report.file("report.json").read_text())["model"]["backbones"] == {"update": "hf:Given"}
    for kind in ("torch", "onnx"):
        made = execute(export.STAGE, ExportConfig(format=kind), Run(workspace=tmp_path, inputs=[branches]))
        assert json.loads(made.file("exported.json").read_text())["graphs"]


@pytest.mark.parametrize("kind", ["convnextv2", "swin"])
def test_other_types_train(models: Path, tmp_path: Path, clips: Artifact, kind: str) -> None:
    update = {"backbone": f"hf:{models / kind}", "head": "deeplabv3plus", "width": 0.0625}
    made = tiny_run.train(tmp_path, tiny_run.branches_config(update=update, ssl="cps"), clips)
    network = load_branch(made, "update", "last")
    with seeded(0):
        assert network(torch.randn(1, 3, 33, 47)).shape == (1, 8, 33, 47)
