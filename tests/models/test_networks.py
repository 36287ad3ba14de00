"""The contract of every branch: all backbones, both stems, odd sizes, narrow widths."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core.errors import ConfigError
from ifrkit.models.backbones._resnet_layers import BasicBlock, Bottleneck, ResNet
from ifrkit.models.heads.psp import Head
from ifrkit.models.layers import scale_channels
from ifrkit.models.network import Network, build_network
from ifrkit.models.weights import load_weights, save_weights

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101")
EVERY = list(itertools.product(BACKBONES, ("deep", "basic")))


def tiny(backbone: str = "resnet18", stem: str = "deep", **fields: object) -> NetworkConfig:
    return network_config({"backbone": backbone, "stem": stem, "width": 0.125, **fields})


def randomise_norms(network: nn.Module) -> None:
    """Statistics as after training, so that batch norm changes something."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 2)


@pytest.mark.parametrize(("backbone", "stem"), EVERY)
def test_contract(backbone: str, stem: str, tmp_path: Path) -> None:
    network = build_network(tiny(backbone, stem), 5, seed=3)
    randomise_norms(network)
    network.eval()
    images = torch.randn(2, 3, 45, 61)
    with torch.no_grad():
        f = network.features(images)
        logits = network.classify(f)
        full = network(images)
        assert torch.equal(full, network(images))
    assert f.shape == (2, network.feature_channels, 6, 8)
    assert f.min() >= 0
    assert logits.shape == (2, 5, 6, 8)
    assert full.shape == (2, 5, 45, 61)
    assert full.isfinite().all()

    save_weights(tmp_path / "n.safetensors", network.state_dict())
    again = build_network(tiny(backbone, stem), 5, seed=4).eval()
    again.load_state_dict(load_weights(tmp_path / "n.safetensors"))
    with torch.no_grad():
        assert torch.equal(full, again(images))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_parameter_learns(backbone: str) -> None:
    network = build_network(tiny(backbone), 5, seed=0).train()
    network(torch.randn(2, 3, 33, 40)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    convolutions = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert all(weight.grad.abs().max() > 0 for weight in convolutions)


def geometry(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    return conv.kernel_size[0], conv.stride[0], conv.padding[0], conv.dilation[0]


def test_dilations_of_basic_blocks() -> None:
    net = ResNet(BasicBlock, (2, 2, 2, 2), width=0.125)
    got = [[(geometry(b.conv1), geometry(b.conv2)) for b in layer] for layer in (net.layer2, net.layer3, net.layer4)]
    plain, two, four = (3, 1, 1, 1), (3, 1, 2, 2), (3, 1, 4, 4)
    assert got == [[((3, 2, 1, 1), plain), (plain, plain)], [(plain, two), (two, two)], [(two, four), (four, four)]]
    assert [geometry(layer[0].downsample[0]) for layer in (net.layer1, net.layer2, net.layer3, net.layer4)] == [
        (1, 1, 0, 1), (1, 2, 0, 1), (1, 1, 0, 1), (1, 1, 0, 1)]  # fmt: skip


def test_dilations_of_bottlenecks() -> None:
    net = ResNet(Bottleneck, (3, 4, 23, 3), width=0.125)
    layers = (net.layer1, net.layer2, net.layer3, net.layer4)
    plain, two, four = (3, 1, 1, 1), (3, 1, 2, 2), (3, 1, 4, 4)
    assert [[geometry(b.conv2) for b in layer] for layer in layers] == [
        [plain] * 3, [(3, 2, 1, 1)] + [plain] * 3, [plain] + [two] * 22, [two, four, four]]  # fmt: skip
    assert {geometry(c) for layer in layers for b in layer for c in (b.conv1, b.conv3)} == {(1, 1, 0, 1)}


def test_stems() -> None:
    deep, basic = ResNet(BasicBlock, (2, 2, 2, 2)), ResNet(BasicBlock, (2, 2, 2, 2), "basic")
    assert [geometry(c) for c in (deep.stem[0].conv1, deep.stem[0].conv2, deep.stem[0].conv3)] == [
        (3, 2, 1, 1), (3, 1, 1, 1), (3, 1, 1, 1)]  # fmt: skip
    assert deep.stem[0].conv3.out_channels == 128
    assert basic.stem[0].conv1.weight.shape == (64, 3, 7, 7)
    assert deep.layer1[0].downsample is not None
    assert basic.layer1[0].downsample is None, "torchvision's ResNet-18 has no projection there"


def test_initialisation() -> None:
    network = build_network(NetworkConfig(backbone="resnet18"), 19, seed=0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
            assert (layer.eps, layer.momentum) == (1e-5, 0.1)
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * layer.out_channels)), rel=0.08)
    assert network.decode_head.conv_seg.weight.std().item() == pytest.approx(0.01, rel=0.08)
    assert (network.decode_head.conv_seg.bias == 0).all()


def test_the_start_depends_on_the_seed_alone() -> None:
    first = build_network(tiny(), 5, seed=1).state_dict()
    torch.rand(7)
    before = torch.get_rng_state()
    second = build_network(tiny(), 5, seed=1).state_dict()
    assert torch.equal(before, torch.get_rng_state()), "the caller's random numbers were used up"
    assert all(torch.equal(first[k], second[k]) for k in first)
    other = build_network(tiny(), 5, seed=2).state_dict()
    assert not torch.equal(first["backbone.layer1.0.conv1.weight"], other["backbone.layer1.0.conv1.weight"])


def test_dropout_is_inside_the_classifier() -> None:
    network = build_network(tiny(dropout=0.5), 5, seed=0).train()
    f = network.features(torch.randn(2, 3, 32, 32)).detach()
    assert not torch.equal(network.classify(f), network.classify(f))
    network.eval()
    assert torch.equal(network.classify(f), network.decode_head.conv_seg(f))


def test_dropout_drops_whole_channels_of_one_image() -> None:
    head = Head([64], [8], 1, dropout=0.5).train()
    nn.init.ones_(head.conv_seg.weight)
    torch.manual_seed(0)
    logits = head.classify(torch.ones(8, head.feature_channels, 3, 3))
    assert (logits == logits[..., :1, :1]).all(), "a channel was dropped at some pixels only"
    assert len(logits[:, 0, 0, 0].unique()) > 1, "images share a mask"
    assert (logits % 2 == 0).all(), "kept channels are scaled by 1 / (1 - p)"


def test_pyramid_is_the_pooled_context_beside_the_map() -> None:
    head = Head([16], [8], 3).eval()
    x = torch.randn(1, 16, 7, 9)
    seen = []
    head.bottleneck.conv.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    head.features([x])
    assert torch.equal(seen[0][:, :16], x)
    first = head.psp_modules[0][1](x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(seen[0][:, 16:24], first.expand(-1, -1, 7, 9))
    assert seen[0].shape[1] == 16 + 4 * head.feature_channels


def test_one_image_cannot_train_the_head() -> None:
    network = build_network(tiny(), 5, seed=0).train()
    with pytest.raises(ConfigError, match="two images"):
        network.features(torch.randn(1, 3, 32, 32))
    assert network.eval().features(torch.randn(1, 3, 32, 32)).shape[0] == 1


@pytest.mark.parametrize(
    ("channels", "width", "scaled"), [(64, 1, 64), (64, 0.375, 24), (1024, 0.375, 384), (64, 0.01, 8), (512, 0.3, 152)]
)
def test_widths_are_multiples_of_eight(channels: int, width: float, scaled: int) -> None:
    assert scale_channels(channels, width) == scaled


def test_width_scales_every_stage() -> None:
    network = Network(tiny("resnet50", width=0.25), 5)
    assert network.backbone.channels == [512]
    assert network.feature_channels == 128
    assert isinstance(network.backbone.layer1[0], Bottleneck)
    assert isinstance(Network(tiny(), 5).backbone.layer1[0], BasicBlock)


def test_pooled_context_is_normalised_in_float32_under_autocast() -> None:
    network = build_network(tiny(), 5, seed=0).train()
    seen: list[torch.dtype] = []
    for module in network.decode_head.psp_modules:
        module[1].bn.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    network.decode_head.bottleneck.conv.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, 3, 40, 48))
    assert seen == [torch.float32] * 4 + [torch.bfloat16]


def test_channels_last_and_bfloat16_give_the_same_picture() -> None:
    network = build_network(tiny(), 5, seed=0).eval()
    images = torch.randn(2, 3, 40, 48)
    with torch.no_grad():
        plain = network(images)
        last = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            half = network(images)
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(plain, half.float(), rtol=0.1, atol=0.05 * plain.abs().max().item())
