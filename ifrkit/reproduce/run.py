"""Run a plan on this machine: stage by stage in this process, or several stages side by side as processes."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import click

from ifrkit.artifacts.job import Display
from ifrkit.artifacts.reference import parse_reference
from ifrkit.core.errors import IfrkitError, InterruptedRun
from ifrkit.core.faults import resource_errors
from ifrkit.reproduce.plan import TRAINING, Node

Call = Callable[[list[str]], str]
"""Runs the command of a stage; returns the path of its artifact."""


class Outcome:
    """What came of each node, by digest: the path of its artifact, or why there is none (and the exit code)."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.codes: list[int] = []

    def reference(self, node: Node) -> str:
        """Where the artifact of a finished node is."""
        return self.made[node.digest]

    def blocked(self, node: Node) -> Node | None:
        """An input that failed."""
        return next((i for i in node.inputs if i.digest in self.failed), None)

    def fail(self, node: Node, error: Exception) -> str:
        """Record a failure. Returns the line to show."""
        known: Exception = error
        try:
            with resource_errors(node.name):
                raise error
        except Exception as found:
            known = found
        text = known.format_message() if isinstance(known, click.ClickException) else str(known)
        bug = not isinstance(known, IfrkitError | click.ClickException)
        line = " ".join((f"a bug: {type(known).__name__}: {text}" if bug else text).split())
        self.failed[node.digest] = line
        self.codes.append(known.exit_code if isinstance(known, IfrkitError | click.ClickException) else 1)
        return line


def run(nodes: Sequence[Node], call: Call, jobs: int, display: Display) -> Outcome:
    """Run nodes (inputs before what reads them), at most `jobs` at once. Whatever does not need a failed one goes on.

    Raises InterruptedRun or Stopped when a signal came; what was running has saved its state.
    """
    outcome = Outcome()
    if jobs == 1:
        for number, node in enumerate(nodes, 1):
            at = f"[{number}/{len(nodes)}] {node.name}"
            if _skipped(node, outcome, at, display):
                continue
            display.info(f"{at} ...")
            try:
                outcome.made[node.digest] = call(node.argv(outcome.reference))
            except InterruptedRun:
                raise
            except Exception as error:
                display.warn(f"{at}: {outcome.fail(node, error)}")
        return outcome
    _side_by_side(list(nodes), call, jobs, display, outcome)
    return outcome


def _side_by_side(pending: list[Node], call: Call, jobs: int, display: Display, outcome: Outcome) -> None:
    total, running = len(pending), dict[Future[str], Node]()
    with ThreadPoolExecutor(jobs) as pool:
        while pending or running:
            for node in list(pending):
                if _skipped(node, outcome, node.name, display):
                    pending.remove(node)
                elif len(running) < jobs and all(i.digest in outcome.made for i in node.inputs):
                    pending.remove(node)
                    running[pool.submit(call, node.argv(outcome.reference))] = node
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                node = running.pop(future)
                try:
                    outcome.made[node.digest] = future.result()
                    display.info(f"[{len(outcome.made) + len(outcome.failed)}/{total}] {node.name}")
                except Exception as error:
                    display.warn(f"{node.name}: {outcome.fail(node, error)}")


def _skipped(node: Node, outcome: Outcome, at: str, display: Display) -> bool:
    culprit = outcome.blocked(node)
    if culprit is not None:
        outcome.failed[node.digest] = f"needs {culprit.name}"
        display.warn(f"{at}: not run, it needs {culprit.name}")
    return culprit is not None


def serial(command: Call, shared: Sequence[str]) -> Call:
    """Stages in this process; shared: options for all of them. A killed stage goes on where it stopped.

    command: runs a stage's command in this process and returns what it printed.
    """

    def call(argv: list[str]) -> str:
        return str(parse_reference(command([*argv, "--resume", *shared])).path)

    return call


class _StageError(IfrkitError):
    """A stage that ran as a process failed: what it said last, and its exit code."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.exit_code = code


class Processes:
    """Stages as processes of their own. Leaving the context asks those that run to save their state and stop.

    gpus: of each training stage, under torchrun when there are several. devices: how many GPUs there are to deal out.
    quiet: what they say is shown only if they fail.
    """

    def __init__(self, shared: Sequence[str], jobs: int, gpus: int, devices: int, quiet: bool) -> None:
        self.shared, self.gpus, self.devices, self.quiet = shared, gpus, devices, quiet
        self.running: set[subprocess.Popen[str]] = set()
        self.slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.stopped = False
        for slot in range(jobs):
            self.slots.put(slot)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped = True
        for process in list(self.running):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in list(self.running):
            process.wait()

    def __call__(self, argv: list[str]) -> str:
        if self.stopped:
            raise _StageError("not started", 130)
        slot = self.slots.get()
        try:
            return self._run([*command_line(argv, self.gpus), "--resume", *self.shared], slot)
        finally:
            self.slots.put(slot)

    def _run(self, words: list[str], slot: int) -> str:
        env = dict(os.environ)
        if self.devices:
            mine = [str((slot * self.gpus + i) % self.devices) for i in range(self.gpus)]
            env["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
        # A group of its own: Ctrl-C comes to us, and each process gets exactly one signal, from us.
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self.quiet else None,
            text=True,
            errors="surrogateescape",
            env=env,
            process_group=0,
        )
        self.running.add(process)
        out, err = process.communicate()
        self.running.discard(process)
        if process.returncode:
            said = [line for line in (err or "").splitlines() if line.startswith("ifrkit ")]
            last = said[-1] if said else f"exit code {process.returncode}; its error is above"
            code = process.returncode if process.returncode > 0 else 128 - process.returncode
            raise _StageError(last, code)
        return str(parse_reference(out.splitlines()[-1]).path)


def command_line(argv: Sequence[str], gpus: int) -> list[str]:
    """The words that run a stage by this interpreter, a training stage on several GPUs under torchrun."""
    launcher = [sys.executable]
    if gpus > 1 and argv[0] in TRAINING:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus)]
    return [*launcher, "-m", "ifrkit", *argv]
