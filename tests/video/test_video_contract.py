"""What every video architecture must do. New ones are found by name: nothing is to be added here."""

from __future__ import annotations

import pytest
import torch
from tiny_video import CLASSES, moving_clip, video_model
from torch import Tensor

from ifrkit.core.plugins import names
from ifrkit.models.video import Phase, VideoModel

ARCHS = names("architectures")
TRAINED = {
    "accel/model": ("flow.", "merge.", "reference.decode_head.conv_seg.", "update.decode_head.conv_seg."),
    "dff/model": ("flow.", "scale."),
    "davss/distortion": ("distortion.",),
    "davss/model": ("flow.", "correction."),
    "tdnet/model": ("subnetworks.",),
}
"""What trains in each phase, where the released code says so (Accel of IFR, DFF of TDC, DAVSS)."""
PHASES = [(arch, phase.name) for arch in ARCHS for phase in video_model(arch).phases()]


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


def in_phase(arch: str, name: str) -> tuple[VideoModel, Phase]:
    model = video_model(arch)
    phase = next(phase for phase in model.phases() if phase.name == name)
    model.train()
    model.train_phase(phase)
    return model, phase


def label(size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.randint(CLASSES, (2, *size), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("arch", ARCHS)
def test_the_last_phase_makes_the_model(arch: str) -> None:
    names = [phase.name for phase in video_model(arch).phases()]
    assert names[-1] == "model"
    assert len({*names}) == len(names)


@pytest.mark.parametrize(("arch", "name"), PHASES)
def test_a_training_step_leaves_what_is_frozen(arch: str, name: str) -> None:
    model, phase = in_phase(arch, name)
    trained = [key for key, p in model.named_parameters() if p.requires_grad]
    assert trained
    if f"{arch}/{name}" in TRAINED:
        assert trained == [key for key, _ in model.named_parameters() if key.startswith(TRAINED[f"{arch}/{name}"])]
    statistics = set()
    for path, module in model.named_modules():
        own = [*module.parameters(recurse=False)]
        assert not (module.training and own and not any(p.requires_grad for p in own)), f"{path} is frozen"
        if any(p.requires_grad for p in own):
            statistics |= {f"{path}.{key}" for key, _ in module.named_buffers(recurse=False)}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    torch.stack([*phase.losses(moving_clip((32, 48), 3), label()).values()]).sum().backward()
    grads = {key: p.grad for key, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values())
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    zero = {key for key in trained if not before[key].any() and not grads[key].any()}  # type: ignore[union-attr]
    assert changed - statistics == {*trained} - zero
    assert len(zero) < len(trained) / 2


@pytest.mark.parametrize(("arch", "name"), PHASES)
def test_training_draws_nothing_at_random(arch: str, name: str) -> None:
    """Dropout is off in stage two."""
    _, phase = in_phase(arch, name)
    with torch.no_grad():
        first, second = (phase.losses(moving_clip((32, 48), 3), label()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("arch", "name"), PHASES)
def test_losses_at_labels_that_say_nothing(arch: str, name: str) -> None:
    _, phase = in_phase(arch, name)
    terms = phase.losses(moving_clip((32, 48), 3), torch.full((2, 32, 48), 255))
    assert all(term.ndim == 0 and term.isfinite() for term in terms.values())


def test_average_fusion_is_the_mean_of_both_branches() -> None:
    model, frames = video_model("accel"), moving_clip((32, 48), 1)
    model.average_merge()
    a, b = torch.rand(2, 2, CLASSES, 8, 12, generator=torch.Generator().manual_seed(0))
    mean = torch.nn.functional.interpolate((a + b) / 2, frames.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(model.fuse(a, b, (32, 48)), mean)
