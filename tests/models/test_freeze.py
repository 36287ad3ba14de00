"""Frozen stages of backbones: eval mode, no gradients, in no optimizer; alone and in a training."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from torch import nn

from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import network_config
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.errors import ConfigError, InterruptedRun
from ifrkit.core.keyed import key_seed
from ifrkit.models.network import Network, build_network
from ifrkit.models.weights import load_weights
from ifrkit.testing.networks import check_backbone
from ifrkit.train.layerwise import shares
from ifrkit.train.optim import branch_optimizer
from ifrkit.train.stage_one import BranchLosses

BACKBONES = {"resnet18": {"width": 0.125}, "efficientnet-lite0": {"width": 0.125, "stages": 5}}
PLAIN = TrainBranchesConfig()
PARTS = {"resnet18": 5, "efficientnet-lite0": 6}


def built(name: str, **options: Any) -> Network:
    return build_network(network_config({"backbone": name, **BACKBONES[name], **options}), 5, seed=0)


@pytest.mark.parametrize("name", BACKBONES)
def test_parts_hold_every_parameter_once_in_their_order(name: str) -> None:
    trunk = built(name).backbone
    held = [p for part in trunk.parts() for module in part for p in module.parameters()]
    assert [id(p) for p in held] == [id(p) for p in trunk.parameters()]
    depths = [trunk.depths()[id(p)] for p in trunk.parameters()]
    assert depths == sorted(depths)
    assert set(depths) == set(range(PARTS[name]))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("freeze", [1, 3, "all"])
def test_what_is_frozen_neither_learns_nor_counts(name: str, freeze: Any) -> None:
    network = built(name, freeze=freeze).train()
    before = {key: value.clone() for key, value in network.backbone.state_dict().items()}
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    maps = network.backbone(images)
    assert maps[-1].requires_grad == (freeze != "all")
    assert (maps[-1].grad_fn is None) == (freeze == "all")
    config = TrainBranchesConfig.of({"sgd": {"lr_backbone": 1.0, "lr_head": 1.0}})
    optimizer = branch_optimizer(BranchLosses(network, {}, PLAIN), config)
    network(images).square().mean().backward()
    optimizer.step()
    parts = network.backbone.parts()
    frozen = parts if freeze == "all" else parts[:freeze]
    layers = [layer for part in frozen for module in part for layer in module.modules()]
    assert not any(layer.training for layer in layers)
    ids = {id(p) for layer in layers for p in layer.parameters()}
    assert not ids & {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert all(p.grad is None for p in network.parameters() if id(p) in ids)
    depths = network.backbone.depths()
    named = {key: depths[id(p)] for key, p in network.backbone.named_parameters()}
    for key, value in network.backbone.state_dict().items():
        if key in named:
            assert torch.equal(value, before[key]) == (named[key] < len(frozen)), key
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert all(int(norm.num_batches_tracked or 0) == 0 for norm in norms)
    assert network.eval().train().backbone.training == (freeze != "all")
    assert not any(layer.training for layer in layers)


@pytest.mark.parametrize("freeze", [2, "all"])
def test_the_contract_holds(freeze: Any) -> None:
    check_backbone("resnet18", {"width": 0.0625, "freeze": freeze})


def test_wrong_values() -> None:
    with pytest.raises(ConfigError, match="freeze=6: this backbone has 5 stages, the stem is the first"):
        built("resnet18", freeze=6)
    for wrong in (0, -1, "some"):
        with pytest.raises(ValueError, match="freeze"):
            built("resnet18", freeze=wrong)


@pytest.mark.parametrize("ssl", ["ifr", "unimatch", "classmix", "cps,cct"])
def test_a_training_leaves_it_alone(tmp_path: Path, clips: Artifact, ssl: str) -> None:
    update = {"backbone": "resnet18", "width": 0.125, "freeze": 3}
    made = tiny_run.train(tmp_path, tiny_run.branches_config(update=update, ssl=ssl), clips)
    last = load_weights(made.file("update.last.safetensors"))
    stems = ("backbone.stem.", "backbone.layer1.", "backbone.layer2.")
    frozen = {key for key in last if key.startswith(stems)}
    assert frozen
    config = tiny_run.branches_config(update=update)
    start = build_network(config.update, 8, key_seed(config.seed, "network", "update")).state_dict()
    for key, value in last.items():
        if "num_batches_tracked" not in key:
            assert torch.equal(value, start[key]) == (key in frozen), key


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path: Path, clips: Artifact) -> None:
    update = {"backbone": "resnet18", "width": 0.125, "freeze": 2}
    config = tiny_run.branches_config(update=update, ssl="classmix", sgd={"layer_decay": 0.5})
    whole = tiny_run.train(tmp_path / "whole", config, clips)
    calls = iter(range(1, 100))
    with pytest.raises(InterruptedRun, match="after step 2"):
        tiny_run.train(tmp_path, config, clips, stop=lambda: signal.SIGTERM if next(calls) == 2 else 0)
    resumed = tiny_run.train(tmp_path, config, clips, resume=True)
    files = [artifact.file("update.last.safetensors").read_bytes() for artifact in (whole, resumed)]
    assert files[0] == files[1]


def test_layer_decay() -> None:
    network = built("resnet18")
    config = TrainBranchesConfig.of({"sgd": {"layer_decay": 0.5}})
    optimizer = branch_optimizer(BranchLosses(network, {}, config), config)
    assert shares(optimizer) == [1, 0.5, 0.25, 0.125, 0.0625]
    assert [group["lr"] for group in optimizer.param_groups] == [*(1e-3 * s for s in shares(optimizer)), 1e-2]
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in network.backbone.layer4.parameters()}
    held = sorted(id(p) for group in optimizer.param_groups for p in group["params"])
    assert held == sorted(id(p) for p in network.parameters())


def test_without_decay_there_are_two_groups() -> None:
    optimizer = branch_optimizer(BranchLosses(built("resnet18"), {}, PLAIN), PLAIN)
    assert [sorted(group) for group in optimizer.param_groups] == [sorted(optimizer.param_groups[0])] * 2
    assert "share" not in optimizer.param_groups[0]
    assert shares(optimizer) == [1.0]


def test_a_training_with_decay(tmp_path: Path, clips: Artifact) -> None:
    config = tiny_run.branches_config(ssl="cps", sgd={"layer_decay": 0.5})
    made = tiny_run.train(tmp_path, config, clips)
    rates = json.loads(made.file("update.events.jsonl").read_text().splitlines()[0])["lr"]
    assert len(rates) == 6
    assert rates[:5] == pytest.approx([rates[0] * 0.5**i for i in range(5)])
