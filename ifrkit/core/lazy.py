"""torch and OpenCV, imported when they are first used.

A method's file holds both its configuration and its mathematics. A stage that waits in a pipe checks the
configuration before its input exists and must not pay for torch (2 s, 200 MB) to do so. Method files therefore write
`from ifrkit.core.lazy import F, torch` and use both as always; a type checker sees the real modules.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:
    import cv2 as cv2
    import torch as torch
    import torch.nn.functional as F
    from torch import nn as nn
else:
    cv2, torch, F, nn = (_Lazy(name) for name in ("cv2", "torch", "torch.nn.functional", "torch.nn"))

__all__ = ["F", "cv2", "nn", "torch"]
