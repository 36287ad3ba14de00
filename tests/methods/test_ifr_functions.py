"""IFR's public functions: hand-worked numbers, invariants, and what they may never do (NaN, host sync)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ifrkit.config.network import NetworkConfig
from ifrkit.data.loading.batch import Batch
from ifrkit.methods.ifr import Method, class_prototypes, ramp_up, reconstruct
from ifrkit.models.network import build_network


def toy() -> tuple[Tensor, Tensor]:
    features = torch.tensor([[[1.0, 2, 3], [0, 1, 1]], [[4, -1, 2], [2, 1, 0]]])[
        :, :, None
    ]  # 2 images, 2 channels, 1x3
    labels = torch.tensor([[0, 1, 1], [0, 2, 2]])[:, None]
    return features, labels


def random_map(images: int = 4, classes: int = 5, size: tuple[int, int] = (5, 6)) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    features = torch.rand(images, 8, *size, generator=rng, dtype=torch.float32)
    return features, torch.randint(classes, (images, *size), generator=rng)


def test_toy_prototypes_of_the_released_code() -> None:
    prototypes, present = class_prototypes(*toy(), num_classes=4)
    assert present.tolist() == [[True, True, False, False], [True, False, True, False]]
    assert prototypes[0, :2].tolist() == [[2.5, 1.0], [2.5, 1.0]]
    assert prototypes[1, [0, 2]].tolist() == [[2.5, 1.0], [0.5, 0.5]]


def test_toy_prototypes_of_the_paper() -> None:
    prototypes, _ = class_prototypes(*toy(), num_classes=3, pool="clip")
    assert prototypes[0, :2].tolist() == [[1.0, 0.0], [2.5, 1.0]]
    assert prototypes[1, [0, 2]].tolist() == [[4.0, 2.0], [0.5, 0.5]]


def test_toy_reconstruction() -> None:
    prototypes, present = class_prototypes(*toy(), num_classes=4)
    target = torch.tensor([[1.0, 0.5], [2.0, -1.0]])[None, :, None].expand(2, 2, 1, 2)  # pixels (1, 2) and (0.5, -1)
    rebuilt = reconstruct(target, prototypes, present, temperature=0.5)
    expected = torch.tensor([[2.5, 2.5, 1, 1], [1.3014005, 1.8793269, 0.7003502, 0.8448317]]).view(2, 2, 1, 2)
    torch.testing.assert_close(rebuilt, expected, rtol=1e-6, atol=1e-6)


def test_prototypes_against_a_loop() -> None:
    features, labels = random_map(images=5)  # an odd number: the last group has one image
    labels[0][labels[0] == 3] = 0
    prototypes, present = class_prototypes(features, labels, 5, group=2)
    for image in range(5):
        group = slice(image // 2 * 2, image // 2 * 2 + 2)
        for c in range(5):
            assert present[image, c] == (labels[image] == c).any()
            pixels = features[group].permute(0, 2, 3, 1)[labels[group] == c]
            torch.testing.assert_close(prototypes[image, c], pixels.mean(0))


def test_groups_do_not_see_each_other() -> None:
    features, labels = random_map()
    before = class_prototypes(features, labels, 5, group=2)[0][:2]
    features[2:] += 1
    assert torch.equal(class_prototypes(features, labels, 5, group=2)[0][:2], before)


def test_ignored_pixels_count_for_no_class() -> None:
    features, labels = random_map()
    labels[:, 0] = 255
    changed = features.clone()
    changed[:, :, 0] = 1e6
    for first, second in zip(class_prototypes(features, labels, 5), class_prototypes(changed, labels, 5), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("pool", ["batch", "clip"])
def test_no_class_at_all_gives_zeros_and_finite_gradients(pool: str) -> None:
    features, labels = random_map()
    labels[0] = 255
    features.requires_grad_()
    prototypes, present = class_prototypes(features, labels, 5, pool)  # type: ignore[arg-type]
    rebuilt = reconstruct(features, prototypes, present, 0.5)
    rebuilt.square().sum().backward()
    assert rebuilt.isfinite().all()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    if pool == "clip":
        assert not rebuilt[0].any()


def test_one_class_rebuilds_a_constant_map_without_gradient_to_the_attention() -> None:
    source, _ = random_map()
    target = random_map(size=(4, 3))[0].requires_grad_()
    prototypes, present = class_prototypes(source, torch.full((4, 5, 6), 2), 5)
    rebuilt = reconstruct(target, prototypes, present, 0.5)
    torch.testing.assert_close(rebuilt, prototypes[:, 2, :, None, None].expand_as(rebuilt))
    rebuilt.square().sum().backward()
    assert target.grad is not None
    assert not target.grad.any()


def test_rebuilt_vectors_lie_in_the_hull_of_the_present_prototypes() -> None:
    features, labels = random_map()
    labels[labels == 4] = 0
    prototypes, present = class_prototypes(features, labels, 5)
    rebuilt = reconstruct(features, prototypes, present, 0.5)
    low = prototypes.masked_fill(~present[:, :, None], math.inf).amin(1)[:, :, None, None]
    high = prototypes.masked_fill(~present[:, :, None], -math.inf).amax(1)[:, :, None, None]
    assert (rebuilt >= low - 1e-6).all()
    assert (rebuilt <= high + 1e-6).all()


def test_attention_is_soft_for_features_after_relu() -> None:
    """Cosines of non-negative vectors lie in [0, 1], so at temperature 0.5 no weight exceeds another e^2 times."""
    features, labels = random_map(images=2)
    prototypes, present = class_prototypes(features, labels, 5)
    indicator = torch.eye(5).expand(2, 5, 5)
    # Rebuilding with one-hot "prototypes" reads the weights off; the cosines still come from the real ones.
    cosine = torch.nn.functional.normalize(prototypes, dim=2) @ torch.nn.functional.normalize(
        features.flatten(2), dim=1
    )
    assert (cosine >= 0).all()
    weights = reconstruct(cosine.view(2, 5, 5, 6), indicator, present, 0.5)
    assert float((weights.amax(1) / weights.amin(1)).max()) <= math.exp(2) + 1e-4


def test_scale_of_the_target_does_not_matter_but_that_of_prototypes_does() -> None:
    features, labels = random_map()
    prototypes, present = class_prototypes(features, labels, 5)
    rebuilt = reconstruct(features, prototypes, present, 0.5)
    torch.testing.assert_close(reconstruct(7 * features, prototypes, present, 0.5), rebuilt)
    torch.testing.assert_close(reconstruct(features, 3 * prototypes, present, 0.5), 3 * rebuilt)


def test_order_of_pixels_does_not_matter() -> None:
    features, labels = random_map()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    shuffled = features.flatten(2)[:, :, order].view_as(features), labels.flatten(1)[:, order].view_as(labels)
    torch.testing.assert_close(class_prototypes(*shuffled, 5)[0], class_prototypes(features, labels, 5)[0])


def test_channels_last_maps_give_the_same_numbers() -> None:
    features, labels = random_map()
    strided = features.to(memory_format=torch.channels_last)
    prototypes, present = class_prototypes(strided, labels, 5)
    expected = class_prototypes(features, labels, 5)[0]
    torch.testing.assert_close(prototypes, expected)
    torch.testing.assert_close(
        reconstruct(strided, prototypes, present, 0.5), reconstruct(features, expected, present, 0.5)
    )


def test_sums_stay_in_float32_under_autocast() -> None:
    features, labels = random_map(size=(40, 40))
    with torch.autocast("cpu", torch.bfloat16):
        prototypes, present = class_prototypes(features, labels, 5)
        rebuilt = reconstruct(features, prototypes, present, 0.5)
    assert rebuilt.dtype == torch.float32
    torch.testing.assert_close(prototypes, class_prototypes(features, labels, 5)[0])


def test_sharp_logits_stay_in_float32_under_autocast() -> None:
    """Eq. (8) divides them by 0.01: rounded to 8 bits, logits near 5 would be off by a whole unit."""
    network = build_network(NetworkConfig(width=0.125, dropout=0.0), 5, seed=0)
    with torch.no_grad():
        network.decode_head.conv_seg.weight *= 40
    rng = torch.Generator().manual_seed(0)
    names = ("v0_0", "v0_1", "v0_1_s")
    shape = 2, network.feature_channels, 4, 5
    features = {name: torch.rand(shape, generator=rng) for name in names}
    given = Batch({}, {"v0_0": torch.randint(5, (2, 32, 40), generator=rng)})
    method = Method(Method.Config(unlabeled=0.0, ramp_up=0))
    found = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found.append(method.losses(network.eval(), given, dict(features), 0))
    for term, loss in found[0].items():
        torch.testing.assert_close(found[1][term], loss, rtol=1e-5, atol=0)


def test_no_host_sync() -> None:
    """Fake tensors have no values: anything that reads one (.item(), nonzero, a Python if) raises."""
    with FakeTensorMode():
        features = torch.rand(4, 8, 5, 6, requires_grad=True)
        labels = torch.randint(5, (4, 5, 6))
        for pool in ("batch", "clip"):
            prototypes, present = class_prototypes(features, labels, 5, pool)  # type: ignore[arg-type]
            rebuilt = reconstruct(features, prototypes, present, 0.5)
            assert rebuilt.shape == features.shape
            rebuilt.sum().backward()


@pytest.mark.parametrize(
    ("step", "value"),
    [(0, 0.0067379), (1000, 0.0600547), (2000, 0.2865048), (3999, 0.9999997), (4000, 1.0), (9999, 1.0)],
)
def test_ramp_up(step: int, value: float) -> None:
    assert ramp_up(step, 4000) == pytest.approx(value, abs=5e-8)


def test_no_ramp_up() -> None:
    assert ramp_up(0, 0) == ramp_up(5, 0) == 1.0
