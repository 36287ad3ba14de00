"""Which images share the statistics of batch norm: by the config, the same in one process and on two ranks."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import four_images
import pytest
import tiny_run
import torch
from torch import nn

from ifrkit.artifacts.store import open_artifact
from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core.errors import ConfigError
from ifrkit.core.invalid import Invalid
from ifrkit.models.batch_norm import BatchNorm, set_rule
from ifrkit.models.network import Network, build_network
from ifrkit.models.norm_rules import require_pass
from ifrkit.models.weights import load_weights

RANKS = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def network(**options: Any) -> Network:
    config = {"backbone": "resnet18", "width": 0.0625, **options}
    return build_network(network_config(config), 5, seed=0).train()


def rules(net: Network) -> dict[str, set[int | str]]:
    parts = {"backbone": net.backbone, "head": net.decode_head}
    return {
        name: {layer.rule for layer in part.modules() if isinstance(layer, BatchNorm)} for name, part in parts.items()
    }


@pytest.mark.parametrize("rule", ["sync", "2"])
def test_one_process_of_four_images_trains_what_two_ranks_of_two_do(tmp_path: Path, rule: str) -> None:
    tiny_run.make_clips(tmp_path, train_videos=4)
    made = []
    for name, launcher in (("one", [sys.executable]), ("two", RANKS)):
        words = [*launcher, four_images.__file__, str(tmp_path), str(tmp_path / name), "ifr", rule]
        subprocess.run(words, check=True, capture_output=True, timeout=200)
        made.append(open_artifact(tmp_path / name))
    alone, ranks = (load_weights(artifact.file("update.last.safetensors")) for artifact in made)
    for name, value in alone.items():
        torch.testing.assert_close(ranks[name], value, rtol=1e-5, atol=2e-5, msg=lambda text, name=name: name + text)
    assert [artifact.manifest.environment.get("ranks") for artifact in made] == [None, "2"]
    assert made[0].id == made[1].id


def test_the_released_rules_are_the_default() -> None:
    assert rules(network()) == {"backbone": {"sync"}, "head": {"sync"}}
    assert rules(network(backbone="resnet101")) == {"backbone": {2}, "head": {"sync"}}
    assert rules(network(backbone="resnet101", norm={"backbone": "sync", "head": 4})) == {
        "backbone": {"sync"},
        "head": {4},
    }


def test_a_group_sees_itself_alone_and_the_first_one_is_remembered() -> None:
    torch.manual_seed(0)
    x, norm = torch.randn(6, 3, 4, 5), nn.BatchNorm2d(3)
    plain = [copy.deepcopy(norm) for _ in range(3)]
    grouped = set_rule(norm, 2)(x)
    parts = [alone(part) for alone, part in zip(plain, x.split(2), strict=True)]
    assert torch.equal(grouped, torch.cat(parts))
    for name, value in norm.state_dict().items():
        assert torch.equal(value, plain[0].state_dict()[name])
    with pytest.raises(ConfigError, match="groups of 2 images, and a pass on one rank has 3"):
        norm(x[:3])
    assert torch.equal(norm.eval()(x), plain[0].eval()(x))


def test_sync_in_one_process_is_the_plain_layer_bit_for_bit() -> None:
    torch.manual_seed(0)
    x, norm = torch.randn(4, 3, 4, 5), nn.BatchNorm2d(3)
    plain = copy.deepcopy(norm)
    assert torch.equal(set_rule(norm, "sync")(x), plain(x))
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in norm.state_dict().items())


def test_frozen_statistics_stay_and_one_image_trains() -> None:
    net = network(norm={"backbone": "frozen", "head": "frozen"})
    before = {name: value.clone() for name, value in net.state_dict().items() if "running" in name}
    net.features(torch.randn(1, 3, 32, 32)).sum().backward()
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    layers = [layer for layer in net.modules() if isinstance(layer, BatchNorm)]
    assert all(layer.weight.grad is not None for layer in layers)
    with pytest.raises(ConfigError, match="the statistics of random weights normalise nothing"):
        require_pass(net.config, 1)


def test_what_a_pass_has_to_be() -> None:
    heavy = network(backbone="resnet101")
    for images, ranks in ((4, 1), (2, 1), (2, 2), (4, 2)):
        require_pass(heavy.config, images, ranks)
    for images, ranks in ((3, 1), (1, 4), (3, 2)):
        with pytest.raises(ConfigError, match="groups of 2"):
            require_pass(heavy.config, images, ranks)
    require_pass(network().config, 1, ranks=2)  # the pooled map of the head has two values, one a rank
    with pytest.raises(ConfigError, match="two images"):
        require_pass(network().config, 1)


@pytest.mark.parametrize("rule", ["batch", 0, True, 1.5])
def test_what_is_no_rule(rule: object) -> None:
    with pytest.raises(Invalid, match=r"^norm\.backbone: has to be .*, got "):
        NetworkConfig.of({"norm": {"backbone": rule}})
