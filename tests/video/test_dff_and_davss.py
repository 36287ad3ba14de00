"""DFF and DAVSS beside their papers and released code: parameters, one direct flow, the blend, losses by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_video import CLASSES, moving_clip, video_model
from torch import Tensor, nn

from ifrkit.architectures import _davss as davss
from ifrkit.architectures import _dff as dff
from ifrkit.core.errors import ConfigError
from ifrkit.models.correction import CorrectionNet, DistortionNet
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.layers import seeded
from ifrkit.models.normalisation import IMAGENET
from ifrkit.models.video import flow_input
from ifrkit.models.warp import warp

SIZE = (32, 48)


def up(maps: Tensor) -> Tensor:
    return F.interpolate(maps, SIZE, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(("classes", "count"), [(19, 9_487_699), (11, 9_486_923)])
def test_size_of_the_correction_network(classes: int, count: int) -> None:
    net = CorrectionNet(classes)
    assert sum(p.numel() for p in net.parameters()) == count
    assert len(net.state_dict()) == 66
    assert {"conv1.0.weight", "conv6_1.1.running_var", "deconv2.0.weight", "predict_cc.bias"} <= {*net.state_dict()}


@pytest.mark.parametrize("size", [(64, 128), (45, 61), (33, 50), (7, 9)])
def test_the_correction_network_is_at_a_quarter(size: tuple[int, int]) -> None:
    scores = CorrectionNet(5, 0.125).eval()(torch.rand(1, 3, *size))
    assert scores.shape == (1, 5, -(-size[0] // 4), -(-size[1] // 4))


def test_one_small_crop_cannot_train_the_correction_network() -> None:
    net = CorrectionNet(5, 0.125).train()
    with pytest.raises(ConfigError, match="more than one value"):
        net(torch.rand(1, 3, 64, 64))
    assert net(torch.rand(1, 3, 64, 65)).isfinite().all()
    assert net(torch.rand(2, 3, 24, 32)).isfinite().all()


def test_the_distortion_network() -> None:
    with seeded(0):
        net = DistortionNet()
    assert sum(p.numel() for p in net.parameters()) == 764
    assert len(net.state_dict()) == 59
    assert {"conv1.0.depthwise.weight", "conv3.0.pointwise_bn.bias", "conv2.1.weight", "conv4.bias"} <= {
        *net.state_dict()
    }
    assert net.conv1[0].depthwise_bn.momentum == 3e-4  # type: ignore[union-attr]
    assert net.conv1[1].momentum == 0.1
    a, b = torch.randn(2, 2, 3, 9, 13, generator=torch.Generator().manual_seed(0))
    net.eval()
    assert net.conv4.bias is not None
    nn.init.normal_(net.conv4.bias, std=1e-3)  # all rectified features may be 0, and then they have no direction
    torch.testing.assert_close(net(a, a), torch.zeros(2, 1, 9, 13), atol=1e-6, rtol=0)
    torch.testing.assert_close(net(a, b), net(b, a))
    assert 0 <= net(a, b).min() < 0.1 < net(a, b).max() <= 1
    nn.init.zeros_(net.conv4.weight)
    nn.init.zeros_(net.conv4.bias)
    torch.testing.assert_close(net(a, b), torch.full((2, 1, 9, 13), 0.5))


def test_dff_takes_one_flow_from_the_key_frame() -> None:
    model, frames = video_model("dff"), moving_clip(SIZE, 4)
    assert isinstance(model, dff.VideoModel)
    assert model.scale.weight.shape == (CLASSES, model.flow.decoded_channels, 1, 1)
    assert FlowNetS().decoded_channels == 74
    with torch.no_grad():
        scores = F.interpolate(model.reference.classify(model.reference.features(IMAGENET(frames[:, 0]))), (8, 12),
                               mode="bilinear", align_corners=False)  # fmt: skip
        now, key = flow_input(frames[:, 3]), flow_input(frames[:, 0])
        carried = warp(scores, model.flow(now, key))
        torch.testing.assert_close(model.forward_clip(frames), up(carried))  # the scale map starts as 1
        shuffled = frames[:, [0, 2, 1, 3]]
        assert torch.equal(model.forward_clip(shuffled), model.forward_clip(frames))
        nn.init.normal_(model.scale.weight)
        scale = 1 + F.conv2d(model.flow.decode(now, key)[1], model.scale.weight)
        torch.testing.assert_close(model.forward_clip(frames), up(carried * scale))


def carried_by_hand(model: davss.VideoModel, frames: Tensor) -> tuple[Tensor, Tensor]:
    scores = model.scores(model.reference, IMAGENET(frames[:, 0]))
    image = F.interpolate(IMAGENET(frames[:, 0]), (8, 12), mode="bilinear", align_corners=False)
    for i in range(1, frames.shape[1]):
        flow = model.flow(flow_input(frames[:, i]), flow_input(frames[:, i - 1]))
        scores, image = warp(scores, flow), warp(image, flow)
    small = F.interpolate(IMAGENET(frames[:, -1]), (8, 12), mode="bilinear", align_corners=False)
    return up(scores), up(model.distortion(image, small))


def test_davss_blends_at_full_size() -> None:
    model, frames = video_model("davss"), moving_clip(SIZE, 4)
    assert isinstance(model, davss.VideoModel)
    with torch.no_grad():
        carried, distorted = carried_by_hand(model, frames)
        own = up(model.correction(IMAGENET(frames[:, -1])))
        torch.testing.assert_close(model.forward_clip(frames), carried * (1 - distorted) + own * distorted)


def test_losses_of_davss_by_hand() -> None:
    model, frames = video_model("davss"), moving_clip(SIZE, 3)
    assert isinstance(model, davss.VideoModel)
    label = torch.randint(CLASSES, (2, *SIZE), generator=torch.Generator().manual_seed(0))
    label[:, :10] = 255
    first, second = model.phases()
    with torch.no_grad():
        semantic, correction, distortion = [], [], []
        for t, target in ((2, model.reference_ids(frames[:, 1])), (3, label)):
            carried, d = carried_by_hand(model, frames[:, :t])
            own = up(model.correction(IMAGENET(frames[:, t - 1])))
            blended = carried * (1 - d) + own * d
            semantic += [F.cross_entropy(x, target, ignore_index=255) for x in (carried, blended)]
            pixels = F.cross_entropy(own, target, ignore_index=255, reduction="none") * d[:, 0]
            correction.append(pixels.sum() / target.numel())
            seen = model.reference(IMAGENET(frames[:, t - 1])).argmax(1)
            wrong = (carried.argmax(1) != seen).float()
            distortion.append(F.binary_cross_entropy(d[:, 0], wrong))
        found = second.losses(frames, label)
        torch.testing.assert_close(found["semantic"], sum(semantic) / 4)
        torch.testing.assert_close(found["correction"], sum(correction) / 2)
        torch.testing.assert_close(first.losses(frames, label)["distortion"], sum(distortion) / 2)
