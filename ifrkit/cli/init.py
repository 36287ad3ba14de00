"""`ifrkit init PROJECT`: begin with own videos. Prints the path of the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion, say
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.artifacts import store
    from ifrkit.artifacts.job import Display
    from ifrkit.cli import display as terminal
    from ifrkit.init import features, footage
    from ifrkit.init import project as projects
    from ifrkit.init.project import Project, Proposal
else:
    store, terminal = lazy("ifrkit.artifacts.store"), lazy("ifrkit.cli.display")
    footage = lazy("ifrkit.init.footage")
    features, projects = lazy("ifrkit.init.features"), lazy("ifrkit.init.project")

DEFAULT_LENGTH = 30
"""Of a clip, as in `prepare folders`."""
_EXAMPLE = ("background", "object")


@click.command("init", context_settings=SETTINGS)
@click.argument("path", metavar="PROJECT", type=click.Path(path_type=Path))
@click.option("--frames", type=click.Path(path_type=Path), metavar="DIR", help="Your videos, or folders of frames.")
@click.option(
    "--count", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Frames to label, in all."
)
@click.option("--classes", metavar="NAME,...", help="Class names for classes.yaml (default: an example to edit).")
@click.option(
    "--clip-length",
    type=click.IntRange(2),
    default=DEFAULT_LENGTH,
    show_default=True,
    metavar="N",
    help="Frames of a clip.",
)
@click.option(
    "--from",
    "source",
    metavar="REF",
    shell_complete=completion.references,
    help="Choose by the features of these branches, not by colours.",
)
@click.option("--branch", type=click.Choice(["update", "reference"]), help="Which of them (default: reference).")
@click.option("--json", "as_json", is_flag=True, help="Print the project, its frames and its classes as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(path: Path, count: int, clip_length: int, as_json: bool, quiet: bool, **values: Any) -> None:
    """Begin a project with your own videos: which frames to label, as images, and a class table.

    Reads a directory of videos and folders of frames (--frames). Makes PROJECT with to_label/*.png for your labeling
    tool, to_label.txt, classes.yaml, labels/ for what the tool exports, and a link to the frames; `ifrkit prepare
    folders --root PROJECT` reads all that. The frames differ as much as possible (k-center over their colours), and a
    clip gives one at most. Said again with a larger --count, it adds frames; it replaces nothing.

    \b
    Examples:
      ifrkit init my-project --frames my-videos/ --classes background,road,car
      ifrkit init my-project --count 40 --from branches
    """
    branch, source, classes = values["branch"], values["source"], values["classes"]
    if branch is not None and source is None:
        raise ConfigError("--branch: without --from there are no branches", "name them with --from")
    project, display = projects.Project(path), terminal.TerminalDisplay("init", quiet=quiet)
    names = projects.parse_classes(classes) if classes is not None else None
    known = project.class_names() if project.classes.exists() else None
    if names is not None and known is not None and sorted(names) != sorted(known):
        raise ConfigError(f"--classes: {project.classes} has others", "edit that file, or remove it")
    chosen_by = None
    if source is not None:
        chosen_by = features.BranchFeatures(store.resolve(values["workspace"], source, ("branches",)), branch)
    # Everything that may be refused comes before anything is written.
    found = footage.Footage(project.place(values["frames"]), project.labels, display)
    found.tell(display)
    proposal = project.propose(found, clip_length, count, projects.Chooser(chosen_by, display))
    with project.whole():
        project.create(values["frames"])
        if names is None and chosen_by is not None:
            project.write_classes(chosen_by.labels.names, chosen_by.labels.colors)
        else:
            written = project.write_classes(names or _EXAMPLE)
            if written and names is None:
                display.info(f"{project.classes} holds an example: write your classes there before you label")
        project.write(found, proposal)
    _tell(project, proposal, count, clip_length, display)
    where = project.path.resolve()
    say.result_path(where, as_json, {"path": str(where), "to_label": proposal.names, "classes": project.class_names()})


def _tell(project: Project, proposal: Proposal, count: int, clip_length: int, display: Display) -> None:
    """What there is now, and what comes next."""
    names, new, clips = proposal
    display.info(f"{len(names)} frames to label in {project.to_label}/, {new} of them new (list: {project.list})")
    if len(names) < count:
        few = "the other clips look the same" if clips else f"each clip of {clip_length} frames gives one"
        display.warn(f"{len(names)} of {count} frames found: {few}; a shorter --clip-length gives more clips")
    display.info(f"classes: {', '.join(project.class_names())} ({project.classes})")
    display.info(f"next: label to_label/*.png, and put what your tool exports (or label PNGs) into {project.labels}/")
    length = "" if clip_length == DEFAULT_LENGTH else f" --clip-length {clip_length}"
    display.info(f"then: ifrkit prepare folders --root {project.path}{length}")


command.params.append(WORKSPACE)
