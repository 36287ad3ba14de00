"""Distillation: soft labels of a teacher, and predictions that agree along the flow."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run
import torch
import torch.nn.functional as F

from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core.errors import ConfigError
from ifrkit.data.loading.batch import Batch
from ifrkit.methods.distill import Method, soft_loss, temporal_loss, visibility
from ifrkit.models.network import build_network
from ifrkit.stages import train_branches
from ifrkit.stages.runner import Run, execute

K, H, W = 4, 6, 9


def logits(seed: int) -> torch.Tensor:
    return torch.randn(2, K, H, W, generator=torch.Generator().manual_seed(seed))


def flow(dx: float = 0.0, sure: float = 1.0) -> torch.Tensor:
    return torch.tensor([dx, 0.0, sure])[None, :, None, None].repeat(2, 1, H, W)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_soft_loss_is_the_divergence_of_torch(temperature: float) -> None:
    z, teacher = logits(0), logits(1)
    wanted = F.kl_div(
        (z / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="none"
    ).sum(1).mean() * temperature**2  # fmt: skip
    torch.testing.assert_close(soft_loss(z, teacher, temperature), wanted)
    assert soft_loss(z, z, temperature) == 0


def test_the_gradient_hardly_depends_on_a_high_temperature() -> None:
    """The square of T undoes what dividing by it does to the gradient (Hinton et al., 2015)."""
    found = []
    for temperature in (50.0, 100.0):
        z = logits(0).requires_grad_()
        (gradient,) = torch.autograd.grad(soft_loss(z, logits(1), temperature), z)
        found.append(gradient)
    assert (found[0] - found[1]).norm() < 0.05 * found[1].norm()


def test_what_moves_with_the_flow_costs_nothing() -> None:
    q = logits(0).softmax(1)
    moved = torch.roll(q, 2, dims=3)  # each pixel of q lies two to the right there
    inner = torch.zeros(2, H, W)
    inner[..., :-2] = 1
    assert temporal_loss(q, moved, flow(2.0), inner) == pytest.approx(0, abs=1e-12)
    assert temporal_loss(q, moved, flow(0.0), inner) > 0.01


def test_the_temporal_loss_by_hand() -> None:
    """One of K classes against another in half of the pixels that count by 0.5: a squared distance of 2 each."""
    a, b = (F.one_hot(torch.full((2, H, W), k), K).permute(0, 3, 1, 2).float() for k in (0, 1))
    v = torch.zeros(2, H, W)
    v[:, : H // 2] = 0.5
    assert temporal_loss(a, b, flow(), v) == pytest.approx(0.5)


def test_what_looks_different_or_is_not_sure_counts_less() -> None:
    black, white = torch.zeros(2, 3, H, W), torch.full((2, 3, H, W), 255.0)
    assert (visibility(black, black, flow()) == 1).all()
    torch.testing.assert_close(visibility(black, white, flow()), torch.full((2, H, W), -1.0).exp())
    assert (visibility(black, black, flow(sure=0.0)) == 0).all()


def test_the_teacher_sees_its_own_pixels_and_learns_nothing() -> None:
    """Of a frame as its own backbone normalises it, whatever the student's does; only the student gets a gradient."""
    student = build_network(NetworkConfig(width=0.125), K, 0).train()
    teacher = build_network(network_config({"backbone": "efficientnet-lite0", "stages": 3}), K, 1).eval()
    assert teacher.normalisation != student.normalisation
    method = Method(Method.Config(temporal=0.0))
    method.trained = teacher
    assert [view.name for view in method.views()] == ["v1_0"]
    module = method.build(student)
    assert module is not None
    frames = torch.randint(0, 256, (2, 3, 24, 32), dtype=torch.uint8)
    batch = Batch({"v1_0": student.normalise(frames)}, {})
    (loss,) = method.losses(student, batch, {}, 0).values()
    loss.backward()
    assert student.decode_head.conv_seg.weight.grad is not None
    assert all(p.grad is None and not p.requires_grad for p in module.parameters())
    with torch.no_grad():
        wanted = teacher(teacher.normalise(frames)).argmax(1)
    assert torch.equal(batch.guesses["v1_0"].label_bhw, wanted)


def test_a_trained_network_teaches(tmp_path: Path) -> None:
    """Through the pipe the given one, else the newest; with a label space of its own it is refused."""
    clips = tiny_run.make_clips(tmp_path)
    plain = tiny_run.branches_config(branches="reference", ssl="none", loop={"steps": 1, "batch": 2})
    teacher = tiny_run.train(tmp_path, plain, clips)
    config = tiny_run.branches_config(ssl="distill", loop={"steps": 2, "batch": 2})
    found = tiny_run.train(tmp_path, config, clips)
    assert [ref.id for ref in found.manifest.inputs] == [clips.id, teacher.id]
    given = execute(train_branches.STAGE, config, Run(workspace=tmp_path / "other", inputs=[teacher]))
    assert given.id == found.id
    assert given.file("update.last.safetensors").read_bytes() == found.file("update.last.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"reads no branches, .*; add distill or blend to --ssl"):
        execute(train_branches.STAGE, plain, Run(workspace=tmp_path, inputs=[teacher]))
