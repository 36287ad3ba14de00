"""One run of a stage, and how it tells what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError

T = TypeVar("T")


class Display(Protocol):
    """How a stage tells what it does; the command line draws it, a library user may ignore it."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def track(self, items: Iterable[T], title: str, total: int | None = None, start: int = 0) -> Iterable[T]:
        """Iterate with a progress bar. start: how much was done by the run that is resumed."""
        ...

    def status(self, text: str) -> None:
        """A short text beside the current progress bar ("loss 0.512  lr 9.1e-03")."""
        ...

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None: ...


class Silent:
    """A display that shows nothing (tests, library use)."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def track(self, items: Iterable[T], title: str, total: int | None = None, start: int = 0) -> Iterable[T]:
        return items

    def status(self, text: str) -> None: ...

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None: ...


@dataclass
class Job:
    """One run of a stage.

    directory: the partial artifact to write payload files into; what it holds after the run is committed.
    scratch: a directory beside the payload (inside the partial artifact) for resume state; it is removed before commit.
    resumed: True when scratch holds the state of an interrupted run that should go on.
    stop: becomes true (a signal number) after SIGINT/SIGTERM; a long stage saves its state into scratch and raises
    InterruptedRun. metrics: what the stage wants in the manifest and in tables.
    """

    config: Any
    inputs: list[Artifact]
    directory: Path
    scratch: Path
    display: Display = field(default_factory=Silent)
    device: str = "cpu"
    resumed: bool = False
    stop: Callable[[], int] = lambda: 0
    metrics: dict[str, Any] = field(default_factory=dict)

    def input(self, kind: str) -> Artifact:
        """The artifact of this kind among the inputs or in their lineage. Raises ArtifactError."""
        return input_of(self.inputs, kind)


def input_of(inputs: Iterable[Artifact], kind: str) -> Artifact:
    """The artifact of this kind among these or in their lineage. Raises ArtifactError."""
    for artifact in inputs:
        found = artifact.ancestor(kind)
        if found is not None:
            return found
    raise ArtifactError(f"no {kind} artifact among the inputs or in their lineage", "name another with --from")
