"""Frames made worse, always in the same way; and which frames a human should see."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ifrkit.core.records import Window
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.corruptions import KINDS, STRENGTHS, CorruptedStore, Robustness, corrupted
from ifrkit.evaluation.systems import Seen
from ifrkit.evaluation.tables import corruptions as table
from ifrkit.evaluation.triage import triage


def picture(size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """Blocks of colours with edges to lose."""
    rng = np.random.default_rng(0)
    return rng.integers(30, 226, (size[0] // 8, size[1] // 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_is_further_from_the_frame(kind: str) -> None:
    frame = picture()
    before = frame.copy()
    made = [corrupted(frame, kind, strength, "a/1") for strength in range(1, STRENGTHS + 1)]
    away = [float(np.abs(worse.astype(int) - frame).mean()) for worse in made]
    assert all(one < other for one, other in pairwise([0.0, *away])), away
    assert all(worse.shape == frame.shape and worse.dtype == np.uint8 for worse in made)
    assert np.array_equal(frame, before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_frame_is_made_worse_in_the_same_way(kind: str) -> None:
    frame = picture()
    assert np.array_equal(corrupted(frame, kind, 2, "a/1"), corrupted(frame, kind, 2, "a/1"))
    if kind not in ("blur", "jpeg"):  # in which nothing is random
        assert not np.array_equal(corrupted(frame, kind, 2, "a/1"), corrupted(frame, kind, 2, "a/2"))


def test_what_they_do() -> None:
    frame = picture()
    assert corrupted(frame, "night", 3, "a").mean() < 0.5 * frame.mean()
    assert corrupted(frame, "fog", 3, "a").std() < 0.7 * frame.std()
    assert corrupted(frame, "fog", 3, "a").mean() > frame.mean()
    gray = np.full((40, 40, 3), 100, np.uint8)
    for kind in ("blur", "shake"):
        assert np.array_equal(corrupted(gray, kind, 4, "a"), gray), "what has no edge has none to lose"
    assert corrupted(gray, "noise", 2, "a").std() == pytest.approx(16, rel=0.1)
    for size in ((1, 1), (7, 3)):
        assert corrupted(np.zeros((*size, 3), np.uint8), "shake", 4, "a").shape == (*size, 3)


class Bright:
    """Says class 1 where the frame is bright, and is sure of it; remembers what it saw."""

    name = "bright"

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Seen:
        bright = store.frame(clip, index).mean(2) > 100
        return Seen(bright.astype(np.uint8), np.full(size, 0.8, np.float32))

    def stream(self, store: ClipStore, clip: int, interval: int) -> Any:
        raise NotImplementedError


def test_robustness_of_a_system(store: ClipStore) -> None:
    places = [(clip, index) for clip in store.clips_of("val") for index in range(5)]
    true = {place: Bright().scored(store, *place, 0, store.size).ids_hw for place in places}
    whole = Robustness(store, Bright(), places, 4, lambda clip, index: true[clip, index])
    for at in whole.passes:
        whole.run(at, slice(None))
    found = whole.results()
    assert found["frames"] == len(places)
    assert found["clean"] == {
        "miou": 1.0,
        "accuracy": 1.0,
        "confidence": pytest.approx(0.8),
        "ece": pytest.approx(0.2),
    }
    night = found["kinds"]["night"]
    worse = CorruptedStore(store, "night", 4)
    right = [Bright().scored(worse, *place, 0, store.size).ids_hw == true[place] for place in places]
    assert night[3]["accuracy"] == pytest.approx(np.mean(right))
    assert night[3]["accuracy"] < night[0]["accuracy"] <= 1
    parts = [Robustness(store, Bright(), places, 4, lambda clip, index: true[clip, index]) for _ in range(2)]
    for rank, part in enumerate(parts):
        for at in part.passes:
            part.run(at, slice(rank, None, 2))
    sums = [part.counts() for part in parts]
    parts[0].replace({key: sums[0][key] + sums[1][key] for key in sums[0]})
    assert parts[0].results() == found
    title, columns, rows = table({"corruptions": found})
    assert "15 frames made worse; clean 100.00" in title
    assert columns == ["strength", "1", "2", "3", "4", "left"]
    assert [row[0] for row in rows] == list(KINDS)


def test_labels_and_windows_of_a_corrupted_store(store: ClipStore) -> None:
    worse, clip = CorruptedStore(store, "noise", 3), store.clips_of("val")[0]
    assert np.array_equal(worse.label(clip, 0, hidden=True), store.label(clip, 0, hidden=True))
    assert not np.array_equal(worse.frame(clip, 0), store.frame(clip, 0))
    assert np.array_equal(worse.frame(clip, 0, Window(2, 4, 8, 16)), worse.frame(clip, 0)[2:10, 4:20])


def test_which_frames_go_to_a_human() -> None:
    """Ten frames; the three that the model is least sure of are half wrong."""
    sure = np.array([0.99, 0.5, 0.98, 0.97, 0.6, 0.96, 0.95, 0.7, 0.94, 0.93])
    right = np.where(sure < 0.8, 0.5, 0.9)
    rows = triage(sure, right)
    assert [row["coverage"] for row in rows] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.5])
    assert rows[0] == {
        "threshold": 0.5,
        "coverage": 1.0,
        "kept": 10,
        "sent": 0,
        "kept_accuracy": pytest.approx(0.78),
        "sent_accuracy": None,
    }
    assert rows[3]["threshold"] == 0.93
    assert (rows[3]["sent"], rows[3]["sent_accuracy"], rows[3]["kept_accuracy"]) == (3, 0.5, pytest.approx(0.9))


def test_frames_of_one_confidence_stay_together_and_others_are_left_out() -> None:
    rows = triage(np.full(4, 0.9), np.full(4, 0.5))
    assert [row["coverage"] for row in rows] == [1.0]
    nothing = np.full(3, np.nan)
    assert triage(nothing, np.ones(3)) == []
    assert triage(np.array([0.9, np.nan]), np.array([0.5, 0.5]))[0]["kept"] == 1
