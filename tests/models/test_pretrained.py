"""Published weight files: every format becomes the same names, and what does not fit is named."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.models.flownet import FlowNetS, build_flownet
from ifrkit.models.importers import load_pretrained_flow
from ifrkit.models.network import Network, build_network
from ifrkit.models.weights import save_weights

WIDTH = 0.125
State = dict[str, Tensor]


def config(pretrained: Path | None = None, **fields: Any) -> NetworkConfig:
    path = None if pretrained is None else str(pretrained)
    return network_config({"width": WIDTH, "pretrained": path, **fields})


def imagenet(stem: str = "deep", backbone: str = "resnet18") -> State:
    """A flat file as CSAIL, semseg and torchvision publish them: made from a network of another seed."""
    state = Network(config(stem=stem, backbone=backbone), 5).backbone.state_dict()
    flat = {key.removeprefix("stem.0."): value + 0.5 for key, value in state.items()}
    return {**flat, "fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}


def released(num_classes: int = 5) -> State:
    return {key: value + 0.5 for key, value in Network(config(), num_classes).state_dict().items()}


def equal(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[k], other[k].to(state[k].dtype)) for k in state)


def fault(path: Path, num_classes: int = 5, **fields: Any) -> str:
    with pytest.raises(ArtifactError) as caught:
        build_network(config(path, **fields), num_classes, seed=0)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stem", ["deep", "basic"])
def test_imagenet_backbones(stem: str, backbone: str, tmp_path: Path) -> None:
    file, flat = tmp_path / "imagenet.pth", imagenet(stem, backbone)
    torch.save(flat, file)
    network = build_network(config(file, stem=stem, backbone=backbone), 5, seed=0)
    loaded = {key.removeprefix("stem.0."): value for key, value in network.backbone.state_dict().items()}
    assert equal(loaded, {k: v for k, v in flat.items() if not k.startswith("fc.")})
    fresh = build_network(config(stem=stem, backbone=backbone), 5, seed=0)
    assert equal(network.decode_head.state_dict(), fresh.decode_head.state_dict()), "the head starts as without a file"


def test_files_of_old_torch(tmp_path: Path) -> None:
    """No num_batches_tracked, and the format before zip files."""
    file = tmp_path / "old.pth"
    old = {key: value for key, value in imagenet().items() if not key.endswith("num_batches_tracked")}
    torch.save(old, file, _use_new_zipfile_serialization=False)
    network = build_network(config(file), 5, seed=0)
    assert torch.equal(network.backbone.get_parameter("stem.0.conv3.weight"), old["conv3.weight"])
    assert network.backbone.state_dict()["stem.0.bn1.num_batches_tracked"] == 0


@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_checkpoints(prefix: str, tmp_path: Path) -> None:
    """mmcv leaves the best score in `meta` as a numpy number."""
    file, state = tmp_path / "iter_40000.pth", released()
    meta = {"hook_msgs": {"best_score": np.float64(0.71)}, "CLASSES": ("road",), "iter": 40000}
    wrapped = {prefix + key: value for key, value in state.items()}
    torch.save({"meta": meta, "state_dict": wrapped, "optimizer": {"param_groups": [{"lr": 0.1}]}}, file)
    assert equal(build_network(config(file), 5, seed=0).state_dict(), state)


def test_own_branches(tmp_path: Path) -> None:
    file, state = tmp_path / "update.best.safetensors", released()
    save_weights(file, state)
    assert equal(build_network(config(file), 5, seed=0).state_dict(), state)


def test_released_flow(tmp_path: Path) -> None:
    file, state = tmp_path / "flow.pth", build_flownet(WIDTH, seed=1).state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, file)
    flownet = build_flownet(WIDTH, seed=0)
    load_pretrained_flow(flownet, file)
    assert equal(flownet.state_dict(), state)
    with pytest.raises(ArtifactError, match=r"of another shape \(conv1\.0\.weight .*width"):
        load_pretrained_flow(FlowNetS(0.25), file)


def test_flow_without_upsampler_biases_is_refused(tmp_path: Path) -> None:
    """An otherwise equal published FlowNet (DAVSS) has 42 keys."""
    state = build_flownet(WIDTH, seed=1).state_dict()
    torch.save(
        {k: v for k, v in state.items() if not (k.startswith("upsample") and k.endswith("bias"))}, tmp_path / "f"
    )
    with pytest.raises(ArtifactError, match=r"4 missing \(upsample_flow6to5\.bias, .*, \.\.\.\)"):
        load_pretrained_flow(FlowNetS(WIDTH), tmp_path / "f")


def test_the_other_stem(tmp_path: Path) -> None:
    torch.save(imagenet("basic"), tmp_path / "torchvision.pth")
    message = fault(tmp_path / "torchvision.pth", stem="deep")
    assert "missing (stem.0.conv2.weight, " in message
    assert "stem.0.conv1.weight (8, 3, 7, 7) instead of (8, 3, 3, 3)" in message
    assert message.endswith("the file looks like a basic-stem ResNet: set backbone and stem to match")


def test_the_other_backbone_names_counts_and_first_keys(tmp_path: Path) -> None:
    torch.save(imagenet(backbone="resnet34"), tmp_path / "r34.pth")
    message = fault(tmp_path / "r34.pth")
    assert f"{8 * 12} unexpected (layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias, ...)" in message
    assert "missing" not in message


def test_values_that_no_network_has(tmp_path: Path) -> None:
    """They would train, or not, without a word."""
    state = released()
    name = "backbone.layer1.0.conv1.weight"
    odd = {
        "1 with values that are not finite": state[name] * torch.tensor(float("nan")),
        "1 of another type": state[name].long(),
        "of 9 dimensions instead of": torch.zeros([1] * 9),
    }
    for message, value in odd.items():
        torch.save({**state, name: value}, tmp_path / "odd.pth")
        found = fault(tmp_path / "odd.pth")
        assert message in found
        assert name in found


def test_names_that_nobody_knows_are_shown_as_they_are(tmp_path: Path) -> None:
    torch.save({**imagenet(), "attention.weight": torch.zeros(1)}, tmp_path / "other.pth")
    assert "does not fit: 1 unexpected (attention.weight); " in fault(tmp_path / "other.pth")


def test_the_classes_of_another_dataset(tmp_path: Path) -> None:
    torch.save({"state_dict": released(num_classes=19)}, tmp_path / "cityscapes.pth")
    message = fault(tmp_path / "cityscapes.pth", num_classes=11)
    assert "decode_head.conv_seg has 19 classes, this dataset 11" in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("none.pth", "none.safetensors"):
        with pytest.raises(ConfigError, match=name):
            build_network(config(tmp_path / name), 5, seed=0)


class _Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("attacked"),)


def test_files_that_hold_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": released(), "meta": _Attack()}, "attack.pth")
    Path("plain.pth").write_bytes(pickle.dumps({"weight": _Attack()}))
    torch.save({"epoch": 3}, "numbers.pth")
    torch.save(torch.zeros(3), "tensor.pth")
    torch.save({}, "empty.pth")
    torch.save(released(), "good.pth")
    Path("cut.pth").write_bytes(Path("good.pth").read_bytes()[:5000])
    flipped = bytearray(Path("good.pth").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    Path("flipped.pth").write_bytes(flipped)
    Path("text.pth").write_text("not found")
    Path("nothing.pth").touch()
    for name in ("attack", "plain", "numbers", "tensor", "empty", "cut", "flipped", "text", "nothing"):
        fault(Path(f"{name}.pth"))
    assert not Path("attacked").exists()
