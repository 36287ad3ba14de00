"""Contract checks of video architectures and metrics, by the name that they are registered under.

As `check_dataset`: every one raises AssertionError with a sentence that says what the contract wants.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ifrkit.config.network import NetworkConfig
from ifrkit.core.lazy import lazy, torch
from ifrkit.core.plugins import load
from ifrkit.core.records import PairFlow
from ifrkit.metrics.base import NEEDS, ClipResult

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.metrics.base import Metric
    from ifrkit.models import flownet
    from ifrkit.models import network as building
    from ifrkit.models.video import Phase, VideoModel
else:
    flownet, building = lazy("ifrkit.models.flownet"), lazy("ifrkit.models.network")

CLASSES = 5


def _require(condition: bool, kind: str, contract: str) -> None:
    if not condition:
        raise AssertionError(f"contract of {kind}: {contract}")


def check_architecture(name: str) -> None:
    """`models/video.py`: clip and stream agree at odd sizes, samples do not mix, phases train what they say."""
    for size in ((32, 48), (33, 50)):
        model, frames = _video_model(name), _moving(size, 3, batch=2)
        with torch.no_grad():
            logits, state = model.start(frames[:, 0])
            _require(
                logits.shape == (2, CLASSES, *size), "an architecture", "logits are (b, k, h, w), as large as the frame"
            )
            _same(model.forward_clip(frames[:, :1]), logits, "a clip of one frame is its key frame")
            for t in (1, 2):
                logits, state = model.step(frames[:, t], state)
                _same(model.forward_clip(frames[:, : t + 1]), logits, "chained steps equal forward_clip")
            alone = torch.cat([model.forward_clip(frames[i : i + 1]) for i in range(2)])
            _same(alone, logits, "samples of a batch do not mix")
    names = [phase.name for phase in _video_model(name).phases()]
    _require(bool(names) and names[-1] == "model", "an architecture", 'the last phase is called "model"')
    _require(len({*names}) == len(names), "an architecture", "phases have names of their own")
    for index in range(len(names)):
        _check_phase(_video_model(name), index)


def _video_model(name: str) -> VideoModel:
    architecture = load("architectures", name)
    config = NetworkConfig(backbone="resnet18", width=0.0625)
    networks = [building.build_network(config, CLASSES, seed) for seed in range(len(architecture.branches))]
    torch.manual_seed(0)
    for network in networks:  # a random classifier sees the same class everywhere
        torch.nn.init.normal_(network.decode_head.conv_seg.weight, std=1.0)
    model: VideoModel = architecture.build(*networks, flownet.build_flownet(0.0625, 0), CLASSES)
    torch.nn.init.normal_(model.flow.predict_flow2.weight, std=0.02)
    return model.eval()


def _moving(size: tuple[int, int], frames: int, batch: int) -> Tensor:
    """(b, t, 3, h, w) uint8: noise that slides by two pixels a frame."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.randint(256, (batch, 3, size[0], size[1] + 2 * frames), generator=generator, dtype=torch.uint8)
    return torch.stack([scene[..., 2 * t : 2 * t + size[1]] for t in range(frames)], 1)


def _same(one: Tensor, other: Tensor, contract: str) -> None:
    _require(torch.allclose(one, other, rtol=1e-4, atol=1e-4), "an architecture", contract)


def _check_phase(model: VideoModel, index: int) -> None:
    phase: Phase = model.phases()[index]
    model.train()
    model.train_phase(phase)
    frames, generator = _moving((32, 48), 3, batch=2), torch.Generator().manual_seed(0)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    label = torch.randint(CLASSES, (2, 32, 48), generator=generator)
    for what in (label, torch.full_like(label, 255)):
        terms = phase.losses(frames, what)
        sound = all(term.shape == () and term.isfinite() for term in terms.values())
        _require(
            bool(terms) and sound, "an architecture", f"losses of {phase.name} are finite scalars, without a label too"
        )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.stack(list(phase.losses(frames, label).values())).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    free = {key for key, p in model.named_parameters() if p.requires_grad}
    _require(bool(moved) and moved <= free, "an architecture", f"{phase.name} trains its parts and nothing else")


def check_metric(name: str) -> None:
    """`ifrkit/metrics/base.py`: plain numbers from 0 to 1, None where nothing counts; order does not matter."""
    cls = load("metrics", name)
    _require(bool(cls.__doc__ and cls.title and cls.headline), "a metric", "it has a docstring, a title and a headline")
    _require(cls.needs <= NEEDS, "a metric", f"needs are some of {', '.join(sorted(NEEDS))}")
    alone = {"labels"} <= cls.needs <= {"labels", "confidences"}
    _require(cls.protocol == "stream" or alone, "a metric", "scored frames have a label, no flow and no neighbours")
    empty = cls(CLASSES).compute()
    _require(cls.headline in empty and empty[cls.headline] is None, "a metric", "where nothing counts, it is None")
    clips = [_judged(seed) for seed in range(4)]
    whole, shards = _updated(cls, clips), [_updated(cls, clips[2:]), _updated(cls, clips[1::-1])]
    result = whole.compute()
    _require(0 <= result[cls.headline] <= 1, "a metric", "the headline is a fraction from 0 to 1")
    _require(json.loads(json.dumps(result, allow_nan=False)) == result, "a metric", "compute() gives plain numbers")
    shards[0].merge(shards[1].counts)
    _require(shards[0].compute() == result, "a metric", "neither order nor shards matter")
    sums = all(value.dtype == np.int64 for value in whole.counts.values())
    _require(bool(whole.counts) and sums, "a metric", "counts are int64 sums, so that they add up exactly")


def _updated(cls: Callable[[int], Metric], clips: list[ClipResult]) -> Metric:
    metric = cls(CLASSES)
    for clip in clips:
        metric.update(clip)
    return metric


def _judged(seed: int) -> ClipResult:
    """Slow noise of 18 frames: predictions, labels with ignored pixels, and flow."""
    rng, size, length = np.random.default_rng(seed), (6, 8), 18
    ids = rng.integers(0, CLASSES, size).astype(np.uint8)
    frames = {}
    for index in range(length):
        fresh = rng.integers(0, CLASSES, size).astype(np.uint8)
        ids = np.where(rng.random(size) < 0.05, fresh, ids)
        frames[index] = ids
    labels = {i: np.where(rng.random(size) < 0.1, 255, ids).astype(np.uint8) for i, ids in frames.items()}
    wrong = {
        i: np.where(rng.random(size) < 0.2, (ids + 1) % CLASSES, ids).astype(np.uint8) for i, ids in frames.items()
    }
    flow = PairFlow(np.zeros((2, *size), np.float32), np.ones(size, bool))
    sure = {i: rng.uniform(1 / CLASSES, 1, size).astype(np.float32) for i in frames}
    seen = dict.fromkeys(frames, rng.integers(0, 256, (*size, 3)).astype(np.uint8))
    return ClipResult(f"clip{seed}", wrong, labels, dict.fromkeys(range(length - 1), flow), sure, seen)
