"""The extra `onnx`: whether it is installed, and its packages. No torch here: a dry run asks it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from ifrkit.core.errors import ConfigError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_installed() -> None:
    """Raises ConfigError if a package of the extra is not installed at all. Imports none."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise missing(package, "not installed")


def extra(package: str) -> Any:
    """A package of the extra `onnx`. Raises ConfigError if it is not there, or is broken."""
    try:
        return importlib.import_module(package)
    except Exception as error:  # a broken optional package fails in its own ways, never only with ImportError
        raise missing(package, str(error)) from None


def require_onnx() -> None:
    """Import all of the extra `onnx`. Raises ConfigError."""
    for package in PACKAGES:
        extra(package)


def missing(package: str, why: str) -> ConfigError:
    """The error for a package that cannot be used."""
    reason = " ".join(why.split())
    return ConfigError(f"ONNX needs the package {package} ({reason})", "pip install 'ifrkit[onnx]', or --format torch")
