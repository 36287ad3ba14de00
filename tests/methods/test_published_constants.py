"""Recipe `methods`: each constant of each method once, equal to the default, with its source beside it."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from ifrkit.config.resolve import read_recipe
from ifrkit.core.plugins import load, names
from ifrkit.data.loading.views import Copy
from ifrkit.data.pixels.jitter import Jitter

RECIPE = resources.files("ifrkit") / "recipes" / "methods.yaml"
METHODS = [name for name in names("methods") if load("methods", name).__module__.startswith("ifrkit.methods.")]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "none"])
def test_the_recipe_holds_the_defaults_of_a_method(name: str) -> None:
    config = load("methods", name).Config
    block = read_recipe("methods")["train-branches"]["method"][name]
    assert block.keys() == set(config.__struct_fields__)
    assert config.of(block) == config()


DISTORTIONS = {
    "cutmix": Jitter(0.4, 0.4, 0.4, 0.1, 0.8, 0.2, blur_probability=0.0),
    "classmix": Jitter(0.25, 0.25, 0.25, 0.25, 0.8, 0.0, (0.15, 1.15), 0.5),
    "fixmatch": Jitter(0.5, 0.5, 0.5, 0.25, 0.8, 0.2, (0.1, 2.0), 0.5),
    "unimatch": Jitter(0.5, 0.5, 0.5, 0.25, 0.8, 0.2, (0.1, 2.0), 0.5),
    "self-training": Jitter(0.5, 0.5, 0.5, 0.25, 0.8, 0.2, (0.1, 2.0), 0.5),
    "cac": Jitter(0.4, 0.4, 0.4, 0.1, 0.8, 0.2, (1.1, 1.1), 0.5),
    "pseudoseg": Jitter(0.5, 0.5, 0.5, 0.25, 1.0, 0.0, blur_probability=0.0),
    "dars": Jitter(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (1.1, 1.1), 0.5),
    "tps": Jitter(0.8, 0.8, 0.8, 0.2, 0.8, 0.2, (0.1, 2.0), 0.6),
}
"""As the papers' released codes draw them; 1.1 is the spread of the fixed 5x5 window of cac and dars."""


@pytest.mark.parametrize("ssl", DISTORTIONS)
def test_strong_views_are_distorted_as_published(ssl: str) -> None:
    method = load("methods", ssl)
    found = [view.placement.by for view in method(method.Config()).views() if isinstance(view.placement, Copy)]
    assert found
    assert set(found) == {DISTORTIONS[ssl]}


def test_every_line_names_a_source() -> None:
    lines = RECIPE.read_text().splitlines()
    values = [line for line in lines if yaml.safe_load(line) and line.startswith("    ")]
    assert len(values) > 50
    assert [line for line in values if " # " not in line] == []
