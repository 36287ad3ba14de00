"""predict --write: what a labeling tool imports is what was predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import own_videos
import pytest

from ifrkit.artifacts.store import Artifact
from ifrkit.config.predict import PredictConfig
from ifrkit.core.errors import ConfigError, InterruptedRun
from ifrkit.core.plugins import load, names
from ifrkit.data.store.clips import ClipStore
from ifrkit.labels.base import open_labels
from ifrkit.media.classes import named_table

FORMATS = [name for name in names("labels") if load("labels", name).writer is not None]


def test_every_format_holds_the_prediction(tmp_path: Path, clips: Artifact, model: Artifact) -> None:
    """A folder's frames keep the names of their images, those of a file are called as `init` calls them."""
    folder = own_videos.write_folder(tmp_path / "walk", own_videos.street(2))
    video = own_videos.write_video(tmp_path / "street.mp4", own_videos.street(2, seed=8))
    done = own_videos.run(tmp_path, model, folder, video, write=FORMATS, overlay=0)
    space = ClipStore(clips.path).labels
    for name in FORMATS:
        for place, frames in (("walk", ["f1", "f2"]), ("street", ["street_000000", "street_000001"])):
            found = open_labels(done.path / place / name, name).reader
            entries = {entry.names[-1]: entry.key for entry in found.entries()}
            assert sorted(entries) == frames
            for frame, wanted in zip(frames, own_videos.labels(done, place).values(), strict=True):
                ids_hw = found.read(entries[frame], (32, 48), named_table("", space.names, space.colors))
                np.testing.assert_array_equal(ids_hw, wanted)


def test_a_resumed_run_writes_the_same(tmp_path: Path, model: Artifact) -> None:
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(6))
    changes = {"write": "coco,label-studio,cvat", "key_interval": 2}
    whole = own_videos.run(tmp_path / "whole", model, video, **changes)
    left = [4]

    def stop() -> int:
        left[0] -= 1
        return 2 if left[0] < 0 else 0

    with pytest.raises(InterruptedRun):
        own_videos.run(tmp_path / "ws", model, video, stop=stop, **changes)
    done = own_videos.run(tmp_path / "ws", model, video, resume=True, **changes)
    assert done.manifest.files == whole.manifest.files


def test_formats_that_cannot_be_written(tmp_path: Path, model: Artifact) -> None:
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(2))
    with pytest.raises(ConfigError, match="no label plug-in named 'cocoo'"):
        own_videos.run(tmp_path, model, video, write="cocoo")
    with pytest.raises(ConfigError, match="labels of the format cityscapes-polygons are read only"):
        own_videos.run(tmp_path, model, video, write="Cityscapes_Polygons")


def test_formats_count_for_the_id_however_they_are_spelled() -> None:
    assert PredictConfig(videos=("a",)).identity()["write"] == []
    assert PredictConfig.of({"videos": ["a"], "write": "COCO"}).identity()["write"] == ["coco"]
