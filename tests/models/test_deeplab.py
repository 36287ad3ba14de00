"""The DeepLabv3+ head: shapes, names, gradients; every method and the video architectures on its maps at 1/4."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run
import torch
from tiny_video import moving_clip
from torch import nn

from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load, names
from ifrkit.data.loading.batch import Place
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.methods.cac import overlap
from ifrkit.models.flownet import build_flownet
from ifrkit.models.network import Network, build_network
from ifrkit.train.stage_one import BranchTask
from ifrkit.trained import load_branch

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101")
WITHOUT_FILES = [name for name in names("methods") if not load("methods", name).Config().artifacts()]


def deeplab(backbone: str = "resnet18", **fields: object) -> NetworkConfig:
    tree = {"backbone": backbone, "head": "deeplabv3plus", "width": 0.125, **fields}
    return network_config(tree)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(45, 61), (32, 48)])
def test_contract(backbone: str, size: tuple[int, int]) -> None:
    network = build_network(deeplab(backbone), 5, seed=3).eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        f = network.features(images)
        raw = network.before_relu(images)
        logits, full = network.classify(f), network(images)
    quarter = (-(-size[0] // 4), -(-size[1] // 4))
    assert network.stride == 4
    assert f.shape == (2, network.feature_channels, *quarter)
    assert raw.min() < 0 <= f.min()
    assert torch.equal(raw.relu(), f)
    assert torch.equal(network.decode_head.conv_seg(f), logits)
    assert logits.shape == (2, 5, *quarter)
    assert full.shape == (2, 5, *size)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_parameter_learns(backbone: str) -> None:
    network = build_network(deeplab(backbone), 5, seed=0).train()
    network(torch.randn(2, 3, 97, 97)).square().mean().backward()  # wide enough for a rate of 12
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    convolutions = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in convolutions)


def test_names_and_sizes_at_full_width() -> None:
    network = Network(NetworkConfig(backbone="resnet50", head="deeplabv3plus"), 19)
    weights = {k: tuple(v.shape) for k, v in network.decode_head.state_dict().items() if v.ndim == 4}
    assert weights == {
        "conv_seg.weight": (19, 256, 1, 1),
        "image_pool.1.conv.weight": (256, 2048, 1, 1),
        "aspp_modules.0.conv.weight": (256, 2048, 1, 1),
        **{f"aspp_modules.{i}.conv.weight": (256, 2048, 3, 3) for i in (1, 2, 3)},
        "bottleneck.conv.weight": (256, 1280, 3, 3),
        "c1_bottleneck.conv.weight": (48, 256, 1, 1),
        "sep_bottleneck.0.conv.weight": (256, 304, 3, 3),
        "sep_bottleneck.1.conv.weight": (256, 256, 3, 3),
    }
    head = network.decode_head
    assert [(m.conv.dilation[0], m.conv.padding[0]) for m in head.aspp_modules] == [  # type: ignore[union-attr, operator]
        (1, 0), (12, 12), (24, 24), (36, 36)]  # fmt: skip


def test_the_backbone_is_that_of_the_other_head() -> None:
    """So the same pretrained files fit, and the same seed gives the same start."""
    heads = [build_network(deeplab(head=head), 5, seed=7).backbone.state_dict() for head in ("psp", "deeplabv3plus")]
    assert heads[0].keys() == heads[1].keys()
    assert all(torch.equal(heads[0][key], heads[1][key]) for key in heads[0])


def test_one_image_cannot_train_the_head() -> None:
    network = build_network(deeplab(), 5, seed=0).train()
    with pytest.raises(ConfigError, match="two images"):
        network.features(torch.randn(1, 3, 32, 32))


def test_shared_windows_on_maps_of_either_stride() -> None:
    here, there = Place(0, 0, 8, False), Place(0, 16, 0, False)
    coarse, fine = overlap(here, there, (4, 8)), overlap(here, there, (8, 16), stride=4)
    assert coarse == ((slice(2, 4), slice(0, 7)), (slice(0, 2), slice(1, 8)))
    assert fine == ((slice(4, 8), slice(0, 14)), (slice(0, 4), slice(2, 16)))


@pytest.mark.parametrize("arch", names("architectures"))
def test_video_architectures_take_any_head(arch: str) -> None:
    cls = load("architectures", arch)
    networks = [build_network(deeplab(), 5, seed) for seed in range(len(cls.branches))]
    model = cls.build(*networks, build_flownet(0.0625, 0), 5).eval()
    frames = moving_clip((33, 50), 3)
    with torch.no_grad():
        logits, state = model.start(frames[:, 0])
        for i in (1, 2):
            logits, state = model.step(frames[:, i], state)
        torch.testing.assert_close(logits, model.forward_clip(frames), rtol=1e-4, atol=1e-4)
    assert logits.shape == (2, 5, 33, 50)


@pytest.mark.parametrize("ssl", WITHOUT_FILES)
def test_every_method_takes_the_head(clips: Artifact, ssl: str) -> None:
    options = dict(load("methods", ssl).OPEN)
    network = {"backbone": "resnet18", "head": "deeplabv3plus", "width": 0.0625}
    config = tiny_run.branches_config(ssl=ssl, update=network, method={ssl: options})
    store = ClipStore(clips.path)
    net = build_network(config.update, store.labels.num_classes, seed=0)
    task = BranchTask(net, config, store, labeled_clips(store, config.labeled), torch.device("cpu")).measured()
    terms = task.module.train()(task.to_device(next(iter(task.batches(0, 1)))), 10**6)
    torch.stack([*terms.values()]).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_a_branch_of_an_artifact(clips: Artifact, tmp_path: Path) -> None:
    network = {"backbone": "resnet18", "head": "deeplabv3plus", "width": 0.0625}
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    made = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none", update=network, loop=loop), clips)
    assert load_branch(made, "update", "last").stride == 4
