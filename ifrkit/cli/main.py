"""`ifrkit COMMAND`: a group that imports a command when it is run, and otherwise looks for `ifrkit-COMMAND` on PATH."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from typing import NoReturn

import click

from ifrkit import __version__
from ifrkit.cli.guard import run
from ifrkit.cli.options import SETTINGS
from ifrkit.core.errors import ConfigError

COMMANDS: dict[str, str] = {
    "init": "Begin with your own videos: which frames to label.",
    "prepare": "Read a dataset once and write the clip store.",
    "train-branches": "Train the light and the heavy branch, semi-supervised.",
    "pseudo-label": "Write hard labels and confidence of every training frame.",
    "train-flow": "Train the flow network from the video itself.",
    "train-fusion": "Train the video model: branches, flow and fusion.",
    "eval": "Measure mIoU, temporal consistency and more.",
    "predict": "Segment your own videos.",
    "export": "Write a trained model as ONNX or torch.export graphs.",
    "compare": "Put several reports into one table.",
    "reproduce": "Run a table of the IFR paper, beside its numbers.",
    "report": "Make one page to look at: tables, curves, pictures.",
    "log": "Follow a training: loss, mIoU, learning rate.",
    "artifacts": "List, show, verify and clean up what the stages made.",
    "doctor": "Check this installation, and how fast this machine is.",
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
            from ifrkit.core.plugins import nearest

            raise ConfigError(f"no command {name!r} and no ifrkit-{name} on PATH", nearest(name, list(COMMANDS)))
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
    run(root() if stage is None else load(stage), sys.argv[1:], "ifrkit" if stage is None else f"ifrkit-{stage}")
