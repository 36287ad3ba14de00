"""Imports point one way: the order of layers in docs/ARCHITECTURE.md holds, and no two packages need each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ARCHITECTURE.md").read_text()
TOPS = ("ifrkit", "data_prep")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in TOPS
    for path in (ROOT / top).rglob("*.py")
}
ENTRY = ("ifrkit", "ifrkit.__main__")
"""The version, and `python -m ifrkit`: they belong to no layer."""


def layers() -> list[str]:
    """The order as the page has it, lowest first."""
    block = re.search(r"^## Layers$.*?^```text$(.*?)^```$", PAGE, re.M | re.S)
    assert block is not None
    return [line.split()[0] for line in block[1].strip().splitlines()]


def layer_of(module: str) -> str:
    """data_prep is a layer of its own; of ifrkit.X.Y it is X."""
    parts = module.split(".")
    return parts[0] if parts[0] == "data_prep" else parts[1]


def imported(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, wherever in it, and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what they need"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in inner]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in TOPS and name not in ENTRY)


@cache
def arrows() -> set[tuple[str, str, str]]:
    """(layer, layer that it imports, module that does) for every import between layers."""
    found = set()
    for module, path in MODULES.items():
        if module in ENTRY:
            continue
        for name in imported(path):
            if layer_of(name) != layer_of(module):
                found.add((layer_of(module), layer_of(name), module))
    return found


def test_every_package_is_a_layer() -> None:
    packages = {layer_of(module) for module in MODULES if module not in ENTRY}
    assert packages == set(layers())
    assert len(layers()) == len(set(layers()))


@pytest.mark.parametrize("layer", layers())
def test_no_arrow_points_up(layer: str) -> None:
    order = layers()
    up = sorted(
        f"{module} imports {target}"
        for source, target, module in arrows()
        if source == layer and order.index(target) > order.index(source)
    )
    assert not up


def test_there_is_no_ring() -> None:
    """Follows from the order. Said on its own, so that a wrong order is not mended by taking a layer off the list."""
    needs = {layer: {target for source, target, _ in arrows() if source == layer} for layer in layers()}
    while free := [layer for layer, wanted in needs.items() if not wanted & needs.keys()]:
        for layer in free:
            del needs[layer]
    assert not needs
