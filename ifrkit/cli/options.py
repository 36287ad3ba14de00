"""The options that every stage command has, and how a function becomes such a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from ifrkit.cli import completion

_WORKSPACE = "Where artifacts live ($IFRKIT_WORKSPACE, else ./ifrkit_artifacts)."
_PATH = click.Path(path_type=Path)

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""Context settings of every command."""

WORKSPACE = click.Option(
    ["--workspace"], type=_PATH, envvar="IFRKIT_WORKSPACE", default="ifrkit_artifacts", metavar="DIR", help=_WORKSPACE
)

SHARED = (
    click.Option(
        ["--from", "source"],
        metavar="REF",
        shell_complete=completion.references,
        help="Input artifact: path, id or kind; - reads standard input.",
    ),
    click.Option(["--out"], type=_PATH, metavar="DIR", help="Make the artifact exactly there."),
    WORKSPACE,
    click.Option(["--config", "file"], type=_PATH, metavar="FILE", help="YAML with config values."),
    click.Option(
        ["--recipe", "recipes"],
        multiple=True,
        metavar="NAME,...",
        shell_complete=completion.recipes,
        help="Named settings; later ones win.",
    ),
    click.Option(
        ["--set", "sets"],
        multiple=True,
        metavar="A.B=C",
        shell_complete=completion.keys,
        help="One config value, as YAML; repeatable.",
    ),
    click.Option(["--seed"], type=int, metavar="N", help="Seed of everything random."),
    click.Option(["--resume"], is_flag=True, help="Go on with the interrupted run of the same config."),
    click.Option(["--force"], is_flag=True, help="Make it again even if it exists."),
    click.Option(["-n", "--dry-run"], is_flag=True, help="Check everything, say what would be made, stop."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print the result as one JSON object."),
    click.Option(["--print-config"], is_flag=True, help="Print every value with its origin, and stop."),
    click.Option(["-q", "--quiet"], is_flag=True, help="Warnings and errors only."),
    click.Option(["-v", "--verbose"], is_flag=True, help="Tracebacks for every error."),
    click.Option(["--device"], type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.Option(["--threads"], type=click.IntRange(1), metavar="N", help="CPU threads of torch."),
)


class Shared(NamedTuple):
    """The values of the options that every stage has."""

    source: str | None
    out: Path | None
    workspace: Path
    file: Path | None
    recipes: tuple[str, ...]
    sets: tuple[str, ...]
    seed: int | None
    resume: bool
    force: bool
    dry_run: bool
    as_json: bool
    print_config: bool
    quiet: bool
    verbose: bool
    device: str
    threads: int | None

    @property
    def recipe_names(self) -> list[str]:
        """--recipe may be repeated, and each may hold a list."""
        return [name.strip() for names in self.recipes for name in names.split(",") if name.strip()]


def stage_command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command: its own click options, then the shared ones, which it gets as one `Shared`.

    The docstring is the help.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        def callback(**values: Any) -> Any:
            shared = Shared(**{name: values.pop(name) for name in Shared._fields})
            return function(shared, **values)

        own = reversed(getattr(function, "__click_params__", []))  # click's decorators list them last to first
        text = inspect.cleandoc(function.__doc__ or "")
        return click.Command(name, SETTINGS, callback, [*own, *SHARED], help=text)

    return decorate
