"""S4GAN: one backward pass equals the released turns, one answer for each image, fixed scale of the images."""

from __future__ import annotations

import math

import adversarial
import pytest
import torch
import torch.nn.functional as F
from adversarial import CLASSES
from torch import Tensor, nn

from ifrkit.data.loading.batch import Batch
from ifrkit.methods.s4gan import Method, feature_matching_loss, self_training_loss
from ifrkit.models.discriminators import ImageDiscriminator
from ifrkit.models.losses import cross_entropy, upsample
from ifrkit.models.normalisation import IMAGENET
from ifrkit.train.stage_one import BranchLosses


def in_turns(module: BranchLosses, method: Method, batch: Batch, step: int) -> None:
    """S against a frozen D, then D on the predictions from before S's step: the released order, in other words."""
    network, d, c = module.network, method.discriminator, method.config
    label, views = batch.labels["v0_0"], batch.views
    d.requires_grad_(False)
    labeled, unlabeled = (upsample(network(views[v]), 1, label.shape[-2:]) for v in ("v0_0", "v1_0"))
    images = [IMAGENET.undo(views[v]) / 255 for v in ("v0_0", "v1_0")]
    truth = F.one_hot(label.clamp(max=CLASSES), CLASSES + 1)[..., :CLASSES].permute(0, 3, 1, 2).float()
    fake = unlabeled.softmax(1)
    answers, features = d(fake, images[1])
    loss = cross_entropy(labeled, label)
    loss = loss + c.match * F.l1_loss(d(truth, images[0])[1].mean(0), features.mean(0))
    good = answers.detach().sigmoid() > c.threshold
    assert good.tolist().count(True) == 1
    if step:
        loss = loss + c.self_training * F.cross_entropy(unlabeled[good], unlabeled[good].argmax(1))
    torch.autograd.backward(loss)
    d.requires_grad_(True)
    taken, meant = d(fake.detach(), images[1])[0].sigmoid(), d(truth, images[0])[0].sigmoid()
    zeros, ones = torch.zeros(2), torch.ones(2)
    torch.autograd.backward((F.binary_cross_entropy(taken, zeros) + F.binary_cross_entropy(meant, ones)) / 2)


@pytest.mark.parametrize("step", [0, 1])
def test_one_backward_pass_gives_the_gradients_of_the_released_turns(step: int) -> None:
    module, method, batch = adversarial.losses("s4gan")
    with torch.no_grad():
        fake = module.network(batch.views["v1_0"]).softmax(1)
        answers, _ = method.discriminator(fake, IMAGENET.undo(batch.views["v1_0"]) / 255)
    middle = answers.sigmoid().mean().item()
    found = []
    for together in (True, False):
        module, method, batch = adversarial.losses("s4gan", threshold=middle)
        assert isinstance(method, Method)
        if together:
            adversarial.backward(module(batch, step))
        else:
            in_turns(module, method, batch, step)
        found.append(adversarial.gradients(module))
    adversarial.assert_close(*found)


def test_each_side_gets_the_gradient_of_its_own_terms_alone() -> None:
    module, method, batch = adversarial.losses("s4gan", threshold=0.0)
    terms = module(batch, 1)
    judge = {"s4gan.discriminator": terms.pop("s4gan.discriminator")}
    assert set(terms) == {"sup", "s4gan.match", "s4gan.self_training"}
    adversarial.backward(terms)
    assert all(p.grad is None for p in method.discriminator.parameters())
    assert all(p.grad is not None for p in module.network.parameters())
    module.zero_grad()
    adversarial.backward(judge)
    assert all(p.grad is not None and p.grad.any() for p in method.discriminator.parameters())
    assert all(p.grad is None for p in module.network.parameters())


class Perfect(nn.Module):
    """Knows a label by its ones, and has one feature: how much of the image is labeled."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(60.0))

    def forward(self, p_bkhw: Tensor, images_b3hw: Tensor) -> tuple[Tensor, Tensor]:
        share_b = (p_bkhw.amax(1) == 1).float().mean((1, 2))
        return torch.where(share_b > 0, self.size, -self.size), share_b[:, None]


def test_a_perfect_discriminator_has_nothing_to_learn_and_trusts_no_image() -> None:
    module, method, batch = adversarial.losses("s4gan")
    method.discriminator = Perfect()
    terms = module(batch, 1)
    assert terms["s4gan.discriminator"].item() == pytest.approx(0, abs=1e-20)
    assert terms["s4gan.self_training"].item() == 0
    assert terms["s4gan.match"].item() == pytest.approx(0.1 * 57 / 64)  # 7 of 64 rows are ignored


def test_features_are_matched_in_the_mean_over_the_batch() -> None:
    labeled, predicted = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[2.0, 1.0], [2.0, 4.0]])
    assert feature_matching_loss(labeled, predicted).item() == pytest.approx((0 + 2.5) / 2)


def test_images_are_trusted_one_by_one() -> None:
    logits = torch.randn(2, CLASSES, 4, 6, requires_grad=True)
    own = logits.argmax(1)
    good = math.log(0.8 / 0.2)
    loss = self_training_loss(logits, own, torch.tensor([good, -good]), 0.7)
    assert loss.item() == pytest.approx(F.cross_entropy(logits[:1], own[:1]).item())  # the mean over that image
    (slope,) = torch.autograd.grad(loss, logits)
    assert slope[0].any()
    assert not slope[1].any()
    for answers in (torch.tensor([-good, -good]), torch.zeros(2)):  # a sigmoid of 0.5 is not above 0.5
        loss = self_training_loss(logits, own, answers, 0.5)
        assert loss.item() == 0
        assert not torch.autograd.grad(loss, logits)[0].any()


def test_the_images_have_one_scale_whatever_else_is_in_the_batch() -> None:
    module, method, batch = adversarial.losses("s4gan")
    seen: list[Tensor] = []

    class Watching(ImageDiscriminator):
        def forward(self, p_bkhw: Tensor, images_b3hw: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(images_b3hw)
            return super().forward(p_bkhw, images_b3hw)

    method.discriminator = Watching(CLASSES, 2)
    for image in (batch.views["v0_0"], batch.views["v1_0"]):
        image[0] = torch.tensor([0.0, 0.0, 0.0])[:, None, None]  # the mean colour
    batch.views["v1_0"][1] *= 100
    module(batch, 0)
    mean = torch.tensor([0.485, 0.456, 0.406])
    assert len(seen) == 4
    for images in seen:
        torch.testing.assert_close(images[0, :, 0, 0], mean, rtol=1e-4, atol=1e-4)


def test_the_discriminator_of_the_paper() -> None:
    d = ImageDiscriminator(19)
    convolutions = [layer for layer in d.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.in_channels for layer in convolutions] == [22, 64, 128, 256]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, 512]
    assert sum(isinstance(layer, nn.Dropout2d) and layer.p == 0.5 for layer in d.layers) == 3
    assert not isinstance(d.layers[-1], nn.Dropout2d)
    assert (d.last.in_features, d.last.out_features) == (512, 1)


def test_pooling_is_that_of_the_fixed_window_and_fits_any_size() -> None:
    d = ImageDiscriminator(CLASSES, 2).eval()
    p, images = torch.rand(2, CLASSES, 64, 128), torch.rand(2, 3, 64, 128)
    answers, features = d(p, images)
    pooled = F.avg_pool2d(d.layers(torch.cat([p, images], 1)), (4, 8))
    assert pooled.shape == (2, 16, 1, 1)
    torch.testing.assert_close(features, pooled[:, :, 0, 0])
    torch.testing.assert_close(answers, d.last(features)[:, 0])
    for size in ((8, 8), (25, 31), (17, 90)):
        answers, features = d(torch.rand(2, CLASSES, *size), torch.rand(2, 3, *size))
        assert answers.shape == (2,)
        assert features.shape == (2, 16)


def test_a_batch_without_labels_gives_no_nan() -> None:
    module, _, batch = adversarial.losses("s4gan", threshold=0.0)
    batch.labels["v0_0"].fill_(255)
    adversarial.backward(module(batch, 1))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("off", ["match", "self_training"])
def test_a_term_of_weight_zero_is_not_there(off: str) -> None:
    module, _, batch = adversarial.losses("s4gan", **{off: 0.0})
    names = {f"s4gan.{name}" for name in ("match", "self_training", "discriminator")} - {f"s4gan.{off}"}
    assert set(module(batch, 1)) == {"sup", *names}


def test_constants_of_the_released_cityscapes_command() -> None:
    c = Method.Config()
    assert (c.match, c.self_training, c.threshold, c.lr, c.channels) == (0.1, 1.0, 0.7, 1e-5, 64)
    _, method, _ = adversarial.losses("s4gan")
    adam = method.optimizer()
    assert isinstance(adam, torch.optim.Adam)
    assert (adam.defaults["lr"], adam.defaults["betas"]) == (1e-5, (0.9, 0.99))
