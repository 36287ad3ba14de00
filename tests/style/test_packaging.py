"""The wheel and the editable install both hold both packages, every executable and the entry points."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = sorted(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-scripts"].values())
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-index"]


def _run(command: list[str], **env: str) -> str:
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scripts_are_the_ones_in_bin_and_hold_no_logic() -> None:
    assert sorted(p.name for p in (ROOT / "bin").iterdir()) == SCRIPTS
    assert all(p.stat().st_mode & 0o111 and p.read_text().count("\n") <= 5 for p in (ROOT / "bin").iterdir())
    assert not set(SCRIPTS) & set(PROJECT["project"].get("scripts", {}))


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_install(tmp_path: Path, editable: bool) -> None:
    site = tmp_path / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    what = ["-e", str(ROOT)] if editable else [str(ROOT)]
    # --ignore-installed: the environment that runs the tests already has ifrkit.
    _run([*PIP, "--no-build-isolation", "--ignore-installed", "--prefix", str(tmp_path), *what])
    for name in SCRIPTS:
        assert (tmp_path / "bin" / name).read_text().startswith(f"#!{sys.executable}")
    probe = (
        "import site, sys; site.addsitedir(sys.argv[1]); sys.path.insert(0, sys.argv[1]);"
        "import ifrkit, data_prep; from ifrkit.core.plugins import names;"
        "from importlib.metadata import entry_points;"
        "print(ifrkit.__file__, ','.join(e.name for e in entry_points(group='ifrkit.datasets')), len(names('methods')))"
    )
    where, datasets, methods = _run([sys.executable, "-c", probe, str(site)]).split()
    assert Path(where).is_relative_to(ROOT if editable else site)
    assert {"synthetic", "camvid", "folders"} <= set(datasets.split(","))
    assert int(methods) >= 2
    recipes = Path(where).parent / "recipes"
    assert list(recipes.glob("*.yaml"))
