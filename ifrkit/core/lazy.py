"""Modules that are imported when they are first used.

`ifrkit --help` answers at once, and a stage that waits in a pipe checks its configuration before its input exists: both
must not pay for torch (2 s, 200 MB), and help not for the classes of configs. A file of which only some functions need
such a module writes

    if TYPE_CHECKING:
        from ifrkit.artifacts import store
    else:
        store = lazy("ifrkit.artifacts.store")

and uses it as always; a type checker, and the test of the layers, see the real import. Method files write
`from ifrkit.core.lazy import F, torch`: they hold both their configuration and their mathematics.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def lazy(name: str) -> Any:
    """The module of this name, imported when one of its attributes is first read."""
    return _Lazy(name)


def imported(target: Any) -> Any:
    """What "package.module:name" names; anything but a text is the thing itself."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


if TYPE_CHECKING:
    import cv2 as cv2
    import numpy as np
    import torch as torch
    import torch.nn.functional as F
    from torch import nn as nn
else:
    cv2, np, torch = lazy("cv2"), lazy("numpy"), lazy("torch")
    F, nn = lazy("torch.nn.functional"), lazy("torch.nn")

__all__ = ["F", "cv2", "imported", "lazy", "nn", "np", "torch"]
