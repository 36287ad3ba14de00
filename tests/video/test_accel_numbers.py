"""The released forward pass of stage two in numbers (facts, section 8), and what of it trains (5.4)."""

from __future__ import annotations

import pytest
import torch
from official import load_official, official_input, official_label

from ifrkit.architectures.accel import VideoModel
from ifrkit.config.network import NetworkConfig
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.losses import cross_entropy
from ifrkit.models.network import Network


@pytest.fixture(scope="module")
def model() -> VideoModel:
    networks = [load_official(Network(NetworkConfig(backbone=name), 19)) for name in ("resnet101", "resnet18")]
    model = VideoModel(*networks, load_official(FlowNetS()), 19)  # type: ignore[arg-type]
    load_official(model.merge, "merge.")
    return model.eval()


def test_forward_of_four_chained_warps(model: VideoModel) -> None:
    shape = (2, 3, 5, 64, 128)
    seg_bt3hw = official_input(0, shape).transpose(1, 2)
    flow_bt3hw = (0.2 * official_input(3, shape) + 0.5).transpose(1, 2)
    with torch.no_grad():
        carried = model.propagate(model.scores(model.reference, seg_bt3hw[:, 0]), flow_bt3hw)
        out = model.forward_released(seg_bt3hw, flow_bt3hw)
    got = [carried.mean(), carried.std(), out.mean(), out.std(), out[0, 3, 10, 20], out[1, 18, 63, 127]]
    got.append(cross_entropy(out, official_label((2, 64, 128)), "valid"))
    want = (21.58235, 175.637, -14.47585, 108.1233, -3.786801, -60.50938, 223.6666)
    torch.testing.assert_close(torch.stack(got), torch.tensor(want), rtol=2e-5, atol=0)


def test_parameters_that_train(model: VideoModel) -> None:
    model.train_phase(*model.phases())
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    parts = {part: sum(n for name, n in trained.items() if part in name) for part in ("flow.", "merge", "conv_seg")}
    assert parts == {"flow.": 5_462_674, "merge": 741, "conv_seg": 2_451 + 9_747}
    assert sum(trained.values()) == 5_475_613
    assert sum(p.numel() for p in model.parameters()) == 83_941_405
    assert len(model.state_dict()) == 886
