"""The project directory of own data, laid out as `prepare folders --root` reads it.

    my-project/frames          a link to the user's videos
    my-project/to_label/       the proposed frames as PNGs, for a labeling tool
    my-project/to_label.txt    their names in the order of the proposal, as clips and lists name them
    my-project/classes.yaml    class names and colours
    my-project/labels/         empty: where the labels go

Nothing that is there is ever replaced, so that the user's edits and labels are safe.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.artifacts.job import Display
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.records import IGNORE
from ifrkit.init.footage import Footage
from ifrkit.init.selection import Features, colors, k_center
from ifrkit.media.classes import BACKGROUND, read_table
from ifrkit.media.lists import read_list
from ifrkit.media.palette import RGB, distinct_colors

_HEADER = """\
# Class names and colours (red, green, blue). Images of ids hold places in this list, from 0.
# `background` is what nobody labels; in a list without it, such pixels are ignored.
"""


class Proposal(NamedTuple):
    """What `propose` chose. names: the whole list; new: how many it added; clips: how many could still get a label."""

    names: list[str]
    new: int
    clips: int


class Chooser(NamedTuple):
    """What compares frames (None: their colours), and where to say how far it is."""

    features: Features | None
    display: Display


class Project:
    """A project directory; its parts may or may not be there. Raises ConfigError where a file has its name."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path}: a file, not a project", "name a directory, which may be new")
        self.path = path
        self.frames, self.labels = path / "frames", path / "labels"
        self.to_label, self.list, self.classes = path / "to_label", path / "to_label.txt", path / "classes.yaml"

    def place(self, frames: Path | None) -> Path:
        """Where the frames lie: a directory or a video file that the user names, or (None) those of the project.

        Raises an error for what cannot become part of the project. Writes nothing, but that a project which has video
        files already gets a link to one more.
        """
        if frames is None:
            if not self.frames.exists():
                raise ConfigError(f"{self.path}: no frames in it yet", "name a directory of videos with --frames")
            return self.frames
        own = frames.resolve()
        if not own.exists():
            raise DatasetError(f"{frames}: no directory and no video file", "name a directory of videos or frames")
        if self.path.resolve().is_relative_to(own):
            raise ConfigError(f"{self.path}: lies inside {frames}", "make the project beside its frames")
        link = self._link(own)
        into_a_link = own.is_file() and self.frames.is_symlink()  # it would end up among the user's videos
        if into_a_link or (link.exists() and link.resolve() != own):
            raise ConfigError(
                f"{self.frames}: holds other frames already", "leave --frames out, or name another project"
            )
        if own.is_file() and self.frames.is_dir() and not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(own)
        return self.frames if link.exists() else frames

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """A project that is new is made whole, or not at all: what stops inside takes away what was made."""
        new = not self.path.exists()
        try:
            yield
        except BaseException:
            if new:
                shutil.rmtree(self.path, ignore_errors=True)  # the link to the frames goes, not what it leads to
            raise

    def create(self, frames: Path | None) -> None:
        """Make the directories and the link to the frames. Call `place` first, which may refuse."""
        link = self.frames if frames is None else self._link(frames.resolve())
        for directory in (self.path, link.parent, self.labels, self.to_label):
            directory.mkdir(parents=True, exist_ok=True)
        if frames is not None and not link.exists():
            link.unlink(missing_ok=True)  # a link to what is gone
            link.symlink_to(frames.resolve())

    def _link(self, own: Path) -> Path:
        return self.frames / own.name if own.is_file() else self.frames

    def write_classes(self, names: Sequence[str], palette: Sequence[RGB] = ()) -> bool:
        """Write the class table, unless there is one. Whether it was written."""
        if self.classes.exists():
            return False
        spread = distinct_colors(len(names))
        table = {
            name: list(palette[i] if palette else (0, 0, 0) if name == BACKGROUND else spread[i])
            for i, name in enumerate(sorted(names, key=lambda name: name != BACKGROUND))
        }
        black = [0, 0, 0] in table.values()
        tree = {"classes": table, "ignore": [IGNORE] if black else [IGNORE, [0, 0, 0]]}
        text = _HEADER + yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, allow_unicode=True)
        write_atomic(self.classes, text.encode())
        return True

    def class_names(self) -> tuple[str, ...]:
        """As the class table has them. Raises DatasetError for one that cannot be read."""
        return read_table(self.classes).space.names

    def proposed(self) -> list[str]:
        """The frames of an earlier proposal."""
        return [line for line in read_list(self.list) if line] if self.list.exists() else []

    def propose(self, footage: Footage, clip_length: int, count: int, chooser: Chooser) -> Proposal:
        """Bring the list of frames to label to `count`, in memory: `write` writes it."""
        names = self.proposed()
        for name in names:
            if name not in footage.sources:
                raise DatasetError(f"{self.list}: no frame {name!r} in {self.frames}", "correct or remove the line")
        free = footage.candidates(names, clip_length)
        new: list[str] = []
        if count > len(names) and free:
            known = {*names, *free}
            order = [name for name in footage.sources if name in known]
            read = chooser.display.track(footage.frames(order), "compare clips", total=len(order))
            rows = np.stack([(chooser.features or colors)(frame) for _, frame in read])
            places = {name: row for row, name in enumerate(order)}
            new = [order[row] for row in k_center(rows, count - len(names), [places[name] for name in names])]
        for name in new:
            footage.file_name(name)  # it may refuse
        return Proposal([*names, *new], len(new), len(free) - len(new))

    def write(self, footage: Footage, proposal: Proposal) -> None:
        """Write the new frames as images, and the list."""
        self._write_images(footage, proposal.names[len(proposal.names) - proposal.new :])
        write_atomic(self.list, "".join(f"{name}\n" for name in proposal.names).encode())

    def _write_images(self, footage: Footage, names: Sequence[str]) -> None:
        """PNG whatever the source: a tool shows these pixels, unturned, and labels them at this size."""
        files = {name: self.to_label / f"{footage.file_name(name)}.png" for name in names}
        for name, frame in footage.frames(name for name in footage.sources if name in files):
            if not files[name].exists():
                data = io.BytesIO()
                Image.fromarray(frame).save(data, "png")
                write_atomic(files[name], data.getvalue())


def parse_classes(text: str) -> list[str]:
    """Class names out of NAME,NAME,... Raises ConfigError."""
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names) or not all(name.isprintable() for name in names):
        raise ConfigError(f"--classes {text}: an empty name, or one twice", "write --classes road,car,person")
    if len(names) > 254:
        raise ConfigError(f"--classes: {len(names)} names", "a label image tells 254 classes apart at most")
    return names
