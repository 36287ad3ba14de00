"""FlowNetS: crops, scales, seeds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ifrkit.models.flownet import FlowNetS, _join, build_flownet


def ceil_div(size: int, unit: int) -> int:
    return -(-size // unit)


@pytest.mark.parametrize("size", [(64, 128), (45, 61), (90, 120), (50, 60), (1, 1)])
def test_maps_of_every_size(size: tuple[int, int]) -> None:
    flownet = build_flownet(0.125, seed=0)
    current, earlier = torch.rand(2, 2, 3, *size)
    pyramid = flownet.pyramid(current, earlier)
    want = [(2, 2, ceil_div(size[0], 2**s), ceil_div(size[1], 2**s)) for s in range(2, 7)]
    assert [tuple(flow.shape) for flow in pyramid] == want
    assert torch.equal(flownet(current, earlier), pyramid[0])


@pytest.mark.parametrize("size", [(9, 12), (10, 11)])
def test_the_crop_equals_a_padded_transposed_convolution(size: tuple[int, int]) -> None:
    """Padding 1 takes one pixel at each end; an odd target loses its last row or column besides."""
    x, weight, bias = (
        torch.randn(1, 3, ceil_div(size[0], 2), ceil_div(size[1], 2)),
        torch.randn(3, 2, 4, 4),
        torch.ones(2),
    )
    skip = torch.zeros(1, 1, *size)
    joined = _join(skip, F.conv_transpose2d(x, weight, bias, stride=2))
    padded = F.conv_transpose2d(x, weight, bias, stride=2, padding=1)[..., : size[0], : size[1]]
    torch.testing.assert_close(joined[:, 1:], padded)


def test_each_level_is_in_pixels_of_its_own_map() -> None:
    """A network whose predictors say one unit (20 image pixels) everywhere: 5 at 1/4, 2.5 at 1/8, ..."""
    flownet = FlowNetS(0.125)
    for level in range(2, 7):
        layer = getattr(flownet, f"predict_flow{level}")
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    pyramid = flownet.pyramid(*torch.rand(2, 1, 3, 64, 64))
    assert [flow.unique().item() for flow in pyramid] == [5, 2.5, 1.25, 0.625, 0.3125]


def test_the_current_frame_comes_first() -> None:
    flownet = build_flownet(0.125, seed=0)
    a, b = torch.rand(2, 1, 3, 64, 64)
    seen = []
    flownet.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    flownet(a, b)
    assert torch.equal(seen[0], torch.cat([a, b], 1))


def test_start_is_seeded_and_nearly_still() -> None:
    first, second = build_flownet(0.125, seed=1), build_flownet(0.125, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.conv1[0].weight, build_flownet(0.125, seed=2).conv1[0].weight)
    flow = first(*torch.rand(2, 1, 3, 64, 64))
    assert 0 < flow.abs().max() < 1


def test_flow_stays_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert all(
            flow.dtype == torch.float32 for flow in build_flownet(0.125, 0).pyramid(*torch.rand(2, 1, 3, 64, 64))
        )
