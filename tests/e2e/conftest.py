"""The whole chain, run once."""

from __future__ import annotations

import pytest
from chains import FLOW, LINE, PREPARE, Chain


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Clips, flow, both branches, a video model and its report. Nothing may be added but in another directory."""
    chain = Chain(tmp_path_factory.mktemp("chain"))
    chain.ok(f"ifrkit {PREPARE} | ifrkit {FLOW}")
    made = chain.ok(LINE)
    (chain.cwd / "stdout").write_text(made.stdout)
    (chain.cwd / "stderr").write_text(made.stderr)
    return chain
