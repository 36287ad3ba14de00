"""`ifrkit reproduce` on Slurm, or on an emulation: what a cell costs beside its work; whether a dead node loses one.

    python benchmarks/cells.py [TABLE] [--seeds 0-7] [--only TEXT] [--run] [--workers 1] [--kills 2] [--json FILE]
    bash benchmarks/slurm.sh python benchmarks/cells.py --slurm --run ...

Writes all jobs of a table as `--executor print` does and submits them to an sbatch that only queues: processor time of
both for each cell. With `--run` the queue is worked off by Slurm's rules (`afterok`, `afterany`, a job with a failed
input is cancelled), and so many times a node dies: a training that has saved a state gets SIGKILL, with all its
processes, and the job is put back into the queue where it asks for that (`--requeue`), as Slurm does. Then the table is
collected: cells without a number are lost.

`--slurm`: the same with the Slurm that benchmarks/slurm.sh starts, one job at a time. Of the nodes that die the first
loses slurmd alone, the second every process, and so on in turn. Told, too: how long the node stands still between two
jobs. `--sleep`: no cell is computed, each job sleeps so long; a cell without a reference is lost.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import cluster
from figures import Figures

SBATCH = """#!/bin/sh
id=$(($(wc -l < "$QUEUE") + 1)); echo "$@" >> "$QUEUE"; echo $id
"""
SMALL = {
    "prepare": "options.train_videos=4 options.val_videos=2 options.clip_length=5 options.height=32 options.width=48",
    "train-branches": "loop.steps=40 loop.batch=4 loop.eval_every=40 runtime.workers=0 runtime.save_every=1 "
    "crop.size=[24,32] update.width=0.0625 reference.width=0.0625",
    "train-flow": "loop.steps=2 loop.batch=2 loop.eval_every=2 runtime.workers=0 crop=[24,32] width=0.0625",
    "train-fusion": "loop.steps=2 loop.batch=2 loop.eval_every=2 runtime.workers=0 crop=[24,32]",
    "eval": "pictures=1",
}
SETS = [word for stage, values in SMALL.items() for v in values.split() for word in ("--set", f"{stage}.{v}")]


@dataclass
class Job:
    """One line of the queue. state: waiting, running, done, failed, cancelled."""

    script: Path
    kind: str
    after: list[int]
    state: str = "waiting"
    process: subprocess.Popen[bytes] | None = None
    requeued: int = 0


def cpu(command: list[str], place: Path) -> tuple[float, str]:
    """Processor seconds of a command and its children, and what it printed last."""
    env = os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "QUEUE": str(place / "queue")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=place, env=env, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout.strip().splitlines()[-1]


def queued(path: Path) -> list[Job]:
    """The jobs in the order of their ids, from 1."""
    jobs = []
    for line in path.read_text().splitlines():
        found = re.search(r"--dependency=(\w+):([\d:]+)", line)
        kind, ids = (found[1], [int(i) for i in found[2].split(":")]) if found else ("afterok", [])
        jobs.append(Job(Path(line.rpartition(" ")[2]), kind, ids))
    return jobs


def work(jobs: list[Job], workspace: Path, workers: int, kills: int) -> int:
    """Run all jobs, killing a training now and then. Returns how many were killed."""
    killed = 0
    while any(job.state in ("waiting", "running") for job in jobs):
        for job in jobs:
            if job.state == "running" and job.process is not None and (code := job.process.poll()) is not None:
                again = code == -signal.SIGKILL and "#SBATCH --requeue" in job.script.read_text()
                job.state = "waiting" if again else "failed" if code else "done"
                job.requeued += again
        running = [job for job in jobs if job.state == "running"]
        for job in jobs:
            states = [jobs[i - 1].state for i in job.after]
            if job.state != "waiting" or {*states} & {"waiting", "running"}:
                continue
            if job.kind == "afterok" and {*states} & {"failed", "cancelled"}:
                job.state = "cancelled"
            elif len(running) < workers:
                job.process = subprocess.Popen(["bash", job.script], process_group=0, stdin=subprocess.DEVNULL)
                job.state = "running"
                running.append(job)
        begun = [j for j in running if j.script.name.startswith("train-branches") and not j.requeued]
        begun = begun if any(workspace.glob("branches/.partial-*/scratch/progress.json")) else []
        if killed < kills and begun:
            os.killpg(begun[0].process.pid, signal.SIGKILL)  # type: ignore[union-attr]
            begun[0].process.wait()  # type: ignore[union-attr]
            killed += 1
        time.sleep(0.2)
    return killed


def asleep(directory: Path, place: Path, seconds: float) -> None:
    """Let each job sleep instead of running its stage."""
    stub = place / "stage"
    stub.write_text(f"#!/bin/sh\nsleep {seconds:g}\necho done\n")
    stub.chmod(0o755)
    for path in directory.glob("*.sbatch"):
        text = path.read_text()
        path.write_text(text.replace(f"{sys.executable} -m ifrkit", str(stub)))


def watch(jobs: int, kills: int, begun: Callable[[], bool]) -> list[float]:
    """Wait until Slurm's queue is empty, killing its node now and then while a training runs. Returns when that was.

    begun: whether the training that runs is worth killing.
    """
    killed: list[float] = []
    while left := cluster.waiting():
        due = len(killed) < kills and jobs - left >= jobs * (len(killed) + 1) / (kills + 1)
        if due and begun() and any(name.startswith("train") for name in cluster.running()):
            killed.append(time.time())
            (cluster.kill_node if len(killed) % 2 == 0 else cluster.kill_daemon)()
        time.sleep(0.5)
    return killed


def gaps(ran: list[cluster.Ran], killed: list[float]) -> list[float]:
    """Seconds between the end of a job and the beginning of the next, but where the node was dead."""
    order = sorted((job for job in ran if job.end >= job.begin > 0), key=lambda job: (job.begin, job.end))
    pairs = [(a.end, b.begin) for a, b in itertools.pairwise(order)]
    return [b - a for a, b in pairs if not any(a - 5 <= at <= b + cluster.REBOOT for at in killed)]


class Ended(NamedTuple):
    """How a queue ended. died: nodes; back: jobs that were put back; states: of the jobs."""

    died: int
    back: int
    states: list[str]


def on_slurm(names: list[str], workspace: Path, args: argparse.Namespace, figures: Figures) -> Ended:
    """Wait for Slurm, and tell how long it takes between two jobs."""
    begin = time.time()
    saved = (lambda: True) if args.sleep else lambda: any(workspace.glob("branches/.partial-*/scratch/progress.json"))
    killed = watch(len(names), args.kills, saved)
    took, ran = time.time() - begin, cluster.jobs()
    between = mean(gaps(ran, killed))
    works = mean(job.end - job.begin for job in ran)
    print(f"{took:.0f} s for all; a job takes {works:.2f} s, and the node stands still {between:.2f} s before the next")
    figures.add("job", smaller={"s between two": between})
    return Ended(len(killed), sum(job.restarts for job in ran), [job.state.lower() for job in ran])


def emulated(queue: Path, workspace: Path, args: argparse.Namespace) -> Ended:
    """Work the queue off here."""
    jobs = queued(queue)
    died = work(jobs, workspace, args.workers, args.kills)
    return Ended(died, sum(job.requeued for job in jobs), [job.state for job in jobs])


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", default="3")
    parser.add_argument("--seeds", default="0-7")
    parser.add_argument("--only", default=None)
    parser.add_argument("--slurm", action="store_true", help="the Slurm of benchmarks/slurm.sh, no emulation")
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--sleep", type=float, metavar="SECONDS", help="with --slurm: jobs sleep, no cell is computed")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=2)
    Figures.option(parser)
    return parser.parse_args()


def main() -> int:
    """Print the figures; 1 if a cell was lost."""
    args, figures, ifrkit, lost = arguments(), Figures(), [sys.executable, "-m", "ifrkit"], 0
    os.environ["SBATCH_EXCLUSIVE"] = "exclusive"  # one job at a time
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        if not args.slurm:
            (place / "queue").touch()
            (place / "sbatch").write_text(SBATCH)
            (place / "sbatch").chmod(0o755)
        words = ["reproduce", args.table, "--seeds", args.seeds, "--scale", "tiny", "--device", "cpu", "-q", *SETS]
        words += ["--only", args.only] if args.only else []
        spent, where = cpu([*ifrkit, *words, "--executor", "print"], place)
        jobs = place / where
        if args.sleep:
            asleep(jobs, place, args.sleep)
        names = [path.stem for path in jobs.glob("*.sbatch")]
        submitting, _ = cpu(["bash", str(jobs / "submit.sh")], place)
        cells = [name for name in names if name.startswith("eval")]
        each = [1000 * seconds / len(cells) for seconds in (spent, submitting)]
        print(f"{len(cells)} cells, {len(names)} jobs; processor time a cell: {each[0]:.0f} ms to plan and write, "
              f"{each[1]:.0f} ms to submit", flush=True)  # fmt: skip
        figures.add("cell", smaller={"ms to plan and write": each[0], "ms to submit": each[1]})
        if args.run:
            workspace = place / "ifrkit_artifacts"
            ended = (
                on_slurm(names, workspace, args, figures) if args.slurm else emulated(place / "queue", workspace, args)
            )
            if args.sleep:
                lost = sum(not (jobs / "refs" / name).exists() for name in cells)
            else:
                _, table = cpu([*ifrkit, *words], place)
                found = json.loads((place / table / "table.json").read_text())["cells"]
                lost = sum(cell["mean"] is None for cell in found)
            states = {state: ended.states.count(state) for state in sorted({*ended.states})}
            print(f"{ended.died} nodes died, {ended.back} jobs were put back; jobs: {states}; cells lost: {lost}")
            figures.add("cell", smaller={"lost": lost, "jobs that failed": states.get("failed", 0)})
    figures.write(args.json)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
