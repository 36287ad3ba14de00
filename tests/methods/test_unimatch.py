"""UniMatch: weights of both versions, labels of the undisturbed view, and terms that can be switched off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ifrkit.config.network import NetworkConfig
from ifrkit.data.loading.batch import Batch
from ifrkit.methods import fixmatch, unimatch
from ifrkit.methods._mean_teacher import confident_cross_entropy
from ifrkit.methods.unimatch import Method
from ifrkit.models.losses import upsample
from ifrkit.models.network import Network, build_network

SIZE = (24, 32)


def network(dropout: float = 0.0) -> Network:
    """A classifier that is not as unsure as a fresh one."""
    made = build_network(NetworkConfig(width=0.125, dropout=dropout), 4, seed=1).train()
    with torch.no_grad():
        made.decode_head.conv_seg.weight *= 30
    return made


def batch(method: Method) -> Batch:
    rng = torch.Generator().manual_seed(0)
    views = {view.name: torch.randn(2, 3, *SIZE, generator=rng) for view in method.views()}
    return Batch(views, {}, {"unlabeled": [0, 1]})


def losses(net: Network, options: dict[str, Any], given: Batch | None = None) -> tuple[dict[str, Tensor], Batch]:
    method = Method(Method.Config(**{"threshold": 0.0, **options}))
    method.build(net)
    given = given or batch(method)
    torch.manual_seed(0)
    return method.losses(net, given, {}, 0), given


def test_published_weights_with_a_supervised_weight_of_one() -> None:
    """(L_x + 0.25 L_s1 + 0.25 L_s2 + 0.5 L_fp) / 2, and in version 2 (L_x + (L_s1 + L_s2) / 2) / 2, both doubled."""
    published = {1: {"features": 0.5, "strong1": 0.25, "strong2": 0.25}, 2: {"strong1": 0.5, "strong2": 0.5}}
    for version, weights in published.items():
        terms, given = losses(network(), {"version": version})
        ones, _ = losses(network(), {"version": version, "strong": 1 / version, "features": 1.0}, given)
        assert terms.keys() == weights.keys()
        for name, weight in weights.items():
            assert terms[name].item() == pytest.approx(weight * ones[name].item())


@pytest.mark.parametrize(
    ("options", "views", "terms"),
    [
        ({"features": 0.0}, {"v1_0", "v1_0_j", "v1_0_j2"}, {"strong1", "strong2"}),
        ({"strong": 0.0}, {"v1_0"}, {"features"}),
    ],
)
def test_a_term_of_weight_zero_costs_nothing(options: dict[str, Any], views: set[str], terms: set[str]) -> None:
    net, graphs = network(), []
    net.backbone.register_forward_hook(lambda _, images, maps: graphs.append((len(images[0]), maps[-1].requires_grad)))
    found, given = losses(net, options)
    assert given.views.keys() == views
    assert found.keys() == terms
    strong = [(4, True)] if "v1_0_j" in views else []
    assert graphs == [(2, "features" in terms), *strong]


@pytest.mark.parametrize("options", [{"strong": 0.0, "features": 0.0}, {"strong": 0.0, "version": 2}, {"weight": 0.0}])
def test_without_any_weight_it_is_off(options: dict[str, Any]) -> None:
    """The training leaves it out: no view, no pass, no teacher."""
    assert not Method(Method.Config.of(options)).on
    assert Method(Method.Config()).on


def test_labels_come_from_the_undisturbed_view() -> None:
    """Whatever is dropped, in the third branch or before the classifier: the label is that of the clean half."""
    found = []
    for dropout, seed in ((0.0, 0), (0.5, 0), (0.5, 1)):
        method, net = Method(Method.Config()), network(dropout)
        given = batch(method)
        torch.manual_seed(seed)
        with torch.no_grad():
            maps = net.backbone(given.views["v1_0"])
            torch.manual_seed(seed)
            halves = [torch.cat([x, torch.nn.functional.dropout2d(x, 0.5)]) for x in maps]
            clean = net.decode_head.conv_seg(net.decode_head.features(halves)[:2])
        torch.manual_seed(seed)
        method.losses(net, given, {}, 0)
        found.append((given.guesses["v1_0"].label_bhw, upsample(clean, net.stride, SIZE).argmax(1)))
    assert all(torch.equal(label, clean) for label, clean in found)


def test_without_dropped_channels_that_term_is_the_cross_entropy_of_the_view_with_its_own_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.nn.functional, "dropout2d", lambda x, *_: x)
    net = network()
    terms, given = losses(net, {"threshold": 0.5})
    label, counts = given.guesses["v1_0"]
    logits = upsample(net(given.views["v1_0"]), 1, SIZE)
    own = confident_cross_entropy(logits, label, logits.softmax(1).amax(1), 0.5)
    assert terms["features"].item() == pytest.approx(0.5 * own.item(), rel=1e-4)
    assert counts is not None
    assert 0 < counts.float().mean() < 1


def test_equal_strong_views_have_equal_losses_and_one_alone_is_fixmatch() -> None:
    """Without boxes; batch norm in eval mode, for two views share a pass here."""
    net = network().eval()
    method = Method(Method.Config())
    given = batch(method)
    given.views["v1_0_j2"] = given.views["v1_0_j"]
    terms, _ = losses(net, {"cutmix": 0.0, "features": 0.0, "strong": 1.0, "threshold": 0.4}, given)
    assert terms["strong1"].item() > 0
    assert terms["strong1"].item() == pytest.approx(terms["strong2"].item())
    other = fixmatch.Method(fixmatch.Method.Config(cutmix=0.0, threshold=0.4))
    other.build(net)
    assert other.losses(net, given, {}, 0)["strong"].item() == pytest.approx(terms["strong1"].item(), rel=1e-5)


@pytest.mark.parametrize("version", [1, 2])
def test_each_strong_view_has_a_box_of_its_own_and_the_label_is_pasted_along(
    monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """The loss of each view, written out. Complementary dropout is replaced by a factor, and belongs to version 2."""
    boxes = [torch.zeros(2, *SIZE, dtype=torch.bool) for _ in range(2)]
    boxes[0][:, 2:12, 3:20], boxes[1][0, 8:, 5:] = True, True
    drawn = iter(boxes)
    monkeypatch.setattr(unimatch, "box_or_none", lambda *_: next(drawn))
    monkeypatch.setattr(unimatch, "complementary_dropout", lambda x: 3 * x)
    net = network().eval()
    given = batch(Method(Method.Config()))
    with torch.no_grad():
        confidence, label = net(given.views["v1_0"]).softmax(1).max(1)
        middle = confidence.median().item()
        terms, _ = losses(net, {"version": version, "threshold": middle, "features": 0.0}, given)
        for number, (name, box) in enumerate(zip(unimatch.STRONG, boxes, strict=True), start=1):
            image = torch.where(box[:, None], given.views[name].flip(0), given.views[name])
            maps = [x * (3 if version == 2 else 1) for x in net.backbone(image)]
            logits = upsample(net.decode_head.conv_seg(net.decode_head.features(maps)), net.stride, SIZE)
            mixed = torch.where(box, label.flip(0), label)
            keep = torch.where(box, confidence.flip(0), confidence) >= middle
            assert 0 < keep.float().mean() < 1
            loss = torch.nn.functional.cross_entropy(logits, mixed, reduction="none")[keep].sum() / keep.numel()
            assert terms[f"strong{number}"].item() == pytest.approx(0.25 * version * loss.item(), rel=1e-4)


def test_only_the_dropped_half_and_the_strong_views_get_a_gradient() -> None:
    net = network()
    terms, given = losses(net, {})
    classifier = net.decode_head.conv_seg.weight
    for term in terms.values():
        assert torch.autograd.grad(term, classifier, retain_graph=True)[0].any()
    assert not given.guesses["v1_0"].label_bhw.requires_grad
