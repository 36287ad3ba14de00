"""Each operation of a stage on the disk fails once: killed there, or refused by the system. Nothing is lost.

The operations are those of the real stages, seen from below Python (`helpers/inject.c`). The default suite fails those
of the fast stages, of many writes to one file in a row the first and the last; the slow tests every single one, of
every stage.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import injected
import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = injected.library(tmp_path_factory.mktemp("inject"))
    if found is None:
        pytest.skip("no C compiler")
    return found


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory in memory, where there is one: each failure copies a workspace."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as made:
        yield Path(made)


def _failed(library: Path, place: Path, names: Sequence[str], **how: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, injected.__file__, str(place), *names]
    own = {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", **how}
    paths = [str(Path(injected.__file__).parent), str(Path(__file__).parents[2])]
    env = {**os.environ, **own, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(row := json.loads(line))["scenario"]: row for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def fast(library: Path, place: Path) -> dict[str, dict[str, Any]]:
    """One process for all of them: it loads torch once."""
    return _failed(library, place, injected.FAST)


@pytest.mark.parametrize("name", injected.FAST)
def test_a_fast_stage_fails_anywhere(fast: dict[str, dict[str, Any]], name: str) -> None:
    """With --force the artifact that was there is looked at, too: it is the old one or the new one, never none."""
    outcome = fast[name]
    assert outcome["faults"] == []
    assert outcome["failures"] == 4 * outcome["failed"] >= 80


@pytest.mark.slow
@pytest.mark.parametrize("name", injected.SCENARIOS)
def test_each_operation_of_each_stage(library: Path, place: Path, name: str) -> None:
    outcome = _failed(library, place, [name], INJECT_ALL="1")[name]
    assert outcome["faults"] == []
    assert outcome["failures"] == 4 * outcome["operations"] > 0
