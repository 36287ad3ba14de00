"""torch, imported when it is first used.

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
    import torch as torch
    import torch.nn.functional as F
    from torch import nn as nn
else:
    torch, F, nn = _Lazy("torch"), _Lazy("torch.nn.functional"), _Lazy("torch.nn")

__all__ = ["F", "nn", "torch"]
