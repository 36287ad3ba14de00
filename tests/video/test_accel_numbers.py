"""The released forward pass of stage two in numbers (facts, section 8), and what of it trains (5.4)."""

from __future__ import annotations

import pytest
import torch
from official import Number, load_official, official_input, official_label

from ifrkit.architectures._accel import VideoModel
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


NUMBERS = [
    # carried scores: mean, std; logits: mean, std, [0,3,10,20], [1,18,63,127]; cross entropy
    Number("21.58235", 21.582355971001363, 2.9e-7),
    Number("175.637", 175.63702730488345, 2.8e-7),
    Number("-14.47585", -14.475853003654573, 6.6e-7),
    Number("108.1233", 108.1233552221514, 2.5e-7),
    Number("-3.786801", -3.7868525509358406, 3.2e-5),
    Number("-60.50938", -60.509429366812775, 1.7e-6),
    Number("223.6666", 223.66664373969607, 4.3e-7),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_forward_of_four_chained_warps(model: VideoModel, dtype: torch.dtype) -> None:
    shape = (2, 3, 5, 64, 128)
    model.to(dtype)  # the weights are float32 numbers: nothing is lost on the way back
    seg_bt3hw = official_input(0, shape).transpose(1, 2).to(dtype)
    flow_bt3hw = (0.2 * official_input(3, shape) + 0.5).transpose(1, 2).to(dtype)
    with torch.no_grad():
        carried = model.propagate(model.scores(model.reference, seg_bt3hw[:, 0]), flow_bt3hw)
        out = model.forward_released(seg_bt3hw, flow_bt3hw)
    got = [carried.mean(), carried.std(), out.mean(), out.std(), out[0, 3, 10, 20], out[1, 18, 63, 127]]
    got.append(cross_entropy(out, official_label((2, 64, 128)), "valid"))
    for number, found in zip(NUMBERS, got, strict=True):
        number.check(found, dtype)


def test_parameters_that_train(model: VideoModel) -> None:
    model.train_phase(*model.phases())
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    parts = {part: sum(n for name, n in trained.items() if part in name) for part in ("flow.", "merge", "conv_seg")}
    assert parts == {"flow.": 5_462_674, "merge": 741, "conv_seg": 2_451 + 9_747}
    assert sum(trained.values()) == 5_475_613
    assert sum(p.numel() for p in model.parameters()) == 83_941_405
    assert len(model.state_dict()) == 886
