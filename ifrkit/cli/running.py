"""Run a stage from the command line: check, find the input, run, print the line.

Order matters, because in `a | b` both start at once: arguments and config are checked first, then the line of the pipe
is awaited, and torch is imported only after it came.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ifrkit.artifacts.about import in_bytes, named
from ifrkit.artifacts.job import Display
from ifrkit.artifacts.reference import format_reference
from ifrkit.artifacts.store import Artifact
from ifrkit.cli import say
from ifrkit.cli.common import Flags, chosen_device
from ifrkit.cli.guard import ReaderGone
from ifrkit.cli.hints import next_command
from ifrkit.cli.inputs import resolve_inputs
from ifrkit.cli.options import Shared
from ifrkit.cli.signals import Stop
from ifrkit.config.resolve import resolve, rows
from ifrkit.core.config import Config
from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage
from ifrkit.stages.ranks import Ranks
from ifrkit.stages.runner import Run, execute, plan, require

if TYPE_CHECKING:
    from ifrkit.cli import display as terminal
else:
    terminal = lazy("ifrkit.cli.display")

Origins = dict[str, str]


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
    config, origins = config_of(stage, shared, flags)
    check(config)
    config.identity()  # files that it names must be there
    if shared.print_config:
        _print_config(config, origins, shared.as_json)
        return None
    run = asked(stage, shared, origins)
    if shared.dry_run:
        _dry_run(stage, shared, config, run, describe(config))
        return None
    # An answer that is up to date, and a stage that starts from files, do not wait for torch.
    idle = not stage.needs or plan(stage, config, run).existing is not None
    device = chosen_device(shared.device, shared.threads) if not idle else "cpu"
    with saving(run.stop, stage.resumable):
        artifact = execute(stage, config, replace(run, device=device))
    if Ranks.from_environment().rank == 0:
        print_line(artifact, shared, extra(artifact))
        print_hint(artifact, shared, run.display)
    return artifact


def config_of(stage: Stage, shared: Shared, flags: Flags) -> tuple[Config, Origins]:
    """The config that the options make, and where each value came from."""
    return resolve(
        stage.config_type,
        stage.name,
        recipes=shared.recipe_names,
        file=shared.file,
        flags={**flags, "seed": (shared.seed, "--seed")},
        sets=shared.sets,
    )


def asked(stage: Stage, shared: Shared, origins: Origins) -> Run:
    """How the stage is to be run; waits for the line of the pipe."""
    stop = Stop()
    stop.install()
    ranks = Ranks.from_environment()
    name = stage.name if ranks.rank == 0 else f"{stage.name}[{ranks.rank}]"
    display = terminal.TerminalDisplay(name, quiet=shared.quiet or ranks.rank > 0)
    inputs = resolve_inputs(stage, shared, ranks, display)
    return Run(shared.workspace, inputs, shared.out, shared.force, shared.resume, display, origins=origins, stop=stop)


@contextlib.contextmanager
def saving(stop: Any, resumable: bool) -> Iterator[None]:
    """While the stage runs, the first signal lets it save its state."""
    stop.saving = resumable
    try:
        yield
    finally:
        stop.saving = False


def print_hint(artifact: Artifact, shared: Shared, display: Display) -> None:
    """On a terminal, the command that comes next; in a pipe it is already there."""
    if sys.stdout is not None and sys.stdout.isatty():  # None: closed from the start
        with contextlib.suppress(Exception):  # the artifact is made, perhaps by a stranger's stage: no reason to fail
            if not shared.quiet and (command := next_command(artifact, shared)):
                display.info(f"next: {command}")


def print_line(artifact: Artifact, shared: Shared, extra: Mapping[str, Any]) -> None:
    """The line that the next stage reads."""
    path = artifact.path.resolve()
    try:
        say.result(format_reference(path, artifact.kind, artifact.id, as_json=shared.as_json, **extra))
    except BrokenPipeError:
        raise ReaderGone(path) from None


def _print_config(config: Config, origins: Mapping[str, str], as_json: bool) -> None:
    """Valid YAML for --config, each value with its origin in a comment."""
    if as_json:
        say.line(json.dumps({"config": config.tree(), "origins": dict(origins)}))
        return
    print_rows(config, origins, 0)


def print_rows(config: Config, origins: Mapping[str, str], indent: int) -> None:
    """Each value with its origin in a comment, so many levels further in."""
    for depth, key, value, origin in rows(config, origins):
        line = "  " * (indent + depth) + f"{key}:"
        line += f" {json.dumps(value, ensure_ascii=False)}" if origin else ""
        say.line(f"{line:<48} # {origin}" if origin else line)


def _dry_run(stage: Stage, shared: Shared, config: Config, run: Run, lines: list[str]) -> None:
    for line in lines if not shared.as_json else ():
        say.line(line)  # what was found helps to understand a refusal, too
    planned = plan(stage, config, run)
    require(planned, run)
    if stage.needs and planned.existing is None and shared.device == "cuda":
        chosen_device(shared.device, shared.threads)  # asked for by name, it has to be there
    tree = planned.config.tree()
    size = None if planned.existing else stage.bytes_of(planned.config, planned.inputs)
    if shared.as_json:
        used = [{"kind": a.kind, "id": a.id, "path": str(a.path)} for a in planned.inputs]
        result = {"dry_run": True, "kind": stage.kind, "id": planned.id, "path": str(planned.target)}
        result |= {} if size is None else {"bytes": size}
        say.line(json.dumps({**result, "exists": planned.existing is not None, "inputs": used, "config": tree}))
        return
    made = planned.existing
    say.line(f"up to date: {named(made)}" if made else f"would make: {planned.target}")
    if size is not None:
        say.line(f"size on disk: {in_bytes(size)}")
    say.line(f"id: {planned.id}")
    for artifact in planned.inputs:
        say.line(f"from {artifact.kind}: {named(artifact)}")
    say.line(f"config: {json.dumps(tree)}")
