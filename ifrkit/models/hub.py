"""Model directories as Hugging Face lays them out. Read without transformers, so that a config is checked at once.

    config.json                 the model: its type and sizes
    *.safetensors               its weights; pickles are not read
    preprocessor_config.json    mean and deviation of its pixels, where it has them
    README.md                   the model card: its licence

A model is named by its directory, or by its id on the hub if it lies in the local cache. Nothing is fetched unless
`allow_download` was called.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.lazy import lazy

huggingface_hub = lazy("huggingface_hub")

FILES = ["config.json", "preprocessor_config.json", "README.md", "*.safetensors", "*.safetensors.index.json"]
"""All that is ever read of a model, and so all that is fetched."""
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_TALK = ("id2label", "label2id", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version")
"""Keys of config.json that a backbone does not depend on."""
_allowed = False


def allow_download() -> None:
    """From now on this process may fetch a model that is neither a directory nor in the cache."""
    global _allowed
    _allowed = True


def find(model: str) -> Path:
    """The directory of a model. Raises ConfigError if it is neither there nor in the cache, and must not be fetched."""
    if Path(model).is_dir():
        return Path(model)
    if not _ID.fullmatch(model):
        raise ConfigError(f"no directory {model}", "check the path")
    cached = _cached(model)
    if cached is not None and (not _allowed or any(cached.glob("*.safetensors"))):
        return cached  # another program may have fetched the config alone
    if not _allowed:
        fault = f"{model} is neither a directory nor in the local cache of Hugging Face"
        raise ConfigError(fault, "check the path, or fetch it with --allow-download")
    return _fetched(model)


def _cached(model: str) -> Path | None:
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache/huggingface"))
    place = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"models--{model.replace('/', '--')}"
    try:
        snapshot = place / "snapshots" / (place / "refs" / "main").read_text().strip()
    except OSError:
        return None
    return snapshot if (snapshot / "config.json").is_file() else None


def _fetched(model: str) -> Path:
    try:
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=FILES))
    except Exception as error:  # no network, no such model, no extra: each fails in its own way
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{model} cannot be fetched ({reason})", "check its name; pip install 'ifrkit[hf]'") from None


def definition(model: str) -> dict[str, Any]:
    """config.json, without what a backbone does not depend on. Raises ConfigError."""
    tree = _read(find(model) / "config.json", model)
    return {key: value for key, value in tree.items() if key not in _TALK and not key.startswith("_")}


def pixels(model: str) -> tuple[list[float], list[float]] | None:
    """Mean and deviation of RGB in 0..255 that the weights expect; None where the model does not say."""
    path = find(model) / "preprocessor_config.json"
    if not path.is_file():
        return None
    tree = _read(path, model)
    scale = tree.get("rescale_factor", 1 / 255) if tree.get("do_rescale", True) else 1.0
    if not tree.get("do_normalize", True):
        return [0.0] * 3, [1 / scale] * 3
    if "image_mean" not in tree or "image_std" not in tree:
        return None
    return [value / scale for value in tree["image_mean"]], [value / scale for value in tree["image_std"]]


def _read(path: Path, model: str) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{model}: {path.name} cannot be read ({reason})", "copy the model again") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{model}: {path.name} does not hold a mapping", "copy the model again")
    return tree


def weights(model: str) -> list[Path]:
    """Its safetensors files. Raises ArtifactError if there is none."""
    files = sorted(find(model).glob("*.safetensors"))
    if not files:
        raise ArtifactError(f"{model} holds no .safetensors file (pickles are not read)", "save it as safetensors")
    return files


def digest(model: str) -> str:
    """sha256 of its weights, several files one after the other."""
    total = hashlib.sha256()
    for path in weights(model):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def source(model: str) -> dict[str, str]:
    """What an artifact says of where its weights came from. licence: where the model card names one."""
    card = find(model) / "README.md"
    header = re.match(r"---\n(.*?)\n---", card.read_text(errors="replace"), re.S) if card.is_file() else None
    licence = re.search(r"^license:\s*(\S+)", header[1], re.M) if header else None
    found = {"model": model, "file": ", ".join(p.name for p in weights(model)), "sha256": digest(model)}
    return found | ({"licence": licence[1].strip("\"'")} if licence else {})
