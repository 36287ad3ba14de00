"""`ifrkit report`: one HTML page over reports and trainings. Prints the path of the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ifrkit.cli import completion, say
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.artifacts import atomic, store
    from ifrkit.report import card, page, rounds, trust_page
    from ifrkit.report import trust as trusting
else:
    atomic, store = lazy("ifrkit.artifacts.atomic"), lazy("ifrkit.artifacts.store")
    page, card, rounds = lazy("ifrkit.report.page"), lazy("ifrkit.report.card"), lazy("ifrkit.report.rounds")
    trusting, trust_page = lazy("ifrkit.report.trust"), lazy("ifrkit.report.trust_page")

KINDS = ("report", "branches", "flow", "video-model")


@click.command("report", context_settings=SETTINGS)
@click.argument("references", nargs=-1, metavar="REF...", shell_complete=completion.references)
@click.option("--trust", is_flag=True, help="Of one report: what its model can be trusted with. Also JSON and a card.")
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
    references: tuple[str, ...], trust: bool, project: Path | None, out: Path | None, workspace: Path, as_json: bool
) -> None:
    """Make one page to look at: tables, curves, best and worst frames, how every model was made.

    Reads reports of `ifrkit eval`, or trainings that were not judged; REF is a path, the beginning of an id, or a kind
    (default: the newest report). Makes report.html in the workspace, or replaces it; it needs no network and no script,
    so it can be mailed. Reports that were measured differently (clips, split, flow, key frames) are refused.

    With --trust, a page on one model instead, trust.html, and the same facts in trust.json: labels, leakage, intervals,
    worst class and video, calibration, steadiness, worse pictures, and what not to use it for. Its model card goes
    beside its weights, as README.md in the form of Hugging Face. `ifrkit eval --recipe trust` measures all of it.

    \b
    Examples:
      ifrkit report
      ifrkit report ifrkit_artifacts/report/* --out comparison.html
      ifrkit report branches --out trained.html
      ifrkit report --trust
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: not a file in a directory that exists", "name it like report.html")
    kinds = ("report",) if trust else KINDS
    found = [store.resolve(workspace, reference, kinds) for reference in references or ("report",)]
    target = out or workspace / ("trust.html" if trust else "report.html")
    if not target.parent.is_dir():
        raise ConfigError(f"{workspace}: no such directory to write {target.name} into", "name the page with --out")
    unique = list({artifact.id: artifact for artifact in found}.values())
    loop = rounds.section(project, workspace) if project is not None else ""
    data = _trust(unique, target) if trust else page.page(unique, loop).encode()
    atomic.write_atomic(target, data)
    path = target.resolve()
    say.result_path(path, as_json, {"path": str(path), "bytes": len(data), "from": [made.id for made in unique]})


def _trust(reports: list[store.Artifact], target: Path) -> bytes:
    """The page of one report; writes the facts beside it, and the model card beside the weights."""
    if target.suffix == ".json":
        raise ConfigError(f"--out {target}: the page is HTML, its facts go to a .json beside it", "name it trust.html")
    if len(reports) != 1:
        raise ConfigError(f"--trust: {len(reports)} reports were named, a page is of one model", "name one of them")
    facts = trusting.facts(reports[0])
    model = reports[0].ancestor(facts["model"]["kind"])
    assert model is not None
    atomic.write_atomic(target.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    try:
        atomic.write_atomic(model.path / store.CARD, card.card(facts).encode())
    except OSError as error:  # somebody else's model: the page is still worth having
        say.error(f"ifrkit report: no model card in {model.path} ({error.strerror})")
    return trust_page.page(facts).encode()


command.params.append(WORKSPACE)
