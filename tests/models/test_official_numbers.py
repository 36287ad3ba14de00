"""Numbers of the released code: key names and shapes, forward passes of both branches, flow (facts, section 8)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from official import Number, load_official, official_input, official_label
from torch import nn

from ifrkit.config.network import NetworkConfig
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import Network

SPEC = Path(__file__).parents[3] / "shared" / "spec"


def _network(backbone: str) -> Network:
    return Network(NetworkConfig(backbone=backbone), 19).eval()


BUILD = {"r18": lambda: _network("resnet18"), "r101": lambda: _network("resnet101"), "flownet": FlowNetS}
KEYS = {
    # name: (entries, parameters, sha256 over the sorted lines "key AxBxC")
    "r18": (170, 12_770_515, "ad0382805af667740396f70bffad33b1d6623c5baad16ecb54744b7815e21317"),
    "r101": (668, 65_707_475, "3e012f3084a2d3d7d94fb59dc924f0ab8f55a11e65d3373bf725bbb7f1266839"),
    "flownet": (46, 5_462_674, "da2c68bac02829d585bff4ca6bcf978831d12b78491c9cd8dfa7fc4ef35866d5"),
}


def _shapes(module: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize("name", KEYS)
def test_names_and_shapes_equal_the_released_ones(name: str) -> None:
    module = BUILD[name]()
    entries, parameters, digest = KEYS[name]
    shapes = _shapes(module)
    lines = "\n".join(sorted(f"{key} {'x'.join(map(str, shape))}" for key, shape in shapes.items()))
    assert len(shapes) == entries
    assert sum(p.numel() for p in module.parameters()) == parameters
    assert hashlib.sha256(lines.encode()).hexdigest() == digest
    listing = SPEC / f"ifr_keys_{name}.json"
    if listing.exists():
        assert shapes == json.loads(listing.read_text())


def test_parameters_of_the_parts() -> None:
    for name, backbone, head in (("r18", 11_324_992, 1_445_523), ("r101", 42_623_936, 23_083_539)):
        network = BUILD[name]()
        assert sum(p.numel() for p in network.backbone.parameters()) == backbone
        assert sum(p.numel() for p in network.decode_head.parameters()) == head


FORWARD = {
    # f mean, f std, logits mean, std, logit[0,3,2,5], logit[0,18,7,15], x8 upsampled [0,3,33,70]; argmax histogram
    "r18": (
        [
            Number("0.448634", 0.44863369787513785, 1.3e-7),
            Number("0.459946", 0.45994592793914424, 1.6e-7),
            Number("0.058915", 0.05891518257150766, 7.7e-7),
            Number("0.479917", 0.4799172712438674, 1.6e-7),
            Number("-0.240714", -0.24071423261974242, 2.7e-6),
            Number("0.032196", 0.03219558677351566, 6.1e-6),
            Number("-0.247849", -0.24784952573430222, 1.1e-6),
        ],
        {5: 16, 8: 502, 15: 4, 16: 7670},
    ),
    "r101": (
        [
            Number("117.2405", 117.24052550431259, 2.8e-7),
            Number("94.4032", 94.40320782021385, 2.7e-7),
            Number("21.6615", 21.66149322312538, 9.8e-7),
            Number("172.1167", 172.1167110175253, 4.3e-7),
            Number("234.8639", 234.8640006617012, 1.5e-6),
            Number("-64.2550", -64.25507969560132, 3.5e-6),
            Number("156.1183", 156.1182060708686, 1.5e-6),
        ],
        {1: 28, 3: 8, 4: 472, 13: 508, 14: 7176},
    ),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", FORWARD)
def test_eval_forward_of_a_branch(name: str, dtype: torch.dtype) -> None:
    network = BUILD[name]()
    load_official(network).to(dtype)
    images = official_input(0, (1, 3, 64, 128)).to(dtype)
    with torch.no_grad():
        f = network.features(images)
        logits = network.classify(f)
        full = network(images)
    numbers, histogram = FORWARD[name]
    got = [f.mean(), f.std(), logits.mean(), logits.std(), logits[0, 3, 2, 5], logits[0, 18, 7, 15], full[0, 3, 33, 70]]
    for number, found in zip(numbers, got, strict=True):
        number.check(found, dtype)
    counts = torch.bincount(full.argmax(1).flatten(), minlength=19)
    ties = 0 if dtype == torch.float64 else 2
    assert {k: n for k, n in enumerate(counts.tolist()) if n} == pytest.approx(histogram, abs=ties)


MEANS = [
    Number("-1.0028694", -1.0028692774155072, 2.7e-7),
    Number("-0.9996977", -0.9996977024435452, 2.6e-7),
    Number("-0.9971746", -0.9971746183480249, 2.4e-7),
    Number("-0.9918023", -0.9918023769107277, 1.7e-7),
]
LARGEST = [
    Number("2.652024", 2.652025606686354, 9.4e-7),
    Number("2.643342", 2.643342573819597, 5.8e-7),
    Number("2.757818", 2.7578181499868504, 7.6e-7),
    Number("2.623495", 2.6234940126252573, 8.6e-7),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_flow_of_four_steps(dtype: torch.dtype) -> None:
    flownet = load_official(FlowNetS()).to(dtype)
    frames = (0.2 * official_input(3, (2, 3, 5, 64, 128)) + 0.5).to(dtype)
    with torch.no_grad():
        flows = [flownet(frames[:, :, i + 1], frames[:, :, i]) for i in range(4)]
    for mean, largest, flow in zip(MEANS, LARGEST, flows, strict=True):
        mean.check(flow.mean(), dtype)
        largest.check(flow.abs().max(), dtype)


def test_the_label_rule() -> None:
    label = official_label((2, 1, 64, 128)).flatten()
    assert label[[0, 1, 7, 11, 140]].tolist() == [255, 0, 1, 255, 1]
    assert (label == 255).sum() == -(-2 * 64 * 128 // 11)
