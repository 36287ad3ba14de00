"""Every example of every help text, and every command block of every page, is run: on toys, with small settings added.

What is shown is what is typed (`pages.SMALL` says what is added). A page is typed from top to bottom into one shell.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pages import PAGES, Block, Place, blocks, commands, examples, filled

pytestmark = pytest.mark.slow

ELSEWHERE = {
    ("README.md", "make "): "sets up an environment from a package index; demo.sh runs in test_the_demo",
    ("README.md", "pip "): "installs from a package index",
}
"""(Page, how the block begins) -> why it is not typed here. Its `ifrkit` lines are parsed in test_commands_parse.py."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Toy data, and a workspace with an artifact of every kind. Copied for each test."""
    place = Place(tmp_path_factory.mktemp("trained"))
    place.lay_out(weights=True)
    place.train()
    return place


@pytest.fixture
def place(trained: Place, tmp_path: Path) -> Place:
    """A copy of it, to be changed."""
    place = Place(tmp_path)
    shutil.copytree(trained.cwd, place.cwd, dirs_exist_ok=True, symlinks=True)
    return place


@pytest.mark.parametrize("name", commands())
def test_examples_run(name: str, place: Place) -> None:
    for example in examples(name):
        place.ok(filled(example), timeout=600)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_runs_from_top_to_bottom(page: Path, place: Place) -> None:
    lines = []
    for block in blocks(page):
        if not _elsewhere(block):
            lines += [f"echo '== {block.where}' >&2", filled(block.text)]
    if not lines:
        pytest.skip("every block is typed elsewhere")
    place.ok("\n".join(lines), timeout=1800)


def _elsewhere(block: Block) -> bool:
    """Not typed with its page: see the table; and the examples of a command, each of which test_examples_run runs."""
    if block.text.splitlines() in [examples(name) for name in commands()]:
        return True
    return any(block.page == page and block.text.startswith(begin) for page, begin in ELSEWHERE)


def test_the_table_of_exceptions_is_about_blocks_that_exist() -> None:
    found = [block for page in PAGES for block in blocks(page)]
    for page, begin in ELSEWHERE:
        assert any(block.page == page and block.text.startswith(begin) for block in found), (page, begin)


def test_the_demo(tmp_path: Path) -> None:
    """What `make demo` runs when the environment is there."""
    place = Place(tmp_path)
    shutil.copy(Path(__file__).parents[2] / "demo.sh", place.cwd)
    assert "pictures:" in place.ok("sh demo.sh", timeout=1800).stdout
