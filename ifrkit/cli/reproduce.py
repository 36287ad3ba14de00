"""`ifrkit reproduce TABLE`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import main, say
from ifrkit.cli.common import chosen_device
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.cli.signals import Stop
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy, torch

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes, reference
    from ifrkit.cli import display as displays
    from ifrkit.report import terminal
    from ifrkit.reproduce import cluster, estimate, matrix, run
    from ifrkit.reproduce.matrix import Matrix
else:
    indexes, reference = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.artifacts.reference")
    displays, terminal = lazy("ifrkit.cli.display"), lazy("ifrkit.report.terminal")
    cluster, estimate = lazy("ifrkit.reproduce.cluster"), lazy("ifrkit.reproduce.estimate")
    matrix, run = lazy("ifrkit.reproduce.matrix"), lazy("ifrkit.reproduce.run")

NAMES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "fig4")


@click.command("reproduce", context_settings=SETTINGS)
@click.argument("table", type=click.Choice(NAMES), metavar="TABLE")
@click.option("--dataset", metavar="NAME", help="Another dataset than the paper's.")
@click.option("--root", metavar="DIR", help="Where the downloaded dataset lies.")
@click.option("--seeds", default="0", show_default=True, metavar="N-M", help="Seeds: 0-2, or 0,3.")
@click.option("--scale", type=click.Choice(["full", "small", "tiny"]), default="full", show_default=True)
@click.option("--set", "sets", multiple=True, metavar="STAGE.A.B=C", help="One config value of a stage; repeatable.")
@click.option("--only", metavar="TEXT,...", help="Rows or columns whose names contain one of the texts.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Stages at once.")
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="GPUs of a training.")
@click.option(
    "--executor",
    type=click.Choice(["local", "slurm", "print"]),
    default="local",
    show_default=True,
    help="slurm: submit a job for each stage; print: write the sbatch files.",
)
@click.option("--refs", type=click.Path(path_type=Path), hidden=True)  # the last job on a cluster: run nothing, collect
@click.option("-n", "--dry-run", is_flag=True, help="Check everything, print the plan and what it costs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads of torch.")
def command(workspace: Path, dry_run: bool, as_json: bool, quiet: bool, **values: Any) -> int:
    """Run an experiment of the IFR paper and put its numbers beside the paper's.

    TABLE is 1 to 9 or fig4. Every run is a stage of its own, so what is finished is up to date, and the command goes on
    where it was killed. Reads a downloaded dataset. Makes a `table`: text, CSV, JSON and a figure.

    \b
    Examples:
      ifrkit reproduce 3 --scale tiny --only baseline,ifr,1/2     # on synthetic video, needs no data
      ifrkit reproduce 3 --root cityscapes --seeds 0-2 --dry-run
      ifrkit reproduce 5 --root cityscapes --set train-branches.update.pretrained=r18.pth
    """
    data = matrix.Data(values["dataset"], values["root"], values["scale"], values["sets"])
    experiment = matrix.Matrix.of(values["table"], data, _seeds(values["seeds"]), values["only"])
    configs = experiment.check(main.in_process)
    if dry_run:
        _print_plan(experiment, configs, workspace, as_json, quiet, values)
        return 0
    return _run(experiment, workspace, as_json, quiet, values)


def _run(matrix: Matrix, workspace: Path, as_json: bool, quiet: bool, values: dict[str, Any]) -> int:
    Stop().install()
    display = displays.TerminalDisplay("reproduce", quiet=quiet)
    jobs, gpus = values["jobs"], values["gpus"]
    shared = ["--workspace", str(workspace), "--device", values["device"], *(["-q"] if quiet or jobs > 1 else [])]
    shared += ["--threads", str(values["threads"])] if values["threads"] else []
    if values["refs"]:
        outcome = cluster.finished(values["refs"], matrix.nodes)
    elif values["executor"] != "local":
        return _dispatch(matrix, workspace, shared, as_json, values)
    elif jobs == 1 and gpus == 1:
        outcome = run.run(matrix.nodes, run.serial(main.in_process, shared), 1, display)
    else:
        devices = _devices(values["device"])
        with run.Processes(shared, jobs, gpus, devices, quiet=jobs > 1) as call:
            outcome = run.run(matrix.nodes, call, jobs, display)
    table = matrix.collect(outcome, workspace, display)
    if not quiet:
        say.errors(table.file("table.txt").read_text("utf-8"))
    cells = {"cells": indexes.Table.read(table).tree()["cells"]} if as_json else {}
    say.result(reference.format_reference(table.path.resolve(), table.kind, table.id, as_json=as_json, **cells))
    return max(outcome.codes, default=0)


def _dispatch(matrix: Matrix, workspace: Path, shared: list[str], as_json: bool, values: dict[str, Any]) -> int:
    """Write the jobs, and for slurm submit them. Prints their directory."""
    directory = workspace.resolve() / "jobs" / f"table-{matrix.name}-{matrix.digest[:12]}"
    where = ["--workspace", str(workspace.resolve())]
    names = ("dataset", "root", "seeds", "scale", "only")
    collect = ["reproduce", matrix.name, *where, "--refs", str(directory)]
    collect += [word for name in names if values[name] is not None for word in (f"--{name}", values[name])]
    collect += [word for text in values["sets"] for word in ("--set", text)]
    gpus = 0 if values["device"] == "cpu" else values["gpus"]
    cluster.write(directory, matrix.nodes, [*shared, *where], collect, gpus)
    jobs = cluster.submit(directory, matrix.nodes, gpus) if values["executor"] == "slurm" else {}
    say.result_path(directory, as_json, {"directory": str(directory), "jobs": jobs})
    return 0


def _devices(device: str) -> int:
    """How many GPUs there are to deal out."""
    if device == "cpu":
        return 0
    return torch.cuda.device_count()


def _print_plan(
    matrix: Matrix, configs: dict[str, Any], workspace: Path, as_json: bool, quiet: bool, values: dict[str, Any]
) -> None:
    """Every command, and what all of them cost."""
    nodes, done = matrix.nodes, estimate.finished(matrix.nodes, configs, workspace)
    commands = [(node.name, node.argv(lambda source: source.name), node.digest in done) for node in nodes]
    if not as_json:
        for name, argv, there in commands:
            say.line(f"{name}: {'done: ' if there else ''}ifrkit {shlex.join(argv)}")
    left = [node for node in nodes if node.digest not in done]
    device = chosen_device(values["device"], values["threads"])
    costs = estimate.costs(
        left, configs, workspace, device, displays.TerminalDisplay("reproduce", quiet=quiet or as_json)
    )
    if as_json:
        plan = [{"name": name, "command": ["ifrkit", *argv], "done": there} for name, argv, there in commands]
        rows = [estimate.entry(cost) for cost in costs]
        say.line(json.dumps({"dry_run": True, "nodes": plan, "device": device, "trainings": rows}))
        return
    terminal.show(*estimate.lines(costs, len(nodes), len(done), device))


def _seeds(text: str) -> tuple[int, ...]:
    try:
        parts = [part.split("-") for part in text.split(",")]
        found = [seed for part in parts for seed in range(int(part[0]), int(part[-1]) + 1) if len(part) < 3]
    except ValueError:
        found = []
    if not found or len(set(found)) < len(found):
        raise ConfigError(f"--seeds {text}: no list of seeds", "write for example 0-2 or 0,3")
    return tuple(found)


command.params.append(WORKSPACE)
