"""One IFR step against numbers of the released code: losses, gradient norms, batch-norm statistics."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from official import load_official, official_input, official_label
from torch import Tensor

from ifrkit.config.network import NetworkConfig
from ifrkit.data.loading.batch import Batch
from ifrkit.methods.ifr import Method, class_prototypes
from ifrkit.models.losses import cross_entropy, upsample
from ifrkit.models.network import Network, build_network
from ifrkit.train.stage_one import BranchLosses

VIEWS = ("v0_0", "v0_1", "v0_1_s", "v1_0", "v1_1", "v1_1_s")
SHAPE = (2, 3, 64, 128)


@dataclass
class Step:
    network: Network
    terms: dict[str, Tensor]

    def unsupervised(self) -> float:
        return sum(float(term) for name, term in self.terms.items() if name != "sup")

    def right_pixels(self) -> int:
        """Of the labeled frames, out of all pixels, the ignored ones too: what the released code logs as acc_seg."""
        with torch.no_grad():
            logits_bkhw = self.network.train().classify(self.network.features(official_batch().views["v0_0"]))
        label_bhw = official_label((2, 64, 128))
        return int((upsample(logits_bkhw, (64, 128)).argmax(1) == label_bhw).sum())

    def counted_batches(self) -> set[int]:
        buffers = self.network.named_buffers()
        return {int(value) for name, value in buffers if name.endswith("num_batches_tracked")}

    def gradient(self, name: str) -> float:
        grad = self.network.get_parameter(name).grad
        assert grad is not None
        return float(grad.norm())


def official_batch() -> Batch:
    return Batch(
        {name: official_input(seed, SHAPE) for seed, name in enumerate(VIEWS, start=1)},
        {"v0_0": official_label((2, 64, 128))},
    )


def run_step(backbone: str, mean: str = "all", **options: object) -> Step:
    config = NetworkConfig(backbone=backbone, dropout=0.0)
    network = build_network(config, num_classes=19, seed=0)
    load_official(network)
    module = BranchLosses(network, {"ifr": Method(Method.Config.model_validate(options))}, mean).train()  # type: ignore[arg-type]
    terms = module(official_batch(), 1000)
    torch.stack(list(terms.values())).sum().backward()
    return Step(network, {name: term.detach() for name, term in terms.items()})


@pytest.fixture(scope="module")
def resnet18() -> Step:
    return run_step("resnet18")


def test_losses(resnet18: Step) -> None:
    assert float(resnet18.terms["sup"]) == pytest.approx(2.734769, abs=2e-5)
    assert resnet18.unsupervised() == pytest.approx(0.0244995, rel=1e-3)
    raw = {
        "labeled": 35.95636e-2,
        "labeled_strong": 41.01149e-3,
        "unlabeled": 6.56274e-3,
        "unlabeled_strong": 8.14755e-4,
    }
    for name, value in raw.items():
        assert float(resnet18.terms[f"ifr.{name}"]) == pytest.approx(0.0600547 * value, rel=1e-3)


def test_gradients(resnet18: Step) -> None:
    assert resnet18.gradient("decode_head.conv_seg.weight") == pytest.approx(0.442678, rel=1e-3)
    assert resnet18.gradient("decode_head.conv_seg.bias") == pytest.approx(0.0912374, rel=1e-3)
    assert resnet18.gradient("decode_head.bottleneck.conv.weight") == pytest.approx(0.376500, rel=1e-3)
    assert resnet18.gradient("backbone.layer4.1.conv2.weight") == pytest.approx(0.300043, rel=1e-3)
    assert resnet18.gradient("backbone.stem.0.conv1.weight") == pytest.approx(2.338932, rel=1e-3)


def test_batch_norm_statistics(resnet18: Step) -> None:
    buffers = dict(resnet18.network.named_buffers())
    mean = buffers["backbone.stem.0.bn1.running_mean"][:3]
    torch.testing.assert_close(mean, torch.tensor([-0.0513376, -0.0600014, 0.0132706]), rtol=0, atol=1e-6)
    var = buffers["decode_head.bottleneck.bn.running_var"][:3]
    torch.testing.assert_close(var, torch.tensor([1.056630, 1.079511, 1.207065]), rtol=1e-4, atol=0)
    assert resnet18.counted_batches() == {6}


def test_accuracy() -> None:
    assert run_step("resnet18").right_pixels() / (2 * 64 * 128) == pytest.approx(0.05340576, abs=1e-4)


def test_ignored_pixels_are_in_the_mean() -> None:
    logits_bkhw = torch.tensor([[2.0, 2.0], [0.0, 0.0]]).view(1, 2, 1, 2)
    label_bhw = torch.tensor([[[0, 255]]])
    assert float(cross_entropy(logits_bkhw, label_bhw)) == pytest.approx(0.063464, abs=1e-6)
    assert float(cross_entropy(logits_bkhw, label_bhw, "valid")) == pytest.approx(0.126928, abs=1e-6)


def test_prototypes_of_the_labeled_clip() -> None:
    network = build_network(NetworkConfig(backbone="resnet18", dropout=0.0), num_classes=19, seed=0)
    load_official(network).train()
    with torch.no_grad():
        f_bchw = network.features(official_batch().views["v0_1"])
        prototypes, present = class_prototypes(f_bchw, network.classify(f_bchw).argmax(1), 19)
    assert present.sum(1).tolist() == [13, 13]
    sums = (prototypes * present[:, :, None]).sum((1, 2)).tolist()
    assert sums == pytest.approx([657.6126, 667.8734], rel=1e-4)


def test_the_two_common_mistakes_give_other_numbers() -> None:
    """What prototypes of single images, and a mean over valid pixels, would give."""
    step = run_step("resnet18", mean="valid", pool="clip")
    assert float(step.terms["sup"]) == pytest.approx(3.008356, abs=2e-5)
    assert step.unsupervised() == pytest.approx(0.0260514, rel=1e-3)


def test_resnet101() -> None:
    step = run_step("resnet101")
    assert float(step.terms["sup"]) == pytest.approx(2.988001, abs=2e-5)
    assert step.unsupervised() == pytest.approx(0.0596439, rel=1e-3)
    assert step.gradient("decode_head.conv_seg.weight") == pytest.approx(2.030736, rel=1e-3)
    assert step.gradient("decode_head.conv_seg.bias") == pytest.approx(0.206343, rel=1e-3)
    assert step.gradient("decode_head.bottleneck.conv.weight") == pytest.approx(2.105521, rel=3e-3)
    assert step.gradient("backbone.layer4.1.conv2.weight") == pytest.approx(1.036860, rel=3e-3)
    assert step.counted_batches() == {6}
    mean = dict(step.network.named_buffers())["backbone.stem.0.bn1.running_mean"][:3]
    torch.testing.assert_close(mean, torch.tensor([-0.0513376, -0.0600014, 0.0132706]), rtol=0, atol=1e-6)
    assert step.right_pixels() / (2 * 64 * 128) == pytest.approx(0.04705811, abs=1e-4)
