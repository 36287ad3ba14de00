"""What a shell offers at TAB beyond commands, options and choices: plug-ins, recipes, --set keys, artifacts.

Runs at every TAB, so nothing heavy is imported: names come from the file system, keys from the configuration models.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from pydantic import BaseModel

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

KINDS = ("clips", "pseudo-labels", "branches", "flow", "video-model", "report", "predictions", "exported")


def plugins(kind: str, *more: str) -> Complete:
    """Names of plug-ins, and more words; a list with commas is completed at its end."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        from ifrkit.core.plugins import names

        return _of_list(typed, [*more, *names(kind)])

    return complete


def recipes(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of recipes, in a list with commas."""
    from ifrkit.config.resolve import recipe_names

    return _of_list(typed, recipe_names())


def references(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Kinds of artifacts (the newest of a kind), or a path."""
    kinds = [CompletionItem(kind) for kind in KINDS if kind.startswith(typed)]
    return kinds or [CompletionItem(typed, type="file")]


def keys(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Dotted keys of the stage's configuration, those of the chosen dataset and methods among them."""
    if "=" in typed:
        return []
    stage = {"eval": "evaluate"}.get(str(ctx.command.name), str(ctx.command.name).replace("-", "_"))
    config: type[BaseModel] = importlib.import_module(f"ifrkit.stages.{stage}").STAGE.config
    found = [*_keys(config, ""), *_plugin_keys(ctx)]
    return [CompletionItem(f"{key}=") for key in sorted(found) if key.startswith(typed)]


def _plugin_keys(ctx: click.Context) -> Iterator[str]:
    """Of plug-ins named before --set. One that does not load has no keys here; the command itself will tell why."""
    from ifrkit.core.plugins import load

    dataset = ctx.params.get("dataset") or next(iter(ctx.args), "")  # --set without a value left it unparsed
    chosen = [("datasets", str(dataset), "options.")]
    chosen += [("methods", name, f"method.{name}.") for name in str(ctx.params.get("ssl") or "").split(",")]
    for kind, name, prefix in chosen:
        try:
            yield from _keys(load(kind, name).Config, prefix)
        except Exception:
            continue


def _keys(config: type[BaseModel], prefix: str) -> Iterator[str]:
    from pydantic import BaseModel

    for name, field in config.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _of_list(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    before, comma, last = typed.rpartition(",")
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last)]
