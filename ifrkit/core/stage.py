"""What a stage is, and which stages there are.

A file in `ifrkit/stages/` holds `STAGE = Stage(...)`: everything that other parts of the program list or say about it.
The file is light. `config` and `run` may be dotted names ("package.module:name"), so that naming the stages imports
neither torch nor msgspec. The directory is the registry, as for plug-ins, so lower layers can ask for these facts
without importing a higher one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ifrkit.core.lazy import imported

if TYPE_CHECKING:
    from ifrkit.core.config import Config

PACKAGE = "ifrkit.stages"
MACHINERY = ("runner", "ranks")
"""Files of the package that run stages; all others whose name does not start with "_" are stages."""


def nothing(artifact: Any, *where: Any) -> list[str]:
    """For a stage after which nothing follows, or no recipe is needed."""
    return []


class Stage(NamedTuple):
    """Name, what it makes from what, its config, the function that does it, and what is said about it."""

    name: str
    """Of the command, and of its section in recipes."""
    kind: str
    """Of the artifact that it makes."""
    config: type[Config] | str
    run: Callable[[Any], None] | str
    """Does it: job -> None."""
    help: str = ""
    """One line for `ifrkit --help`."""
    arguments: str = ""
    """What has to stand after the command's name."""
    order: int = 1000
    """Its place in lists."""
    needs: tuple[str, ...] = ()
    """Kinds of the one input artifact that is resolved from --from, the pipe or the workspace (empty: none)."""
    accepts: tuple[str, ...] = ()
    """Further kinds that --from or the pipe may bring instead."""
    payload: tuple[str, ...] = ()
    """Patterns of the files it makes, relative, `*` for any text ("labels-*.h5"); empty: all. Hidden files never are.

    Exactly these become the artifact: what a killed run left beside them does not."""
    schema: int = 1
    """Of the payload, and of the arithmetic that made it; older ones are read too, but a run makes its own again."""
    resumable: bool = False
    """Keeps state in scratch and continues with --resume."""
    in_recipes: bool = True
    """Whether recipes and --config files may have a section for it."""
    source_identity: Callable[[Any], str] | None = None
    """Config -> extra identity, for a stage that reads more than artifacts (prepare: the dataset's fingerprint)."""
    extra_inputs: Callable[[Any, list[Any], Path], list[Any]] | None = None
    """Further inputs that the config names or implies (config, resolved inputs, workspace) -> artifacts."""
    check: Callable[[Any, list[Any]], None] | str | None = None
    """Raises all that the run would refuse before its work (config, inputs). A dry run and the run both call it."""
    adapt: Callable[[Any, list[Any], Mapping[str, str]], Any] | str | None = None
    """Config, resolved inputs, origins -> the config as these inputs have it, for what an input settles."""
    space: Callable[[Any, list[Any]], int] | str | None = None
    """Bytes that it will write (config, inputs), for a stage that may fill a disk: refused if too many."""
    label: Callable[[Any], str] = lambda config: "artifact"
    """The human part of the artifact's directory name ("ifr-1-30")."""
    after: Callable[[Any, Path | None], Sequence[str]] = nothing
    """The words of the command that comes next (artifact, its workspace; None: made elsewhere); empty: none."""
    fitting: Callable[[Any], list[str]] = nothing
    """Recipes for the next command that fit what was made, where the user gave none."""

    @property
    def config_type(self) -> type[Config]:
        """The class of its config, imported now."""
        found: type[Config] = imported(self.config)
        return found

    @property
    def command(self) -> str:
        """How it is called: "prepare DATASET"."""
        return f"{self.name} {self.arguments}".rstrip()

    def require(self, config: Any, inputs: list[Any]) -> None:
        """Call its check. Imports what does it first."""
        if self.check is not None:
            imported(self.check)(config, inputs)

    def adapted(self, config: Any, inputs: list[Any], origins: Mapping[str, str]) -> Any:
        """The config as these inputs have it."""
        return config if self.adapt is None else imported(self.adapt)(config, inputs, origins)

    def bytes_of(self, config: Any, inputs: list[Any]) -> int | None:
        """What it will write; None: it does not say."""
        return None if self.space is None else int(imported(self.space)(config, inputs))

    def start(self, job: Any) -> None:
        """Do the work. Imports what does it first."""
        imported(self.run)(job)


def stages() -> list[Stage]:
    """All stages, in order."""
    return list(_found(tuple(importlib.import_module(PACKAGE).__path__)))


@cache
def _found(path: tuple[str, ...]) -> tuple[Stage, ...]:
    files = {file.stem for place in path for file in Path(place).glob("*.py")}
    names = [name for name in files if name not in MACHINERY and not name.startswith("_")]
    found = (importlib.import_module(f"{PACKAGE}.{name}").STAGE for name in names)
    return tuple(sorted(found, key=lambda stage: (stage.order, stage.name)))


def stage_named(name: str) -> Stage | None:
    """The stage of a command; None for a command that is not one of ours."""
    return next((stage for stage in stages() if stage.name == name), None)


def maker(kind: str) -> Stage | None:
    """The stage that makes a kind of artifact; None for a kind of somebody else's."""
    return next((stage for stage in stages() if stage.kind == kind), None)


def kinds() -> list[str]:
    """All kinds of artifacts."""
    return list(dict.fromkeys(stage.kind for stage in stages()))


def sections() -> list[str]:
    """The top-level sections of a recipe: the names of the stages."""
    return [stage.name for stage in stages() if stage.in_recipes]
