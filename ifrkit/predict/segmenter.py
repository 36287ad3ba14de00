"""What predicts: a branch or a video model, as torch networks or as exported graphs, and what it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ifrkit.artifacts.indexes import Branches, Exported
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact
from ifrkit.config.predict import PredictConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.records import LabelSpace
from ifrkit.data.store.clips import ClipStore
from ifrkit.export.graphs import SMALLEST
from ifrkit.export.runtime import open_exported
from ifrkit.media.resize import scaled_size
from ifrkit.predict.options import require_fit, require_no_keys
from ifrkit.predict.streaming import Adaptive, EveryFrame, Fixed, Policy, Predictor, Remembered, network_size
from ifrkit.trained import load_branch, load_video_model


@dataclass(frozen=True)
class Segmenter:
    """labels: the classes it knows. trained: (height, width) of the training frames.

    fixed: the one (height, width) that exported graphs take, if they take one alone; smallest: of either side.
    """

    predictor: Predictor
    labels: LabelSpace
    trained: tuple[int, int]
    fixed: tuple[int, int] | None = None
    smallest: int = 1

    def seen_at(self, frame: tuple[int, int], config: PredictConfig) -> tuple[int, int]:
        """At which (height, width) the networks see frames of this size. Raises ConfigError if the graphs cannot."""
        size = scaled_size(network_size(frame, self.trained, config.size), config.scale)
        seen = f"the graphs would see frames of {frame[0]}x{frame[1]} at {size[0]}x{size[1]}"
        if self.fixed is not None and size != self.fixed:
            h, w = self.fixed
            raise ConfigError(f"{seen}, and take {h}x{w} alone", f"--set size=[{h},{w}] stretches the frames to it")
        if min(size) < self.smallest:
            raise ConfigError(f"{seen}, and take no side below {self.smallest}", "--set size=[HEIGHT,WIDTH] is larger")
        return size


def open_segmenter(job: Job) -> Segmenter:
    """The model of the input artifact with its key-frame policy. Raises ConfigError for options that do not fit it."""
    config: PredictConfig = job.config
    given, device = job.inputs[0], torch.device(job.device)
    if given.kind == "exported":
        for name, found in Exported.read(given).int8.items():
            job.display.info(f"{name} in 8-bit integers: {100 * found['drop']:.2f} points of mIoU below its float form")
        return open_graphs(given, config)
    require_fit(given, config)
    store = ClipStore.of(job.input("clips"))
    if given.kind == "video-model":
        model = load_video_model(given, config.checkpoint).to(device)
        policy = _policy(config, model, given.manifest.config["key_interval"])
        return Segmenter(Predictor(model, policy, device), store.labels, store.size)
    branch = Branches.read(given).named(config.branch)
    network = EveryFrame(load_branch(given, branch, config.checkpoint).to(device))
    return Segmenter(Predictor(network, Fixed(1), device), store.labels, store.size)


def open_graphs(given: Artifact, config: PredictConfig) -> Segmenter:
    """Exported graphs know their classes and sizes themselves: neither networks nor clips have to be there."""
    index = Exported.read(given)
    kept = index.source.checkpoint
    if config.checkpoint not in ("best", kept):
        raise ConfigError(
            f"{given.path} holds the {kept} weights", f"ifrkit export --set checkpoint={config.checkpoint}"
        )
    model = open_exported(given, config.branch)
    if not model.carries:
        require_no_keys(given, config)
    elif config.key_policy == "adaptive":
        fault = f"--key-policy adaptive: the graphs of {given.path} do not give the flow that it needs"
        raise ConfigError(fault, "--key-interval N, or the video-model itself with --from")
    interval = (config.key_interval or index.key_interval) if model.carries else 1
    labels = LabelSpace(names=index.classes, colors=index.colors)
    open_size = all("height" in graph.dynamic for graph in index.graphs.values())
    h, w = index.size
    return Segmenter(
        Predictor(model, Fixed(interval or 1), torch.device("cpu")),  # onnxruntime is asked for no other
        labels,
        (h, w),
        fixed=None if open_size else (h, w),
        smallest=SMALLEST if open_size else 1,
    )


def _policy(config: PredictConfig, model: Any, trained_interval: int) -> Policy:
    if config.key_policy == "adaptive":
        model.flow = Remembered(model.flow)
        return Adaptive(model.flow, config.key_threshold, config.key_interval)
    return Fixed(config.key_interval or trained_interval)
