"""Frames of video files are held by their rule, and found as if each name stood in a table."""

from __future__ import annotations

import ctypes
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.folders import Dataset
from data_prep.folders.find import Names, flat_name
from data_prep.folders.numbered import AllFrames, FileFrames, video_frame
from ifrkit.core.names import Chosen
from ifrkit.media.source import Source

NUMBERS = [*range(3), 7, 1_000_000]
FILES = ("night", "day 1/walk!", "day 1/caf\u00e9", "n_1/n_1", "a/night")


@pytest.mark.parametrize("numbers", [NUMBERS, range(5)])
def test_a_rule_and_a_table_say_the_same(numbers: list[int] | range) -> None:
    rule = FileFrames("a/clip", Path("clip.mp4"), numbers)
    table = {video_frame("a/clip", n): Source(Path("clip.mp4"), n) for n in numbers}
    assert dict(rule) == table
    assert list(rule.names) == list(table)
    assert rule.names[1:3] == tuple(table)[1:3]
    assert dict(pickle.loads(pickle.dumps(rule))) == table
    for other in (
        "a/clip_000001",
        "a/clip/clip_1",
        "a/clip/clip_0000001",
        "a/clip/clip_000009",
        "a/clip/clip_",
        "x",
        "",
    ):
        assert other not in rule
    assert "a/clip/clip_\N{ARABIC-INDIC DIGIT ONE}00001" not in rule


def test_labels_find_what_they_found_in_tables() -> None:
    rules = {video: FileFrames(video, Path(video), NUMBERS) for video in FILES}
    names = Names(rules, FILES)
    for video in FILES:
        for number in NUMBERS:
            name = video_frame(video, number)
            assert names.find(name) == [name]
            assert names.find(f"{video}_{number}") == [name]
            assert name in names.find(flat_name(name))
        assert names.find(video_frame(video, 5)) == []
    assert names.find("cafe\u0301/cafe\u0301_000002") == []
    assert names.find("day 1/cafe\u0301/cafe\u0301_000002") == ["day 1/caf\u00e9/caf\u00e9_000002"]
    assert names.find("C:\\exports\\night\\night_000002") == ["night/night_000002"]
    assert names.find("day_1_walk__000007") == ["day 1/walk!/walk!_000007"]


def test_an_image_and_a_file_of_one_frame_name() -> None:
    """Of one name in two videos the image counts, once."""
    image = {"night/night_000001": Source(Path("1.png"))}
    every = AllFrames([FileFrames("night", Path("night.mp4"), range(3)), image])
    assert len(every) == len(list(every)) == 3
    assert every["night/night_000001"] == Source(Path("1.png"))
    assert every["night/night_000002"] == Source(Path("night.mp4"), 2)
    assert every.files() == {Path("1.png"), Path("night.mp4")}


def test_what_workers_get_grows_with_the_labels_alone(tmp_path: Path) -> None:
    """Clips hold rows, and what is pickled into worker processes holds no frame of a video file."""
    Dataset.make_toy(tmp_path)
    dataset = Dataset(tmp_path, Dataset.Config())
    clips = dataset.clips()
    assert all(isinstance(clip.frames, Chosen) for clip in clips)
    name = next(name for name in dataset.sources if dataset.sources[name].number is not None)
    sent = pickle.dumps(dataset.reader())
    assert name.encode() not in sent
    worker = pickle.loads(sent)
    assert (worker.frame(name) == dataset.frame(name)).all()
    labeled = next(clip.frames[i] for clip in clips for i in clip.labeled)
    assert (worker.label(labeled) == dataset.label(labeled)).all()


APART = """
import ctypes
from ifrkit.core.machine import large_blocks_apart

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def apart(size):
    block = libc.malloc(ctypes.c_size_t(size))
    return bool(ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value & 2)

with large_blocks_apart():
    print(apart(1 << 20), apart(1 << 10))
print(apart(1 << 20))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="an option of glibc")
def test_what_grows_while_a_file_is_opened_leaves_no_gap_in_the_heap() -> None:
    """glibc marks a block that it got from the system for itself, in the word before it. In a process of its own: in a
    heap that has a gap of the size, that is used first.
    """
    done = subprocess.run([sys.executable, "-c", APART], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "False"]
