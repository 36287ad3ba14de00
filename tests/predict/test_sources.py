"""Which videos a user means, and what their headers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import own_videos
import pytest

from ifrkit.core.errors import DatasetError
from ifrkit.predict.sources import find_sources, read, survey


def _names(*paths: Path) -> list[str]:
    return [source.name for source in find_sources([str(path) for path in paths])]


def test_files_and_folders_in_their_order(tmp_path: Path) -> None:
    frames = own_videos.street(2)
    own_videos.write_folder(tmp_path / "all/street10", frames)
    own_videos.write_folder(tmp_path / "all/street9", frames)
    own_videos.write_video(tmp_path / "all/park.mp4", frames)
    own_videos.write_folder(tmp_path / "all/.hidden", frames)
    (tmp_path / "all/notes.txt").write_text("no video")
    assert _names(tmp_path / "all") == ["park", "street9", "street10"]
    assert _names(tmp_path / "all/street9", tmp_path / "all/park.mp4") == ["street9", "park"]
    own_videos.write_folder(tmp_path / "all/street9/labels", frames)
    assert _names(tmp_path / "all/street9") == ["street9", "labels"]  # as `prepare folders` reads it


def test_equal_names_do_not_collide(tmp_path: Path) -> None:
    frames = own_videos.street(1)
    for day in ("mon", "tue"):
        own_videos.write_folder(tmp_path / day / "cam", frames)
    own_videos.write_video(tmp_path / "cam.mp4", frames)
    assert _names(tmp_path / "mon/cam", tmp_path / "tue/cam", tmp_path / "cam.mp4") == ["cam", "cam-2", "cam-3"]


def test_a_name_that_another_one_would_get_by_counting(tmp_path: Path) -> None:
    frames = own_videos.street(1)
    for place in ("a/cam", "b/cam", "cam-2"):
        own_videos.write_folder(tmp_path / place, frames)
    names = _names(tmp_path / "cam-2", tmp_path / "a/cam", tmp_path / "b/cam")
    assert len(set(names)) == 3


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or directory"):
        find_sources([str(tmp_path / "gone.mp4")])
    with pytest.raises(DatasetError, match="no images and no video files found"):
        find_sources([str(tmp_path)])


def test_two_images_of_one_frame(tmp_path: Path) -> None:
    folder = own_videos.write_folder(tmp_path / "v", own_videos.street(2))
    (folder / "f1.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="both would be frame 'f1'"):
        find_sources([str(folder)])


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_what_a_video_says_and_holds(tmp_path: Path, name: str) -> None:
    frames = own_videos.street(6)
    ((source, fact),) = survey([str(own_videos.write_video(tmp_path / name, frames, fps=12.5))]).videos
    assert (fact.size, fact.fps, fact.claimed) == ((32, 48), 12.5, 6)
    items = list(read(source, fact))
    assert [item.number for item in items] == list(range(6))
    for item, frame in zip(items, frames, strict=True):
        assert item.frame is not None
        assert np.abs(item.frame.astype(int) - frame).mean() < 12  # red is red, and frame 3 is frame 3


def test_broken_images_do_not_hide_the_size(tmp_path: Path) -> None:
    folder = own_videos.write_folder(tmp_path / "v", own_videos.street(3))
    (folder / "f1.png").write_bytes(b"")
    ((source, fact),), left = survey([str(folder)])
    assert fact.size == (32, 48)
    assert [item.frame is None for item in read(source, fact)] == [True, False, False]
    (line,) = left.lines()
    assert line.startswith("1 files left out, cannot be read: v/f1.png (cannot be read as an image")
