"""Models of transformers as trunks: padded to their patches, cut after the last map, maps cut to the size of the image.

Most model types have a class for backbones in transformers. SegFormer has none, and Hiera's leaves out the order of
tokens that the model needs and takes one size of images; the plain models of both are driven here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.models.layers import seeded
from ifrkit.models.trunk import Trunk

_FRESH = "hidden_states_norms"
"""Norms of maps, which transformers adds to a backbone: no file has them, and they start as ones and zeros."""


class HFTrunk(Trunk):
    """Images (b, 3, h, w) of any size -> the maps that the head reads."""

    def __init__(self, definition: Mapping[str, Any], native: Sequence[int], stride: int, low_level: bool) -> None:
        """definition: config.json of the model. native: strides of its maps. stride: of the last map that is built."""
        super().__init__()
        self.kind = str(definition.get("model_type"))
        config = _config(self.kind, definition)
        self.layers = len(config.depths) if len(native) > 1 else int(config.num_hidden_layers)
        self.kept, self.strides, self.enlarged = kept_stages(native, self.layers, stride, low_level)
        self.model = _model(self.kind, config, [f"stage{i}" for i in self.kept])
        self.multiple = native[-1]
        if len(native) > 1:
            _cut(self.model, self.layers, self.kept[-1])
        self._settle()

    def parts(self) -> list[list[nn.Module]]:
        """What embeds patches, then the stages (of a vision transformer: its blocks)."""
        stages = _list(self.model, _stages(self.model, self.kept[-1]))
        inside, found = {id(m) for m in stages.modules()}, list[nn.Module]()
        for name, module in self.model.named_modules():
            if "embed" in name.rpartition(".")[2] and id(module) not in inside:
                found.append(module)
                inside |= {id(m) for m in module.modules()}
        return [part for part in [found, *([stage] for stage in stages)] if part]

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """The maps, of either sign. What is missing of a whole patch repeats the border of the image."""
        h, w = images_b3hw.shape[-2:]
        padding = (0, -w % self.multiple, 0, -h % self.multiple)
        images = F.pad(images_b3hw, padding, mode="replicate") if any(padding) else images_b3hw
        maps = self._maps(images)
        return [m[..., : -(-h // s), : -(-w // s)] for m, s in zip(maps, self.strides, strict=True)]

    def _maps(self, images_b3hw: Tensor) -> list[Tensor]:
        maps = _DRIVERS.get(self.kind, _backbone_maps)(self.model, images_b3hw, self.kept)
        if self.enlarged:
            maps[0] = F.interpolate(maps[0], scale_factor=2, mode="bilinear", align_corners=False)
        return maps

    def _settle(self) -> None:
        """Look at the maps of one image: their channels, and which parameters they do not depend on."""
        side = 2 * self.multiple
        maps = self.eval()._maps(torch.ones(1, 3, side, side))
        self.train()
        sizes = [side // m.shape[-1] for m in maps]
        if sizes != list(self.strides):
            raise ConfigError(f"{self.kind}: maps at strides {sizes}, not {list(self.strides)}", "take another model")
        self.channels = [m.shape[1] for m in maps]
        parameters = [p for p in self.parameters() if p.requires_grad]
        total = torch.stack([m.sum() for m in maps]).sum()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(total, parameters, allow_unused=True), strict=True
        ):
            parameter.requires_grad_(gradient is not None)  # no optimizer and no rank waits for the others

    def published(self, directory: Path) -> dict[str, Tensor]:
        """The weights of a model's directory, under the names of this module. Raises ArtifactError."""
        try:
            with _quiet(), seeded(0):
                loaded, report = type(self.model).from_pretrained(
                    str(directory),
                    config=self.model.config,
                    dtype=torch.float32,
                    local_files_only=True,
                    use_safetensors=True,
                    output_loading_info=True,
                )
        except Exception as error:  # transformers fails in many ways
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(f"{directory}: its weights cannot be read ({reason})", "copy it again") from error
        needed = {name for name, p in self.model.named_parameters() if p.requires_grad and _FRESH not in name}
        missing = sorted(needed & {*report["missing_keys"]})
        if missing:
            fault = f"{directory} does not fit: {len(missing)} missing ({', '.join(missing[:3])})"
            raise ArtifactError(fault, "take the directory of a whole model")
        own = self.model.state_dict()
        return {f"model.{name}": value for name, value in loaded.state_dict().items() if name in own}


def kept_stages(native: Sequence[int], layers: int, stride: int, low_level: bool) -> tuple[list[int], list[int], bool]:
    """Which stages (from 1) give a map, at which strides, and whether the first map is made twice as large.

    The low-level map is the first stage of a hierarchical model, at 1/4; else that of the middle block, enlarged.
    """
    if len(native) > 1:
        last = native.index(stride) + 1
        if low_level and last == 1:
            raise ConfigError(f"stride {stride}: the model has no earlier map", "take a greater stride")
        return ([1, last], [native[0], stride], False) if low_level else ([last], [stride], False)
    if not low_level:
        return [layers], [stride], False
    if layers < 2 or stride % 2:
        raise ConfigError(f"the head wants an earlier map, and patches of {stride} have none", "take the head psp")
    return [layers // 2, layers], [stride // 2, stride], True


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except Exception as error:  # a broken optional package fails in its own ways, never only with ImportError
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"hf needs the package transformers ({reason})", "pip install 'ifrkit[hf]'") from None


def _config(kind: str, definition: Mapping[str, Any]) -> Any:
    transformers = _transformers()
    try:
        options = {key: value for key, value in definition.items() if key not in ("model_type", *_CHOSEN)}
        return transformers.AutoConfig.for_model(kind, **options)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"transformers does not know this {kind} ({reason})", "update transformers") from None


_CHOSEN = ("out_features", "out_indices", "stage_names")
"""Keys of config.json that we set ourselves."""


def _model(kind: str, config: Any, stages: list[str]) -> Any:
    transformers = _transformers()
    if kind in _DRIVERS:
        return transformers.AutoModel._model_mapping[type(config)](config)
    if type(config) not in transformers.MODEL_FOR_BACKBONE_MAPPING:
        raise ConfigError(f"transformers has no backbone class for {kind}", "take dinov2, convnextv2, swin or another")
    config.out_features = stages
    return transformers.MODEL_FOR_BACKBONE_MAPPING[type(config)](config)


def _stages(model: nn.Module, count: int) -> str:
    """Where the stages of a model are, one after the other: its outermost list of so many."""
    lists: list[str] = [
        n for n, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    return min(lists, key=lambda name: name.count("."))


def _list(model: nn.Module, place: str) -> nn.ModuleList:
    found = model.get_submodule(place)
    assert isinstance(found, nn.ModuleList)
    return found


def _cut(model: nn.Module, layers: int, kept: int) -> None:
    """Take away the stages after the kept ones, and what follows the last one: a norm and a pooling of its width."""
    place = _stages(model, layers)
    del _list(model, place)[kept:]
    above = place.split(".")[:-1]
    for depth in range(len(above) + 1):
        owner = model.get_submodule(".".join(above[:depth]))
        for name, end in (("layernorm", nn.Identity()), ("pooler", None)):
            if getattr(owner, name, None) is not None:
                setattr(owner, name, end)


def _backbone_maps(model: Any, images_b3hw: Tensor, kept: Sequence[int]) -> list[Tensor]:
    return list(model(images_b3hw).feature_maps)


def _segformer_maps(model: Any, images_b3hw: Tensor, kept: Sequence[int]) -> list[Tensor]:
    x_bchw, maps = images_b3hw, []
    for number, stage in enumerate(model.stages, 1):
        x_bchw = stage(x_bchw)
        maps += [x_bchw] if number in kept else []
    return maps


def _hiera_maps(model: Any, images_b3hw: Tensor, kept: Sequence[int]) -> list[Tensor]:
    """The order of its tokens depends on the size of the images; transformers plans it for one size."""
    config, schedule = model.config, {}
    size = [s // step for s, step in zip(images_b3hw.shape[-2:], config.patch_stride, strict=True)]
    steps = [config.query_stride] * (len(config.depths) - 1)
    for stage in range(len(config.depths)):
        schedule[stage] = steps, size
        if stage < config.num_query_pool:
            size, steps = [s // step for s, step in zip(size, config.query_stride, strict=True)], steps[1:]
    model.encoder.schedule = schedule
    made = model(images_b3hw, interpolate_pos_encoding=True, output_hidden_states=True).reshaped_hidden_states
    return [made[number].permute(0, 3, 1, 2) for number in kept]


_DRIVERS = {"segformer": _segformer_maps, "hiera": _hiera_maps}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar and the remarks of transformers: what matters becomes an error here."""
    logging = _transformers().logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
