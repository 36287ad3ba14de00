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

import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import Network
from ifrkit.models.public import AUTO
from ifrkit.models.weight_limits import require_size
from ifrkit.models.weights import load_weights

_NAMED = 3
"""How many keys of each sort an error names."""

_make_scalar: Any = np.float64(0).__reduce__()[0]
_NUMPY_SCALARS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_make_scalar, "numpy.core.multiarray.scalar"),
    (_make_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64")),
]
"""Plain numbers that mmcv leaves in `meta` (the best score); torch refuses them unless they are named."""


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
    require_size(path)
    try:
        if zipfile.is_zipfile(path):  # torch itself does not look at the checksums
            with zipfile.ZipFile(path) as archive:
                require_size(path, sum(entry.file_size for entry in archive.infolist()))
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ArtifactError(f"{path} is a packed archive, and no file of torch", "unpack it first")
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(damaged)
        with torch.serialization.safe_globals(_NUMPY_SCALARS), warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (ArtifactError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        fault = f"{path} is damaged, or holds more than tensors and plain values"
        raise ArtifactError(fault, "download it again, or save its state dict alone") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ArtifactError(f"{path} holds no state dict of tensors", "save `model.state_dict()`")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _fit(module: nn.Module, state: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    own = module.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    misshapen = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}"
        for k, v in state.items()
        if k in own and v.shape != own[k].shape
    ]
    faults = [_count(missing, "missing"), _count(unexpected, "unexpected"), _count(misshapen, "of another shape")]
    if any(faults):
        raise ArtifactError(f"{path} does not fit: {', '.join(f for f in faults if f)}", remedy)
    module.load_state_dict(state, strict=False)


def _count(keys: list[str], what: str) -> str:
    """`5 missing (a, b, c, ...)`, or nothing for no keys."""
    named = ", ".join(keys[:_NAMED] + ["..."] * (len(keys) > _NAMED))
    return f"{len(keys)} {what} ({named})" if keys else ""
