"""`ifrkit label-next PROJECT`: which frames to label next, by a trained model. Prints the path of the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion, say
from ifrkit.cli.common import chosen_device
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.annotate.choice import Chosen
    from ifrkit.artifacts import store
    from ifrkit.artifacts.job import Display
    from ifrkit.cli import display as terminal
    from ifrkit.config import fields
    from ifrkit.core import config as core_config
    from ifrkit.init import next_frames
    from ifrkit.init import project as projects
    from ifrkit.labels import base as labels
else:
    store, terminal, fields = lazy("ifrkit.artifacts.store"), lazy("ifrkit.cli.display"), lazy("ifrkit.config.fields")
    core_config = lazy("ifrkit.core.config")
    next_frames, projects = lazy("ifrkit.init.next_frames"), lazy("ifrkit.init.project")
    labels = lazy("ifrkit.labels.base")

_TITLES = {
    "uncertain": "uncertain",
    "disagree": "branches differ",
    "unsteady": "unsteady in time",
    "stands_for": "stands for others",
    "apart": "far in time",
}


@click.command("label-next", context_settings=SETTINGS)
@click.argument("path", metavar="PROJECT", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="New frames.")
@click.option(
    "--from",
    "source",
    default="branches",
    show_default=True,
    metavar="REF",
    shell_complete=completion.references,
    help="The trained branches that look at the clips.",
)
@click.option(
    "--write",
    metavar="FORMAT,...",
    shell_complete=completion.plugins("labels"),
    help="Predictions as pre-labels for a tool: coco, cvat, labelme, label-studio, ...",
)
@click.option("-n", "--dry-run", is_flag=True, help="Choose and tell, but write nothing.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where networks run.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of torch.")
@click.option("--json", "as_json", is_flag=True, help="Print the project and the scores as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(path: Path, count: int, dry_run: bool, as_json: bool, quiet: bool, **values: Any) -> None:
    """Choose the frames to label next: those that stand for many others that a trained model is unsure about.

    Reads `branches` and their clips; each training clip can give one frame, first those without a label. Makes, in
    PROJECT, what `init` makes, to_label/*.png and to_label.txt, and unsure/*.png with what the model is unsure about
    in red, predicted/*.png with what it says, label_next.json with the parts of each score, and with --write its
    predictions in pre_labels/FORMAT/.

    How unsure the model is of a frame: how uncertain the prediction is, where the branches differ, where it differs
    from the frame before along the flow. The score: how much of that lies, in features, nearer to this frame than to
    any that is labeled or chosen; less where such a frame is near in time.

    \b
    Examples:
      ifrkit label-next my-project --count 4 --write cvat
      ifrkit label-next next-round --from branches --json
    """
    formats = fields.label_formats(core_config.split_commas(values["write"] or ""))
    for name in formats:
        labels.writer_of(name)
    branches = store.resolve(values["workspace"], values["source"], ("branches",))
    project, display = projects.Project(path), terminal.TerminalDisplay("label-next", quiet=quiet)
    chooser = next_frames.NextFrames(branches, chosen_device(values["device"], values["threads"]))
    chosen = chooser.choose(count, project.proposed(), display)
    if not dry_run:
        next_frames.write_round(project, chooser, chosen, formats, display)
    _tell(chosen, count, display)
    if not dry_run:
        display.info(
            f"next: label {project.to_label}/*.png; {project.path / 'unsure'}/ shows where the model is unsure"
        )
    where = project.path.resolve()
    say.result_path(where, as_json, {"path": str(where), "to_label": [choice._asdict() for choice in chosen]})


def _tell(chosen: list[Chosen], count: int, display: Display) -> None:
    columns = [name for name in _TITLES if name in chosen[0].parts]
    rows = [[c.name, f"{c.score:.2f}", *(f"{c.parts[name]:.2f}" for name in columns)] for c in chosen]
    display.table("Label next", ["frame", "score", *(_TITLES[name] for name in columns)], rows)
    if len(chosen) < count:
        display.warn(f"{len(chosen)} of {count} frames: each training clip gives one, first those without a label")


command.params.append(WORKSPACE)
