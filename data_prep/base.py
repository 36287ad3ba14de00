"""What a dataset plug-in defines. The core knows no dataset: it sees clips, frames and labels only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from ifrkit.artifacts.job import Display
from ifrkit.core.config import Config as BaseConfig
from ifrkit.core.records import ClipRecord, Frame, Label, LabelSpace, TrueFlow


class Dataset(ABC):
    """A dataset on disk (or procedural). Subclass it as `Dataset` in `data_prep/NAME.py` or `data_prep/NAME/`.

    Instances are pickled into worker processes, so they hold plain values and open files lazily.
    """

    class Config(BaseConfig):
        """The dataset's own options (`--set options.KEY=VALUE`)."""

    default_size: ClassVar[tuple[int, int] | None] = None
    """(height, width) of stored frames when the user names none; None: the size of the first frame."""
    has_flow: ClassVar[bool] = False
    """True when `flow` gives exact flow."""

    generated: ClassVar[bool] = False
    """True when frames are computed, not read: a dry run looks at none."""

    def __init__(self, root: Path, config: BaseConfig, seed: int = 0) -> None:
        self.root = root
        self.config = config
        self.seed = seed

    @abstractmethod
    def label_space(self) -> LabelSpace: ...

    @abstractmethod
    def clips(self) -> list[ClipRecord]:
        """All clips in a fixed order. Raises DatasetError that names the first file or directory that does not fit."""

    @abstractmethod
    def frame(self, name: str) -> Frame:
        """One frame by its name, at its own size. Raises DatasetError for an unreadable file."""

    def frame_size(self, name: str) -> tuple[int, int] | None:
        """(height, width) of a frame where that is known without decoding it: `prepare` compares sizes at once."""
        return None

    @abstractmethod
    def label(self, name: str) -> Label:
        """The label of one frame that a clip lists as labeled or hidden, at its own size."""

    def flow(self, name: str, *, backward: bool) -> TrueFlow | None:
        """Exact flow of a frame to the frame before (backward) or after; None at the ends, or without truth."""
        return None

    def frames(self, names: list[str]) -> Iterator[tuple[str, Frame]]:
        """Several frames in order. Override where sequential access is cheaper (video files)."""
        for name in names:
            yield name, self.frame(name)

    def reader(self) -> Dataset:
        """What worker processes get: asked for `frames`, `label` and `flow` alone, it may leave out the rest."""
        return self

    def fingerprint(self) -> str:
        """Changes when the source files change (names, sizes, modification times); part of the artifact's id."""
        return ""

    def summary(self) -> list[str]:
        """Lines for `prepare --dry-run`: what was found, what was ignored and why."""
        return []

    def tell(self, display: Display) -> None:
        """Say what the run has to say as the dry run does: which files were not read, which scores may flatter."""
        del display  # nothing to say

    @classmethod
    def make_toy(cls, root: Path, seed: int = 0) -> None:
        """Write a tiny tree with exactly the real names and formats, for contract tests."""
        raise NotImplementedError
