"""What all stage commands share: check, find the input, run, print the line.

Order matters, because in `a | b` both start at once: arguments and config are checked first, then the line of the pipe
is awaited, and torch is imported only after it came.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ifrkit.cli.guard import ReaderGone
from ifrkit.cli.options import Shared, stage_command
from ifrkit.core.errors import ResourceError

if TYPE_CHECKING:
    from ifrkit.artifacts.job import Reporter
    from ifrkit.artifacts.store import Artifact
    from ifrkit.core.config import Config
    from ifrkit.stages.base import Stage
    from ifrkit.stages.ranks import Ranks

__all__ = ["Flags", "Shared", "chosen_device", "run_stage", "stage_command"]

Flags = Mapping[str, tuple[Any, str]]
"""Dotted config key -> (value or None, the flag's name)."""


def run_stage(
    stage: Stage,
    shared: Shared,
    flags: Flags,
    *,
    check: Callable[[Any], None] = lambda config: None,
    describe: Callable[[Any], list[str]] = lambda config: [],
    extra: Callable[[Artifact], Mapping[str, Any]] = lambda artifact: {},
) -> Artifact | None:
    """Run a stage as the options say and print its line. Returns the artifact (None: nothing was to be made).

    check: further checks of the config, before anything is awaited. describe: lines for --dry-run. extra: what --json
    adds.
    """
    from ifrkit.cli.inputs import resolve_inputs
    from ifrkit.config.resolve import resolve
    from ifrkit.stages.ranks import Ranks

    stop = _stop_flag()
    flags = {**flags, "seed": (shared.seed, "--seed")}
    config, origins = resolve(
        stage.config, stage.name, recipes=shared.recipe_names, file=shared.file, flags=flags, sets=shared.sets
    )
    check(config)
    config.identity()  # files that it names must be there
    if shared.print_config:
        _print_config(config, origins, shared.as_json)
        return None
    ranks = Ranks.from_environment()
    report = _reporter(stage, shared, ranks)
    inputs = resolve_inputs(stage, shared, ranks, report)
    if shared.dry_run:
        _dry_run(stage, shared, config, inputs, describe(config))
        return None
    artifact = _execute(stage, shared, config, inputs, report, origins, stop)
    if ranks.rank == 0:
        _print_line(artifact, shared, extra(artifact))
        if sys.stdout is not None and sys.stdout.isatty():  # None: closed from the start
            _hint(artifact, shared, report)  # in a pipe the next command is already there
    return artifact


def _hint(artifact: Artifact, shared: Shared, report: Reporter) -> None:
    from ifrkit.cli.hints import next_command

    with contextlib.suppress(Exception):  # the artifact is made, perhaps by a stranger's stage: no reason to fail
        if not shared.quiet and (command := next_command(artifact, shared)):
            report.info(f"next: {command}")


def _stop_flag() -> Any:
    from ifrkit.cli.signals import Stop

    stop = Stop()
    stop.install()
    return stop


def _reporter(stage: Stage, shared: Shared, ranks: Ranks) -> Reporter:
    from ifrkit.cli.reporter import ConsoleReporter

    name = stage.name if ranks.rank == 0 else f"{stage.name}[{ranks.rank}]"
    return ConsoleReporter(name, quiet=shared.quiet or ranks.rank > 0)


def _execute(
    stage: Stage,
    shared: Shared,
    config: Config,
    inputs: list[Artifact],
    report: Reporter,
    origins: dict[str, str],
    stop: Any,
) -> Artifact:
    from ifrkit.stages.runner import execute, plan

    where: dict[str, Any] = {"workspace": shared.workspace, "inputs": inputs, "out": shared.out, "force": shared.force}
    # An answer that is up to date, and a stage that starts from files, do not wait for torch.
    idle = not stage.needs or plan(stage, config, **where).existing is not None
    device = chosen_device(shared.device, shared.threads) if not idle else "cpu"
    stop.saving = stage.resumable
    try:
        return execute(
            stage, config, **where, resume=shared.resume, report=report, device=device, origins=origins, stop=stop
        )
    finally:
        stop.saving = False


def chosen_device(name: str, threads: int | None) -> str:
    """The device as torch names it; imports torch unless nothing has to be asked or set."""
    if name == "cpu" and threads is None:
        return name
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ResourceError("--device cuda: torch sees no CUDA device", "use --device cpu, or a CUDA build of torch")
    return "cuda" if name == "cuda" or (name == "auto" and available) else "cpu"


def _print_line(artifact: Artifact, shared: Shared, extra: Mapping[str, Any]) -> None:
    from ifrkit.artifacts.reference import format_reference

    path = artifact.path.resolve()
    try:
        print(format_reference(path, artifact.kind, artifact.id, as_json=shared.as_json, **extra), flush=True)
    except BrokenPipeError:
        raise ReaderGone(path) from None


def _print_config(config: Config, origins: Mapping[str, str], as_json: bool) -> None:
    """Valid YAML for --config, with the origin of each value after it."""
    from ifrkit.config.resolve import rows

    if as_json:
        print(json.dumps({"config": config.model_dump(mode="json"), "origins": dict(origins)}))
        return
    for depth, key, value, origin in rows(config, origins):
        line = "  " * depth + (f"{key}:" if origin == "" else f"{key}: {json.dumps(value, ensure_ascii=False)}")
        print(f"{line:<48} # {origin}" if origin else line)


def _dry_run(stage: Stage, shared: Shared, config: Config, inputs: list[Artifact], lines: list[str]) -> None:
    from ifrkit.stages.runner import plan

    planned = plan(stage, config, workspace=shared.workspace, inputs=inputs, out=shared.out, force=shared.force)
    tree = config.model_dump(mode="json")
    if shared.as_json:
        used = [{"kind": a.kind, "id": a.id, "path": str(a.path)} for a in planned.inputs]
        result = {"dry_run": True, "kind": stage.kind, "id": planned.id, "path": str(planned.target)}
        print(json.dumps({**result, "exists": planned.existing is not None, "inputs": used, "config": tree}))
        return
    for line in lines:
        print(line)
    print(f"{'up to date' if planned.existing else 'would make'}: {planned.target}")
    print(f"id: {planned.id}")
    for artifact in planned.inputs:
        print(f"from {artifact.kind}: {artifact.path}")
    print(f"config: {json.dumps(tree)}")
