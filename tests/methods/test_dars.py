"""DARS: thresholds and shares beside sorting, labels that follow the class distribution, samples that stay."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import tiny_run

from ifrkit.artifacts.store import Artifact
from ifrkit.core.records import Window
from ifrkit.data.loading.views import Reading
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import PseudoLabels, training_frames
from ifrkit.methods.dars import Aligned, alignment


def by_sorting(levels: list[np.ndarray], labeled: list[int], ratio: float) -> list[tuple[int, float]]:
    """The procedure on lists of pixels: the wanted-th most confident one is the threshold; then a share of those."""
    pixels, found = sum(map(len, levels)), []
    for confidences, own in zip(levels, labeled, strict=True):
        wanted = int(ratio * own / sum(labeled) * pixels)
        ordered = sorted(confidences.tolist(), reverse=True)
        lowest = ordered[wanted - 1] if wanted <= len(ordered) else 0  # too few: all of them
        found.append((lowest, min(1.0, wanted / sum(c >= lowest for c in ordered))))
    return found


@pytest.mark.parametrize("ratio", [0.05, 0.2, 0.5, 1.0])
def test_thresholds_and_shares(ratio: float) -> None:
    """Many pixels share a level, and one class is predicted less often than it is wanted."""
    rng = np.random.default_rng(0)
    levels = [np.minimum(255, rng.integers(100, 300, n)) for n in (900, 40, 300, 7)]
    labeled = [600, 100, 200, 100]
    counts = np.stack([np.bincount(part, minlength=256) for part in levels])
    lowest, shares = alignment(counts, np.array(labeled), ratio)
    assert [*zip(lowest.tolist(), shares.tolist(), strict=True)] == by_sorting(levels, labeled, ratio)
    assert (shares < 1).any()
    kept = [share * (part >= low).sum() for share, part, low in zip(shares, levels, lowest, strict=True)]
    wanted = [int(ratio * own / 1000 * counts.sum()) for own in labeled]
    assert kept == pytest.approx([min(w, len(part)) for w, part in zip(wanted, levels, strict=True)])


def test_classes_without_labels_or_predictions() -> None:
    counts = np.zeros((3, 256), np.int64)
    counts[0, 255], counts[1, 10] = 50, 50
    lowest, shares = alignment(counts, np.array([10, 0, 10]), 0.2)
    assert lowest[0] == 255
    assert shares[0] == 0.2  # 10 of 50
    assert shares[1] == 0.0  # no label shows it
    assert alignment(np.zeros((3, 256), np.int64), np.zeros(3, np.int64), 0.2)[1].tolist() == [0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def branches(workspace: Path) -> Artifact:
    return tiny_run.varied_branches(workspace)


@pytest.fixture(scope="module")
def store(branches: Artifact) -> ClipStore:
    return tiny_run.clips_of(branches)


@pytest.fixture(scope="module")
def source(workspace: Path, branches: Artifact, store: ClipStore) -> PseudoLabels:
    """Labels of eight frames, one of which is labeled."""
    return PseudoLabels(tiny_run.label(workspace, branches), store, [store.clips_of("train")[0]])


def aligned(source: PseudoLabels, place: tuple[int, int], window: Window, ratio: float = 0.3) -> np.ndarray:
    reading = Reading(place[0], None, {"pseudo-labels": source})
    label = Aligned(ratio, (1.0, 1.0)).label(reading, place[1], window)
    assert label is not None
    return label


def test_statistics_count_frames_without_a_label_of_their_own(source: PseudoLabels, store: ClipStore) -> None:
    counts, labeled = source.statistics()
    clip = store.clips_of("train")[0]
    own = (clip, store.clips[clip].annotated)
    expected = np.zeros_like(counts)
    for place in training_frames(store).values():
        label, levels = source.scored(*place)
        if place == own:
            assert levels is None
            continue
        assert levels is not None
        np.add.at(expected, (label, levels), 1)
    assert np.array_equal(counts, expected)
    assert counts.sum() == 7 * store.size[0] * store.size[1]
    assert labeled.tolist() == [int((store.label(*own) == k).sum()) for k in range(8)]  # type: ignore[arg-type]


def test_kept_labels_follow_the_labels(source: PseudoLabels, store: ClipStore) -> None:
    """Over all unlabeled frames each class has the wanted number of pixels, by chance a few more or less."""
    whole, (counts, labeled) = Window(0, 0, *store.size), source.statistics()
    kept, ratio = np.zeros(8), 0.3
    for place in training_frames(store).values():
        label, levels = source.scored(*place)
        if levels is not None:
            found = aligned(source, place, whole, ratio)
            assert set(np.unique(found[found != label])) <= {255}
            kept += np.bincount(found.ravel(), minlength=256)[:8]
    wanted = np.minimum(ratio * labeled / labeled.sum() * counts.sum(), counts.sum(1))
    assert (counts.sum(1) > 0).sum() > 1
    assert kept == pytest.approx(wanted, abs=1 + 5 * np.sqrt(wanted.max()))
    assert kept.sum() > 100


def test_a_sample_is_drawn_once_for_a_frame(source: PseudoLabels, store: ClipStore) -> None:
    place, window = (store.clips_of("train")[1], 2), Window(3, 5, 20, 31)
    whole = aligned(source, place, Window(0, 0, *store.size))
    assert np.array_equal(aligned(source, place, window), whole[3:23, 5:36])
    assert np.array_equal(aligned(pickle.loads(pickle.dumps(source)), place, window), whole[3:23, 5:36])
    chances = [source.chance(place[0], i) for i in range(3)]
    assert not np.array_equal(chances[0], chances[1])
    assert 0.45 < chances[0].mean() < 0.55


def test_pixels_that_a_propagated_label_does_not_reach_stay_open(
    source: PseudoLabels, store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, whole = (store.clips_of("train")[1], 2), Window(0, 0, *store.size)
    label, levels = source.scored(*place)
    before = aligned(source, place, whole)
    label[:5] = 255
    monkeypatch.setattr(source, "scored", lambda *_: (label, levels))
    found = aligned(source, place, whole)
    assert (found[:5] == 255).all()
    assert np.array_equal(found[5:], before[5:])


def test_a_label_of_the_dataset_is_kept_whole(source: PseudoLabels, store: ClipStore) -> None:
    clip = store.clips_of("train")[0]
    annotated = store.clips[clip].annotated
    assert annotated is not None
    truth = store.label(clip, annotated)
    assert np.array_equal(aligned(source, (clip, annotated), Window(0, 0, *store.size), 0.01), truth)


def test_frames_are_enlarged_evenly_by_a_factor_from_the_range() -> None:
    rng = np.random.default_rng(0)
    factors = [Aligned(0.2, (0.5, 2.0)).enlarged(rng) for _ in range(2000)]
    assert 0.5 <= min(factors) < 0.51 < 1.99 < max(factors) <= 2.0  # type: ignore[type-var]
    assert np.mean(factors) == pytest.approx(1.25, abs=0.03)  # type: ignore[arg-type]
    assert Aligned(0.2, (1.0, 1.0)).enlarged(rng) is None
