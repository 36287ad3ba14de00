"""What to label next: the score by hand, and the choice among frames that are alike."""

from __future__ import annotations

import numpy as np
import pytest

from ifrkit.annotate import choice
from ifrkit.annotate.choice import Seen, choose


def seen(name: str, uncertain: float, feature: float, number: int = 0, video: str = "a", **more: float | None) -> Seen:
    vector = np.array([feature, 0], np.float32)
    return Seen(name, video, number, uncertain, more.get("disagree"), more.get("unsteady"), vector)


def test_the_score_by_hand() -> None:
    """u = (1, 0) + 0.001 by rank, d = (1, 4): near gains 1.001 * 1 + 0.001 * (4 - 3) of 1.001 * 1 + 0.001 * 4."""
    known = [seen("known", 0.0, 0.0, number=0)]
    candidates = [seen("near", 0.9, 1.0, number=15), seen("far", 0.1, 4.0, number=60)]
    first, second = choose(candidates, known, 2, spacing=30)
    assert first.name == "near"
    assert first.parts == {"uncertain": 1.0, "stands_for": pytest.approx(1.002 / 1.005, abs=1e-3), "apart": 0.5}
    assert first.score == pytest.approx(0.5 * 1.002 / 1.005, abs=1e-3)
    assert second.parts == {"uncertain": 0.0, "stands_for": 1.0, "apart": 1.0}  # all that is left is itself


def test_many_alike_before_an_outlier_and_once() -> None:
    known = [seen("known", 0.0, 0.0, video="other")]
    crowd = [seen(f"same {n}", 0.5, 5.0 + 0.1 * n, number=100 * n, video="b") for n in range(5)]
    odd = seen("odd", 0.5, -9.0, video="d")
    first, second = choose([odd, *crowd], known, 2, 30)
    assert first.name == "same 2"  # the middle one
    assert second.name == "odd"


def test_of_equal_crowds_the_unsure_one_and_of_equal_frames_the_unsure_one() -> None:
    known = [seen("known", 0.0, 0.0, video="other")]
    crowds = [
        seen(f"{n} {v}", u, f + 0.1 * n, 100 * n, v)
        for v, u, f in (("sure", 0.1, 5.0), ("unsure", 0.6, -5.0))
        for n in range(3)
    ]
    assert choose(crowds, known, 1, 30)[0].name == "1 unsure"
    alike = [seen("sure", 0.1, 1.0, video="b"), seen("unsure", 0.6, 1.0, video="c")]
    assert choose(alike, known, 1, 30)[0].name == "unsure"


def test_of_frames_that_look_alike_the_one_far_in_time() -> None:
    known = [seen("known", 0.0, 0.0, number=0)]
    candidates = [seen("next to it", 0.5, 1.0, number=3), seen("later", 0.5, 1.0, number=90)]
    assert choose(candidates, known, 1, 30)[0].name == "later"


def test_every_frame_once_and_parts_that_not_all_have_are_left_out() -> None:
    frames = [seen(f"{n}", n / 9, n, number=100 * n, disagree=n / 9, unsteady=None if n else 0.5) for n in range(5)]
    chosen = choose(frames, [], 9, 30)
    assert sorted(c.name for c in chosen) == ["0", "1", "2", "3", "4"]
    assert chosen[0].name == "3"  # nothing is known: near to what the model is unsure about
    assert all(set(c.parts) == {"uncertain", "disagree", "stands_for", "apart"} for c in chosen)
    assert choose([], [], 3, 30) == []


def test_many_frames_are_weighed_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same choice whatever the number of rows; the distances of all pairs at once do not fit for a long video."""
    rng = np.random.default_rng(0)
    frames = [seen(f"{n}", rng.random(), 10 * rng.random(), 100 * n) for n in range(50)]
    whole = choose(frames[5:], frames[:5], 8, 30)
    monkeypatch.setattr(choice, "_ROWS", 7)
    assert choose(frames[5:], frames[:5], 8, 30) == whole
