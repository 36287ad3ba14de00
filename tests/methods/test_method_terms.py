"""The term that a method adds, beside its definition written out: views, labels, mixing, weights, ramps and starts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.artifacts.store import Artifact
from ifrkit.core.plugins import load, names
from ifrkit.data.loading.batch import Batch
from ifrkit.data.loading.views import Copy
from ifrkit.methods import cac, cct, classmix, cps, cutmix, fixmatch, tdc
from ifrkit.methods._mean_teacher import MeanTeacher
from ifrkit.models import cct_decoders
from ifrkit.models.network import Network
from ifrkit.testing.methods import LATE, toy_clips, toy_task
from ifrkit.train.stage_one import BranchTask

SIZE = (24, 32)
THINGS = [1, 3, 5]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return toy_clips(tmp_path_factory.mktemp("workspace"))


def ready(ssl: str, clips: Artifact, **options: Any) -> tuple[BranchTask, Batch]:
    """A task in eval mode, so that nothing is drawn, and a batch of two clips.

    Every network (also teacher and second one) gets the batch statistics of some images, without which features are all
    alike, and a classifier of its own under which most classes are seen.
    """
    task = toy_task(ssl, clips, method={ssl: {**load("methods", ssl).OPEN, **options}})
    task.module.eval()
    batches = (task.to_device(raw) for raw in task.batches(0, 50))
    batch = next(batch for batch in batches if len({*batch.clips.get("unlabeled", [0, 1])}) == 2)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for network in (part for part in task.module.modules() if isinstance(part, Network)):
            for norm in (part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)):
                norm.momentum = 1.0
            network.train().features(batch.views["v0_0"])
            f = network.eval().features(batch.views["v0_0"]).flatten(2).transpose(0, 1).flatten(1)
            conv = network.decode_head.conv_seg
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=rng) / (f.std(1)[:, None, None] + 1e-3) / 4)
            assert conv.bias is not None
            conv.bias.copy_(-conv.weight[:, :, 0, 0] @ f.mean(1))
    assert len(seen(task.network, batch.views["v0_0"]).argmax(1).unique()) > 3
    return task, batch


def term(task: BranchTask, batch: Batch, name: str, step: int = LATE) -> float:
    torch.manual_seed(0)
    return float(task.module(batch, step)[name].detach())


def seen(network: Network, images_b3hw: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images_b3hw)


def pasted(own: Tensor, other: Tensor, mask_bhw: Tensor) -> Tensor:
    """`other` on the mask, pixel by pixel."""
    made = own.clone()
    for b, y, x in mask_bhw.nonzero().tolist():
        made[b, ..., y, x] = other[b, ..., y, x]
    return made


def teacher_of(task: BranchTask) -> Network:
    (method,) = task.methods.values()
    assert isinstance(method, MeanTeacher)
    return method.teacher.network


def some_boxes(*_: Any) -> Tensor:
    mask = torch.zeros(2, *SIZE, dtype=torch.bool)
    mask[0, 3:15, 5:20], mask[1, 10:, :9] = True, True
    return mask


def test_fixmatch(clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixmatch, "box_or_none", some_boxes)
    task, batch = ready("fixmatch", clips, threshold=0.4)
    confidence, label = seen(teacher_of(task), batch.views["v1_0"]).softmax(1).max(1)
    strong = batch.views["v1_0_j"]
    logits = seen(task.network, pasted(strong, strong.flip(0), some_boxes()))
    label, confidence = (pasted(x, x.flip(0), some_boxes()) for x in (label, confidence))
    keep = confidence >= 0.4
    assert 0 < keep.float().mean() < 1
    expected = F.cross_entropy(logits, label, reduction="none")[keep].sum() / keep.numel()
    assert term(task, batch, "fixmatch.strong") == pytest.approx(expected.item(), rel=1e-4)


def test_cutmix(clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutmix, "boxes_of_area", some_boxes)
    task, batch = ready("cutmix", clips, threshold=0.4)
    target = seen(teacher_of(task), batch.views["v1_0"])
    target = pasted(target, target.flip(0), some_boxes()).softmax(1)
    jittered = batch.views["v1_0_c"]
    p = seen(task.network, pasted(jittered, jittered.flip(0), some_boxes())).softmax(1)
    rate = (target.amax(1) >= 0.4).float().mean()
    assert 0 < rate < 1
    expected = rate * (p - target).square().sum(1).mean()
    assert term(task, batch, "cutmix.mixed") == pytest.approx(expected.item(), rel=1e-4)


def test_classmix(clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classmix, "half_of_the_classes", lambda labels, _: labels % 2 == 0)
    task, batch = ready("classmix", clips, threshold=0.4)
    q = seen(teacher_of(task), batch.views["v1_0"]).softmax(1)
    chosen = q.argmax(1) % 2 == 0
    assert 0 < chosen.float().mean() < 1
    jittered = batch.views["v1_0_m"]
    logits = seen(task.network, pasted(jittered.flip(0), jittered, chosen))  # own classes on the other image
    confidence, label = pasted(q.flip(0), q, chosen).max(1)
    expected = (confidence >= 0.4).float().mean() * F.cross_entropy(logits, label)
    assert term(task, batch, "classmix.mixed") == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("mixed", [False, True])
def test_cps(clips: Artifact, monkeypatch: pytest.MonkeyPatch, mixed: bool) -> None:
    monkeypatch.setattr(cps, "boxes_of_area", some_boxes)
    task, batch = ready("cps", clips, cutmix=mixed)
    method = task.methods["cps"]
    assert isinstance(method, cps.Method)
    mask, images = some_boxes(), batch.views["v1_0"]
    losses = []
    for learner, judge in ((task.network, method.second), (method.second, task.network)):
        if mixed:
            label = seen(judge, images).argmax(1)
            logits = seen(learner, pasted(images, images.flip(0), mask))
            losses.append(F.cross_entropy(logits, pasted(label, label.flip(0), mask)))
        else:
            both = torch.cat([batch.views["v0_0"], images])
            losses.append(F.cross_entropy(seen(learner, both), seen(judge, both).argmax(1)))
    assert term(task, batch, "cps.cross") == pytest.approx(1.5 * float(sum(losses)), rel=1e-4)
    assert torch.equal(batch.guesses["v1_0"].label_bhw, seen(method.second, images).argmax(1))  # it teaches the first
    label = batch.labels["v0_0"]
    second = F.cross_entropy(seen(method.second, batch.views["v0_0"]), label, ignore_index=255, reduction="sum")
    assert term(task, batch, "cps.second") == pytest.approx(second.item() / label.numel(), rel=1e-4)


@pytest.mark.parametrize(("ssl", "name"), [("cps", "second"), ("tps", "carried"), ("self-training", "pseudo")])
def test_a_mean_over_valid_pixels(clips: Artifact, ssl: str, name: str) -> None:
    options = {"threshold": 0.5} if ssl == "self-training" else {}
    (task, batch), (valid, _) = ready(ssl, clips, **options), ready(ssl, clips, mean="valid", **options)
    batch.labels["v0_0"][:, :5] = 255
    whole, over_valid = (term(each, batch, f"{ssl}.{name}") for each in (task, valid))
    if ssl == "tps":
        share = float((batch.extras["v1_0_n"][:, 2] > 0).float().mean())
    else:
        share = float((batch.labels["v0_0" if ssl == "cps" else "pseudo"] != 255).float().mean())
    assert 0 < share < 1
    assert over_valid == pytest.approx(whole / share, rel=1e-4)


def test_cct(clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every perturbation replaced by a factor: the mean over decoders, images, classes and pixels, times 30."""
    factors, guides = dict(zip(cct.KINDS, range(1, 8), strict=True)), list[Tensor]()
    for kind in cct_decoders.PERTURBATIONS:
        scale = lambda f, guide, by=factors[kind]: guides.append(guide) or by * f  # noqa: E731
        monkeypatch.setitem(cct_decoders.PERTURBATIONS, kind, scale)
    monkeypatch.setattr(cct_decoders, "adversarial", lambda decoder, f: factors["vat"] * f)
    counts = {"vat": 2, "dropout": 6, "cutout": 6, "context": 2, "object": 2, "drop": 6, "noise": 6}
    task, batch = ready("cct", clips, things=THINGS)
    guides.clear()  # of the pass that counts passes
    method = task.methods["cct"]
    assert isinstance(method, cct.Method)
    target = seen(task.network, batch.views["v1_0"]).softmax(1)
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    with torch.no_grad():
        f = task.network.features(batch.views["v1_0"])
        each = [
            (decoder(factors[kind] * f).softmax(1) - target).square().mean()
            for kind, decoder in zip(kinds, method.decoders, strict=True)
        ]
    expected = 30 * torch.stack(each).mean().item()
    assert term(task, batch, "cct.consistency") == pytest.approx(expected, rel=1e-4)
    assert expected / 30 <= 2 / task.network.num_classes
    things = sum(target.argmax(1) == thing for thing in THINGS) > 0
    assert 0 < things.float().mean() < 1
    assert len(guides) == 28
    assert all(torch.equal(guide, things) for guide in guides)


def test_tdc(clips: Artifact) -> None:
    task, batch = ready("tdc", clips)
    method = task.methods["tdc"]
    assert isinstance(method, tdc.Method)
    with torch.no_grad():
        weak, strong = ([task.network.before_relu(batch.views[f"t{i}{s}"]) for i in range(5)] for s in ("", "_s"))
        labels = [task.network.classify(f.relu()).argmax(1) for f in weak]
        expected = 0.2 * tdc.temporal_loss(weak, strong, labels, method.g, *method.sigmas)
    assert term(task, batch, "tdc.temporal") == pytest.approx(expected.item(), rel=1e-4)
    three = toy_task("tdc", clips, method={"tdc": {"frames": 3}})
    assert [view.name for view in three.views if not isinstance(view.placement, Copy)] == ["v0_0", "t0", "t1", "t2"]


def test_tdc_labels_frames_in_the_order_of_time_with_dropout(clips: Artifact) -> None:
    task = toy_task("tdc", clips, method={"tdc": {"frames": 3}})
    store, raws = task.clips.store, list(task.batches(0, 6))
    for raw in raws:
        for sample, clip in enumerate(raw.clips["unlabeled"]):
            place, order = raw.places["t0"][sample], []
            for name in ("t0", "t1", "t2"):
                image = raw.images[name][sample].permute(1, 2, 0).numpy()
                image = image[:, ::-1] if place.mirrored else image
                frames = (store.frame(clip, i)[place.y : place.y + 24, place.x : place.x + 32] for i in range(5))
                order.append(next(i for i, frame in enumerate(frames) if (frame == image).all()))
            assert order == sorted({*order})
            assert [raw.places[name][sample].frame for name in ("t0", "t1", "t2")] == order
            assert all(raw.places[name][sample][1:] == place[1:] for name in ("t1", "t2"))
    assert len({place.mirrored for raw in raws for place in raw.places["t0"]}) == 2
    batch = task.to_device(raws[0])
    task.network.decode_head.dropout.p = 0.5
    task.module.train()
    labels = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        task.methods["tdc"].losses(task.network, batch, {}, 0)
        labels.append(batch.guesses["t0"].label_bhw)
    assert not torch.equal(*labels)


def test_tps(clips: Artifact) -> None:
    task, batch = ready("tps", clips)
    p, flow = seen(task.network, batch.views["v1_0_n"]).softmax(1), batch.extras["v1_0_n"]
    b, _, h, w = p.shape
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    at = torch.stack([2 * (x + flow[:, 0]) / (w - 1) - 1, 2 * (y + flow[:, 1]) / (h - 1) - 1], -1)
    label = F.grid_sample(p, at, padding_mode="border", align_corners=True).argmax(1)
    sure = flow[:, 2] > 0
    assert 0 < sure.float().mean() < 1
    ce = F.cross_entropy(seen(task.network, batch.views["v1_0_t"]), label, reduction="none")
    assert term(task, batch, "tps.carried") == pytest.approx(0.1 * ce[sure].sum().item() / (b * h * w), rel=1e-4)


@pytest.mark.parametrize("distort", [True, False])
def test_self_training(clips: Artifact, distort: bool) -> None:
    task, batch = ready("self-training", clips, distort=distort, threshold=0.5)
    label = batch.labels["pseudo"]
    assert 0 < (label == 255).float().mean() < 1
    logits = seen(task.network, batch.views["pseudo_s" if distort else "pseudo"])
    expected = F.cross_entropy(logits, label, ignore_index=255, reduction="sum").item() / label.numel()
    assert term(task, batch, "self-training.pseudo") == pytest.approx(expected, rel=1e-4)


def test_cac_turns_mirrored_maps_back_and_banks_both_views(clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    task, batch = ready("cac", clips)
    method = task.methods["cac"]
    assert isinstance(method, cac.Method)
    maps = []
    for mirrored in (False, True):
        batch.places["v1_0"] = [place._replace(mirrored=mirrored) for place in batch.places["v1_0"]]
        maps.append(method._pixels(task.network, batch, "v1_0_a", "v1_0"))
    for plain, turned in zip(*maps, strict=True):
        torch.testing.assert_close(turned, plain.flip(-1))
    f = task.network.features(batch.views["v1_0_a"])
    torch.testing.assert_close(maps[0].embeddings, F.normalize(method.projector(f), dim=1))
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(cac, "directional_loss", lambda *a: calls.append(a) or torch.tensor(2.0 + len(calls)))
    assert term(task, batch, "cac.context") == pytest.approx(0.1 * (3 + 4))
    (first, second, bank, *constants), (there, back, again, *_) = calls
    assert first is back
    assert second is there
    assert bank is again
    assert len(bank.labels) == 2 * 2 * 3 * 4  # views, images, rows, columns: every pixel
    assert len(first.labels) == len(second.labels) > 0
    assert constants == [0.1, -1.0]


@pytest.mark.parametrize(
    "ssl", [n for n in names("methods") if "weight" in load("methods", n).Config.__struct_fields__]
)
def test_the_weight_multiplies_every_term(clips: Artifact, ssl: str) -> None:
    weight = load("methods", ssl).Config().weight
    (task, batch), (twice, _) = ready(ssl, clips), ready(ssl, clips, weight=2 * weight)
    for name in task.module(batch, LATE).keys() - {"sup", "cps.second", "pseudoseg.labels"}:
        assert term(twice, batch, name) == pytest.approx(2 * term(task, batch, name), rel=1e-4), name
        assert term(task, batch, name) > 0, name


@pytest.mark.parametrize(
    "ssl", [n for n in names("methods") if "ramp_up" in load("methods", n).Config.__struct_fields__]
)
def test_a_ramp_begins_low_and_ends_at_one(clips: Artifact, ssl: str) -> None:
    soft = {"logit_temperature": 1.0} if ssl == "ifr" else {}  # at 0.01 a sure network has a loss of 0
    task, batch = ready(ssl, clips, ramp_up=4000, **soft)
    for name in task.module(batch, 0).keys() - {"sup", "cps.second"}:
        whole = term(task, batch, name, 4000)
        assert whole > 0
        assert term(task, batch, name) == pytest.approx(whole)
        for step, share in ((0, 0.0067379), (2000, 0.2865048)):
            assert term(task, batch, name, step) == pytest.approx(share * whole, rel=1e-4)


@pytest.mark.parametrize(("ssl", "name"), [("cac", "cac.context"), ("advsemi", "advsemi.semi")])
def test_a_late_start(clips: Artifact, ssl: str, name: str) -> None:
    task, batch = ready(ssl, clips, start=7)
    assert term(task, batch, name, 6) == 0 < term(task, batch, name, 7)
