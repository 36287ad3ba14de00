"""Directional context-aware consistency against numbers of its released formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from spec_tensors import wave, weights
from torch import Tensor

from ifrkit.artifacts.store import Artifact
from ifrkit.config.training import CropConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.keyed import Key
from ifrkit.core.records import Window
from ifrkit.data.loading import sampler
from ifrkit.data.loading.views import Draw, Frames, Place, View
from ifrkit.methods import cac
from ifrkit.methods._overlap import Overlapping, overlap
from ifrkit.methods.cac import Pixels, _flat, directional_loss
from ifrkit.models.network import Network
from ifrkit.testing.methods import toy_task, train


def views() -> tuple[list[Tensor], list[Pixels]]:
    maps = [wave(s, (2, 8, 4, 6)).requires_grad_() for s in (1, 2)]
    classifier = weights(1, (4, 8, 1, 1), 0.6)
    pixels = []
    for f in maps:
        embedding = F.conv2d(F.relu(F.conv2d(f, weights(2, (8, 8, 1, 1), 0.6))), weights(3, (5, 8, 1, 1), 0.6))
        confidence, label = F.conv2d(f, classifier).detach().softmax(1).max(1)
        pixels.append(Pixels(F.normalize(embedding, dim=1), label, confidence))
    return maps, pixels


def cut(pixels: Pixels, columns: slice) -> Pixels:
    return Pixels(*(_flat(x[..., columns]) for x in pixels))


@pytest.mark.parametrize(
    ("temperature", "threshold", "expected"),
    [
        (0.1, 0.0, (10.339052, 12.026312, 3.801815, 0.747068)),
        (1.0, 0.0, (4.251990, 4.728516, 0.227635, 0.080280)),
        (0.1, 0.75, (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_the_numbers_of_the_released_loss(temperature: float, threshold: float, expected: tuple[float, ...]) -> None:
    maps, (first, second) = views()
    bank = Pixels(*(torch.cat([_flat(a), _flat(b)]) for a, b in zip(first, second, strict=True)))
    one, two = cut(first, slice(1, 6)), cut(second, slice(0, 5))
    there = directional_loss(one, two, bank, temperature, threshold)
    back = directional_loss(two, one, bank, temperature, threshold)
    slopes = torch.autograd.grad(there + back, maps)
    found = (there.item(), back.item(), *(slope.norm().item() for slope in slopes))
    assert found == pytest.approx(expected, rel=2e-5, abs=1e-9)


@pytest.mark.parametrize("chunk", [32, 96])
def test_nothing_of_the_size_of_the_bank_is_kept_for_the_backward_pass(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """And the chunk does not change the numbers, as long as the row maximum lies in the first one."""
    maps, (first, second) = views()
    one, two = cut(first, slice(1, 6)), cut(second, slice(0, 5))
    kept = []
    for times in (2, 40):
        bank = Pixels(*(torch.cat([_flat(x)] * times) for x in second))
        found, largest = [], 0
        for columns in (8000, chunk):
            monkeypatch.setattr(cac, "CHUNK", columns)
            saved: list[int] = []
            with torch.autograd.graph.saved_tensors_hooks(lambda x, to=saved: to.append(x.numel()) or x, lambda x: x):
                loss = directional_loss(one, two, bank, threshold=0.0)
            largest = max(saved)
            found.append((loss.detach(), torch.autograd.grad(loss, maps[0], retain_graph=True)[0]))
        kept.append(largest)
        torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
    assert kept[0] == kept[1] < len(one.labels) * chunk


def test_half_precision_does_not_touch_the_cosines() -> None:
    _, (first, second) = views()
    bank = Pixels(*(torch.cat([_flat(a), _flat(b)]) for a, b in zip(first, second, strict=True)))
    with torch.autocast("cpu", torch.bfloat16):
        loss = directional_loss(cut(first, slice(1, 6)), cut(second, slice(0, 5)), bank, threshold=0.0)
    assert loss.item() == pytest.approx(10.339052, rel=2e-5)


def test_equal_views_teach_nothing() -> None:
    _, (first, _) = views()
    flat = Pixels(*(_flat(x) for x in first))
    assert directional_loss(flat, flat, flat, threshold=0.0) == 0


def test_only_anchors_whose_positive_is_surer_and_sure_enough_count() -> None:
    """Four anchors: positive surer and sure enough; surer but unsure; less sure; equally sure."""
    torch.manual_seed(0)
    rows = F.normalize(torch.randn(4, 8), dim=1).requires_grad_()
    anchors = Pixels(rows, torch.arange(4), torch.tensor([0.5, 0.5, 0.95, 0.9]))
    positives = Pixels(F.normalize(torch.randn(4, 8), dim=1), torch.arange(4), torch.tensor([0.9, 0.7, 0.9, 0.9]))
    loss = directional_loss(anchors, positives, positives, threshold=0.75)
    (slope,) = torch.autograd.grad(loss, rows)
    assert slope.any(1).tolist() == [True, False, False, False]
    first, others = (rows[0] * positives.embeddings).sum(1).div(0.1).detach().tolist(), (1, 2, 3)
    expected = math.log(math.exp(first[0]) + sum(math.exp(first[j]) for j in others)) - first[0]
    assert loss.item() == pytest.approx(expected, rel=1e-4)  # the mean over that one


def test_nothing_reaches_the_surer_view_and_the_bank() -> None:
    maps, (first, second) = views()
    one, two = cut(first, slice(1, 6)), cut(second, slice(0, 5))
    loss = directional_loss(one, two, two, threshold=0.0)
    there, back = torch.autograd.grad(loss, maps, allow_unused=True)
    assert there.any()
    assert back is None


def test_the_length_of_the_projection_does_not_matter_and_swapped_views_swap_their_losses() -> None:
    _, (first, second) = views()
    one, two = cut(first, slice(1, 6)), cut(second, slice(0, 5))
    bank = Pixels(*(torch.cat([_flat(a), _flat(b)]) for a, b in zip(first, second, strict=True)))
    other = Pixels(*(torch.cat([_flat(b), _flat(a)]) for a, b in zip(first, second, strict=True)))
    there = directional_loss(one, two, bank, threshold=0.0).item()
    assert there == pytest.approx(directional_loss(one, two, other, threshold=0.0).item(), rel=1e-4)
    assert there != pytest.approx(directional_loss(two, one, bank, threshold=0.0).item(), rel=1e-2)
    assert directional_loss(one, two, bank, threshold=1.0).item() == 0


def test_without_another_class_there_is_nothing_to_push_away() -> None:
    _, (first, second) = views()
    one, two = cut(first, slice(1, 6)), cut(second, slice(0, 5))
    same = one._replace(labels=torch.zeros_like(one.labels))
    bank = two._replace(labels=torch.zeros_like(two.labels))
    assert directional_loss(same, two, bank, threshold=0.0).item() == pytest.approx(0, abs=1e-4)
    assert directional_loss(one, two, two, threshold=0.0).item() <= -math.log(1e-8)


def test_overlaps_show_the_same_pixels() -> None:
    size, window = (64, 128), Window(13, 30, 32, 48)
    ground = torch.arange(64 * 128).view(64, 128)
    view, crop = View("o", "unlabeled", Overlapping("first")), CropConfig(size=(32, 48), flip=0)
    first = Place(0, window.y, window.x, False)
    for sample in range(40):
        draw = Draw(Key(0, 0, sample), Frames(range(3), 0), size, window, crop, places={"first": first})
        other = view.placement.draw(view, draw)
        assert (other.y - window.y) % 8 == 0
        assert (other.x - window.x) % 8 == 0
        assert 0 <= other.y <= 32
        assert 0 <= other.x <= 80
        a, b = (ground[w.y : w.y + 32, w.x : w.x + 48][::8, ::8] for w in (window, other))
        (rows_a, columns_a), (rows_b, columns_b) = overlap(first, other, (4, 6))
        assert torch.equal(a[rows_a, columns_a], b[rows_b, columns_b])
        assert a[rows_a, columns_a].numel() > 0


def test_overlaps_in_an_enlarged_frame_show_the_same_cells() -> None:
    """The windows lie whole cells of the map apart, up to half a stored pixel; every factor of the range occurs."""
    size, crop = (512, 1024), CropConfig(size=(256, 512), flip=0)
    placement = Overlapping("first", (0.8, 2.0))
    view, factors = View("o", "unlabeled", placement), []
    for sample in range(60):
        key = Key(0, 0, sample)
        factor = placement.enlarged(key.rng("enlarge", "o"))
        window = sampler.crop_window(size, crop, key, "unlabeled", factor=factor)
        draw = Draw(key, Frames(range(3), 0), size, window, crop)
        first = draw.places["first"] = draw.place(View("first", "unlabeled"), 0)
        other = view.placement.draw(view, draw)
        assert 0 <= other.y <= size[0] - window.height
        assert 0 <= other.x <= size[1] - window.width
        factors.append(crop.size[0] / window.height)
        assert first.scale == factors[-1] == pytest.approx(factor, rel=5e-3)
        (rows, columns), (rows_b, columns_b) = overlap(first, other, (32, 64))
        assert rows.stop - rows.start == rows_b.stop - rows_b.start > 0
        assert columns.stop - columns.start == columns_b.stop - columns_b.start > 0
        for moved, a, b in ((other.y - first.y, rows, rows_b), (other.x - first.x, columns, columns_b)):
            assert moved * first.scale == pytest.approx(8 * (a.start - b.start), abs=2.0)
    assert min(factors) < 0.9
    assert max(factors) > 1.8
    assert sum(factors) / len(factors) == pytest.approx(1.4, abs=0.15)  # uniform, not log-uniform


def test_before_its_start_it_makes_no_pass(clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    task = toy_task("cac", clips, method={"cac": {"start": 2, "threshold": -1.0}})
    passes: list[int] = []
    features = Network.features
    monkeypatch.setattr(Network, "features", lambda net, x: passes.append(len(x)) or features(net, x))
    made = train(task, 0, 3)
    assert passes == [2, 2, 2, 2, 2]  # the labeled images alone, twice, then also both views
    assert [terms["cac.context"] for terms in made[:2]] == [0, 0]
    assert made[2]["cac.context"] > 0
    assert all(p.grad is not None for p in task.methods["cac"].projector.parameters())  # type: ignore[attr-defined]


def test_maps_of_deeplab_are_pooled_first(clips: Artifact) -> None:
    deeplab = {"backbone": "resnet18", "width": 0.125, "head": "deeplabv3plus"}
    options = {"start": 0, "threshold": -1.0}
    losses = []
    for downsample in (1, 2):
        own = {**options, "downsample": downsample, "scale": (0.8, 1.2)}
        task = toy_task("cac", clips, update=deeplab, method={"cac": own})
        sizes: list[tuple[int, ...]] = []
        projector = task.methods["cac"].projector  # type: ignore[attr-defined]
        projector.register_forward_pre_hook(lambda module, x, sizes=sizes: sizes.append(tuple(x[0].shape[-2:])))
        losses.append(train(task, 0, 1)[0]["cac.context"])
        assert set(sizes) == {(6 // downsample, 8 // downsample)}
    assert losses[0] != losses[1]
    with pytest.raises(ConfigError, match="the maps of this network 16"):
        Overlapping("v1_0", pooled=4).require(4)
