"""Each operation of a stage on the disk fails once: killed there, or refused by the system. Nothing is lost.

The operations are those of the real stages, seen from below Python (`helpers/inject.c`). In the default suite some
operations of `prepare` fail; the slow tests fail every single one, of every stage.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import injected
import pytest


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = injected.library(tmp_path_factory.mktemp("inject"))
    if found is None:
        pytest.skip("no C compiler")
    return found


def _failed(library: Path, place: Path, name: str, **how: str) -> dict[str, Any]:
    command = [sys.executable, injected.__file__, str(place), name]
    own = {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", **how}
    paths = [str(Path(injected.__file__).parent), str(Path(__file__).parents[2])]
    env = {**os.environ, **own, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)[name]
    return outcome


def test_prepare_fails_anywhere(library: Path, tmp_path: Path) -> None:
    outcome = _failed(library, tmp_path, "prepare", INJECT_EVERY="3")
    assert outcome["faults"] == []
    assert outcome["failures"] >= 50


def test_prepare_that_replaces_fails_anywhere(library: Path, tmp_path: Path) -> None:
    """The artifact that was there is checked after each failure: it is the old one or the new one, never none."""
    outcome = _failed(library, tmp_path, "prepare --force", INJECT_EVERY="6")
    assert outcome["faults"] == []
    assert outcome["failures"] >= 28


@pytest.mark.slow
@pytest.mark.parametrize("name", injected.SCENARIOS)
def test_each_operation_of_each_stage(library: Path, tmp_path: Path, name: str) -> None:
    outcome = _failed(library, tmp_path, name, INJECT_ALL="1")
    assert outcome["faults"] == []
    assert outcome["failures"] == 4 * outcome["operations"] > 0
