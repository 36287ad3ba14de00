"""Runs a stage once for each of its operations on the file system, and fails that one.

    python tests/helpers/injected.py PLACE SCENARIO...       INJECT_ALL=1: every single write

`python` has to be started with the library of inject.c preloaded (`library`). What makes thousands of failures cheap:

- All runs are forks of this process, which has loaded what the command loads, and computes nothing itself.
- One run is watched. Before each of its operations it stops, and the disk is copied: that is what a kill leaves there.
  Then it forks a child for each error, which sees a copy of the disk, fails, and goes on from there to its end.
- What the next run does follows from what it finds. Failures that leave the same bytes are followed by one run.

A child has one thread. Where the watched process has more, and where mounting is not allowed, the command runs from its
beginning for each error. After each failure the disk is looked at, and the same command runs again, with nothing
failing. Each outcome is a line of `PLACE/outcomes.jsonl` at once; what stands there is not done again. Each scenario
gives one line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import hashlib
import importlib
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import chains
import cv2
import numpy as np
import tiny_run
import torch
from tqdm import tqdm

from data_prep.synthetic import video
from ifrkit.artifacts import store
from ifrkit.artifacts.listing import sha256
from ifrkit.artifacts.locks import LOCK
from ifrkit.cli.main import main as cli
from ifrkit.core.errors import ConfigError, ResourceError
from ifrkit.predict import resume
from ifrkit.stages import _predict

ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EACCES": errno.EACCES}
ACTIONS = ("kill", *ERRORS)
SMALL = "--set runtime.workers=0 -q"
CLIPS = f"{chains.PREPARE} --set options.train_videos=1 --set options.clip_length=3 {SMALL}"
ONE = f"{chains.ONE} --steps 2 --set loop.eval_every=2 --set loop.batch=2 --set runtime.save_every=1 {SMALL}"
TWO = f"{chains.BRANCHES} --from clips --ssl none -q"
FLOW = f"{chains.FLOW} --from clips -q"
FUSION = f"{chains.FUSION} --from branches -q"
VIDEO, PROJECT, WORKSPACE = "v.avi", "project", "ifrkit_artifacts"


@dataclass(frozen=True)
class Scenario:
    """A command, and what is made before it (further commands). again: added when it runs for the second time."""

    line: str
    before: tuple[str, ...] = ()
    again: str = " --resume"


SCENARIOS = {
    "prepare": Scenario(CLIPS),
    "prepare --force": Scenario(f"{CLIPS} --force", (CLIPS,), ""),
    "pseudo-label": Scenario("pseudo-label --branch update --from branches -q", (CLIPS, ONE)),
    "cache-features": Scenario(f"{chains.CACHE} -q", (CLIPS,)),
    "propagate": Scenario("propagate --from clips --write cvat --set explained=0 -q", (CLIPS,)),
    "predict": Scenario(f"predict {VIDEO} --from branches -q", (CLIPS, ONE)),
    "init": Scenario(f"init {PROJECT} --frames {VIDEO} --clip-length 3 --count 2 --classes road,car -q", (), ""),
    "label-next": Scenario(f"label-next {PROJECT} --count 1 --write cvat -q", (CLIPS, ONE), ""),
    "eval": Scenario("eval --metric mIoU --from branches --set distances=2 -q", (CLIPS, ONE)),
    "train-branches": Scenario(ONE, (CLIPS,)),
    "train-flow": Scenario(FLOW, (CLIPS,)),
    "train-fusion": Scenario(FUSION, (CLIPS, FLOW, TWO)),
    "export": Scenario("export --from branches --format onnx -q", (CLIPS, ONE)),
}
"""`train` is not among them: it writes nothing but through its three stages."""
FAST = ("prepare", "prepare --force", "init", "pseudo-label", "cache-features", "propagate", "label-next")
"""About a minute of processor time for all of them."""


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
    """What happened to one scenario.

    operations: how many there are; failed: how many of them were failed, with each action; failures: in all; followed:
    runs after them, one for each disk that was left; seconds: of processor time; faults: what went wrong.
    """

    operations: int = 0
    failed: int = 0
    failures: int = 0
    followed: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class Left(NamedTuple):
    """What a failure left: exit code (negative: a signal), standard error, and the disk (a name in `pictures`)."""

    code: int
    said: str
    picture: str


class Harness:
    """One place on the disk; `work` is the directory that runs see as their own."""

    def __init__(self, place: Path) -> None:
        self.place, self.work, self.base = place, place / "work", place / "base"
        self.pictures, self.copy, self.said = place / "pictures", place / "copy", place / "stderr"
        self.calls = ctypes.CDLL(None)
        self.mounts = _can_mount()
        self.root = self.work / WORKSPACE
        """Operations below it are counted."""

    def run(self, line: str, number: int = 0, action: int = 0) -> tuple[int, str]:
        """Exit code and standard error of an ifrkit command in a process of its own."""
        child = self._start(line, lambda: self._arm(number, action))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), self.said.read_text(errors="replace")

    def list(self, line: str) -> tuple[int, str, list[str]]:
        """Run a command that may fail nowhere; also its operations. Loads what it loads, for all forks to come."""
        log, modules = self.place / "operations", self.place / "modules"
        child = self._start(line, lambda: self._arm(0, 0, log), modules)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for module in modules.read_text().split():
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # forks do not look through all that is loaded here
        return code, self.said.read_text(errors="replace"), log.read_text().splitlines()

    def fail(self, line: str, operations: list[str], chosen: Sequence[int]) -> Iterator[tuple[int, str, Left]]:
        """Number, action and what is left, of each failure at the chosen operations."""
        log, (orders, ordering), (answering, answers) = self.place / "watched", os.pipe(), os.pipe()

        def arm() -> None:
            self._arm(0, 0, log)
            self.calls.inject_watch(orders, answers, *map(os.fsencode, (self.work, self.copy, self.place / "child")))

        self._reset()
        child, number, wanted = self._start(line, arm), 0, set(chosen)
        later: list[int] = []
        while os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]):
            number += 1
            if number in wanted:
                picture = self._picture(self.work)
                yield number, "kill", Left(-signal.SIGKILL, "", picture)
                if not self.mounts or len(os.listdir(f"/proc/{child}/task")) > 1:
                    later.append(number)
                else:
                    for action, error in ERRORS.items():
                        self._copy_to(self.copy, self.pictures / picture)
                        os.write(ordering, error.to_bytes(4, sys.byteorder))
                        os.kill(child, signal.SIGCONT)
                        os.waitpid(child, os.WUNTRACED)
                        code = os.waitstatus_to_exitcode(int.from_bytes(os.read(answering, 4), sys.byteorder))
                        text = (self.place / "child").read_text(errors="replace")
                        yield number, action, Left(code, text, self._picture(self.copy))
            os.write(ordering, bytes(4))
            os.kill(child, signal.SIGCONT)
        for descriptor in (orders, ordering, answering, answers):
            os.close(descriptor)
        if [o.split()[0] for o in log.read_text().splitlines()] != [o.split()[0] for o in operations]:
            raise RuntimeError(f"{line}: two runs have different operations")
        for number, action in itertools.product(later, ERRORS):
            self._reset()
            code, text = self.run(line, number, ERRORS[action])
            yield number, action, Left(code, text, self._picture(self.work))

    def _start(self, line: str, arm: Callable[[], None], modules: Path | None = None) -> int:
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                code = self._command(line, arm)
                if modules is not None:
                    modules.write_text("\n".join(sys.modules))
            os._exit(code)
        return child

    def _arm(self, number: int, action: int, log: Path | None = None) -> None:
        self.calls.inject_arm(os.fsencode(self.root), number, action, os.fsencode(log) if log else None)

    def _command(self, line: str, arm: Callable[[], None]) -> int:
        os.chdir(self.work)
        for descriptor, path in ((1, os.devnull), (2, str(self.said))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
        sys.argv = ["ifrkit", *line.split()]
        code = 1
        arm()
        try:
            cli()
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        return code

    def scenario(self, name: str, *, sparse: bool) -> Outcome:
        """Fail each operation with each action. sparse: of many writes to one file in a row the first and the last."""
        scenario, outcome, before = SCENARIOS[name], Outcome(), _seconds()
        self.root = self.work / (PROJECT if PROJECT in scenario.line else WORKSPACE)
        self._prepare(scenario)
        self._reset()
        code, said, operations = self.list(scenario.line)
        if code:
            outcome.faults.append(f"without any failure: exit {code}: {said[-300:]}")
            return outcome
        wanted, done, chosen = self._made(self.work), self._done(name), _chosen(operations, sparse)
        keys = {(n, a): f"{a} at {n} of {len(operations)} ({operations[n - 1]})" for n in chosen for a in ACTIONS}
        missing = sorted({number for (number, _), key in keys.items() if key not in done})
        followed: dict[str, list[str]] = {}
        for number, action, left in list(self.fail(scenario.line, operations, missing)):
            if (key := keys[number, action]) not in done:
                if left.picture not in followed:
                    followed[left.picture] = self._follow(scenario, left.picture, wanted)
                done[key] = self._faults(action, left, wanted) + followed[left.picture]
                self._note(name, key, done[key])
        outcome.operations, outcome.failed, outcome.failures = len(operations), len(chosen), len(keys)
        outcome.faults += [f"{name}: {key}: {fault}" for key in keys.values() for fault in done[key]]
        outcome.followed, outcome.seconds = len(followed), round(_seconds() - before, 1)
        return outcome

    def _done(self, name: str) -> dict[str, list[str]]:
        """Faults of each failure that an earlier run had."""
        log = self.place / "outcomes.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return {row["failure"]: row["faults"] for row in rows if row["scenario"] == name}

    def _note(self, name: str, failure: str, faults: list[str]) -> None:
        with (self.place / "outcomes.jsonl").open("a") as log:
            log.write(json.dumps({"scenario": name, "failure": failure, "faults": faults}) + "\n")

    def _faults(self, action: str, left: Left, wanted: dict[str, str]) -> list[str]:
        """Faults of the run that failed."""
        if action == "kill":
            return []
        faults = [f"a traceback: {left.said[-400:]}"] if "Traceback" in left.said else []
        refused = left.code == ConfigError.exit_code and "cannot write in" in left.said and action == "EACCES"
        if left.code not in (0, ResourceError.exit_code) and not refused:  # refused: as a wrong place
            faults.append(f"exit {left.code}: {left.said[-300:]}")
        if left.code == 0 and self._made(self.pictures / left.picture) != wanted:
            faults.append("exit 0, but something else was made")
        return faults

    def _follow(self, scenario: Scenario, picture: str, wanted: dict[str, str]) -> list[str]:
        """Faults of what is on the disk, and of the next run."""
        self._copy_to(self.work, self.pictures / picture)
        faults = self._unsound()
        if PROJECT not in scenario.line or self._made(self.work) != wanted:  # a project that is done gets more frames
            again, said = self.run(scenario.line.replace(" --force", "") + scenario.again)
            if again:
                faults.append(f"the next run: exit {again}: {said[-300:]}")
            elif self._made(self.work) != wanted:
                faults.append("the next run made something else")
        return faults + self._unsound()

    def _prepare(self, scenario: Scenario) -> None:
        """What is there before the command, kept in `base`."""
        for directory in (self.base, self.work, self.pictures):
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
        shutil.copytree(self.base, self.work, symlinks=True, copy_function=os.link)

    def _picture(self, place: Path) -> str:
        """Keeps a copy of a directory, whatever still writes there. Returns its name, the same for the same bytes."""
        state = _state(place)
        if not (self.pictures / state).exists():
            self._copy_to(self.pictures / state, place)
        return state

    def _copy_to(self, place: Path, source: Path) -> None:
        """A copy that may be written to; what `base` has stays linked."""
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place, symlinks=True, copy_function=_copied)

    def _made(self, place: Path) -> dict[str, str]:
        """sha256 of the payload of every artifact, by directory and file; of a project: of all files in it."""
        root = place / self.root.name
        if root.name == PROJECT:
            found = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
            return {str(path.relative_to(root)): sha256(path) for path in found}
        return {
            f"{path.parent.name}/{path.name}/{entry.path}": entry.sha256
            for path in store.directories(root)
            for entry in store.Artifact(path, store.read_manifest(path)).entries()
            if not entry.path.endswith((".mp4", ".events.jsonl", ".onnx"))  # they hold times
        }

    def _unsound(self) -> list[str]:
        """What is wrong with the artifacts: all that were there before have to be there, whole."""
        workspace, before = self.work / WORKSPACE, self.base / WORKSPACE
        there = {path.relative_to(workspace) for path in store.directories(workspace)}
        gone = {path.relative_to(before) for path in store.directories(before)} - there
        return [f"{path} is gone" for path in gone] + [p for d in there for p in store.check(workspace / d)]


def _copied(source: str, target: str) -> None:
    (os.link if os.stat(source, follow_symlinks=False).st_nlink > 1 else shutil.copy2)(source, target)


def _state(place: Path) -> str:
    """A digest of every name and byte in a directory, but for what lock files say: that is for people."""
    digest = hashlib.blake2b(digest_size=16)
    for directory, folders, names in os.walk(place):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        digest.update("\0".join([os.path.relpath(directory, place), *folders]).encode())
        for name in sorted([*names, *links]):
            path = Path(directory, name)
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            digest.update(f"\0{name}\0{len(content)}\0".encode())
            digest.update(b"" if name.startswith(LOCK) else content)
    return digest.hexdigest()


def _can_mount() -> bool:
    """Whether a child may put a copy of a directory into its place."""
    child = os.fork()
    if child == 0:
        os._exit(ctypes.CDLL(None).inject_see(b"/dev", b"/dev") != 0)
    return os.waitpid(child, 0)[1] == 0


def _seconds() -> float:
    """Processor time of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


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


def in_one_order() -> None:
    """`predict` reads ahead and writes in threads, and saves by the clock: two runs would have their operations in two
    orders. Here it does one thing after the other, and saves after each frame. The progress bar of torch.export would
    start a thread, too.
    """
    tqdm.monitor_interval = 0
    resume.SECONDS = -1.0
    _predict.ahead = _predict.afterwards = contextlib.nullcontext  # type: ignore[assignment]


if __name__ == "__main__":
    in_one_order()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    video._library(0)  # what the synthetic streets are made of: once, for all forks
    sparse = os.environ.get("INJECT_ALL") != "1"
    for name in sys.argv[2:]:
        outcome = Harness(Path(sys.argv[1])).scenario(name, sparse=sparse)
        print(json.dumps({"scenario": name, **vars(outcome)}), flush=True)
