"""Two tiny stages and their executables, to test the platform without any training.

toy-source makes `clips` from nothing; toy-train makes `branches` from clips in steps that can be interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import click

from ifrkit.artifacts.job import Job
from ifrkit.cli.common import Shared, running, stage_command
from ifrkit.core.config import Config
from ifrkit.core.errors import InterruptedRun
from ifrkit.core.stage import Stage
from ifrkit.stages.runner import Run, execute


class SourceConfig(Config):
    """What toy-source writes."""

    size: int = 100
    seconds: float = 0.0
    finalizer: float = 0.0
    """Seconds that a finalizer takes before anything else: whatever is raised in there, Python drops."""
    seed: int = 0


class Pace(Config):
    """No part of the id."""

    seconds: float = 0.0
    """Of one step."""


class TrainConfig(Config):
    """What toy-train does."""

    steps: int = 4
    runtime: Pace = Pace()
    read: str = ""
    """A file of the input to open with its checks; weights are loaded."""
    allocate: bool = False
    seed: int = 0


class _Slow:
    """Takes its time to go."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __del__(self) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            time.sleep(0.01)


def make_source(job: Job) -> None:
    """A file, and a file that is checked as weights are."""
    _Slow(job.config.finalizer)
    time.sleep(job.config.seconds)
    (job.directory / "data.bin").write_bytes(b"x" * job.config.size)
    (job.directory / "sub").mkdir()
    (job.directory / "sub" / "w.safetensors").write_bytes(bytes(range(200)))


def make_train(job: Job) -> None:
    """Sums the step numbers; the state is the sum so far. Of several ranks the first one writes."""
    config: TrainConfig = job.config
    if config.read:
        path = job.input("clips").file(config.read)
        if path.suffix == ".safetensors":
            from ifrkit.models.weights import load_weights

            load_weights(path)
    if config.allocate:
        raise MemoryError
    state = job.scratch / "progress.json"
    at = json.loads(state.read_text()) if job.resumed else {"step": 0, "steps": config.steps, "sum": 0}
    first = os.environ.get("RANK", "0") == "0"
    for step in job.display.track(range(at["step"], config.steps), "toy", total=config.steps, start=at["step"]):
        at = {"step": step + 1, "steps": config.steps, "sum": at["sum"] + step}
        if first:
            with (job.directory / "log.txt").open("a") as log:
                log.write(f"{step}\n" * 1000)
            state.write_text(json.dumps(at))
        time.sleep(config.runtime.seconds)
        if job.stop():
            raise InterruptedRun(f"stopped after step {step + 1}", "--resume goes on", signum=job.stop())
    job.metrics["sum"] = at["sum"]
    if not first:
        (job.directory / "rank.txt").write_text(os.environ["RANK"])


SOURCE = Stage("toy-source", "clips", SourceConfig, make_source, label=lambda config: "toy")
TRAIN = Stage("toy-train", "branches", TrainConfig, make_train, needs=("clips",), resumable=True)


@stage_command("toy-source")
@click.option("--size", type=int)
def source(shared: Shared, size: int | None) -> None:
    """Make toy clips."""
    running.run_stage(SOURCE, shared, {"size": (size, "--size")}, describe=lambda config: ["a toy"])


@stage_command("toy-train")
@click.option("--steps", type=int)
def train(shared: Shared, steps: int | None) -> None:
    """Train a toy."""
    running.run_stage(
        TRAIN, shared, {"steps": (steps, "--steps")}, extra=lambda artifact: {"metrics": artifact.manifest.metrics}
    )


class Shell:
    """A directory with `ifrkit`, `ifrkit-toy-source` and `ifrkit-toy-train` on its PATH."""

    def __init__(self, directory: Path) -> None:
        self.cwd = directory
        self.workspace = directory / "ifrkit_artifacts"
        binaries = directory / "bin"
        binaries.mkdir()
        run = "from ifrkit.cli.guard import run; import sys; import toystages"
        self._script(binaries / "ifrkit", "from ifrkit.cli.main import main; main()")
        self._script(binaries / "ifrkit-toy-source", f"{run}; run(toystages.source, sys.argv[1:], 'ifrkit-toy-source')")
        self._script(binaries / "ifrkit-toy-train", f"{run}; run(toystages.train, sys.argv[1:], 'ifrkit-toy-train')")
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
        self.env = {k: v for k, v in os.environ.items() if k not in {"IFRKIT_WORKSPACE", "RANK", "WORLD_SIZE"}}
        self.env |= {"PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(paths)}

    def _script(self, path: Path, code: str) -> None:
        path.write_text(f"#!{sys.executable}\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, line: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
        """Run a shell line to its end; the exit code is that of the last command of a pipe."""
        return subprocess.run(
            ["bash", "-c", line], cwd=self.cwd, env=self.env, stdin=stdin, capture_output=True, text=True, timeout=180
        )

    def source(self) -> Path:
        """Toy clips, made without starting a process."""
        return execute(SOURCE, SourceConfig(), Run(workspace=self.workspace, inputs=[])).path

    def ok(self, line: str) -> str:
        """Standard output of a line that has to succeed."""
        done = self.run(line)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start one command, without waiting."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )

    def wait_for(self, pattern: str, seconds: float = 20) -> Path:
        """Wait until a file appears below the workspace."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = next(self.workspace.glob(pattern), None)
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError(f"no {pattern} within {seconds} s")

    def interrupt(self, process: subprocess.Popen[str], signum: signal.Signals) -> tuple[int, str]:
        """Send a signal; exit code and standard error."""
        process.send_signal(signum)
        _, err = process.communicate(timeout=20)
        return process.returncode, err
