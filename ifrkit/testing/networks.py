"""Contract tests for authors of backbones and heads: call them from your own test suite.

    from ifrkit.testing.networks import check_backbone, check_head

    def test_my_backbone():
        check_backbone("mine")

The name is found as `--backbone` finds it. Every check raises AssertionError with a sentence that says what the
contract (the `base.py` of backbones and heads) wants.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core.bounds import require_apart
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load
from ifrkit.data.loading.batch import Batch
from ifrkit.models.backbones.base import Backbone
from ifrkit.models.heads.base import Head
from ifrkit.models.layers import seeded
from ifrkit.models.network import Network, build_network
from ifrkit.models.normalisation import Normalisation
from ifrkit.models.trunk import Trunk
from ifrkit.models.weights import save_weights
from ifrkit.train.passes import Passes, count_passes

CLASSES = 5
SIZES = ((64, 96), (45, 61))


def check_backbone(name: str, options: Mapping[str, Any] | None = None) -> None:
    """The whole contract, at every stride. options: of its config; by default a width of 1/8, to be fast."""
    chosen = {"backbone": name, **({"width": 0.125} if options is None else options)}
    cls = load("backbones", name)
    _require(bool(cls.__doc__), "a backbone", "it has a docstring")
    _require(issubclass(cls.Config, NetworkConfig), "a backbone", "its Config is a NetworkConfig")
    require_apart(cls.Config)
    plain: Backbone = cls(network_config(chosen))
    _require(plain.stride == plain.strides[0], "a backbone", "the first of its strides is its default")
    _check_normalisation(plain.normalisation)
    for stride in plain.strides:
        plugin: Backbone = cls(network_config({**chosen, "stride": stride}))
        _require(plugin.stride == stride, "a backbone", "it is built for the stride that the config names")
        _check_trunk(plugin, low_level=False)
        try:
            plugin.build(low_level=True)
        except ConfigError:
            continue  # it has no earlier map, and says so
        _check_trunk(plugin, low_level=True)
    _check_weights(network_config(chosen))
    _check_passes(build_network(network_config(chosen), CLASSES, seed=0))


def check_head(name: str, width: float = 0.125) -> None:
    """The whole contract, on maps of two strides."""
    cls: Any = load("heads", name)
    _require(bool(cls.__doc__), "a head", "it has a docstring")
    early = ([8], [4]) if cls.low_level else ([], [])
    for stride in (8, 16):
        for size in SIZES:
            shape = [*early[0], 16], [*early[1], stride]
            with seeded(3):
                head: Head = cls(*shape, CLASSES, 0.5, width)
            with seeded(3):
                same = _equal(head, cls(*shape, CLASSES, 0.5, width))
            _require(same, "a head", "its start depends on torch's generator alone")
            _check_maps_to_logits(head, _maps(*shape, size), size)


def _require(condition: bool, kind: str, contract: str) -> None:
    if not condition:
        raise AssertionError(f"contract of {kind}: {contract}")


def _equal(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def _frames(size: tuple[int, int], count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, *size), generator=generator, dtype=torch.uint8)


def _at(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)


def _check_normalisation(rule: Normalisation) -> None:
    values = torch.arange(256, dtype=torch.uint8).expand(2, 3, 4, 256)
    images = rule(values)
    sound = images.shape == values.shape and images.dtype == torch.float32 and images.is_contiguous()
    _require(sound, "a normalisation", "images are float32, contiguous, of the shape of the frames")
    back = rule.undo(images).round().to(torch.uint8)
    _require(torch.equal(back, values), "a normalisation", "undo gives the frames back")
    described = rule.describe()
    _require(json.loads(json.dumps(described)) == described, "a normalisation", "describe gives plain values")


def _check_trunk(plugin: Backbone, low_level: bool) -> None:
    kind, stride = "a backbone", plugin.stride
    with seeded(3):
        trunk = plugin.build(low_level)
    with seeded(3):
        _require(_equal(trunk, plugin.build(low_level)), kind, "its start depends on torch's generator alone")
    count = 1 + low_level
    _require(len(trunk.channels) == len(trunk.strides) == count, kind, "one map, or two with low_level")
    _require(trunk.strides[-1] == stride, kind, "the last map has the stride that was asked for")
    _require(not low_level or trunk.strides[0] < stride, kind, "the low-level map is the finer one")
    for size in SIZES:
        images = plugin.normalisation(_frames(size))
        _check_shapes(trunk, trunk.train()(images), size)
        _check_eval(trunk, images, size)
    trunk.train().zero_grad()
    sum(m.square().mean() for m in trunk(plugin.normalisation(_frames(SIZES[0])))).backward()
    idle = [
        n for n, p in trunk.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())
    ]
    _require(not idle, kind, f"a gradient reaches every trained parameter (not {idle[:3]})")


def _check_shapes(trunk: Trunk, maps: list[Tensor], size: tuple[int, int]) -> None:
    found = [tuple(m.shape) for m in maps]
    wanted = [(2, c, *_at(size, s)) for c, s in zip(trunk.channels, trunk.strides, strict=True)]
    _require(
        found == wanted, "a backbone", f"maps are (b, c, ceil(h / stride), ceil(w / stride)): {wanted}, not {found}"
    )
    _require(all(bool(m.isfinite().all()) for m in maps), "a backbone", "maps are finite")


@torch.no_grad()
def _check_eval(trunk: Trunk, images: Tensor, size: tuple[int, int]) -> None:
    before = {key: value.clone() for key, value in trunk.eval().state_dict().items()}
    maps = trunk(images)
    _check_shapes(trunk, maps, size)
    alone = [torch.cat(parts) for parts in zip(trunk(images[:1]), trunk(images[1:]), strict=True)]
    same = all(
        torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max())) for a, b in zip(alone, maps, strict=True)
    )
    _require(same, "a backbone", "in eval mode images of a batch do not mix, and nothing is random")
    kept = all(torch.equal(value, before[key]) for key, value in trunk.state_dict().items())
    _require(kept, "a backbone", "in eval mode nothing changes")


def _check_weights(config: NetworkConfig) -> None:
    """Files with the names of the backbone alone, and of the whole branch, through the code of `pretrained`."""
    kind, source = "a backbone", build_network(config, CLASSES, seed=1)
    state = source.backbone.state_dict()
    hint = source.plugin.remedy(source.plugin.import_state(state))
    _require(bool(hint) and "\n" not in hint, kind, "remedy() is one line")
    with tempfile.TemporaryDirectory() as directory:
        for name, content, part in (("alone", state, "backbone"), ("branch", source.state_dict(), "")):
            path = Path(directory) / f"{name}.safetensors"
            save_weights(path, content)
            loaded = build_network(replace(config, pretrained=str(path)), CLASSES, seed=2)
            same = _equal(loaded.get_submodule(part), source.get_submodule(part))
            _require(same, kind, "import_state takes the module's own names as they are")


class _Step(nn.Module):
    """A pass with a gradient, and one without."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        loss = self.network.features(batch.views["v0_0"]).mean()
        with torch.no_grad():
            self.network(batch.views["v0_0"])
        return {"sup": loss}


def _check_passes(network: Network) -> None:
    images = network.normalise(_frames(SIZES[0]))
    batch = Batch({"v0_0": images}, {"v0_0": torch.zeros(2, *SIZES[0], dtype=torch.int64)})
    counted = count_passes(_Step(network), batch)
    frozen = not any(p.requires_grad for p in network.backbone.parameters())
    _require(counted == (Passes(0, 2) if frozen else Passes(1, 1)), "a backbone", "its passes can be counted")


def _maps(channels: list[int], strides: list[int], size: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, c, *_at(size, s)) for c, s in zip(channels, strides, strict=True)]
    return [torch.randn(shape, generator=generator).relu() for shape in shapes]


def _check_maps_to_logits(head: Head, maps: list[Tensor], size: tuple[int, int]) -> None:
    kind, f_bchw = "a head", head.train().features(maps)
    wanted = (2, head.feature_channels, *_at(size, head.stride))
    _require(tuple(f_bchw.shape) == wanted, kind, f"f is (b, feature_channels, h/stride, w/stride): {wanted}")
    _require(bool((f_bchw >= 0).all()), kind, "f is not negative")
    logits = head.classify(f_bchw)
    _require(logits.shape == (2, CLASSES, *wanted[2:]), kind, "logits are as large as f")
    torch.nn.init.normal_(head.conv_seg.weight)
    torch.manual_seed(0)
    _require(not torch.equal(head.classify(f_bchw), head.classify(f_bchw)), kind, "dropout is in the classifier")
    head.classify(f_bchw).square().mean().backward()  # type: ignore[no-untyped-call]
    idle = [name for name, p in head.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    _require(not idle, kind, f"a gradient reaches every parameter (not {idle[:3]})")
    with torch.no_grad():
        f_bchw = head.eval().features(maps)
        _require(torch.equal(f_bchw, head.features(maps)), kind, "in eval mode nothing is random")
        _require(torch.equal(f_bchw, head.before_relu(maps).relu()), kind, "f is before_relu after its ReLU")
        same = torch.equal(head.classify(f_bchw), head.conv_seg(f_bchw))
        _require(same, kind, "in eval mode the classifier is conv_seg")
