"""Shell lines of the real executables, on clips so small that each stage takes a second or two."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tiny_run

BIN = Path(sys.executable).parent
_SMALL = "--set runtime.workers=0 --set loop.batch=2 --set crop{}=[24,32]"
PREPARE = "prepare synthetic " + " ".join(f"--set options.{key}={value}" for key, value in tiny_run.OPTIONS.items())
BRANCHES = (
    "train-branches --ssl ifr --backbone resnet18,resnet34 --steps 2 --set update.width=0.0625 "
    f"--set reference.width=0.0625 --set loop.eval_every=2 {_SMALL.format('.size')}"
)
ONE = f"train-branches --ssl none --branch update --set update.width=0.0625 {_SMALL.format('.size')} --from clips"
"""The supervised update branch alone; lacks --steps."""
CACHE = "cache-features --set update.width=0.0625 --from clips"
HEAD = f"train-branches --ssl none --from features {_SMALL.format('.size')}"
"""The head alone, on what CACHE makes; lacks --steps."""
FLOW = f"train-flow --steps 2 --set width=0.0625 {_SMALL.format('')}"
FUSION = f"train-fusion --steps 2 --set key_interval=3 {_SMALL.format('')}"
EVAL = "eval --metric mIoU,TC --flow truth --set distance=2"
LINE = " | ".join(f"ifrkit {stage}" for stage in (PREPARE, BRANCHES, FUSION, EVAL))


class Chain:
    """A directory to run shell lines in, with the executables of this environment first in PATH."""

    def __init__(self, cwd: Path) -> None:
        self.cwd, self.workspace = cwd, cwd / "ifrkit_artifacts"
        self.env = {k: v for k, v in os.environ.items() if k not in {"IFRKIT_WORKSPACE", "RANK", "WORLD_SIZE"}}
        self.env |= {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line to its end; the exit code is that of the last command that failed."""
        process = self.start(f"set -o pipefail; {line}")
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(line, process.returncode, out, err)

    def ok(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line that has to succeed."""
        done = self.run(line)
        assert done.returncode == 0, done.stderr
        return done

    def start(self, line: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start a line. One that begins with `exec` is the process itself, to be signalled."""
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def newest(self, kind: str) -> Path:
        """The newest artifact of a kind."""
        return max((self.workspace / kind).glob("[!.]*"), key=lambda path: path.stat().st_mtime_ns)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until the condition holds; fails after a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What a refused -q run said: nothing on standard output, one line of whose error it is, and what to do."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ifrkit ")
    assert "; " in line or " has to be " in line  # a remedy, or what a value has to be
    return line
