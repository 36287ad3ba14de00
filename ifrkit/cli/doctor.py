"""`ifrkit doctor`. Prints to standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import say
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit import diagnosis
else:
    diagnosis = lazy("ifrkit.diagnosis")


@click.command("doctor", context_settings=SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--seconds", type=click.FloatRange(0), default=5, show_default=True, help="Of the throughput probe; 0: none."
)
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(workspace: Path, as_json: bool, seconds: float) -> None:
    """Check this installation: versions, device, threads, disk, plug-ins with their load errors, and speed.

    Put its output into a bug report.

    \b
    Examples:
      ifrkit doctor
      ifrkit doctor --json --seconds 0
    """
    findings = diagnosis.examine(workspace, seconds)
    if as_json:
        say.line(json.dumps(findings))
        return
    for name, text in _lines(findings):
        say.line(f"{name:<14} {text}")


def _lines(findings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("ifrkit", "python", "platform"):
        yield name, findings[name]
    yield "packages", ", ".join(f"{name} {version}" for name, version in findings["packages"].items())
    for device in findings["devices"]:
        yield "device", device
    threads, disk = findings["threads"], findings["workspace"]
    yield "threads", f"{threads['cores']} cores for this process, torch uses {threads['torch']}"
    yield "memory", f"{findings['memory_gib']} GiB"
    yield "workspace", f"{disk['path']}: {disk['free_gib']} GiB free, {disk['file_system'] or 'unknown file system'}"
    for name, value in findings["environment"].items():
        yield "environment", f"{name}={value}"
    for kind, names in findings["plugins"].items():
        yield kind, ", ".join(f"{name} (broken)" if error else name for name, error in names.items())
    for name, state in findings["weights"].items():
        yield "weights", f"{name}: {state}"
    if probe := findings["probe"]:
        yield "speed", f"{probe['frames_per_second']} frames/s, {probe['network']}, {probe['device']}"
    for problem in findings["problems"]:
        yield "problem", problem
    if not findings["problems"]:
        yield "problems", "none"


command.params.append(WORKSPACE)
