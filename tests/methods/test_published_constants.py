"""Recipe `methods`: each constant of each method once, equal to the default, with its source beside it."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from ifrkit.config.resolve import read_recipe
from ifrkit.plugins import load, names

RECIPE = resources.files("ifrkit") / "recipes" / "methods.yaml"
METHODS = [name for name in names("methods") if load("methods", name).__module__.startswith("ifrkit.methods.")]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "none"])
def test_the_recipe_holds_the_defaults_of_a_method(name: str) -> None:
    config = load("methods", name).Config
    block = read_recipe("methods")["train-branches"]["method"][name]
    assert block.keys() == config.model_fields.keys()
    assert config.model_validate(block) == config()


def test_every_line_names_a_source() -> None:
    lines = RECIPE.read_text().splitlines()
    values = [line for line in lines if yaml.safe_load(line) and line.startswith("    ")]
    assert len(values) > 50
    assert [line for line in values if " # " not in line] == []
