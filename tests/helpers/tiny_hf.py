"""Tiny random models, saved as Hugging Face lays them out: config.json, model.safetensors and, on demand, more."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch

_VIT = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 56}
_NET = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
_SWIN = {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4], "image_size": 64}

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "dinov2": ("Dinov2Model", {**_VIT, "patch_size": 14}),
    "dinov3_vit": ("DINOv3ViTModel", {**_VIT, "patch_size": 16, "intermediate_size": 32}),
    "convnextv2": ("ConvNextV2ForImageClassification", _NET),
    "swin": ("SwinForImageClassification", {**_SWIN, "window_size": 4}),
    "hiera": ("HieraModel", {**_SWIN, "num_heads": [1, 2, 4, 8], "image_size": [64, 64]}),
    "segformer": ("SegformerForImageClassification", {**_NET, "num_attention_heads": [1, 2, 2, 4]}),
    "resnet": ("ResNetForImageClassification", {**_NET, "embedding_size": 8, "layer_type": "basic"}),
}
"""Model type -> the class that is saved (others have it inside a classifier, as published files do), and its sizes."""
STRIDES = {"dinov2": [14], "dinov3_vit": [16]}
HIERARCHICAL = [32, 16, 8]
CARD = "---\nlicense: apache-2.0\ntags:\n- vision\n---\n# A model\n"


def save(kind: str, directory: Path, seed: int = 0) -> Path:
    """A random model with a model card. Returns the directory."""
    transformers = importlib.import_module("transformers")
    name, sizes = KINDS[kind]
    config = transformers.AutoConfig.for_model(kind, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, name)(config)
        with torch.no_grad():
            for value in model.parameters():
                value += 0.02 * torch.randn_like(value)
    model.save_pretrained(directory)
    (directory / "README.md").write_text(CARD)
    return directory


def set_pixels(directory: Path, **values: Any) -> None:
    """Write preprocessor_config.json."""
    (directory / "preprocessor_config.json").write_text(json.dumps(values))
