"""The next frames to label, by a trained model: chosen among the training clips, written as `init` writes its own.

    PROJECT/to_label/NAME.png         the frame, of the video's own size where the project has the videos
    PROJECT/to_label.txt              its name, after those of earlier rounds
    PROJECT/unsure/NAME.png           the frame with what the model is unsure about in red
    PROJECT/predicted/NAME.png        the frame with the classes' colours over it, as the model has them
    PROJECT/pre_labels/FORMAT/        its prediction, as the labeling tool imports it
    PROJECT/label_next.json           the score of each chosen frame, and its parts

Nothing that is there is replaced but pre_labels and label_next.json, which hold the last round.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.folders.find import flat_name
from ifrkit.annotate.choice import Chosen, Seen, choose
from ifrkit.annotate.unsure import Branchwise, Look
from ifrkit.artifacts.atomic import write_atomic
from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.job import Display
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.records import Frame
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import training_frames
from ifrkit.init.footage import Footage
from ifrkit.init.project import Project
from ifrkit.labels.base import writer_of
from ifrkit.media.images import png_bytes
from ifrkit.media.pictures import colored
from ifrkit.media.resize import resize_label

_RED = np.array([235, 40, 40], np.float32)
_SPACING = 30
"""Frames after which two frames of a video count as apart: a clip of `prepare folders`."""


class Place(NamedTuple):
    """Where a frame is found in the store."""

    clip: int
    position: int


class NextFrames:
    """Chooses for one model: clips whose label it learned from are known, each other one can give a frame."""

    def __init__(self, branches: Artifact, device: str) -> None:
        clips = branches.ancestor("clips")
        if clips is None:
            raise ArtifactError(f"{branches.path}: its clips are gone", "name other branches with --from")
        self.store = ClipStore.of(clips)
        self._labeled = set(Branches.read(branches).labeled)
        self._look = Branchwise(branches, self.store, device)
        self._frames = training_frames(self.store)

    def places(self, taken: Sequence[str]) -> tuple[dict[str, Place], dict[str, Place]]:
        """Frames that can be chosen, one a clip, and those that are known. taken: frames proposed before.

        Where every clip has a known frame, the frame farthest from those of its clip can be chosen.
        """
        free, known, far = dict[str, Place](), dict[str, Place](), dict[str, Place]()
        held = (self.store.clips[clip] for split in ("val", "test") for clip in self.store.clips_of(split))
        waiting = meant(taken, self._frames.keys(), {name for clip in held for name in clip.frames})
        for clip in self.store.clips_of("train"):
            record = self.store.clips[clip]
            own = {i for i, name in enumerate(record.frames) if name in waiting}
            own |= set(record.labeled) if record.name in self._labeled else set()
            known |= {record.frames[i]: Place(clip, i) for i in own}
            if not own:
                position = len(record.frames) - 1 if record.annotated is None else record.annotated
                free[record.frames[position]] = Place(clip, position)
            else:
                position = max(range(len(record.frames)), key=lambda i: min(abs(i - k) for k in own))
                far[record.frames[position]] = Place(clip, position)
        free, far = ({n: place for n, place in found.items() if n not in known} for found in (free, far))
        return free or far, known

    def choose(self, count: int, taken: Sequence[str], display: Display) -> list[Chosen]:
        """The next frames, best first. Raises ConfigError where no frame is left."""
        free, known = self.places(taken)
        if not free:
            raise ConfigError("every training frame has a label, or waits for one", "prepare more frames")
        total = len(free) + len(known)
        seen = dict(display.track(self._seen({**free, **known}), "look at clips", total=total))
        return choose([seen[name] for name in free], [seen[name] for name in known], count, _SPACING)

    def look(self, name: str) -> Look:
        """What the branches see in a frame of the training clips."""
        return self._look.look(*self._frames[name])

    def _seen(self, places: dict[str, Place]) -> Iterator[tuple[str, Seen]]:
        for name, place in places.items():
            yield name, self._look.look(*place).seen

    def stored(self, name: str) -> Frame:
        """The pixels of a frame as the store has them."""
        return self.store.frame(*self._frames[name])


def meant(names: Sequence[str], training: Collection[str], held_out: Collection[str]) -> set[str]:
    """The training frames of these names. Of one that no frame has, as on a list of labels, the one of that last part:
    a project may call a video otherwise than the dataset does.
    """
    lost = {PurePosixPath(name).name for name in names if name not in training and name not in held_out}
    found = [name for name in training if PurePosixPath(name).name in lost] if lost else []
    count = Counter(PurePosixPath(name).name for name in found)
    return {*names} | {name for name in found if count[PurePosixPath(name).name] == 1}


def write_round(
    project: Project, next_frames: NextFrames, chosen: Sequence[Chosen], formats: Sequence[str], display: Display
) -> None:
    """Write what the module's page says."""
    names = [choice.name for choice in chosen]
    before = project.proposed()
    unsure, predicted, drafts = (project.path / name for name in ("unsure", "predicted", "pre_labels"))
    for directory in (project.to_label, project.labels, unsure, predicted):
        directory.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(drafts, ignore_errors=True)
    labels = next_frames.store.labels
    project.write_classes(labels.names, labels.colors)
    with ExitStack() as stack:
        writers = [stack.enter_context(writer_of(name)(drafts / name, labels)) for name in formats]
        for name, file, frame in _pixels(project, next_frames, names, display):
            look = next_frames.look(name)
            size = frame.shape[0], frame.shape[1]
            if not (project.to_label / file).exists():
                write_atomic(project.to_label / file, png_bytes(frame))
            ids_hw = resize_label(look.ids_hw, size)
            write_atomic(unsure / file, png_bytes(_drawn(frame, look)))
            write_atomic(predicted / file, png_bytes(np.asarray(frame * 0.5 + colored(ids_hw, labels) * 0.5, np.uint8)))
            for writer in writers:
                writer.write(file, ids_hw)
    rows = [choice._asdict() for choice in chosen]
    write_atomic(project.path / "label_next.json", (json.dumps(rows, indent=1) + "\n").encode())
    write_atomic(project.list, "".join(f"{name}\n" for name in [*before, *names]).encode())


def _pixels(
    project: Project, next_frames: NextFrames, names: Sequence[str], display: Display
) -> Iterator[tuple[str, str, Frame]]:
    """Name, file name and pixels of each: from the videos of the project, else from the store."""
    if not project.frames.exists():
        for name in names:
            yield name, f"{flat_name(name)}.png", next_frames.stored(name)
        return
    footage = Footage(project.frames, project.labels, display)
    footage.tell(display)
    own = {_in_footage(project, footage, name): name for name in names}
    for name, frame in footage.frames(name for name in footage.sources if name in own):
        yield own[name], f"{footage.file_name(name)}.png", frame


def _in_footage(project: Project, footage: Footage, name: str) -> str:
    """What the project's videos call a frame of the store; datasets may call its video otherwise."""
    if name in footage.sources:
        return name
    last = PurePosixPath(name).name
    alike = [other for other in footage.sources if PurePosixPath(other).name == last]
    if len(alike) != 1:
        fault = f"{project.frames}: has no frame {name!r}, which the clips of the model have"
        raise ConfigError(fault, "name a model of this project with --from, or another project")
    return alike[0]


def _drawn(frame: Frame, look: Look) -> Frame:
    """The frame, redder where the model is less sure."""
    height, width = frame.shape[:2]
    unsure_hw1 = cv2.resize(look.unsure_hw, (width, height), interpolation=cv2.INTER_LINEAR)[..., None].clip(0, 1)
    strength = np.sqrt(unsure_hw1) * 0.85
    return np.asarray(frame * (1 - strength) + _RED * strength, np.uint8)
