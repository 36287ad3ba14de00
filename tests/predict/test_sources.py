"""Which videos a user means, and what their headers say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import own_videos
import pytest

from ifrkit.core.errors import ConfigError, DatasetError
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


def test_patterns_and_images_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = own_videos.street(3)
    monkeypatch.chdir(tmp_path)
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        for name in ("b.mp4", "a.mp4", "._a.mp4"):
            own_videos.write_video(tmp_path / day / name, frames)
    own_videos.write_folder(tmp_path / "walk", frames)
    (tmp_path / "a[1].mp4").write_bytes((tmp_path / "mon/a.mp4").read_bytes())
    assert _names(Path("*/*.mp4")) == ["a", "b", "a-2", "b-2"]
    assert _names(Path("a[1].mp4")) == ["a[1]"]
    assert _names(Path("mon"), Path("mon/*")) == ["a", "b"]  # each file once
    (source,) = find_sources(["walk/*.png"])
    (same,) = find_sources([f"walk/f{n}.png" for n in (3, 1, 2)])
    assert (source.name, source.video) == ("walk", same.video)
    assert [path.name for path in same.files()] == ["f1.png", "f2.png", "f3.png"]
    (tmp_path / "walk/cover.png").write_bytes((tmp_path / "walk/f1.png").read_bytes())
    assert _names(Path("walk/cover.png")) == ["walk"]
    assert sorted(_names(Path("walk/f1.png"), Path("walk/f2.png"), Path("walk/cover.png"))) == ["cover", "walk"]
    with pytest.raises(DatasetError, match=r"\*\.mkv: no such file or directory"):
        find_sources(["*.mkv"])


def test_streams(tmp_path: Path) -> None:
    """A file served as an address is read to its end, with the times that it says."""
    frames = own_videos.street(5)
    own_videos.write_video(tmp_path / "yard.mp4", frames, fps=8.0)
    address = f"file://{tmp_path}/yard.mp4"
    ((source, fact),) = survey([address]).videos
    assert (source.name, source.live, source.files(), fact.size, fact.fps) == ("yard", address, (), (32, 48), 8.0)
    items = list(read(source, fact))
    assert [item.time for item in items] == [0, 125, 250, 375, 500]
    for item, frame in zip(items, frames, strict=True):
        assert item.frame is not None
        assert np.abs(item.frame.astype(int) - frame).mean() < 12
    for text, fault in (
        ("rtsp://127.0.0.1:9/x", "rtsp://127.0.0.1:9/x"),
        ("731", "camera 731"),
        ("9" * 20, "camera 9"),
    ):
        assert [source.live for source in find_sources([text])] == [text]
        with pytest.raises(DatasetError, match=f"{fault}.*: cannot be opened; check that it is there"):
            survey([text])


def test_a_folder_named_by_a_number_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_videos.write_folder(tmp_path / "0", own_videos.street(2))
    assert [source.live for source in find_sources(["0"])] == [""]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or directory"):
        find_sources([str(tmp_path / "gone.mp4")])
    with pytest.raises(DatasetError, match="no images and no video files found"):
        find_sources([str(tmp_path)])
    os.mkfifo(tmp_path / "pipe.mp4")
    for place in ("/dev/zero", str(tmp_path / "pipe.mp4")):
        with pytest.raises(DatasetError, match=f"{place}: a pipe or a device, not a file; save it"):
            find_sources([place])


def test_an_empty_name_is_not_this_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the shell that is not set would predict everything that lies here."""
    own_videos.write_folder(tmp_path / "v", own_videos.street(2))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="the name of a video is empty"):
        find_sources([""])
    assert [source.name for source in find_sources(["."])] == ["v"]


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
