"""The pages hang together: links lead somewhere, pictures are there and small, generated text is up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT

IMAGES = ROOT / "docs/images"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    gone = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [page.name for page in PAGES if page.parent.name == "docs" and page.name != "README.md"]
    assert not [page for page in pages if f"({page})" not in index]
    assert "docs/README.md" in (ROOT / "README.md").read_text()


def test_every_picture_is_shown_and_all_are_small() -> None:
    pattern = re.compile(r"!\[[^\]]+\]\((?:docs/)?images/([^)]+)\)")
    shown = {name for page in PAGES for name in pattern.findall(page.read_text())}
    files = {path.name for path in IMAGES.iterdir()}
    assert shown == files
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 1_500_000


def test_the_page_of_commands_is_what_the_help_says() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs/commands.py")], capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs/commands.md").read_text(), "run python docs/commands.py > docs/commands.md"
