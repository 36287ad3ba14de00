"""What a benchmark measured, as JSON beside its table: `--json FILE`. `benchmarks/compare.py` reads it.

{"benchmark": "loader", "command": ["benchmarks/loader.py", ...], "machine": {"processor": ..., "torch": ..., ...},
 "figures": [{"row": "store, to the device", "figure": "samples/s", "value": 600.0, "better": "larger"}, ...]}
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from ifrkit.core.machine import machine

PACKAGES = ("torch", "numpy", "opencv-python-headless", "h5py", "onnxruntime")


def conditions() -> dict[str, Any]:
    """What figures depend on beside the code. load: processes that ran or waited in the last minute."""
    found: dict[str, Any] = {
        **machine(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


class Figures:
    """The figures of one run. `add` them while they are measured; `write` does nothing without `--json`."""

    def __init__(self) -> None:
        self._machine, self._figures = conditions(), list[dict[str, Any]]()

    @staticmethod
    def option(parser: argparse.ArgumentParser) -> None:
        """Add `--json FILE`."""
        parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")

    def add(self, row: str, *, smaller: dict[str, float] | None = None, larger: dict[str, float] | None = None) -> None:
        """Figures of a row of the table, by their names with units: those where smaller or larger is better."""
        for better, figures in (("smaller", smaller), ("larger", larger)):
            for figure, value in (figures or {}).items():
                self._figures.append({"row": row, "figure": figure, "value": float(value), "better": better})

    def write(self, path: Path | None) -> None:
        """Write all figures. path: what `--json` gave."""
        if path is None:
            return
        name = Path(sys.argv[0]).stem
        tree = {"benchmark": name, "command": sys.argv, "machine": self._machine, "figures": self._figures}
        path.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
