"""The supervised baseline: labeled frames only, one pass a step."""

from __future__ import annotations

from ifrkit.methods import base


class Method(base.Method):
    """No views and no terms beyond the supervised loss."""
