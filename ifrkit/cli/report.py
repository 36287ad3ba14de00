"""`ifrkit report`: one HTML page over reports and trainings. Prints the path of the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ifrkit.cli import completion, say
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.artifacts import atomic, store
    from ifrkit.report import page, rounds
else:
    atomic, store = lazy("ifrkit.artifacts.atomic"), lazy("ifrkit.artifacts.store")
    page, rounds = lazy("ifrkit.report.page"), lazy("ifrkit.report.rounds")

KINDS = ("report", "branches", "flow", "video-model")


@click.command("report", context_settings=SETTINGS)
@click.argument("references", nargs=-1, metavar="REF...", shell_complete=completion.references)
@click.option(
    "--project",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also the loop of this project: rounds so far, the frames that come next, what is unsure.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where the page goes, instead of there.")
@click.option("--json", "as_json", is_flag=True, help="Print path, size and what is in it as JSON.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(
    references: tuple[str, ...], project: Path | None, out: Path | None, workspace: Path, as_json: bool
) -> None:
    """Make one page to look at: tables, curves, best and worst frames, how every model was made.

    Reads reports of `ifrkit eval`, or trainings that were not judged; REF is a path, the beginning of an id, or a kind
    (default: the newest report). Makes report.html in the workspace, or replaces it; it needs no network and no script,
    so it can be mailed. Reports that were measured differently (clips, split, flow, key frames) are refused.

    \b
    Examples:
      ifrkit report
      ifrkit report ifrkit_artifacts/report/* --out comparison.html
      ifrkit report branches --out trained.html
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: not a file in a directory that exists", "name it like report.html")
    found = [store.resolve(workspace, reference, KINDS) for reference in references or ("report",)]
    target = out or workspace / "report.html"
    if not target.parent.is_dir():
        raise ConfigError(f"{workspace}: no such directory to write report.html into", "name the page with --out")
    unique = list({artifact.id: artifact for artifact in found}.values())
    loop = rounds.section(project, workspace) if project is not None else ""
    data = page.page(unique, loop).encode()
    atomic.write_atomic(target, data)
    path = target.resolve()
    say.result_path(path, as_json, {"path": str(path), "bytes": len(data), "from": [made.id for made in unique]})


command.params.append(WORKSPACE)
