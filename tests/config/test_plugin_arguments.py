"""NAME:ARGUMENT: a plug-in, and the value of the option that its Config names."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core import plugins
from ifrkit.core.errors import ConfigError
from ifrkit.methods import base as methods
from ifrkit.models.backbones import base


class Backbone(base.Backbone):
    """It has a place for an argument."""

    class Config(NetworkConfig):
        ARGUMENT = "place"

        place: str = "here"


class Method(methods.Method):
    """A method with one."""

    class Config(methods.Method.Config):
        ARGUMENT = "place"

        place: str = "here"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"backbones": {"kept": "Backbone"}, "methods": {"kept": "Method"}}
    monkeypatch.setattr(
        plugins,
        "_entry_points",
        lambda kind: {n: EntryPoint(n, f"{__name__}:{c}", f"ifrkit.{kind}") for n, c in found.get(kind, {}).items()},
    )


def test_names() -> None:
    assert plugins.split_argument("hf:Some/Dir:x") == ("hf", "Some/Dir:x")
    assert plugins.split_argument("hf") == ("hf", None)
    assert plugins.spelled("My_Plugin:Some_Dir/A") == "my-plugin:Some_Dir/A"
    assert plugins.load("backbones", "KEPT:Some/Dir") is Backbone


def test_a_backbone_takes_it_as_an_option() -> None:
    config = network_config({"backbone": "Kept:Some_Dir/A.b"})
    assert isinstance(config, Backbone.Config)
    assert (config.backbone, config.place) == ("kept", "Some_Dir/A.b")
    assert network_config(config.tree()) == config
    assert network_config({"backbone": "kept", "place": "Some_Dir/A.b"}) == config
    assert config.identity() == network_config(config.tree()).identity()


def test_a_method_takes_it_as_an_option() -> None:
    config = TrainBranchesConfig.of({"ssl": "KEPT:/A_b,none"})
    assert config.ssl == ("kept:/A_b", "none")
    assert config.method["kept:/A_b"].tree()["place"] == "/A_b"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"backbone": "resnet18:x"}, "resnet18:x: resnet18 takes no argument; write resnet18"),
        ({"backbone": "kept:"}, "kept: nothing stands after the colon; write kept:PLACE"),
        ({"backbone": "kept:a", "place": "b"}, "kept:a: `place` says b; leave one of them out"),
        ({"backbone": "kepd:a"}, "no backbone plug-in named 'kepd'; did you mean 'kept'"),
        ({"backbone": "kept", "head": "psp:a"}, "psp:a: this head takes no argument; write psp"),
    ],
)
def test_faults(given: dict[str, str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        network_config(given)
