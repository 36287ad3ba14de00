"""How close held-out labels are to training frames, by hand; and the gap that keeps them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep._leakage import Leakage, Pair, held_out, measure
from data_prep.folders import Dataset
from data_prep.folders.cut import Owners, cut
from data_prep.folders.gap import keep_away
from ifrkit.core.records import ClipRecord, Frame, Split


def record(split: Split, video: str, numbers: range, labeled: int | None = -1) -> ClipRecord:
    frames = tuple(f"{video}/{n:04}" for n in numbers)
    place = None if labeled is None else labeled % len(frames)
    known = () if place is None else (place,)
    return ClipRecord(name=frames[-1], video=video, split=split, frames=frames, annotated=place, labeled=known)


def grey(name: str) -> Frame:
    """Frames of video c look the same whatever their light; all others are noise of their own."""
    if name.startswith("c"):
        return np.full((32, 32, 3), 50, np.uint8) + np.arange(32, dtype=np.uint8)[:, None] + np.uint8(int(name[-1]))
    return np.random.default_rng(int(name[-4:])).integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def test_distance_in_time_counts_frames_of_the_video() -> None:
    """Every fifth frame is there: number 40 is one frame from 35."""
    clips = [record("train", "a", range(0, 40, 5)), record("val", "a", range(40, 60, 5), 0)]
    other = [record("val", "b", range(10)), record("train", "b", range(20, 30), None)]
    found = measure([*clips, *other], grey)
    assert found.held_out == 2
    assert found.nearest == (Pair("a/0040", "a/0035", 1), Pair("b/0009", "b/0020", 11))
    assert (found.near, found.alike) == (1, ())
    assert [pair.held_out for pair in found.looks] == [pair[0] for pair in found.metrics()["looks"]]
    assert {pair.held_out for pair in found.looks} == {"a/0040", "b/0009"}
    most = found.looks[0]
    assert most.training in {"a/0035", "b/0025"}
    assert found.lines()[2].startswith(f"leakage: most alike: {most.held_out} and {most.training}, ")
    assert found.headline() == "1 of 2 held-out labels lie within 2 frames of a training frame"
    assert found.lines()[1].startswith(
        "leakage: nearest in time: a/0040 is 1 frames from a/0035; --set options.gap=SECONDS"
    )
    assert found.metrics()["nearest"][0] == ["a/0040", "a/0035", 1]


def test_frames_that_look_alike_are_named() -> None:
    clips = [record("train", "c1", range(4)), record("val", "c2", range(4)), record("test", "d", range(7))]
    found = measure(clips, grey)
    (pair,) = found.alike
    assert pair[:2] == ("c2/0003", "c1/0003")
    assert found.looks[0] == pair
    assert [pair.held_out for pair in found.looks] == ["c2/0003", "d/0006"]
    assert found.lines()[-1] == "leakage: c2/0003 looks like c1/0003"
    assert found.nearest == ()  # no training frame in their videos


def test_a_clip_without_a_label_leaks_as_well() -> None:
    """Semi-supervised methods learn from it."""
    clips = [record("train", "e", range(4)), record("train", "c1", range(5), None), record("val", "c2", range(4))]
    (pair,) = measure(clips, grey).alike
    assert pair[:2] == ("c2/0003", "c1/0002")


def test_each_split_by_itself() -> None:
    """Test frames of another video have nothing to do with val frames that stand beside training."""
    clips = [record("train", "c1", range(4)), record("val", "c1", range(4, 8), 0), record("test", "d", range(7))]
    found = measure(clips, grey)
    val, test = (found.of(held_out(clips, split)) for split in ("val", "test"))
    assert val.headline() == (
        "1 of 1 held-out labels lie within 2 frames of a training frame, 1 look nearly like a training frame"
    )
    assert test.headline() == "0 of 1 held-out labels lie within 2 frames of a training frame"
    assert (found.held_out, found.near, len(found.alike)) == (2, 1, 1)


def test_each_frame_is_read_once_and_in_order() -> None:
    """A video file is decoded from its beginning for each step back."""
    asked: list[str] = []
    clips = [record("train", "a", range(20, 30)), record("val", "a", range(10)), record("train", "a", range(40, 50))]
    measure(clips, lambda name: asked.append(name) or grey(name))  # type: ignore[func-returns-value]
    assert asked == ["a/0009", "a/0029", "a/0049"]


def test_nothing_held_out_is_nothing_to_say() -> None:
    assert measure([record("train", "a", range(4))], grey) == Leakage(0, (), ())
    assert Leakage(0, (), ()).lines() == []


def test_the_gap_takes_training_frames_on_both_sides() -> None:
    owners: Owners = [*["train"] * 5, "val", "val", *["train"] * 4, None]
    assert keep_away(owners, 0) == owners
    kept = keep_away(owners, 2)
    assert kept == [*["train"] * 3, "gap", "gap", "val", "val", "gap", "gap", "train", "train", None]
    assert keep_away(owners, 99) == ["gap"] * 5 + ["val"] * 2 + ["gap"] * 5


def test_no_clip_of_training_reaches_into_the_gap() -> None:
    """A training label right after the gap would fill up its clip from there; a held-out one does."""
    owners: Owners = ["val"] * 10 + ["train"] * 20 + ["val"] * 10
    clips = cut(keep_away(owners, 5), [9, 16, 30], 8)
    train = [(c.start, c.stop) for c in clips if c.split == "train"]
    assert train == [(15, 23)]
    assert [(c.start, c.stop) for c in clips if c.split == "val"] == [(2, 10), (25, 33)]


@pytest.mark.parametrize(("options", "near"), [({"gap": 0.0}, 1), ({"gap": 1.0, "fps": 5.0}, 0)])
def test_folders_split_by_lists_with_a_gap(tmp_path: Path, options: dict[str, float], near: int) -> None:
    """One video, of which lists give every second tenth to val: the gap of a second is five frames."""
    for number in range(60):
        (tmp_path / "frames/a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey(f"{number:04}")).save(tmp_path / f"frames/a/{number:04}.png")
    (tmp_path / "labels").mkdir()
    for number in [1, 15, 25, 29, 35, 41, 45, 55]:
        Image.fromarray(np.full((32, 32), number % 2, np.uint8)).save(tmp_path / f"labels/a_{number:04}.png")
    (tmp_path / "val.txt").write_text("".join(f"a/{n:04}\n" for n in range(60) if 10 <= n < 20 or 40 <= n < 50))
    (tmp_path / "train.txt").write_text("".join(f"a/{n:04}\n" for n in range(60) if not (10 <= n < 20 or 40 <= n < 50)))
    config = Dataset.Config.of({"clip_length": 4, **options})
    dataset = Dataset(tmp_path, config, 0)
    found = measure(dataset.clips(), dataset.frame)
    assert (found.held_out, found.near) == (3, near)
    assert (min(pair.distance for pair in found.nearest) > 5) == (near == 0)
