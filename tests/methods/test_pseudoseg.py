"""PseudoSeg: Grad-CAM beside autograd, self-attention and calibrated fusion written out, and both terms by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ifrkit.artifacts.store import Artifact
from ifrkit.methods import pseudoseg
from ifrkit.methods.pseudoseg import Method, boxes, fused, soft_cross_entropy
from ifrkit.models.class_maps import ClassMaps, presence_loss
from ifrkit.models.layers import seeded
from ifrkit.testing.methods import LATE, toy_task

K, C, H, W = 4, 6, 3, 5


def class_maps() -> ClassMaps:
    with seeded(0):
        return ClassMaps(C, K, attention=8).double().eval()


def features(seed: int = 1) -> torch.Tensor:
    return torch.rand(2, C, H, W, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_class_maps_are_grad_cam() -> None:
    """Against the definition: channels weighed by the mean gradient of a class's logit, image by image."""
    maps, x = class_maps(), features().requires_grad_()
    present = torch.tensor([[True, True, False, True], [True, False, True, True]])
    found = maps.grad_cam(x, present)
    for b in range(2):
        for k in range(K):
            (slope,) = torch.autograd.grad(maps.classify(x)[b, k], x, retain_graph=True)
            cam = (slope[b].mean((1, 2))[:, None, None] * x[b]).sum(0).relu()
            expected = cam / cam.max() if present[b, k] and cam.max() > 0 else torch.zeros(H, W)
            torch.testing.assert_close(found[b, k], expected.double().detach())
    assert not found.requires_grad
    assert (found.amax((2, 3)) == 1).any()


def test_self_attention_written_out() -> None:
    """Per pixel: the mean of all pixels' maps, weighed by how alike they are, plus its own; then the last layer."""
    maps, x = class_maps(), features()
    m = maps.grad_cam(x, torch.ones(2, K, dtype=torch.bool)).numpy()
    found = maps.refine(torch.from_numpy(m), x).detach().numpy()
    key, query = (layer.weight.detach().numpy()[:, :, 0, 0] for layer in (maps.key, maps.query))
    last = maps.calibrate[0].weight.detach().numpy()[:, :, 0, 0]  # type: ignore[union-attr]
    for b in range(2):
        pixels, scores = x[b].flatten(1).T.numpy(), m[b].reshape(K, -1).T
        for p in range(H * W):
            alike = np.array([query @ pixels[p] @ (key @ q) for q in pixels]) / math.sqrt(8)
            share = np.exp(alike) / np.exp(alike).sum()
            joined = last @ (share @ scores + scores[p]) / math.sqrt(1 + 1e-5)  # fresh statistics: mean 0, variance 1
            np.testing.assert_allclose(found[b, :, p // W, p % W], joined, rtol=1e-6)


def test_what_learns_from_the_refined_maps() -> None:
    maps, x = class_maps(), features().requires_grad_()
    maps.refine(maps.grad_cam(x, torch.ones(2, K, dtype=torch.bool)), x).square().sum().backward()
    assert x.grad is None
    assert maps.classes.weight.grad is None
    assert all(layer.weight.grad is not None and layer.weight.grad.any() for layer in (maps.key, maps.query))


def test_fusion_by_hand() -> None:
    """One pixel: p = (3, -1), m = (0, 2). Norm^2 = (9 + 1 + 0 + 4) / 4 = 3.5."""
    p, m = torch.tensor([3.0, -1.0]).view(1, 2, 1, 1), torch.tensor([0.0, 2.0]).view(1, 2, 1, 1)
    norm = math.sqrt(3.5)
    first = (1 / (1 + math.exp(-4 / norm)) + 1 / (1 + math.exp(2 / norm))) / 2
    expected = first**2 / (first**2 + (1 - first) ** 2)
    assert fused(p, m, 0.5).flatten().tolist() == pytest.approx([expected, 1 - expected], rel=1e-6)
    assert fused(p, m, 1.0).flatten().tolist() == pytest.approx([first, 1 - first], rel=1e-6)


def test_fusion_does_not_depend_on_the_common_scale() -> None:
    p, m = torch.randn(2, 2, K, H, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(fused(30 * p, 30 * m, 0.5), fused(p, m, 0.5), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(fused(p, m, 0.5).sum(1), torch.ones(2, H, W, dtype=torch.float64))
    torch.testing.assert_close(fused(p, m, 0.7), fused(m, p, 0.7))


def test_soft_cross_entropy_counts_what_is_left() -> None:
    logits, target = torch.randn(2, 2, K, H, W, generator=torch.Generator().manual_seed(0))
    target, counts = target.softmax(1), torch.zeros(2, H, W)
    assert soft_cross_entropy(logits, target, counts) == 0
    counts[0, 1, 2] = counts[1, 0, 4] = 1
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0])
    each = [
        -(weight * target[b, :, y, x] * logits[b, :, y, x].log_softmax(0)).sum() for b, y, x in [(0, 1, 2), (1, 0, 4)]
    ]
    torch.testing.assert_close(soft_cross_entropy(logits, target, counts, weight), torch.stack(each).mean())


def test_boxes_are_cut_off_at_the_border() -> None:
    torch.manual_seed(0)
    masks = boxes((20, 40), 400, 0.1)  # 2 and 4 pixels to each side of the middle
    assert masks.shape == (400, 20, 40)
    tall, wide = masks.any(2).sum(1), masks.any(1).sum(1)
    assert torch.equal(masks.sum((1, 2)), tall * wide)  # a whole box
    assert {*tall.tolist()} == {2, 3}
    assert {*wide.tolist()} == {4, 5, 6, 7}
    assert masks.any(0).all()
    assert not boxes((20, 40), 3, 0.0).any()


def test_both_terms_written_out(clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = torch.zeros(2, 24, 32, dtype=torch.bool)
    cut[0, 8:16, :16] = True
    monkeypatch.setattr(pseudoseg, "boxes", lambda *_: cut)
    task = toy_task("pseudoseg", clips, method={"pseudoseg": {"present": 0.5, "weight": 3.0}})
    task.module.double().eval()
    batch = task.to_device(next(iter(task.batches(0, 1))))
    batch.views = {name: view.double() for name, view in batch.views.items()}
    network, method, label = task.network, task.methods["pseudoseg"], batch.labels["v0_0"]
    assert isinstance(method, Method)
    maps = method.maps
    torch.nn.init.normal_(network.decode_head.conv_seg.weight)
    torch.nn.init.normal_(maps.classes.weight)
    terms = task.module(batch, LATE)
    with torch.no_grad():
        x = network.backbone(batch.views["v0_0"])[-1]
        shown = torch.tensor([[bool((label[b] == k).any()) for k in range(8)] for b in range(2)])
        assert shown.any(0).sum() > 1
        refined = F.interpolate(maps.refine(maps.grad_cam(x, shown), x), (24, 32), mode="bilinear", align_corners=False)
        attention = F.cross_entropy(refined, label, ignore_index=255)
        p = maps.classify(x).sigmoid()
        classes = -torch.where(shown, p, 1 - p).log().mean()
        torch.testing.assert_close(terms["pseudoseg.labels"], classes + attention)
        weak = network.backbone(batch.views["v1_0"])[-1]
        seen = maps.classify(weak).sigmoid() >= 0.5
        assert 0 < seen.double().mean() < 1
        m = maps.refine(maps.grad_cam(weak, seen), weak)
        q = fused(network.decode_head.conv_seg(network.features(batch.views["v1_0"])), m, 0.5)
        strong = batch.views["v1_0_p"].clone()
        strong[0, :, 8:16, :16] = 0
        each = -(q * network.classify(network.features(strong)).log_softmax(1)).sum(1)  # 3 x 4 cells of 8 pixels
        kept = [
            float(each[b, y, z])
            for b in range(2)
            for y in range(3)
            for z in range(4)
            if not (b == 0 and y == 1 and z < 2)
        ]
        assert float(terms["pseudoseg.pseudo"]) == pytest.approx(3 * sum(kept) / 22, rel=1e-9)
    assert torch.equal(batch.guesses["v1_0"].label_bhw, q.argmax(1))


def test_presence_of_every_class_counts_alike() -> None:
    logits, shown = torch.tensor([[0.0, 2.0, -1.0]]), torch.tensor([[True, False, False]])
    expected = (math.log(2) + math.log(1 + math.exp(2)) + math.log(1 + math.exp(-1))) / 3
    assert presence_loss(logits, shown).item() == pytest.approx(expected, rel=1e-6)
