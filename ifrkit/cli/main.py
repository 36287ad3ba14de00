"""`ifrkit COMMAND`: a group that imports a command when it is run, and otherwise looks for `ifrkit-COMMAND` on PATH."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import click

from ifrkit import __version__
from ifrkit.cli.guard import run
from ifrkit.cli.options import SETTINGS
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.core.stage import stages

if TYPE_CHECKING:
    from ifrkit.core import plugins
else:
    plugins = lazy("ifrkit.core.plugins")

OTHERS = (
    (0, "init", "Begin with your own videos: which frames to label."),
    (15, "train", "Train a model on your clips: the next stages in one go."),
    (75, "label-next", "Choose the frames to label next, by a trained model."),
    (90, "compare", "Put several reports into one table."),
    (110, "report", "Make one page to look at: tables, curves, pictures."),
    (120, "log", "Follow a training: loss, mIoU, learning rate."),
    (130, "artifacts", "List, show, verify and clean up what the stages made."),
    (140, "doctor", "Check this installation, and how fast this machine is."),
)
"""Commands that are not stages: place in the list, name, one line."""

COMMANDS: dict[str, str] = {
    name: line for _, name, line in sorted([*OTHERS, *((s.order, s.name, s.help) for s in stages())])
}
"""Built-in commands and their one line in `ifrkit --help`; NAME lives in `ifrkit/cli/NAME.py` as `command`."""


def load(name: str) -> click.Command:
    """The click command of a built-in name."""
    command: click.Command = importlib.import_module(f"ifrkit.cli.{name.replace('-', '_')}").command
    return command


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return load(name) if name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS:
            if ctx.resilient_parsing:  # a shell asks for completions: nothing may run
                return None, None, args
            self._execute(name, args[1:])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def _execute(self, name: str, args: list[str]) -> NoReturn:
        """Become the user's own `ifrkit-NAME`, as git does."""
        path = shutil.which(f"ifrkit-{name}")
        if path is None or "/" in name:
            raise ConfigError(
                f"no command {name!r} and no ifrkit-{name} on PATH", plugins.nearest(name, list(COMMANDS))
            )
        os.execv(path, [path, *args])


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"ifrkit {__version__}")
        ctx.exit()


def root() -> click.Group:
    """The `ifrkit` command itself."""
    text = """Train video semantic segmentation from very few labeled frames.

    Every stage prints the path of the artifact that it made, so stages chain:

    \b
      ifrkit prepare camvid --root CamVid | ifrkit train-branches --ssl ifr | ifrkit train-fusion | ifrkit eval
      MODEL=$(ifrkit train-fusion)

    Try it without any data: `ifrkit prepare synthetic --recipe tiny`. An executable ifrkit-NAME on PATH becomes
    `ifrkit NAME`.
    """
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Show the version.",
    )
    return _Group("ifrkit", params=[version], help=text, context_settings=SETTINGS, no_args_is_help=True)


def in_process(argv: list[str]) -> str:
    """Run the command of a stage in this process. Returns what it printed."""
    command, printed = load(argv[0]), io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        _called_as(argv),
        command.make_context(f"ifrkit {argv[0]}", argv[1:]) as context,
    ):
        command.invoke(context)
    return printed.getvalue()


@contextlib.contextmanager
def _called_as(argv: list[str]) -> Iterator[None]:
    """The manifest records the command of the stage, which makes the same artifact by itself."""
    before, sys.argv = sys.argv, ["ifrkit", *argv]
    try:
        yield
    finally:
        sys.argv = before


def main(stage: str | None = None) -> NoReturn:
    """Entry of every executable. stage: the command of `ifrkit-STAGE`; None: the group `ifrkit`."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look through every installed package
    run(root() if stage is None else load(stage), sys.argv[1:], "ifrkit" if stage is None else f"ifrkit-{stage}")
