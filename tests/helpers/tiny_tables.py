"""`ifrkit reproduce` on videos so small that a stage takes a second: shape and plumbing, no accuracy."""

from __future__ import annotations

from typing import Any

import tiny_run

Answer = tuple[int, dict[str, Any]]
"""Exit code of the command, and what it printed."""

_SMALL = ["loop.steps=2", "loop.batch=2", "loop.eval_every=2", "runtime.workers=0"]
SETS = {
    "prepare": [f"options.{key}={value}" for key, value in tiny_run.OPTIONS.items()],
    "train-branches": [
        *(value for value in _SMALL if not value.startswith("loop.batch")),
        "loop.batch=4",
        "crop.size=[24,32]",
        "update.width=0.0625",
        "reference.width=0.0625",
    ],
    "train-flow": [*_SMALL, "crop=[24,32]", "width=0.0625"],
    "train-fusion": [*_SMALL, "crop=[24,32]"],
    "eval": ["pictures=1"],
}
FLAGS = ["--scale", "tiny", "--device", "cpu"]
FLAGS += [word for stage, values in SETS.items() for value in values for word in ("--set", f"{stage}.{value}")]
"""What makes every table tiny."""
