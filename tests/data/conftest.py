"""The dataset `toyset`, and stores made of it by the prepare stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_config import toy_config

import data_prep
from ifrkit.data.store.clips import ClipStore
from ifrkit.stages.prepare import STAGE
from ifrkit.stages.runner import Run, execute

PLUGINS = str(Path(__file__).parents[1] / "helpers" / "toy_plugins")
MakeStore = Callable[..., ClipStore]


@pytest.fixture(autouse=True, scope="session")
def _toyset() -> Any:
    """Makes `load("datasets", "toyset")` find the plug-in, in this process and in those forked from it."""
    data_prep.__path__.append(PLUGINS)
    yield
    data_prep.__path__.remove(PLUGINS)


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> MakeStore:
    """A function (options, **config) -> store; the same arguments give the same artifact."""
    workspace = tmp_path_factory.mktemp("stores")

    def make(options: dict[str, Any] | None = None, **changes: Any) -> ClipStore:
        return ClipStore(execute(STAGE, toy_config(options, **changes), Run(workspace=workspace, inputs=[])).path)

    return make


@pytest.fixture
def store(make_store: MakeStore) -> ClipStore:
    return make_store()
