"""Key frames by number and by what the warp explains; the size at which the networks see a frame; the two threads."""

from __future__ import annotations

import threading

import numpy as np
import own_videos
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_video import moving_clip, video_model
from torch import nn

from ifrkit.core.plugins import names
from ifrkit.evaluation.systems import to_ids
from ifrkit.models.flownet import build_flownet
from ifrkit.predict.overlap import afterwards, ahead
from ifrkit.predict.streaming import Adaptive, Fixed, Policy, Predictor, Remembered, enlarged_ids, network_size

STREET, OTHER = own_videos.street(6), own_videos.street(6, seed=8)


def _keys(policy: Policy, frames: list[own_videos.Frame]) -> list[int]:
    with torch.no_grad():
        tensors = (torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in frames)
        return [index for index, frame in enumerate(tensors) if policy.is_key(frame)]


def _adaptive(threshold: float = 0.5, longest: int | None = None) -> Adaptive:
    return Adaptive(build_flownet(0.0625, 0), threshold, longest)  # untrained: nothing moves


@given(st.integers(1, 9), st.integers(0, 30))
def test_fixed(interval: int, count: int) -> None:
    policy = Fixed(interval)
    assert _keys(policy, [STREET[0]] * count) == list(range(0, count, interval))
    policy.restart()
    assert _keys(policy, [STREET[0]]) == [0]


def test_adaptive_finds_the_cut_and_no_more() -> None:
    still, cut = [STREET[0]] * 4, [OTHER[0]] * 4
    assert _keys(_adaptive(), still) == [0]
    assert _keys(_adaptive(), still + cut + still) == [0, 4, 8]


def test_adaptive_looks_through_a_change_of_light() -> None:
    dim = [np.clip(STREET[0].astype(int) - step, 0, 255).astype(np.uint8) for step in (0, 8, 16, 24)]
    policy = _adaptive(threshold=0.2)
    assert _keys(policy, dim) == [0]
    assert 0 < policy.error < 0.2


class _Slides(nn.Module):
    """A flow network that knows: everything moves to the right by two pixels a frame, or it believes that it stands."""

    def __init__(self, pixels: float) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, current_b3hw: torch.Tensor, earlier_b3hw: torch.Tensor) -> torch.Tensor:
        flow = torch.zeros(1, 2, current_b3hw.shape[-2] // 4, current_b3hw.shape[-1] // 4)
        flow[:, 0] = -self.pixels / 4
        return flow


def test_adaptive_follows_the_flow() -> None:
    """What slides past is explained by its motion, and by nothing else."""
    clip = moving_clip((32, 96), 6, batch=1)[0].permute(0, 2, 3, 1).numpy()
    errors = {}
    for pixels in (2.0, 0.0):
        policy = Adaptive(_Slides(pixels), 100.0)  # type: ignore[arg-type]
        assert _keys(policy, list(clip)) == [0]
        errors[pixels] = policy.error
    assert errors[2.0] < 0.5 * errors[0.0]
    assert errors[0.0] > 0.5


def test_the_policy_and_the_model_ask_for_flow_once() -> None:
    model, plain = video_model("accel"), video_model("accel")
    asked: list[int] = []
    model.flow.register_forward_hook(lambda *_: asked.append(1))
    model.flow = Remembered(model.flow)  # type: ignore[assignment]
    adaptive = Predictor(model, Adaptive(model.flow, 100.0, longest=5), torch.device("cpu"))
    fixed = Predictor(plain, Fixed(5), torch.device("cpu"))
    for frame in STREET + OTHER[:2]:
        (ids, key), (wanted, wanted_key) = adaptive(frame, (32, 48)), fixed(frame, (32, 48))
        np.testing.assert_array_equal(ids, wanted)
        assert key == wanted_key
    assert len(asked) == 8 - 2  # all but the key frames


@pytest.mark.parametrize("arch", names("architectures"))
def test_every_architecture_streams_with_adaptive_key_frames(arch: str) -> None:
    model, plain = video_model(arch), video_model(arch)
    model.flow = Remembered(model.flow)  # type: ignore[assignment]
    adaptive = Predictor(model, Adaptive(model.flow, 100.0, longest=3), torch.device("cpu"))
    fixed = Predictor(plain, Fixed(3), torch.device("cpu"))
    for frame in STREET[:5]:
        (ids, key), (wanted, wanted_key) = adaptive(frame, (32, 48)), fixed(frame, (32, 48))
        np.testing.assert_array_equal(ids, wanted)
        assert key == wanted_key


def test_a_lower_threshold_takes_more_key_frames() -> None:
    shares = [len(_keys(_adaptive(threshold), STREET + OTHER)) for threshold in (1e-9, 0.3, 0.5, 100.0)]
    assert shares[0] == 12
    assert shares[-1] == 1
    assert shares == sorted(shares, reverse=True)
    assert shares[1] > 1


def test_adaptive_has_a_longest_stretch_and_restarts() -> None:
    policy = _adaptive(longest=3)
    assert _keys(policy, [STREET[0]] * 8) == [0, 3, 6]
    policy.restart()
    assert _keys(policy, [STREET[0]] * 2) == [0]


def test_a_black_picture_explains_itself() -> None:
    policy = _adaptive()
    assert _keys(policy, [np.zeros((32, 48, 3), np.uint8)] * 3) == [0]
    assert np.isfinite(policy.error)


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_the_trained_size_keeps_pixels_and_shape(height: int, width: int) -> None:
    h, w = network_size((height, width), (96, 192), "train")
    if min(h, w) >= 20:
        assert h * w == pytest.approx(96 * 192, rel=0.06)
        assert h / w == pytest.approx(height / width, rel=0.06)
    assert network_size((96, 192), (96, 192), "train") == (96, 192)
    assert network_size((height, width), (96, 192), "own") == (height, width)
    assert network_size((height, width), (96, 192), (5, 6)) == (5, 6)


@given(st.tuples(*[st.integers(1, 40)] * 4), st.integers(1, 6), st.integers(0, 99))
def test_enlarged_ids_are_those_of_eval(sizes: tuple[int, int, int, int], classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, classes, *sizes[:2], generator=generator)
    found, wanted = enlarged_ids(logits, sizes[2:]), to_ids(logits, sizes[2:])
    assert found.dtype == wanted.dtype
    assert (found != wanted).mean() <= 0.01  # rounding, where two classes are as good as equal


def test_ahead_keeps_order_runs_elsewhere_and_hands_errors_over() -> None:
    def items(count: int, fault: bool = False):  # type: ignore[no-untyped-def]
        for number in range(count):
            yield number, threading.current_thread()
        if fault:
            raise ValueError("the disk is gone")

    for count in (0, 1, 9):
        with ahead(items(count)) as found:
            results = list(found)
        assert [number for number, _ in results] == list(range(count))
        assert all(thread is not threading.current_thread() for _, thread in results)
    with pytest.raises(ValueError, match="the disk is gone"), ahead(items(2, fault=True)) as found:
        assert len(list(found)) == 2
    with ahead(items(1000)) as found:  # whoever leaves early does not hang
        next(found)


def test_afterwards_keeps_order_and_hands_errors_over() -> None:
    done: list[tuple[int, threading.Thread]] = []
    with afterwards(lambda number: done.append((number, threading.current_thread()))) as put:
        for number in range(20):
            put(number)
    assert [number for number, _ in done] == list(range(20))
    assert all(thread is not threading.current_thread() for _, thread in done)

    def refuse(number: int) -> None:
        raise ValueError(f"not {number}")

    with pytest.raises(ValueError, match="not 0"), afterwards(refuse) as put:
        put(0)
