"""TDNet beside its released procedure: attention pixel by pixel, whose turn it is, the losses by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_video import CLASSES, moving_clip, video_model
from torch import Tensor

from ifrkit.architectures import _tdnet as tdnet
from ifrkit.core.errors import ConfigError
from ifrkit.export.graphs import graphs
from ifrkit.models.subnetworks import SubNetwork, attend

SIZE = (32, 48)


def model() -> tdnet.VideoModel:
    made = video_model("tdnet")
    assert isinstance(made, tdnet.VideoModel)
    return made


def subnetwork(made: tdnet.VideoModel, index: int) -> SubNetwork:
    network = made.subnetworks[index]
    assert isinstance(network, SubNetwork)
    return network


def up(maps: Tensor) -> Tensor:
    return F.interpolate(maps, SIZE, mode="bilinear", align_corners=False)


def test_attention_pixel_by_pixel() -> None:
    q, k, v = (torch.randn(1, n, c, generator=torch.Generator().manual_seed(n)) for n, c in ((3, 4), (5, 4), (5, 2)))
    found = attend(q, k, v)[0].numpy()
    for i, query in enumerate(q[0].numpy()):
        alike = np.array([query @ key / math.sqrt(4) for key in k[0].numpy()])
        share = np.exp(alike) / np.exp(alike).sum()
        np.testing.assert_allclose(found[i], sum(s * value for s, value in zip(share, v[0].numpy(), strict=True)), 1e-5)


def joined_by_hand(made: tdnet.VideoModel, frames: list[Tensor], turn: int) -> Tensor:
    """Scores of the last of four frames, by the released order: from the oldest on, each joins the one after it."""
    order = [(turn + 1) % 4, (turn + 2) % 4, (turn + 3) % 4, turn]
    net, maps = subnetwork(made, turn), []
    for index, frame in zip(order, frames, strict=True):
        maps.append(subnetwork(made, index).features(frame))

    def tokens(x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)

    every_third = [f[:, :, ::3, ::3] for f in maps[:3]]
    parts = [subnetwork(made, i) for i in order[:3]]
    keys, queries, values = (
        [tokens(getattr(part, name)(f)) for part, f in zip(parts, every_third, strict=True)]
        for name in ("key", "query", "value")
    )
    v_2 = net.hops[0](attend(queries[1], keys[0], values[0]))
    v_3 = net.hops[1](attend(queries[2], keys[1], v_2 + values[1]))
    v_4 = net.hops[2](attend(tokens(net.query(maps[3])), keys[2], v_3 + values[2]))
    own = net.value(maps[3])
    features = v_4.transpose(1, 2).reshape(own.shape) + own
    mean, var = features.mean((2, 3), keepdim=True), features.var((2, 3), keepdim=True, correction=0)
    return net.head((features - mean) / (var + 1e-5).sqrt())  # type: ignore[no-any-return]


def test_frames_take_turns() -> None:
    """Frame t goes through sub-network t mod 4; before the first frame there are only frames like it."""
    made, frames = model(), moving_clip(SIZE, 6)
    with torch.no_grad():
        for t in range(6):
            window = [frames[:, max(0, i)] for i in range(t - 3, t + 1)]
            expected = up(joined_by_hand(made, window, t % 4))
            torch.testing.assert_close(made.forward_clip(frames[:, : t + 1]), expected, rtol=1e-4, atol=1e-4)


def test_only_the_last_four_frames_matter() -> None:
    made, frames = model(), moving_clip(SIZE, 6)
    other = frames.clone()
    other[:, :2] = moving_clip(SIZE, 2, seed=3)
    with torch.no_grad():
        assert torch.equal(made.forward_clip(frames), made.forward_clip(other))
        other[:, 2] = 0
        assert not torch.allclose(made.forward_clip(frames), made.forward_clip(other), atol=1e-4)


def test_a_frame_after_the_first_costs_one_sub_network() -> None:
    made, frames, passes = model(), moving_clip(SIZE, 3), list[int]()
    for index in range(4):
        subnetwork(made, index).trunk.backbone.register_forward_hook(lambda *_, index=index: passes.append(index))
    with torch.no_grad():
        _, state = made.start(frames[:, 0])
        assert sorted(passes) == [0, 1, 2, 3]
        passes.clear()
        for i in (1, 2):
            _, state = made.step(frames[:, i], state)
    assert passes == [1, 2]


def test_sub_networks_start_as_the_update_branch() -> None:
    made = model()
    trunks = [subnetwork(made, i).trunk.state_dict() for i in range(4)]
    assert all(torch.equal(trunk[key], trunks[0][key]) for trunk in trunks for key in trunk)
    assert not any(key.startswith("decode_head.conv_seg") for key in trunks[0])
    heads = [subnetwork(made, i).head.state_dict() for i in range(4)]
    assert not torch.equal(heads[0]["1.weight"], heads[1]["1.weight"])


def test_losses_by_hand() -> None:
    made, frames = model(), moving_clip(SIZE, 4)
    label = torch.randint(CLASSES, (2, *SIZE), generator=torch.Generator().manual_seed(0))
    label[:, :10] = 255
    (phase,) = made.phases()
    window = [frames[:, i] for i in range(4)]
    with torch.no_grad():
        f = made.reference.features(made.reference.normalise(frames[:, 3]))
        conv, ce, distance = made.reference.decode_head.conv_seg, 0.0, 0.0
        whole = conv(f)
        for turn in range(4):
            net = subnetwork(made, turn)
            value = net.value(net.features(frames[:, 3]))
            joined, alone = joined_by_hand(made, window, turn), net.head(F.layer_norm(value, value.shape[2:]))
            part = torch.zeros_like(f)
            part[:, 2 * turn : 2 * turn + 2] = 4 * f[:, 2 * turn : 2 * turn + 2]  # two of its eight channels
            for share, logits, taught in ((1.0, joined, whole), (0.5, alone, conv(part))):
                ce += share * float(F.cross_entropy(up(logits), label, ignore_index=255)) / 4
                surprise = taught.log_softmax(1) - logits.log_softmax(1)
                distance += share * float((taught.softmax(1) * surprise).sum(1).mean()) / 4
        found = phase.losses(frames, label)
    assert f.shape[1] == 8
    assert float(found["ce"]) == pytest.approx(ce, rel=1e-4)
    assert float(found["distilled"]) == pytest.approx(distance, rel=1e-4)


def test_the_teacher_as_student_is_at_no_distance() -> None:
    logits = torch.randn(2, CLASSES, 4, 6, generator=torch.Generator().manual_seed(0))
    assert tdnet.divergence(logits, logits + 3.0).item() == pytest.approx(0, abs=1e-6)
    assert tdnet.divergence(logits, -logits) > 0.1


def test_its_graphs_are_refused_in_one_line() -> None:
    """A graph of one step would have to hold all four sub-networks."""
    with pytest.raises(ConfigError, match="state is not a NamedTuple of tensors"):
        list(graphs("tdnet", model(), SIZE, ()))
