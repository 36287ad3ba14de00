"""AdvSemiSeg: one backward pass equals the released turns, and the pitfalls of its losses."""

from __future__ import annotations

import math
from pathlib import Path

import adversarial
import pytest
import tiny_run
import torch
import torch.nn.functional as F
from adversarial import CLASSES
from torch import Tensor, nn

from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import NetworkConfig
from ifrkit.core.plugins import load
from ifrkit.data.loading.batch import Batch
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.methods._adversarial import called, frozen, known, one_hot
from ifrkit.methods.advsemi import Method, trusted_cross_entropy
from ifrkit.models.discriminators import PixelDiscriminator
from ifrkit.models.losses import cross_entropy, upsample
from ifrkit.models.network import build_network
from ifrkit.models.weights import load_weights
from ifrkit.train.stage_one import BranchLosses, BranchTask


def in_turns(module: BranchLosses, method: Method, batch: Batch, step: int) -> None:
    """S against a frozen D, then D on the predictions from before S's step: the released order, in other words."""
    network, d, c = module.network, method.discriminator, method.config
    label, size = batch.labels["v0_0"], batch.labels["v0_0"].shape[-2:]
    seen = label < 255
    d.requires_grad_(False)
    logits = [upsample(network(batch.views[v]), 1, size) for v in ("v0_0", "v1_0")]
    labeled, unlabeled = (x.softmax(1) for x in logits)
    loss = cross_entropy(logits[0], label)
    loss = loss - c.labeled * d(labeled).sigmoid()[seen].log().mean()
    answers = d(unlabeled).sigmoid()
    loss = loss - c.unlabeled * answers.log().mean()
    trusted = answers.detach() >= c.threshold
    assert trusted.any()
    assert not trusted.all()
    own = F.cross_entropy(logits[1], logits[1].argmax(1), reduction="none")
    loss = loss + (c.semi if step >= c.start else 0.0) * own[trusted].mean()
    torch.autograd.backward(loss)
    d.requires_grad_(True)
    truth = F.one_hot(label.clamp(max=CLASSES), CLASSES + 1)[..., :CLASSES].permute(0, 3, 1, 2).float()
    fakes = torch.cat([d(labeled.detach())[seen], d(unlabeled.detach()).flatten()])
    reals = d(truth)[seen]
    torch.autograd.backward(-(1 - fakes.sigmoid()).log().mean() / 2 - reals.sigmoid().log().mean() / 2)


@pytest.mark.parametrize("step", [0, 10])
def test_one_backward_pass_gives_the_gradients_of_the_released_turns(step: int) -> None:
    options = {"labeled": 0.3, "unlabeled": 0.2, "semi": 0.1, "start": 10}
    module, method, batch = adversarial.losses("advsemi", **options)
    with torch.no_grad():
        middle = method.discriminator(module.network(batch.views["v1_0"]).softmax(1)).sigmoid().median().item()
    found = []
    for together in (True, False):
        module, method, batch = adversarial.losses("advsemi", **{**options, "threshold": middle})
        assert isinstance(method, Method)
        if together:
            adversarial.backward(module(batch, step))
        else:
            in_turns(module, method, batch, step)
        found.append(adversarial.gradients(module))
    adversarial.assert_close(*found)


def test_each_side_gets_the_gradient_of_its_own_terms_alone() -> None:
    module, method, batch = adversarial.losses("advsemi", threshold=0.0, start=0)
    terms = module(batch, 0)
    judge = {"advsemi.discriminator": terms.pop("advsemi.discriminator")}
    assert set(terms) == {"sup", "advsemi.labeled", "advsemi.unlabeled", "advsemi.semi"}
    adversarial.backward(terms)
    assert all(p.grad is None for p in method.discriminator.parameters())
    assert all(p.grad is not None for p in module.network.parameters())
    module.zero_grad()
    adversarial.backward(judge)
    assert all(p.grad is not None and p.grad.any() for p in method.discriminator.parameters())
    assert all(p.grad is None for p in module.network.parameters())


def test_frozen_computes_the_same() -> None:
    d, p = PixelDiscriminator(CLASSES, 4), torch.rand(1, CLASSES, 32, 40, requires_grad=True)
    answers = frozen(d, p)
    assert torch.equal(answers, d(p))
    torch.autograd.backward(answers.sum())
    assert p.grad is not None
    assert p.grad.any()
    assert all(weight.grad is None for weight in d.parameters())
    assert all(weight.requires_grad for weight in d.parameters())


class Perfect(nn.Module):
    """Knows a label by its ones; sure as a float can be. One parameter, as an optimizer wants."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(60.0))

    def forward(self, p_bkhw: Tensor) -> Tensor:
        return torch.where(p_bkhw.amax(1) == 1, self.size, -self.size)


def test_a_perfect_discriminator_has_nothing_to_learn_and_the_network_much() -> None:
    module, method, batch = adversarial.losses("advsemi", start=0)
    method.discriminator = Perfect()
    assert (one_hot(batch.labels["v0_0"], CLASSES).amax(1) == 0).any()  # would be called a prediction, if it counted
    terms = module(batch, 0)
    assert terms["advsemi.discriminator"].item() == pytest.approx(0, abs=1e-20)
    assert terms["advsemi.labeled"].item() == pytest.approx(0.01 * 60)
    assert terms["advsemi.unlabeled"].item() == pytest.approx(0.001 * 60)
    assert terms["advsemi.semi"].item() == 0  # no pixel is trusted


def test_no_trusted_pixel_no_loss_and_no_gradient() -> None:
    logits, answers = torch.randn(2, CLASSES, 4, 6, requires_grad=True), torch.zeros(2, 4, 6)
    own = logits.argmax(1)
    for threshold in (0.5, 0.51):
        loss = trusted_cross_entropy(logits, own, answers, threshold)
        (slope,) = torch.autograd.grad(loss, logits)
        assert bool(loss > 0) == bool(slope.any()) == (threshold == 0.5)  # sigmoid(0) passes 0.5 itself
    answers[0, 0, 0] = 9
    lone = F.cross_entropy(logits[0, :, 0, 0], own[0, 0, 0])
    assert trusted_cross_entropy(logits, own, answers, 0.9).item() == pytest.approx(lone.item())  # mean over the kept


def test_answers_are_enlarged_before_they_are_thresholded() -> None:
    d, p = PixelDiscriminator(CLASSES, 4), torch.rand(2, CLASSES, 64, 96).softmax(1)
    coarse = d.layers(p)
    assert coarse.shape == (2, 1, 2, 3)
    wanted = F.interpolate(coarse, (64, 96), mode="bilinear", align_corners=True)[:, 0]
    assert torch.equal(d(p), wanted)
    assert torch.equal(d(p)[:, [0, 0, -1, -1], [0, -1, 0, -1]], coarse[:, 0, [0, 0, 1, 1], [0, 2, 0, 2]])
    assert len(d(p).unique()) > coarse.numel()  # a ramp, where its threshold cuts between the coarse values


def test_signs() -> None:
    sure = torch.full((2, 3), 40.0)
    assert called(True, sure).item() == pytest.approx(0, abs=1e-15)
    assert called(False, -sure).item() == pytest.approx(0, abs=1e-15)
    assert called(False, sure).item() == called(True, -sure).item() == 40
    assert called(True, torch.zeros(1)).item() == pytest.approx(math.log(2))


def test_only_what_counts_is_in_the_mean() -> None:
    logits = torch.tensor([[1.0, -50.0]], requires_grad=True)
    counts = torch.tensor([[True, False]])
    assert called(True, logits, counts).item() == pytest.approx(math.log1p(math.exp(-1)))
    loss = called(True, logits, ~counts & counts)
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert not slope.any()


def test_ignored_pixels_are_no_class() -> None:
    label = torch.tensor([[[0, 2, 255], [1, 255, 1]]])
    hot = one_hot(label, CLASSES)
    assert hot.shape == (1, CLASSES, 2, 3)
    assert torch.equal(hot.sum(1), known(label).float())
    assert torch.equal(hot.argmax(1)[known(label)], label[known(label)])


def test_what_lies_under_ignored_pixels_does_not_matter_to_the_means() -> None:
    module, method, batch = adversarial.losses("advsemi")

    class Rows(nn.Module):
        """Answers by the row alone."""

        def __init__(self, first: float) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.tensor(first))

        def forward(self, p_bkhw: Tensor) -> Tensor:
            rows_h = torch.where(torch.arange(64) < 7, self.first, 0.5)
            return rows_h[:, None].expand(len(p_bkhw), 64, 96)

    labeled = []
    for first in (-30.0, 30.0):
        method.discriminator = Rows(first)
        labeled.append(module(batch, 0)["advsemi.labeled"].item())
    assert labeled[0] == labeled[1] == pytest.approx(0.01 * math.log1p(math.exp(-0.5)))


def test_a_batch_without_labels_still_trains_the_discriminator() -> None:
    module, method, batch = adversarial.losses("advsemi")
    batch.labels["v0_0"].fill_(255)
    terms = module(batch, 0)
    assert terms["advsemi.labeled"].item() == 0
    adversarial.backward(terms)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert any(p.grad is not None and p.grad.any() for p in method.discriminator.parameters())


@pytest.mark.parametrize("off", ["labeled", "unlabeled", "semi"])
def test_a_term_of_weight_zero_is_not_there(off: str) -> None:
    module, _, batch = adversarial.losses("advsemi", **{off: 0.0})
    names = {f"advsemi.{name}" for name in ("labeled", "unlabeled", "semi", "discriminator")} - {f"advsemi.{off}"}
    assert set(module(batch, 0)) == {"sup", *names}


def test_labeled_frames_alone_need_no_unlabeled_view() -> None:
    module, method, batch = adversarial.losses("advsemi", unlabeled=0.0, semi=0.0)
    assert method.views() == []
    del batch.views["v1_0"]
    assert set(module(batch, 0)) == {"sup", "advsemi.labeled", "advsemi.discriminator"}


def test_the_discriminator_of_the_paper() -> None:
    d = PixelDiscriminator(21)
    convolutions = [layer for layer in d.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, 512, 1]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in convolutions)
    assert sum(p.numel() for p in d.parameters()) == 2_783_169


@pytest.mark.parametrize("size", [(8, 8), (24, 32), (25, 31), (33, 70)])
def test_any_size(size: tuple[int, int]) -> None:
    p = torch.rand(2, CLASSES, *size)
    answers = PixelDiscriminator(CLASSES, 1)(p)
    assert answers.shape == (2, *size)
    assert answers.isfinite().all()


def test_constants_of_the_released_code() -> None:
    c = Method.Config()
    assert (c.labeled, c.unlabeled, c.semi, c.threshold, c.channels) == (0.01, 0.001, 0.1, 0.2, 64)
    assert c.start / 40000 == 5000 / 20000
    _, method, _ = adversarial.losses("advsemi")
    adam = method.optimizer()
    assert isinstance(adam, torch.optim.Adam)
    assert (adam.defaults["lr"], adam.defaults["betas"], adam.defaults["weight_decay"]) == (1e-4, (0.9, 0.99), 0)


def test_rates_fall_to_nothing_with_the_power_of_the_network(clips: Artifact) -> None:
    config, store = (
        tiny_run.branches_config(ssl="advsemi,s4gan", loop={"steps": 100, "batch": 2}),
        ClipStore(clips.path),
    )
    network = build_network(config.update, 8, seed=0)
    task = BranchTask(network, config, store, labeled_clips(store, config.labeled), torch.device("cpu")).measured()
    assert [type(optimizer) for optimizer in task.optimizers] == [torch.optim.SGD, torch.optim.Adam, torch.optim.Adam]
    assert task.lrs(0) == pytest.approx([1e-3, 1e-2, 1e-4, 1e-5])
    assert task.lrs(50)[2:] == pytest.approx([1e-4 * 0.5**0.9, 1e-5 * 0.5**0.9])
    assert task.lrs(99)[2:] == pytest.approx([1e-4 * 0.01**0.9, 1e-5 * 0.01**0.9])


@pytest.mark.parametrize("ssl", ["advsemi", "s4gan"])
@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_trains_and_only_the_network_is_exported(
    clips: Artifact, tmp_path: Path, ssl: str, amp: str
) -> None:
    options = {"method": {ssl: {**load("methods", ssl).OPEN, "channels": 4}}}
    loop = {"steps": 2, "batch": 2, "eval_every": 2, "amp": amp}
    artifact = tiny_run.train(tmp_path, tiny_run.branches_config(ssl=ssl, loop=loop, **options), clips)
    saved = load_weights(artifact.file("update.last.safetensors"))
    network = build_network(tiny_run.branches_config().update, 8, seed=0)
    assert saved.keys() == network.state_dict().keys()


def test_the_start_of_the_discriminator_depends_on_the_network_alone() -> None:
    network, other = (build_network(NetworkConfig(width=0.125), CLASSES, seed) for seed in (4, 5))
    torch.manual_seed(7)
    method = Method(Method.Config(channels=2))
    starts = [method.build(net) for net in (network, network, other)]
    first, again, different = (next(iter(d.parameters())) for d in starts if d is not None)
    assert torch.equal(first, again)
    assert not torch.equal(first, different)
