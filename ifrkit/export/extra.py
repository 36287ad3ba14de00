"""Whether the extra `onnx` is installed. Imports none of it, and no torch."""

from __future__ import annotations

import importlib.util

from ifrkit.core.errors import ConfigError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_installed() -> None:
    """Raises ConfigError if a package of the extra is not installed at all."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise missing(package, "not installed")


def missing(package: str, why: str) -> ConfigError:
    """The error for a package that cannot be used."""
    reason = " ".join(why.split())
    return ConfigError(f"ONNX needs the package {package} ({reason})", "pip install 'ifrkit[onnx]', or --format torch")
