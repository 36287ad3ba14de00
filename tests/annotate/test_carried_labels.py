"""A label carried along flow: exact where flow is, unknown where it is not, and surer where it is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_stores

from data_prep.synthetic.video import Video
from ifrkit.annotate.carry import KEEP, Carried, Carrier
from ifrkit.annotate.chains import Link, chains
from ifrkit.annotate.fuse import fused
from ifrkit.annotate.propagation import Limits, Propagation
from ifrkit.core.records import IGNORE, ClipRecord, Frame, PairFlow
from ifrkit.data.pixels.flow import consistent_flow

SIZE = (24, 40)


def still(size: tuple[int, int] = SIZE, x: float = 0.0, y: float = 0.0) -> PairFlow:
    """The same motion everywhere."""
    flow_2hw = np.empty((2, *size), np.float32)
    flow_2hw[0], flow_2hw[1] = x, y
    return PairFlow(flow_2hw, np.ones(size, np.bool_))


def scene(seed: int = 0, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, Frame]:
    """Blocks of classes, and a picture in which they look different."""
    ids = np.random.default_rng(seed).integers(0, 4, (size[0] // 8, size[1] // 8), np.uint8).repeat(8, 0).repeat(8, 1)
    return ids, np.stack([60 * ids, 255 - 60 * ids, 30 * ids], 2)


def test_nothing_moves() -> None:
    ids, frame = scene()
    ids[0, 0] = IGNORE
    carrier = Carrier(ids, frame)
    for steps in range(1, 4):
        carried = carrier.step(frame, still())
        assert np.array_equal(carried.ids_hw, ids)
        assert carried.explained == 1
        np.testing.assert_allclose(carried.confidence_hw[ids != IGNORE], KEEP**steps, rtol=1e-5)
    assert carried.confidence_hw[0, 0] == 0


def test_what_comes_into_view_is_unknown_and_fractions_add_up() -> None:
    """Half a pixel a frame, eight times: four pixels, without a blurred or a shifted border."""
    ids, frame = scene()
    carrier = Carrier(ids, frame)
    for steps in range(1, 9):
        moved = np.roll(frame, steps // 2, 1)
        carried = carrier.step(moved, still(x=-0.5))
    assert np.array_equal(carried.ids_hw[:, 5:], ids[:, 1:-4])
    assert (carried.ids_hw[:, :3] == IGNORE).all()
    assert carried.explained == pytest.approx(36 / 40, abs=0.03)


def test_a_change_of_light_is_not_a_change_of_the_scene_but_another_picture_is() -> None:
    ids, frame = scene()
    brighter = (frame * 0.8 + 30).astype(np.uint8)
    assert Carrier(ids, frame).step(brighter, still()).explained > 0.95
    other = np.random.default_rng(1).integers(0, 256, frame.shape, np.uint8)
    assert Carrier(ids, frame).step(other, still()).explained < 0.2


def test_flow_that_does_not_come_back_ends_the_way_for_good() -> None:
    ids, frame = scene()
    broken = still()
    broken.consistent_hw[5:9, 10:20] = False
    broken.flow_2hw[:, 6, 12] = np.nan
    carrier = Carrier(ids, frame)
    carrier.step(frame, broken)
    carried = carrier.step(frame, still())
    assert (carried.ids_hw[5:9, 10:20] == IGNORE).all()
    assert (carried.ids_hw == IGNORE).sum() == 40


@pytest.mark.parametrize("source", ["truth", "dis"])
def test_on_the_street_it_beats_the_copy_and_knows_where_it_is_right(source: str) -> None:
    video = Video(3, "train", 1, length=8, size=(96, 192), noise=3.0)
    carrier = Carrier(video.label(0), video.frame(0))
    for t in range(1, 6):
        if source == "truth":
            flow = PairFlow(*video.flow(t, t - 1))
        else:
            flow = consistent_flow(video.frame(t), video.frame(t - 1))
        carried = carrier.step(video.frame(t), flow)
    truth, known = video.label(5), carried.ids_hw != IGNORE
    right = carried.ids_hw == truth
    copied = video.label(0) == truth
    assert known.mean() > 0.5
    assert right[known].mean() > copied[known].mean()
    sure = carried.confidence_hw > np.median(carried.confidence_hw[known])
    assert right[known & sure].mean() > right[known & ~sure].mean()
    assert right[known].mean() > (0.98 if source == "truth" else 0.9)


def voice(ids: int, confidence: float) -> Carried:
    return Carried(np.full((1, 1), ids, np.uint8), np.full((1, 1), confidence, np.float32), 1.0)


def test_voices_are_joined_by_bayes_rule() -> None:
    """Three classes: 0.6 for class 1 is 0.6 + 0.4/3 against 0.4/3 for each other one."""
    ids, confidence = fused([voice(1, 0.6)], None, 3)
    assert (ids, confidence) == (1, pytest.approx(0.6 + 0.4 / 3, abs=1e-4))
    a, b = np.array([0.4 / 3, 0.6 + 0.4 / 3, 0.4 / 3]), np.array([0.3, 0.1, 0.6])
    ids, confidence = fused([voice(1, 0.6)], b.reshape(3, 1, 1).astype(np.float32), 3)
    both = a * b / (a * b).sum()
    assert (ids, confidence) == (both.argmax(), pytest.approx(both.max(), abs=1e-4))
    ids, _ = fused([voice(1, 0.6), voice(2, 0.9)], None, 3)
    assert ids == 2
    ids, confidence = fused([voice(IGNORE, 0.0)], None, 3)
    assert (ids, confidence) == (IGNORE, 0)
    ids, confidence = fused([voice(IGNORE, 0.0)], b.reshape(3, 1, 1).astype(np.float32), 3)
    assert (ids, confidence) == (2, pytest.approx(0.6, abs=1e-4))


def record(name: str, frames: range, labeled: tuple[int, ...] = ()) -> ClipRecord:
    names = tuple(f"a/a_{n:03}" for n in frames)
    return ClipRecord(name=name, video="a", split="train", frames=names, labeled=labeled)


def test_chains_join_clips_that_share_frames_or_follow_each_other(tmp_path: Path) -> None:
    clips = [
        record("late", range(8, 12)),
        record("one", range(4)),
        record("two", range(2, 6)),
        record("far", range(6, 8)),
    ]
    store = small_stores.write_store(tmp_path, [*clips, record("gap", range(20, 23)), record("alone", range(40, 41))])
    found = [[int(link.name[-3:]) for link in chain] for chain in chains(store)]
    assert sorted(found) == [[*range(12)], [20, 21, 22], [40]]
    for chain in chains(store):
        assert all(store.clips[link.clip].frames[link.place] == link.name for link in chain)


def test_it_stops_where_the_picture_is_another_one(tmp_path: Path) -> None:
    """Frames of this store are noise: nothing is explained, and nothing goes anywhere, unless one insists."""
    store = small_stores.write_store(tmp_path / "store", [record("one", range(7), (3,))])
    (chain,) = chains(store)
    size = store.size
    labels = {chain[3].name: (0, 3)}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    propagation = Propagation(store, lambda here, there: still(size), None, scratch)
    steps = {place: frame.origins for place, frame in enumerate(propagation.run(chain, labels, Limits(60, 0.5)))}
    assert [place for place, origins in steps.items() if origins] == [3]
    frames = list(propagation.run(chain, labels, Limits(2, 0.0)))
    assert [[origin.steps for origin in frame.origins] for frame in frames] == [[], [2], [1], [0], [1], [2], []]
    assert {origin.frame for frame in frames for origin in frame.origins} == {chain[3].name}
    assert (frames[0].ids_hw == IGNORE).all()
    assert np.array_equal(frames[1].ids_hw, store.label(0, 3))
    assert frames[3].own
    assert list(scratch.iterdir()) == []


def test_between_two_labels_both_sides_speak(tmp_path: Path) -> None:
    store = small_stores.write_store(tmp_path / "store", [record("one", range(4), (0, 3))])
    (chain,) = chains(store)
    calls: list[Link] = []

    def network(link: Link) -> np.ndarray:
        calls.append(link)
        return np.full((4, *store.size), 0.25, np.float32)

    propagation = Propagation(store, lambda here, there: still(store.size), network, tmp_path)
    labels = {chain[0].name: (0, 0), chain[3].name: (0, 3)}
    frames = list(propagation.run(chain, labels, Limits(9, 0.0)))
    assert [[o.steps for o in frame.origins] for frame in frames] == [[0], [1, 2], [2, 1], [0]]
    assert calls == [chain[1], chain[2]]
    first, last = store.label(0, 0), store.label(0, 3)
    same = (first == last) & (first != IGNORE)
    assert np.array_equal(frames[1].ids_hw[same], first[same])
