"""ifrkit: train video semantic segmentation from very few labeled frames.

Stages are library functions in `ifrkit.stages`; the command line in `ifrkit.cli` only presents them; `ifrkit.load` is
for notebooks. Nothing heavy is imported here, so that `ifrkit --help` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifrkit.api import Model as Model
    from ifrkit.api import load as load

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in ("Model", "load"):
        raise AttributeError(f"module 'ifrkit' has no attribute {name!r}")
    from ifrkit import api

    return getattr(api, name)
