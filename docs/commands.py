"""docs/commands.md, made from the help texts: `python docs/commands.py > docs/commands.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from ifrkit.cli.main import COMMANDS, load
from ifrkit.cli.options import SHARED
from ifrkit.core.stage import sections

HEAD = """\
# Commands

Made from the help texts by `python docs/commands.py`; `ifrkit COMMAND --help` says the same.

Standard output carries the result, one line: the path of the artifact, or with `--json` an object. Everything else
goes to standard error: bars with time left, speed and losses on a terminal, sparse plain lines elsewhere, nothing but
warnings and errors with `-q`. `NO_COLOR` turns colours off, `TERM=dumb` the bars. On a terminal each stage names the
next command.

What the exit codes mean, and what to do: [troubleshooting](troubleshooting.md). Each stage is also an executable of its
own, `ifrkit-prepare` for `ifrkit prepare`; an executable `ifrkit-NAME` of yours on PATH becomes a command, too.

## Completion in your shell

Commands, options, choices, paths, plug-ins (`--ssl`, `--arch`, `--metric`, datasets), recipes, kinds of artifacts, and
the keys of `--set`, those of the chosen dataset and method among them. One line in the start file of your shell:

```text
~/.bashrc                     eval "$(_IFRKIT_COMPLETE=bash_source ifrkit)"
~/.zshrc, after compinit      eval "$(_IFRKIT_COMPLETE=zsh_source ifrkit)"
~/.config/fish/config.fish    _IFRKIT_COMPLETE=fish_source ifrkit | source
```

bash has to be 4.4 or newer. The executables complete, too: `_IFRKIT_PREPARE_COMPLETE=bash_source ifrkit-prepare`.
"""

ALWAYS = {0, 1, 2, 141}
OF_STAGES = {5, 75, 130, 143}
ALSO = {
    "prepare": {4},
    "train": {3, 5, 6, 75, 130, 143},
    "train-branches": {3, 6},
    "pseudo-label": {3},
    "train-flow": {3, 6},
    "train-fusion": {3, 6},
    "eval": {3, 7},
    "predict": {3, 4},
    "export": {3, 7},
    "reproduce": {3, 4, 5, 6, 75, 130, 143},
    "init": {3, 4},
    "label-next": {3, 4},
    "doctor": set(),
}
"""Exit codes beside the common ones. Whatever is not here reads artifacts: 3."""


def page() -> Iterator[str]:
    """Its lines."""
    yield HEAD
    yield "| command | |\n|---|---|"
    yield from (f"| [`ifrkit {name}`](#ifrkit-{name}) | {line} |" for name, line in COMMANDS.items())
    yield "\n## Options that every stage has\n"
    yield from _options(SHARED)
    for name in COMMANDS:
        yield from _section(name, load(name), "##")


def _section(name: str, command: click.Command, level: str) -> Iterator[str]:
    yield f"\n{level} `ifrkit {name}`\n"
    usage = command.collect_usage_pieces(click.Context(command))
    yield f"```text\nifrkit {name} {' '.join(usage)}\n```\n"
    text, _, examples = inspect.cleandoc(command.help or "").replace("\b\n", "").partition("Examples:\n")
    yield text.strip() + "\n"
    own = [p for p in command.params if p not in SHARED]
    yield from _options(own)
    if not isinstance(command, click.Group):
        stage = name in sections()
        codes = ALWAYS | ALSO.get(name, {3}) | (OF_STAGES if stage else set())
        yield f"\nExit codes: {', '.join(map(str, sorted(codes)))}."
    yield f"\n```sh\n{inspect.cleandoc(examples).strip()}\n```"
    if isinstance(command, click.Group):
        for child, sub in command.commands.items():
            yield from _section(f"{name} {child}", sub, "###")


def _options(params: list[click.Parameter] | tuple[click.Option, ...]) -> Iterator[str]:
    shown = [p for p in params if isinstance(p, click.Option) and not p.hidden]
    if shown:
        yield "| option | |\n|---|---|"
    for option in shown:
        record = option.get_help_record(click.Context(click.Command("x")))
        if record is not None:
            name, text = (part.replace("|", "\\|") for part in record)
            yield f"| `{name}` | {text} |"


if __name__ == "__main__":
    print("\n".join(page()))
