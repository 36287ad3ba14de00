"""Trained networks out of their artifacts."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ifrkit.artifacts import indexes
from ifrkit.artifacts.indexes import Flow, require_branch
from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import network_config
from ifrkit.core.errors import ArtifactError
from ifrkit.core.plugins import load
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import Network, build_network
from ifrkit.models.video import VideoModel
from ifrkit.models.weights import load_weights


def load_branch(artifact: Artifact, branch: str, checkpoint: str) -> Network:
    """A branch ("update" or "reference") with its "best" or "last" weights, on the CPU in eval mode."""
    index = require_branch(artifact, branch)
    # The weights come from the artifact; the file that training started from may be gone.
    config = network_config({**index.branches[branch].network, "pretrained": None})
    network = build_network(config, index.num_classes, seed=0)
    load_into(network, artifact.file(f"{branch}.{checkpoint}.safetensors"))
    network.temperature = index.branches[branch].temperature.get(checkpoint, 1.0)
    return network.eval()


def load_flow(artifact: Artifact) -> FlowNetS:
    """The best FlowNetS of a flow artifact, on the CPU in eval mode."""
    flow = FlowNetS(Flow.read(artifact).width)
    load_into(flow, artifact.file("flow.best.safetensors"))
    return flow.eval()


def load_video_model(artifact: Artifact, checkpoint: str) -> VideoModel:
    """The video model of an artifact with its "best" or "last" weights, on the CPU in eval mode."""
    index = indexes.VideoModel.read(artifact)
    architecture = load("architectures", index.arch)
    networks = [
        build_network(network_config({**index.networks[name], "pretrained": None}), index.num_classes, seed=0)
        for name in architecture.branches
    ]
    model: VideoModel = architecture.build(*networks, FlowNetS(index.flow_width), index.num_classes)
    load_into(model, artifact.file(f"model.{checkpoint}.safetensors"))
    model.temperature = index.temperature.get(checkpoint, 1.0)
    return model.eval()


def load_into(module: nn.Module, path: Path) -> None:
    """Weights of a safetensors file into a module, all of them. Raises ArtifactError if the names or shapes differ."""
    try:
        module.load_state_dict(load_weights(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"{path}: does not fit its network ({reason})", "make the artifact again with --force"
        ) from error
