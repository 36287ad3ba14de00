"""Toy trees, written once and linked for each test, and the command line without the price of a new interpreter."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ifrkit.cli.main import main
from ifrkit.core.plugins import load

Tree = Callable[[str], Path]


@pytest.fixture(scope="session")
def _originals(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            load("datasets", name).make_toy(made[name])
        return made[name]

    return make


@pytest.fixture
def tree(_originals: Tree, tmp_path: Path) -> Tree:
    """A function (dataset) -> its toy tree, to be spoiled. Its files are links: replace them, never write into them."""

    def link(name: str) -> Path:
        return Path(shutil.copytree(_originals(name), tmp_path / "data", copy_function=os.link))

    return link


@pytest.fixture
def replace() -> Callable[[Path, np.ndarray], Path]:
    """A function that puts another image in place of one."""

    def put(path: Path, pixels: np.ndarray) -> Path:
        path.unlink()
        Image.fromarray(pixels).save(path)
        return path

    return put


@pytest.fixture
def cli(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A function that runs a line of `ifrkit` in a fork of this process, below tmp_path."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        if (pid := os.fork()) == 0:
            code = 1
            try:
                os.chdir(tmp_path)
                for number, path in ((0, Path(os.devnull)), (1, out), (2, err)):
                    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
                sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
                sys.argv = shlex.split(line)
                main()
            except SystemExit as done:
                code = int(done.code or 0)
            finally:
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return subprocess.CompletedProcess(line, code, out.read_text(), err.read_text())

    return run
