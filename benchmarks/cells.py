"""`ifrkit reproduce` on an emulated Slurm: what a cell costs beside its work, and whether a dying node loses one.

    python benchmarks/cells.py [TABLE] [--seeds 0-7] [--only TEXT] [--run] [--workers 1] [--kills 2] [--json FILE]

Writes all jobs of a table as `--executor print` does and submits them to an sbatch that only queues: processor time of
both for each cell. With `--run` the queue is worked off by Slurm's rules (`afterok`, `afterany`, a job with a failed
input is cancelled), and so many times a node dies: a training that has saved a state gets SIGKILL, with all its
processes, and the job is put back into the queue where it asks for that (`--requeue`), as Slurm does. Then the table is
collected: cells without a number are lost. This is not Slurm: benchmarks/slurm.sh starts a real one, where it is
installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

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


def main() -> int:
    """Print the figures; 1 if a cell was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", default="3")
    parser.add_argument("--seeds", default="0-7")
    parser.add_argument("--only", default=None)
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=2)
    Figures.option(parser)
    args = parser.parse_args()
    figures, ifrkit = Figures(), [sys.executable, "-m", "ifrkit"]
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "queue").touch()
        (place / "sbatch").write_text(SBATCH)
        (place / "sbatch").chmod(0o755)
        words = ["reproduce", args.table, "--seeds", args.seeds, "--scale", "tiny", "--device", "cpu", "-q", *SETS]
        words += ["--only", args.only] if args.only else []
        spent, where = cpu([*ifrkit, *words, "--executor", "print"], place)
        submitting, _ = cpu(["bash", str(place / where / "submit.sh")], place)
        jobs = queued(place / "queue")
        cells = sum(job.script.name.startswith("eval") for job in jobs)
        each = f"{1000 * spent / cells:.0f} ms to plan and write, {1000 * submitting / cells:.0f} ms to submit"
        print(f"{cells} cells, {len(jobs)} jobs; processor time a cell: {each}")
        figures.add("cell", smaller={"ms to plan and write": 1000 * spent / cells})
        lost = 0
        if args.run:
            killed = work(jobs, place / "ifrkit_artifacts", args.workers, args.kills)
            _, table = cpu([*ifrkit, *words], place)
            found = json.loads((place / table / "table.json").read_text())["cells"]
            lost = sum(cell["mean"] is None for cell in found)
            states = {state: sum(job.state == state for job in jobs) for state in sorted({j.state for j in jobs})}
            print(f"{killed} nodes died, {sum(job.requeued for job in jobs)} jobs were put back; jobs: {states}; "
                  f"cells of the table: {len(found)}, lost: {lost}")  # fmt: skip
            figures.add("cell", smaller={"lost": lost, "jobs that failed": states.get("failed", 0)})
    figures.write(args.json)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
