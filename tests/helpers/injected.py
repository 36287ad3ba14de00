"""Runs a stage once for each of its operations on the file system, and fails that one.

    python tests/helpers/injected.py PLACE SCENARIO...       INJECT_ALL=1: every single write; INJECT_EVERY=N: each N-th

`python` has to be started with the library of inject.c preloaded (`library`). Each run is a fork of this process, which
has all modules loaded and computes nothing itself. After each failure the disk is looked at, and the same command runs
again, with nothing failing. One JSON object is printed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import chains
import cv2
import numpy as np
import tiny_run
import torch

import ifrkit.stages._evaluate
import ifrkit.stages._export
import ifrkit.stages._predict
import ifrkit.stages._prepare
import ifrkit.stages._pseudo_label
import ifrkit.train.flow
import ifrkit.train.stage_one
import ifrkit.train.stage_two  # noqa: F401  # all here, so that no fork has to
from data_prep.synthetic import video
from ifrkit.artifacts import store
from ifrkit.cli.main import main as cli
from ifrkit.core.errors import ConfigError, ResourceError

ACTIONS = {"kill": 0, "EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EACCES": errno.EACCES}
SMALL = "--set runtime.workers=0 -q"
CLIPS = f"{chains.PREPARE} {SMALL}"
ONE = f"{chains.ONE} --steps 3 --set loop.eval_every=2 --set loop.batch=2 --set runtime.save_every=1 {SMALL}"
TWO = f"{chains.BRANCHES} --from clips --ssl none -q"
FLOW = f"{chains.FLOW} --from clips -q"
FUSION = f"{chains.FUSION} --from branches -q"
VIDEO = "v.avi"


@dataclass(frozen=True)
class Scenario:
    """A command, and what is made before it (further commands). again: added when it runs for the second time."""

    line: str
    before: tuple[str, ...] = ()
    again: str = " --resume"


SCENARIOS = {
    "prepare": Scenario(CLIPS),
    "prepare --force": Scenario(f"{CLIPS} --force", (CLIPS,), ""),
    "train-branches": Scenario(ONE, (CLIPS,)),
    "train-flow": Scenario(FLOW, (CLIPS,)),
    "train-fusion": Scenario(FUSION, (CLIPS, FLOW, TWO)),
    "pseudo-label": Scenario("pseudo-label --branch update --from branches -q", (CLIPS, ONE)),
    "eval": Scenario("eval --metric mIoU --from branches --set distances=2 -q", (CLIPS, ONE)),
    "predict": Scenario(f"predict {VIDEO} --from branches -q", (CLIPS, ONE)),
    "export": Scenario("export --from branches --format onnx -q", (CLIPS, ONE)),
}


def library(directory: Path) -> Path | None:
    """The compiled library; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    made = directory / "inject.so"
    source = Path(__file__).with_name("inject.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", made, source, "-ldl"], check=True)
    return made


@dataclass
class Outcome:
    """What happened to one scenario. operations: how many there are; failures: runs; faults: what went wrong."""

    operations: int = 0
    failures: int = 0
    faults: list[str] = field(default_factory=list)


class Harness:
    """One place on the disk; `work` is the directory that runs see as their own."""

    def __init__(self, place: Path) -> None:
        self.place, self.work, self.base = place, place / "work", place / "base"
        self.arm = ctypes.CDLL(None).inject_arm
        self.workspace = self.work / "ifrkit_artifacts"

    def run(self, line: str, number: int = 0, action: int = 0, log: Path | None = None) -> tuple[int, str]:
        """Exit code (negative: a signal) and standard error of an ifrkit command in a process of its own."""
        said = self.place / "stderr"
        child = os.fork()
        if child == 0:
            self._child(line, said, lambda: self._arm(number, action, log))
        status = os.waitpid(child, 0)[1]
        return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")

    def _arm(self, number: int, action: int, log: Path | None) -> None:
        self.arm(os.fsencode(self.workspace), number, action, os.fsencode(log) if log else None)

    def _child(self, line: str, said: Path, arm: Callable[[], None]) -> None:
        code = 1
        with contextlib.suppress(BaseException):
            os.chdir(self.work)
            for descriptor, path in ((1, os.devnull), (2, str(said))):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
            sys.argv = ["ifrkit", *line.split()]
            arm()
            try:
                cli()
            except SystemExit as done:
                code = done.code if isinstance(done.code, int) else 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
        os._exit(code)

    def scenario(self, name: str, *, sparse: bool, every: int = 1) -> Outcome:
        """Fail each operation with each action.

        sparse: of many writes to one file in a row the first and the last; every: of all these each so many alone.
        """
        scenario, outcome = SCENARIOS[name], Outcome()
        self._prepare(scenario)
        log = self.place / "operations"
        self._reset()
        code, said = self.run(scenario.line, log=log)
        if code:
            outcome.faults.append(f"without any failure: exit {code}: {said[-300:]}")
            return outcome
        wanted, operations = self._made(), log.read_text().splitlines()
        outcome.operations = len(operations)
        for number in _chosen(operations, sparse)[::every]:
            for action in ACTIONS:
                self._reset()
                outcome.failures += 1
                where = f"{name}: {action} at {number} of {len(operations)} ({operations[number - 1]})"
                outcome.faults += [f"{where}: {fault}" for fault in self._fail(scenario, number, action, wanted)]
        return outcome

    def _fail(self, scenario: Scenario, number: int, action: str, wanted: dict[str, str]) -> list[str]:
        """Faults of one failure."""
        code, said = self.run(scenario.line, number, ACTIONS[action])
        faults = self._unsound()
        if "Traceback" in said:
            faults.append(f"a traceback: {said[-400:]}")
        if action == "kill" and code != -signal.SIGKILL:
            faults.append(f"exit {code}: it was not killed")
        refused = code == ConfigError.exit_code and "cannot write in" in said and action == "EACCES"  # a wrong place
        if action != "kill" and code not in (0, ResourceError.exit_code) and not refused:
            faults.append(f"exit {code}: {said[-300:]}")
        if code == 0 and self._made() != wanted:
            faults.append("exit 0, but something else was made")
        again, said = self.run(scenario.line.replace(" --force", "") + scenario.again)
        if again:
            faults.append(f"the next run: exit {again}: {said[-300:]}")
        elif self._made() != wanted:
            faults.append("the next run made something else")
        return faults + self._unsound()

    def _prepare(self, scenario: Scenario) -> None:
        """What is there before the command, kept in `base`."""
        for directory in (self.base, self.work):
            shutil.rmtree(directory, ignore_errors=True)
        self.work.mkdir(parents=True)
        if VIDEO in scenario.line:
            _in_child(lambda: write_video(self.work / VIDEO))
        for line in scenario.before:
            code, said = self.run(line)
            if code:
                raise RuntimeError(f"{line}: exit {code}: {said}")
        self.work.rename(self.base)

    def _reset(self) -> None:
        """`work` as `base` is. Artifacts are never written to: links will do."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work, copy_function=os.link)

    def _made(self) -> dict[str, str]:
        """sha256 of the payload of every artifact, by directory and file."""
        return {
            f"{path.parent.name}/{path.name}/{entry.path}": entry.sha256
            for path in store.directories(self.workspace)
            for entry in store.read_manifest(path).files
            if not entry.path.endswith((".mp4", ".events.jsonl", ".onnx"))  # they hold times
        }

    def _unsound(self) -> list[str]:
        """What is wrong with the artifacts: all that were there before have to be there, whole."""
        there = {path.relative_to(self.workspace) for path in store.directories(self.workspace)}
        before = self.base / "ifrkit_artifacts"
        gone = {path.relative_to(before) for path in store.directories(before)} - there
        return [f"{path} is gone" for path in gone] + [p for d in there for p in store.check(self.workspace / d)]


def _chosen(operations: list[str], sparse: bool) -> list[int]:
    """Numbers of the operations to fail, from 1."""
    numbers = range(1, len(operations) + 1)
    if not sparse:
        return list(numbers)
    around = ["", *operations, ""]
    return [n for n in numbers if not around[n].startswith("write") or not around[n - 1] == around[n] == around[n + 1]]


def _in_child(action: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def write_video(path: Path) -> None:
    """A few frames of noise that moves."""
    height, width = tiny_run.OPTIONS["height"], tiny_run.OPTIONS["width"]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
    frame = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    for shift in range(6):
        writer.write(np.roll(frame, shift, 1))
    writer.release()


if __name__ == "__main__":
    torch.set_num_threads(1)
    video._library(0)  # what the synthetic streets are made of: once, for all forks
    found = {}
    sparse, every = os.environ.get("INJECT_ALL") != "1", int(os.environ.get("INJECT_EVERY", "1"))
    for name in sys.argv[2:]:
        found[name] = vars(Harness(Path(sys.argv[1])).scenario(name, sparse=sparse, every=every))
    print(json.dumps(found, indent=1))
