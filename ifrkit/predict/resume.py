"""What a run of `predict` that was stopped, or killed, goes on from.

    scratch/NAME.done.json    a video that is complete: its record, and the sha256 of the list of its files
    scratch/NAME.done.jsonl   that list, as of an artifact
    scratch/progress.json     how far the one after it has come, written every few seconds

What is damaged is predicted again, with a line that says so: nothing of it is lost but time.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ifrkit.artifacts.indexes import Video
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.listing import entry, read_list, walk, write_list
from ifrkit.artifacts.notes import changed, read_note, write_note
from ifrkit.core.errors import ArtifactError
from ifrkit.core.invalid import Invalid
from ifrkit.predict.overlap import DEPTH

SECONDS = 10.0
"""Between two saves: about what a kill costs."""


class Progress:
    """The saved state of a run. done: records of complete videos, in order."""

    def __init__(self, job: Job, names: list[str], steps: int) -> None:
        """names: of all videos, in order; steps: frames that they have together."""
        self._job, self._steps, self._saved_at = job, steps, time.monotonic()
        self._path = job.scratch / "progress.json"
        self.done = self._complete(names) if job.resumed else []
        self._before = self._current() if job.resumed else None

    def key_frames(self, name: str) -> Sequence[int]:
        """Positions of the key frames of a video, up to one before which every frame's label is on the disk."""
        return self._before.key_frames if self._before and self._before.name == name else []

    def forget(self) -> None:
        """The video that was begun starts again."""
        self._before = None

    def finish(self, record: Video) -> None:
        """A video is complete, and its files are closed."""
        place, note = self._job.directory / record.name, self._note(record.name)
        names = (name for name in walk(place) if not name.rpartition("/")[2].startswith("."))
        listed = write_list(note.with_suffix(".jsonl"), (entry(place, name) for name in names))
        write_note(note, {"record": record.tree(), "files": {listed.path: listed.sha256}})
        self.done.append(record)

    def save_sometimes(self, record: Video, number: int) -> None:
        """Save, unless that was done just now. number: of the frame that was handed to the writers last."""
        if time.monotonic() - self._saved_at > SECONDS:
            self.save(record, number)

    def save(self, record: Video, number: int) -> None:
        """Save how far a video has come. Of the frames up to `number` the writers may still hold the last ones."""
        written = array("q", (key for key in record.key_frames if key < number - DEPTH))
        current = replace(record, key_frames=written)
        before = self.key_frames(record.name)
        if len(before) > len(written):
            current.key_frames = array("q", before)  # stopped again before it was as far as the first time
        step = record.frames + sum(video.frames for video in self.done)
        told = {"step": step, "steps": max(step, self._steps)}
        write_note(self._path, {**told, "current": current.tree()})
        self._saved_at = time.monotonic()

    def _note(self, name: str) -> Path:
        return self._job.scratch / f"{name}.done.json"

    def _complete(self, names: list[str]) -> list[Video]:
        done: list[Video] = []
        for name in names:
            if not self._note(name).exists():
                break
            try:
                note = read_note(self._note(name))
                bad = changed(self._job.scratch, note["files"]) or self._changed(name)
                record = Video.of(note["record"])
            except (ArtifactError, Invalid, KeyError):
                bad, record = self._note(name), None
            if bad or record is None:
                self._job.display.warn(f"{bad} is damaged: {name} is predicted again")
                break
            done.append(record)
        return done

    def _changed(self, name: str) -> Path | None:
        """The first file of a complete video that is not what it was."""
        place = self._job.directory / name
        for each in read_list(self._note(name).with_suffix(".jsonl")):
            if bad := changed(place, {each.path: each.sha256}):
                return bad
        return None

    def _current(self) -> Video | None:
        if not self._path.exists():
            return None
        try:
            return Video.of(read_note(self._path)["current"])
        except (ArtifactError, Invalid, KeyError):
            self._job.display.warn(f"{self._path} is damaged: the video that was begun starts again")
            return None
