"""Read weights that others published. A file that does not fit is an error which names the keys.

    file                                    its names                        become
    network alone, of ImageNet (each        what the plug-in's               backbone.*
      backbone knows its own formats)         `import_state` knows
    released stage-one checkpoint,          backbone.* decode_head.*         the same
      or a branch that ifrkit trained
    released FlowNet                        conv1.0.* .. upsample_flow3to2.* the same

Around them: {"state_dict": ..., "meta": ..., "optimizer": ...} is opened, a leading `module.` (data-parallel training)
removed. Files older than BatchNorm's `num_batches_tracked` may lack it; every other name must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import Network
from ifrkit.models.public import AUTO
from ifrkit.models.torch_files import load_torch_file
from ifrkit.models.weights import load_weights

_NAMED = 3
"""How many keys of each sort an error names."""
_DIMENSIONS = 8
"""A shape of more is not written out."""


def load_pretrained(network: Network, path: str | Path) -> None:
    """Put a published branch, or the backbone of a published ImageNet network, into `network`.

    Raises ConfigError if there is no such file, ArtifactError if it cannot be read or does not fit.
    """
    if path == AUTO:
        own = network.plugin.own_weights(network.backbone)
        if own is not None:
            _fit(network.backbone, own, Path(network.config.backbone), network.plugin.remedy(own))
            return
    path = _public(network) if path == AUTO else Path(path)
    state = read_state(path)
    if not any(key.startswith("backbone.") for key in state):
        flat = network.plugin.import_state(state)
        _fit(network.backbone, flat, path, network.plugin.remedy(flat))
        return
    classifier = state.get("decode_head.conv_seg.weight")
    if classifier is not None and len(classifier) != network.num_classes:
        fault = f"{path}: decode_head.conv_seg has {len(classifier)} classes, this dataset {network.num_classes}"
        raise ArtifactError(fault, "start from a file with the same classes, or from an ImageNet backbone")
    _fit(network, state, path, "set backbone, stem and width to those of the file")


def _public(network: Network) -> Path:
    public = network.plugin.public
    if public is None:
        fault = f"pretrained=auto: no package has weights for {network.config.backbone}"
        raise ConfigError(fault, "name a file, or a backbone that `ifrkit doctor` lists with weights")
    return public.path()


def load_pretrained_flow(flownet: FlowNetS, path: str | Path) -> None:
    """Put a published FlowNetS into `flownet`. Raises like `load_pretrained`."""
    _fit(flownet, read_state(Path(path)), Path(path), "set width to that of the file (released: 0.375)")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a torch file, by name, without wrapping and `module.`.

    Torch files are read with `weights_only`: nothing in them is executed.
    """
    if not path.is_file():
        raise ConfigError(f"no pretrained weights at {path}", "download them, or leave `pretrained` empty")
    if path.suffix == ".safetensors":
        return load_weights(path)
    content = load_torch_file(path)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state or not all(_plain(value) for value in state.values()):
        raise ArtifactError(f"{path} holds no state dict of tensors", "save `model.state_dict()`")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _plain(value: object) -> bool:
    """Whether it is a tensor that holds its numbers: sparse, quantized and meta ones cannot become weights."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_quantized or value.is_meta)


def _fit(module: nn.Module, state: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    own = module.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    both = [(k, v, own[k]) for k, v in state.items() if k in own]
    misshapen = [f"{k} {_size(v)} instead of {_size(wanted)}" for k, v, wanted in both if v.shape != wanted.shape]
    same = [(k, v, wanted) for k, v, wanted in both if v.shape == wanted.shape]
    mistyped = [k for k, v, wanted in same if wanted.is_floating_point() and not v.is_floating_point()]
    broken = [k for k, v, _ in same if v.is_floating_point() and not v.float().isfinite().all()]
    faults = [
        _count(missing, "missing"),
        _count(unexpected, "unexpected"),
        _count(misshapen, "of another shape"),
        _count(mistyped, "of another type"),
        _count(broken, "with values that are not finite"),
    ]
    if any(faults):
        raise ArtifactError(f"{path} does not fit: {', '.join(f for f in faults if f)}", remedy)
    module.load_state_dict(state, strict=False)


def _size(value: Tensor) -> str:
    return str(tuple(value.shape)) if value.dim() <= _DIMENSIONS else f"of {value.dim()} dimensions"


def _count(keys: list[str], what: str) -> str:
    """`5 missing (a, b, c, ...)`, or nothing for no keys."""
    named = ", ".join(keys[:_NAMED] + ["..."] * (len(keys) > _NAMED))
    return f"{len(keys)} {what} ({named})" if keys else ""
