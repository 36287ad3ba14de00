"""The same matrix on a cluster: one Slurm job a node, which waits for the jobs that it reads from.

A job leaves the reference of its artifact in `refs/NAME`, and the jobs after it read it there; the last job collects
the table from what is there. Partition, account, time limit and the like come from the SBATCH_* variables of the
environment, which sbatch reads by itself. When a node dies, Slurm puts its job back into the queue (`--requeue`), and
the stage goes on with the state that it saved.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.core.errors import ConfigError
from ifrkit.core.text import is_safe
from ifrkit.reproduce.plan import TRAINING, Node
from ifrkit.reproduce.run import Outcome, command_line

COLLECT = "collect"
MINUTES = 2880
"""Time limit of a job unless SBATCH_TIMELIMIT says another. A training that is cut off goes on when submitted again."""


def write(directory: Path, nodes: Sequence[Node], shared: Sequence[str], collect: Sequence[str], gpus: int) -> None:
    """Write NAME.sbatch for each node, collect.sbatch and submit.sh into a directory.

    shared: options of every stage; collect: the words after `ifrkit` that collect the table; gpus: of a training stage
    (0: no job asks for one).
    """
    for name in ("refs", "logs"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for node in nodes:
        (directory / "refs" / node.name).unlink(missing_ok=True)  # of a submission before this one
        _write(directory, node.name, _script(directory, node, shared, gpus))
    words = [sys.executable, "-m", "ifrkit", *collect]
    _write(directory, COLLECT, _header(directory, COLLECT, 0) + " ".join(map(quoted, words)) + "\n")
    submit = ["#!/bin/bash", "# Submits all jobs; prints the id of the last one, which collects the table.", "set -e"]
    numbers = {node.digest: index for index, node in enumerate(nodes)}
    for index, node in enumerate(nodes):
        ids = [f"${{job{numbers[each.digest]}}}" for each in node.inputs]
        submit.append(f"job{index}=$(sbatch --parsable {_after('afterok', ids)}{_quoted(directory, node.name)})")
        submit.append(f"job{index}=${{job{index}%%;*}}")  # sbatch may add the name of the cluster
    ids = [f"${{job{index}}}" for index in range(len(nodes))]
    submit.append(f"sbatch --parsable {_after('afterany', ids)}{_quoted(directory, COLLECT)}")
    write_atomic(directory / "submit.sh", os.fsencode("\n".join(submit) + "\n"))


def submit(directory: Path, nodes: Sequence[Node], gpus: int) -> dict[str, str]:
    """Submit what `write` wrote through submitit. Returns the job id of each name. Raises ConfigError without it."""
    try:
        import submitit
    except Exception:  # a broken package fails in its own ways
        raise ConfigError("--executor slurm needs submitit", "pip install 'ifrkit[slurm]'") from None
    if shutil.which("sbatch") is None:
        raise ConfigError("--executor slurm: no sbatch on PATH", "run it on a login node, or use --executor print")
    jobs: dict[str, str] = {}

    def start(name: str, kind: str, after: Sequence[str], count: int) -> None:
        executor = submitit.AutoExecutor(folder=directory / "logs", cluster="slurm")
        extra: dict[str, object] = {"requeue": True}
        extra |= {"dependency": f"{kind}:{':'.join(after)}", "kill_on_invalid_dep": "yes"} if after else {}
        asked = {"gpus_per_node": count} if count else {}
        executor.update_parameters(name=name, timeout_min=MINUTES, slurm_additional_parameters=extra, **asked)
        script = submitit.helpers.CommandFunction(["bash", str(directory / f"{name}.sbatch")])
        jobs[name] = executor.submit(script).job_id

    for node in nodes:
        start(node.name, "afterok", [jobs[each.name] for each in node.inputs], _gpus(node, gpus))
    start(COLLECT, "afterany", list(jobs.values()), 0)
    return jobs


def finished(directory: Path, nodes: Sequence[Node]) -> Outcome:
    """What the jobs have left; a node without a reference failed, its log says why."""
    outcome = Outcome()
    for node in nodes:
        path = directory / "refs" / node.name
        if path.is_file():
            outcome.made[node.digest] = os.fsdecode(path.read_bytes()).strip()
        else:
            outcome.failed[node.digest] = f"no reference; see {directory / 'logs'}"
            outcome.codes.append(1)
    return outcome


def _script(directory: Path, node: Node, shared: Sequence[str], gpus: int) -> str:
    """A stage whose inputs are named by the files of the jobs before."""
    marks: dict[str, Path] = {}

    def reference(source: Node) -> str:
        marks[f"@{source.name}@"] = directory / "refs" / source.name
        return f"@{source.name}@"

    words = [*command_line(node.argv(reference), max(gpus, 1)), "--resume", *shared]
    line = " ".join(f'"$(cat {quoted(str(marks[w]))})"' if w in marks else quoted(w) for w in words)
    target = quoted(str(directory / "refs" / node.name))
    body = f"made=$({line})\nprintf '%s\\n' \"$made\" > {target}.$$\nmv {target}.$$ {target}\n"
    return _header(directory, node.name, _gpus(node, gpus)) + body


def quoted(word: str) -> str:
    """A word for bash, in one line whatever it holds: no line of a script begins with what others wrote."""
    if is_safe(word):
        return shlex.quote(word)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"


def _header(directory: Path, name: str, gpus: int) -> str:
    lines = ["#!/bin/bash", f"#SBATCH --job-name={name}", f"#SBATCH --time={MINUTES}", "#SBATCH --requeue"]
    lines += [f"#SBATCH --gpus-per-node={gpus}"] if gpus else []
    if re.fullmatch(r"[\w./+@:,=~-]+", str(directory), re.ASCII):  # what sbatch, which cannot quote, takes
        lines.append(f"#SBATCH --output={directory}/logs/%x-%j.txt")
    return "\n".join([*lines, "set -e", f"cd {quoted(str(Path.cwd()))}", ""])


def _gpus(node: Node, gpus: int) -> int:
    if node.stage in TRAINING:
        return gpus
    return min(gpus, 1) if node.stage == "eval" else 0


def _after(kind: str, ids: Sequence[str]) -> str:
    return f'--kill-on-invalid-dep=yes --dependency="{kind}:{":".join(ids)}" ' if ids else ""


def _quoted(directory: Path, name: str) -> str:
    return quoted(str(directory / f"{name}.sbatch"))


def _write(directory: Path, name: str, text: str) -> None:
    write_atomic(directory / f"{name}.sbatch", os.fsencode(text))
