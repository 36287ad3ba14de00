"""From exceptions to exit codes: an error is one line on standard error, a traceback only for a bug or with -v."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from ifrkit.cli import say
from ifrkit.core.errors import IfrkitError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    import traceback

    from ifrkit.core import faults
else:
    faults, traceback = lazy("ifrkit.core.faults"), lazy("traceback")

PIPE_CLOSED = 141


class Stopped(BaseException):
    """SIGINT or SIGTERM where nothing has to be saved. Not an Exception, and not for click to catch."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class ReaderGone(Exception):
    """The reader of standard output went away after the artifact was made."""


def run(command: click.Command, args: list[str], name: str) -> NoReturn:
    """Run a click command and exit with its code. For `ifrkit-NAME` executables of users, too."""
    say.prepare_streams()
    code = _call(command, args, name, _label(command, args, name))
    try:
        if sys.stdout is not None:  # None: it was closed from the start
            sys.stdout.flush()
    except BrokenPipeError:
        code = code or PIPE_CLOSED
    if code == PIPE_CLOSED:
        _discard_stdout()
    sys.exit(code)


def _call(command: click.Command, args: list[str], prog: str, name: str) -> int:
    try:
        if f"_{prog.upper().replace('-', '_')}_COMPLETE" in os.environ:
            command.main(args, prog)  # a shell asks for completions
        # Not command.main: it takes a broken pipe for a failure, and signals for its own.
        with command.make_context(prog, list(args)) as context:
            result = command.invoke(context)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        say.errors(error.format_message())
        return 2
    except click.ClickException as error:
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else name
        say.error(f"{path}: {_one_line(error.format_message()).rstrip('.')}; see {path} --help")
        return 2
    except (click.Abort, KeyboardInterrupt):
        say.error(f"{name}: interrupted")
        return 130
    except Stopped as stopped:
        say.error(f"{name}: interrupted; run it again")
        return 128 + stopped.signum
    except ReaderGone as gone:
        say.error(f"{name}: the reader of the pipe is gone; the artifact is {gone}")
        return PIPE_CLOSED
    except BrokenPipeError:
        return PIPE_CLOSED
    except Exception as error:
        return _report(error, args, name)


def _report(error: Exception, args: list[str], name: str) -> int:
    known = error if isinstance(error, IfrkitError) else faults.resource_error(error, "stopped")
    code = known.exit_code if known else 1
    if code == 1 or {"-v", "--verbose"} & set(args):
        say.errors("".join(traceback.format_exception(error)))
    if known:
        say.error(f"{name}: {_one_line(str(known))}")
    else:
        kind = type(error).__name__
        say.error(f"{name}: a bug: {kind}: {_one_line(str(error))}; please report it with the lines above")
    return code


def _label(command: click.Command, args: list[str], name: str) -> str:
    """Whose error it is: in a pipeline several stages share standard error."""
    if isinstance(command, click.Group) and args and args[0] in command.list_commands(click.Context(command)):
        return f"{name} {args[0]}"
    return name


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _discard_stdout() -> None:
    # The interpreter flushes standard output once more at exit, and would complain.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
