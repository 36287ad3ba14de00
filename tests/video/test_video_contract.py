"""What every video architecture must do. New ones are found by name: nothing is to be added here."""

from __future__ import annotations

import pytest
import torch
from tiny_video import CLASSES, moving_clip, video_model
from torch import Tensor

from ifrkit.plugins import names
from ifrkit.train.losses import cross_entropy
from ifrkit.video.base import VideoModel

ARCHS = names("video")
TRAINED = {"accel": ("flow.", "merge.", "reference.decode_head.conv_seg.", "update.decode_head.conv_seg.")}
"""What trains, where the facts say so (ifr_official 5.4)."""


def streamed(model: VideoModel, frames_bt3hw: Tensor) -> list[Tensor]:
    logits, state = model.start(frames_bt3hw[:, 0])
    results = [logits]
    for i in range(1, frames_bt3hw.shape[1]):
        logits, state = model.step(frames_bt3hw[:, i], state)
        results.append(logits)
    return results


def test_only_architectures_are_listed() -> None:
    assert "accel" in ARCHS
    assert not {"base", "systems"} & {*ARCHS}


@pytest.mark.parametrize("size", [(32, 48), (33, 50), (45, 61)])
@pytest.mark.parametrize("arch", ARCHS)
def test_a_clip_equals_its_stream(arch: str, size: tuple[int, int]) -> None:
    model, frames = video_model(arch), moving_clip(size, 4)
    with torch.no_grad():
        results = streamed(model, frames)
        for t, logits in enumerate(results, start=1):
            assert logits.shape == (2, CLASSES, *size)
            torch.testing.assert_close(logits, model.forward_clip(frames[:, :t]), rtol=1e-4, atol=1e-4)
    assert results[0].argmax(1).unique().numel() > 1


@pytest.mark.parametrize("arch", ARCHS)
def test_the_key_frame_alone(arch: str) -> None:
    """At distance 0 nothing has moved: the frame is the key frame."""
    model, frames = video_model(arch), moving_clip((32, 48), 3)
    with torch.no_grad():
        key = model.start(frames[:, 0])[0]
        torch.testing.assert_close(model.forward_clip(frames[:, :1]), key)
        assert not torch.allclose(model.forward_clip(frames), key, atol=1e-3)


@pytest.mark.parametrize("arch", ARCHS)
def test_samples_are_independent(arch: str) -> None:
    model, frames = video_model(arch), moving_clip((32, 48), 3, batch=3)
    with torch.no_grad():
        alone = torch.cat([model.forward_clip(frames[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(model.forward_clip(frames), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("arch", ARCHS)
def test_every_frame_that_is_used_matters(arch: str) -> None:
    """Key frame, last frame, and (for the motion between them) whatever is chained."""
    model, frames = video_model(arch), moving_clip((32, 48), 3, batch=1)
    other = moving_clip((32, 48), 3, batch=1, seed=9)
    with torch.no_grad():
        logits = model.forward_clip(frames)
        for i in (0, 2):
            changed = frames.clone()
            changed[:, i] = other[:, i]
            assert not torch.allclose(model.forward_clip(changed), logits, atol=1e-4)


@pytest.mark.parametrize("arch", ARCHS)
def test_a_training_step_leaves_what_is_frozen(arch: str) -> None:
    model, frames = video_model(arch), moving_clip((32, 48), 3)
    model.train()
    model.train_stage()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    if arch in TRAINED:
        assert trained == [name for name, _ in model.named_parameters() if name.startswith(TRAINED[arch])]
    for module in model.modules():
        own = [*module.parameters(recurse=False)]
        assert not (module.training and own and not any(p.requires_grad for p in own)), f"{module} is frozen"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    label_bhw = torch.randint(CLASSES, (2, 32, 48), generator=torch.Generator().manual_seed(0))
    cross_entropy(model.forward_clip(frames), label_bhw, "valid").backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values())
    optimizer.step()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == [name for name in before if name in trained]


@pytest.mark.parametrize("arch", ARCHS)
def test_training_draws_nothing_at_random(arch: str) -> None:
    """Dropout is off in stage two."""
    model, frames = video_model(arch), moving_clip((32, 48), 2)
    model.train()
    model.train_stage()
    with torch.no_grad():
        first, second = model.forward_clip(frames), model.forward_clip(frames)
    assert torch.equal(first, second)


def test_average_fusion_is_the_mean_of_both_branches() -> None:
    model, frames = video_model("accel"), moving_clip((32, 48), 1)
    model.average_merge()
    a, b = torch.rand(2, 2, CLASSES, 8, 12, generator=torch.Generator().manual_seed(0))
    mean = torch.nn.functional.interpolate((a + b) / 2, frames.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(model.fuse(a, b, (32, 48)), mean)
