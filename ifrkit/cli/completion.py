"""What a shell offers at TAB beyond commands, options and choices: plug-ins, recipes, --set keys, artifacts.

Runs at every TAB, so nothing heavy is imported: names come from the file system, keys from the configuration models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ifrkit.core.lazy import lazy
from ifrkit.core.stage import kinds, stage_named

if TYPE_CHECKING:
    from ifrkit.config import resolve
    from ifrkit.core import config as core_config
    from ifrkit.core import plugins as core_plugins
else:
    core_config, core_plugins = lazy("ifrkit.core.config"), lazy("ifrkit.core.plugins")
    resolve = lazy("ifrkit.config.resolve")

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def plugins(kind: str, *more: str) -> Complete:
    """Names of plug-ins, and more words; a list with commas is completed at its end."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        return _of_list(typed, [*more, *core_plugins.names(kind)])

    return complete


def recipes(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of recipes, in a list with commas."""
    return _of_list(typed, resolve.recipe_names())


def references(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Kinds of artifacts (the newest of a kind), or a path."""
    found = [CompletionItem(kind) for kind in kinds() if kind.startswith(typed)]
    return found or [CompletionItem(typed, type="file")]


def keys(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Dotted keys of the stage's configuration, those of the chosen dataset and methods among them."""
    if "=" in typed:
        return []
    stage = stage_named(str(ctx.command.name))
    found = [*_keys(stage.config_type, ""), *_plugin_keys(ctx)] if stage else []
    return [CompletionItem(f"{key}=") for key in sorted(found) if key.startswith(typed)]


def _plugin_keys(ctx: click.Context) -> Iterator[str]:
    """Of plug-ins named before --set. One that does not load has no keys here; the command itself will tell why."""
    dataset = ctx.params.get("dataset") or next(iter(ctx.args), "")  # --set without a value left it unparsed
    chosen = [("datasets", str(dataset), "options.")]
    chosen += [("methods", name, f"method.{name}.") for name in str(ctx.params.get("ssl") or "").split(",")]
    for kind, name, prefix in chosen:
        try:
            yield from _keys(core_plugins.load(kind, name).Config, prefix)
        except Exception:
            continue


def _keys(config: type[core_config.Config], prefix: str) -> Iterator[str]:
    values = core_config.defaults(config)
    for name in config.__struct_fields__:
        if isinstance(values.get(name), core_config.Config):
            yield from _keys(type(values[name]), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _of_list(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    before, comma, last = typed.rpartition(",")
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last)]
