"""A flipped bit anywhere in an artifact is told, with exit 3 and the path, by what reads it; or nothing reads it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import injected
import pytest
from chains import CACHE, Chain
from flips import copied, flips

from ifrkit.artifacts import store

KINDS = ("clips", "branches", "flow", "video-model", "report")


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_told(chain: Chain, tmp_path: Path, kind: str) -> None:
    made = store.newest(chain.workspace, (kind,))
    assert made is not None
    outcomes = Counter(flip.outcome for flip in flips(copied(made, tmp_path / "ws"), 2 * (2 + len([*made.entries()]))))
    assert set(outcomes) <= {"error", "same"}, outcomes
    assert outcomes["error"] > outcomes["same"]


@pytest.mark.slow
def test_450_flipped_bits_over_all_kinds(chain: Chain, tmp_path: Path) -> None:
    """Every kind of payload, the manifests too: 0 silent, 0 tracebacks."""
    workspace = tmp_path / "all"
    shutil.copytree(chain.workspace, workspace)
    injected.write_video(tmp_path / "v.avi")
    for line in ("pseudo-label --branch update", "export", f"predict {tmp_path / 'v.avi'}"):
        chain.ok(f"ifrkit {line} --from branches --workspace {workspace} -q")
    chain.ok(f"ifrkit {CACHE} --workspace {workspace} -q")
    outcomes: Counter[str] = Counter()
    kinds = [path.name for path in sorted(workspace.iterdir())]
    assert len(kinds) == 9
    for kind in kinds:
        made = store.newest(workspace, (kind,))
        assert made is not None
        outcomes.update(flip.outcome for flip in flips(made, 50))
    assert sum(outcomes.values()) == 450
    assert set(outcomes) <= {"error", "same"}, outcomes
