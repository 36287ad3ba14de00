"""Contract checks of methods, video architectures and metrics, by the name that they are registered under.

As `check_dataset`: every one raises AssertionError with a sentence that says what the contract wants.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifrkit.plugins import load

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.artifacts.store import Artifact
    from ifrkit.metrics.base import ClipResult, Metric
    from ifrkit.train.branch import BranchTask
    from ifrkit.video.base import Phase, VideoModel

CLASSES = 5
_TOY = {"train_videos": 2, "val_videos": 1, "clip_length": 5, "height": 32, "width": 48}
_LATE = 10**6
"""A step behind every ramp-up."""


def _require(condition: bool, kind: str, contract: str) -> None:
    if not condition:
        raise AssertionError(f"contract of {kind}: {contract}")


def check_method(name: str, directory: Path) -> None:
    """`ifrkit/methods/base.py`, on tiny networks and clips that are made below `directory`.

    Three steps are finite at odd sizes and move every weight; terms are scalars that reach the network; a crop without
    any label gives no NaN; under `OFF` training equals `none` bit for bit.
    """
    import torch

    clips = _toy_clips(directory)
    for size in ((24, 32), (25, 31)):
        task = _task(name, clips, directory, crop={"size": size})
        before = {key: p.detach().clone() for key, p in task.network.named_parameters()}
        for step, batch in enumerate(map(task.to_device, task.batches(0, 3))):
            _step(task, batch, step)
        still = [key for key, p in task.network.named_parameters() if torch.equal(p, before[key])]
        _require(not still, "a method", f"a step moves every weight of the network (not {still[:2]})")
    task = _task(name, clips, directory, method={name: dict(load("methods", name).OPEN)})
    batch = task.to_device(next(iter(task.batches(0, 1))))
    batch.labels = {view: torch.full_like(label, 255) for view, label in batch.labels.items()}
    _step(task, batch, _LATE)
    _check_off(name, clips, directory)


def _toy_clips(directory: Path) -> Artifact:
    from ifrkit.config.stages import PrepareConfig
    from ifrkit.stages import prepare
    from ifrkit.stages.runner import execute

    config = PrepareConfig.model_validate({"dataset": "synthetic", "options": _TOY})
    return execute(prepare.STAGE, config, workspace=directory, inputs=[])


def _branches_config(ssl: str, **changes: Any) -> Any:
    from ifrkit.config.stages import TrainBranchesConfig

    config = {
        "ssl": ssl,
        "branches": "update",
        "update": {"backbone": "resnet18", "width": 0.125},
        "crop": {"size": (24, 32)},
        "loop": {"steps": 2, "batch": 2, "eval_every": 2},
        "runtime": {"workers": 0},
    }
    return TrainBranchesConfig.model_validate(config | changes)


def _task(name: str, clips: Artifact, directory: Path, **changes: Any) -> BranchTask:
    import torch

    from ifrkit.data.partitions import labeled_clips
    from ifrkit.data.store import ClipStore
    from ifrkit.models.network import build_network
    from ifrkit.train.branch import BranchTask

    config = _branches_config(name, **changes)
    store = ClipStore(clips.path)
    network = build_network(config.update, store.labels.num_classes, seed=0)
    labeled = labeled_clips(store, config.labeled)
    pseudo = None
    if config.method[name].artifacts():  # pseudo labels are all that a method may ask for
        pseudo = _pseudo_labels(clips, directory, labeled)
    task = BranchTask(network, config, store, labeled, torch.device("cpu"), pseudo)
    task.module.train()
    return task


def _pseudo_labels(clips: Artifact, directory: Path, labeled: list[int]) -> Any:
    from ifrkit.config.stages import PseudoLabelConfig
    from ifrkit.data.pseudo import PseudoLabels
    from ifrkit.data.store import ClipStore
    from ifrkit.stages import pseudo_label, train_branches
    from ifrkit.stages.runner import execute

    teacher = execute(train_branches.STAGE, _branches_config("none"), workspace=directory, inputs=[clips])
    config = PseudoLabelConfig(branch="update")
    labels = execute(pseudo_label.STAGE, config, workspace=directory, inputs=[teacher])
    return PseudoLabels(labels.path, ClipStore(clips.path), labeled)


def _step(task: BranchTask, batch: Any, step: int) -> None:
    import torch

    for optimizer in task.optimizers:
        optimizer.zero_grad()
    torch.manual_seed(step)
    terms = task.module(batch, step)
    flat = [key for key, term in terms.items() if term.shape != () or not term.isfinite()]
    _require(not flat, "a method", f"loss terms are finite scalars (not {flat})")
    lost = [key for key, term in terms.items() if not term.requires_grad]
    _require(not lost, "a method", f"every loss term has a gradient (not {lost})")
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    broken = [key for key, p in task.module.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    _require(not broken, "a method", f"gradients are finite (not of {broken[:2]})")
    for optimizer in task.optimizers:
        optimizer.step()
    task.stepped(step)


def _check_off(name: str, clips: Artifact, directory: Path) -> None:
    from ifrkit.stages import train_branches
    from ifrkit.stages.runner import execute

    off = {name: dict(load("methods", name).OFF)}
    weights = []
    for config in (_branches_config("none", seed=3), _branches_config(name, seed=3, method=off)):
        inputs = [clips, *_wanted(config, directory)]
        artifact = execute(train_branches.STAGE, config, workspace=directory, inputs=inputs)
        weights.append(artifact.file("update.last.safetensors").read_bytes())
    _require(weights[0] == weights[1], "a method", "under OFF training equals `none` bit for bit")


def _wanted(config: Any, directory: Path) -> list[Artifact]:
    from ifrkit.artifacts.store import resolve

    kinds = [kind for options in config.method.values() for kind in options.artifacts()]
    return [resolve(directory, kind, (kind,)) for kind in kinds]


def check_architecture(name: str) -> None:
    """`ifrkit/video/base.py`: clip and stream agree at odd sizes, samples do not mix, phases train what they say."""
    import torch

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
    import torch

    from ifrkit.config.stages import NetworkConfig
    from ifrkit.models.flownet import build_flownet
    from ifrkit.models.network import build_network

    architecture = load("video", name)
    config = NetworkConfig(backbone="resnet18", width=0.0625)
    networks = [build_network(config, CLASSES, seed) for seed in range(len(architecture.branches))]
    torch.manual_seed(0)
    for network in networks:  # a random classifier sees the same class everywhere
        torch.nn.init.normal_(network.decode_head.conv_seg.weight, std=1.0)
    model: VideoModel = architecture(*networks, build_flownet(0.0625, 0), CLASSES)
    torch.nn.init.normal_(model.flow.predict_flow2.weight, std=0.02)
    return model.eval()


def _moving(size: tuple[int, int], frames: int, batch: int) -> Tensor:
    """(b, t, 3, h, w) uint8: noise that slides by two pixels a frame."""
    import torch

    generator = torch.Generator().manual_seed(0)
    scene = torch.randint(256, (batch, 3, size[0], size[1] + 2 * frames), generator=generator, dtype=torch.uint8)
    return torch.stack([scene[..., 2 * t : 2 * t + size[1]] for t in range(frames)], 1)


def _same(one: Tensor, other: Tensor, contract: str) -> None:
    import torch

    _require(torch.allclose(one, other, rtol=1e-4, atol=1e-4), "an architecture", contract)


def _check_phase(model: VideoModel, index: int) -> None:
    import torch

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
    import json

    import numpy as np

    cls = load("metrics", name)
    _require(bool(cls.__doc__ and cls.title and cls.headline), "a metric", "it has a docstring, a title and a headline")
    _require(cls.needs <= {"labels", "flows", "dense-labels"}, "a metric", "needs are labels, flows or dense-labels")
    _require(
        cls.protocol == "stream" or cls.needs == {"labels"}, "a metric", "scored frames have no flow and no neighbours"
    )
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
    import numpy as np

    from ifrkit.metrics.base import ClipResult, PairFlow

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
    return ClipResult(f"clip{seed}", wrong, labels, dict.fromkeys(range(length - 1), flow))
