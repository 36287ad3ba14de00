"""Frames whose sides are not multiples of a stride: the last cells reach over the frame, and no other one is moved."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ifrkit.config.network import network_config
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.data.loading.batch import Batch
from ifrkit.models.cells import enlarged
from ifrkit.models.network import build_network
from ifrkit.train.stage_one import BranchLosses

LITE = {"backbone": "efficientnet-lite0", "stages": 5, "head": "light"}


@pytest.mark.parametrize(("stride", "step"), [(16, 1), (8, 1), (16, 8), (8, 4), (14, 4), (8, 8)])
@pytest.mark.parametrize("side", [90, 96, 101])
def test_a_value_stands_where_its_cell_is(stride: int, step: int, side: int) -> None:
    """Cells that hold the place of their own middle give each pixel its place, but for half a cell at each border."""
    cells = -(-side // stride)
    middles = (torch.arange(cells, dtype=torch.float64) + 0.5) * stride
    count = -(-side // step)
    found = enlarged(middles.view(1, 1, -1, 1).expand(1, 1, cells, cells), stride, (count, count), step)
    assert found.shape == (1, 1, count, count)
    places = (torch.arange(count, dtype=torch.float64) + 0.5) * step
    inside = (places >= middles[0]) & (places <= middles[-1])
    # A step that does not divide the cells leaves less than one step over all of them.
    error = (found[0, 0, :, 0] - places)[inside].abs().max()
    assert error <= (1e-9 if cells * stride % step == 0 else step)


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("size", [(45, 60), (90, 118), (61, 64)])
def test_what_a_cell_sees_does_not_depend_on_the_size_of_the_frame(stride: int, size: tuple[int, int]) -> None:
    """The maps of a frame are those of the frame filled up to whole cells."""
    trunk = build_network(network_config({**LITE, "stride": stride}), 5, seed=0).eval().backbone
    image = torch.randn(1, 3, *size)
    below, right = (-side % stride for side in size)
    with torch.no_grad():
        own, whole = trunk(image), trunk(F.pad(image, (0, right, 0, below), mode="replicate"))
    for mine, theirs, each in zip(own, whole, trunk.strides, strict=True):
        assert mine.shape[-2:] == tuple(-(-side // each) for side in size)
        torch.testing.assert_close(mine, theirs[..., : mine.shape[-2], : mine.shape[-1]])


@pytest.mark.parametrize(("stride", "size", "step"), [(8, (45, 60), 1), (16, (45, 60), 8), (4, (9, 7), 1)])
def test_training_enlarges_as_torch_does(stride: int, size: tuple[int, int], step: int) -> None:
    """In training on a CPU it is two matrix products: the same values, and the same gradients."""
    cells = [-(-side * step // stride) for side in size]
    maps = torch.randn(2, 3, *cells, dtype=torch.float64, requires_grad=True)
    sides = [-(-side * stride // step) for side in cells]
    wanted = F.interpolate(maps, sides, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
    found, upstream = enlarged(maps, stride, size, step), torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        *(torch.autograd.grad((x * upstream).sum(), maps)[0] for x in (found, wanted)), rtol=0, atol=1e-12
    )
    with torch.autocast("cpu", torch.bfloat16):
        assert enlarged(maps.float(), stride, size, step).dtype == torch.float32


def test_an_object_is_found_where_it_is() -> None:
    """A network that says what colour each cell has says so at the right pixels, at the bottom of the frame, too."""
    network = build_network(network_config({**LITE, "stride": 16}), 2, seed=0).eval()
    frame = torch.zeros(1, 3, 180, 64)
    frame[..., 144:, :] = 1.0  # the last two cells of 16, and four rows

    class Colour(torch.nn.Module):
        """Of each cell of 8 pixels, as the light head's maps are."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            filled = F.pad(image, (0, 0, 0, -image.shape[-2] % 8), mode="replicate")
            return F.avg_pool2d(filled, 8)[:, :1]

    network.features = Colour().forward  # type: ignore[method-assign]
    network.classify = lambda f: torch.cat([0.5 - f, f - 0.5], 1)  # type: ignore[assignment,method-assign]
    with torch.no_grad():
        said = network(frame)[0].argmax(0)
    assert said.shape == (180, 64)
    assert (said[:144] == 0).all()
    assert (said[144:] == 1).all()


@pytest.mark.parametrize("stride", [8, 16])
def test_training_puts_cells_where_prediction_does(stride: int) -> None:
    """The supervised loss of whole frames is the cross entropy of what `network(images)` says."""
    network = build_network(network_config({**LITE, "stride": stride, "dropout": 0.0}), 5, seed=0)
    module = BranchLosses(network, {}, TrainBranchesConfig()).eval()
    image, label = torch.randn(2, 3, 45, 60), torch.randint(5, (2, 45, 60))
    with torch.no_grad():
        loss = module(Batch({"v0_0": image}, {"v0_0": label}), 0)["sup"]
        torch.testing.assert_close(loss, F.cross_entropy(network(image), label))
