"""`train-branches` on cached features: what the config becomes, and what cannot be trained with them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from ifrkit.artifacts.indexes import Features
from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.config import files_of
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load

_OF_HEAD = ("head", "dropout", "norm")
"""Settings of a branch that still may be chosen."""


def adapted(config: TrainBranchesConfig, inputs: list[Artifact], origins: Mapping[str, str]) -> TrainBranchesConfig:
    """The config whose one branch is that of the features, where they came as input.

    What they say of the network stands above defaults and recipes. Raises ConfigError where a flag, `--set` or --config
    says something else.
    """
    if not inputs or inputs[0].kind != "features":
        return config
    index = Features.read(inputs[0])
    said = {key: origin for key, origin in origins.items() if not origin.startswith("recipe ")}
    if "branches" in said and config.branches != (index.branch,):
        fault = f"{inputs[0].path} holds features for the {index.branch} branch alone"
        raise ConfigError(fault, f"add --branch {index.branch}")
    network = _network(getattr(config, index.branch), index, inputs[0], said)
    return replace(config, **{"branches": (index.branch,), index.branch: network})


def _network(given: NetworkConfig, index: Features, artifact: Artifact, said: Mapping[str, str]) -> NetworkConfig:
    own, tree = given.tree(), dict(index.network)
    argument = load("backbones", given.backbone).Config.ARGUMENT
    for key, origin in said.items():
        branch, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        if branch != index.branch or not name:
            continue
        if name in _OF_HEAD:
            tree[name] = own[name]
        for compared in {name, argument} if name == "backbone" and argument else {name}:
            if own.get(compared) != tree.get(compared):
                fault = f"{branch}.{compared}={own.get(compared)} ({origin}): {artifact.path} was made with"
                remedy = f"leave it out, or make other features (cache-features --set {branch}.{compared}=...)"
                raise ConfigError(f"{fault} {compared}={tree.get(compared)}", remedy)
    files = dict.fromkeys(files_of(load("backbones", tree["backbone"]).Config))  # the features hold what was in them
    network = network_config({**tree, **files})
    if load("heads", network.head).low_level != (len(index.maps) > 1):
        fault = f"{index.branch}.head={network.head} reads other maps than {artifact.path} holds"
        raise ConfigError(fault, f"make them with cache-features --set {index.branch}.head={network.head}")
    return network


def require_method(config: TrainBranchesConfig, artifact: Artifact) -> None:
    """Raise ConfigError for methods: all of them show frames that are distorted, or to other networks."""
    if any(name != "none" for name in config.ssl):
        fault = f"--ssl {','.join(config.ssl)} needs images, and {artifact.path} holds features of frames as they are"
        raise ConfigError(fault, "use --ssl none, or give clips and --set update.freeze=all")
