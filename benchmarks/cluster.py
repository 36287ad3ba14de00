"""The Slurm that benchmarks/slurm.sh starts: its queue, when its jobs ran, and its only node, which can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

REBOOT = 30.0
"""Seconds that a node is away. Once back, Slurm asks for jobs that began 20 s ago or earlier, for others much later."""


class Ran(NamedTuple):
    """The last run of a job. begin, end: seconds of the clock, whole ones."""

    name: str
    state: str
    begin: float
    end: float
    restarts: int


def told(*command: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def waiting() -> int:
    """Jobs that are not done."""
    return len(told("squeue", "--noheader", "--format=%i").split())


def running() -> list[str]:
    """Names of the jobs that run."""
    return told("squeue", "--noheader", "--states=running", "--format=%j").split()


def jobs() -> list[Ran]:
    """All jobs that were ever submitted."""
    return [_ran(line) for line in told("scontrol", "show", "job", "--oneliner").splitlines() if line.strip()]


def _ran(line: str) -> Ran:
    fields = dict(re.findall(r"(\w+)=(\S*)", line))
    begin, end = (
        time.mktime(time.strptime(fields[key], "%Y-%m-%dT%H:%M:%S")) if fields[key][:1].isdigit() else 0.0
        for key in ("StartTime", "EndTime")
    )
    return Ran(fields["JobName"], fields["JobState"], begin, end, int(fields["Restarts"]))


def kill_daemon() -> None:
    """slurmd gets SIGKILL and is started again; the job that runs goes on beside it."""
    os.kill(_daemon(), signal.SIGKILL)
    time.sleep(3)
    subprocess.run(["slurmd"], check=True)


def kill_node() -> None:
    """Every process of the node gets SIGKILL: slurmd, what watches the job, the job. Later it is there again."""
    found = {int(line.split()[0]) for line in told("scontrol", "listpids").splitlines()[1:] if line.split()[0] != "-1"}
    watchers = {parent for pid in found if "slurmstepd" in _called(parent := _parent(pid))}
    for pid in (_daemon(), *watchers, *_below(found)):
        _kill(pid)
    time.sleep(REBOOT)
    subprocess.run(["slurmd", "-b"], check=True)


def _daemon() -> int:
    path = re.search(r"SlurmdPidFile\s*= (\S+)", told("scontrol", "show", "config"))
    assert path is not None
    return int(Path(path[1]).read_text())


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended with its parent


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _called(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, ...; of init for one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["Z", "1"]


def _below(pids: Iterable[int]) -> set[int]:
    """These processes and all their descendants."""
    found, everyone = set(pids), [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    while more := {pid for pid in everyone if pid not in found and _parent(pid) in found}:
        found |= more
    return found
