"""What to label next: the score by hand, and the choice among frames that are alike."""

from __future__ import annotations

import numpy as np
import pytest

from ifrkit.annotate.choice import WEIGHTS, Seen, choose


def seen(name: str, uncertain: float, feature: float, number: int = 0, video: str = "a", **more: float | None) -> Seen:
    vector = np.array([feature, 0], np.float32)
    return Seen(name, video, number, uncertain, more.get("disagree"), more.get("unsteady"), vector)


def test_the_score_is_the_weighted_mean_of_its_parts() -> None:
    known = [seen("known", 0.0, 0.0, number=0)]
    candidates = [seen("near", 0.9, 1.0, number=15), seen("far", 0.1, 4.0, number=60)]
    first, second = choose(candidates, known, 2, spacing=30)
    assert first.name == "far"
    assert first.parts == {"uncertain": 0.0, "new": 1.0, "apart": 1.0}
    total = WEIGHTS["uncertain"] + WEIGHTS["new"] + WEIGHTS["apart"]
    assert first.score == pytest.approx((WEIGHTS["new"] + WEIGHTS["apart"]) / total, abs=1e-3)
    assert second.parts == {"uncertain": 1.0, "new": 1.0, "apart": 0.5}


def test_of_equal_frames_the_unsure_one_and_of_unsure_ones_the_new_one() -> None:
    known = [seen("known", 0.0, 0.0, video="other")]
    alike = [seen("sure", 0.1, 1.0, video="b"), seen("unsure", 0.6, 1.0, video="c")]
    assert choose(alike, known, 1, 30)[0].name == "unsure"
    crowd = [seen(f"same {n}", 0.9, 5.0, number=n, video="b") for n in range(4)]
    names = [choice.name for choice in choose([*crowd, seen("odd", 0.5, 2.0, video="d")], known, 2, 30)]
    assert names[0].startswith("same")
    assert names[1] == "odd"


def test_every_frame_once_and_parts_that_not_all_have_are_left_out() -> None:
    frames = [seen(f"{n}", n / 9, n, number=100 * n, disagree=n / 9, unsteady=None if n else 0.5) for n in range(5)]
    chosen = choose(frames, [], 9, 30)
    assert sorted(choice.name for choice in chosen) == ["0", "1", "2", "3", "4"]
    assert chosen[0].name == "4"  # nothing is known: what is unsure decides
    assert set(chosen[0].parts) == {"uncertain", "disagree", "apart"}
    assert all("unsteady" not in choice.parts for choice in chosen)
    assert "new" in chosen[1].parts
    assert choose([], [], 3, 30) == []
