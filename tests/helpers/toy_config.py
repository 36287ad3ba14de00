"""The configuration that prepares the dataset of `toy_plugins/toyset.py`."""

from __future__ import annotations

from typing import Any

from ifrkit.config.prepare import PrepareConfig


def toy_config(options: dict[str, Any] | None = None, **changes: Any) -> PrepareConfig:
    """Prepare `toyset` in this process."""
    given = {"dataset": "toyset", "options": options or {}, "runtime": {"workers": 0}, "seed": 3} | changes
    return PrepareConfig.of(given)
