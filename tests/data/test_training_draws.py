"""The draws of a training sample: frames, crops and flips, as the released code of IFR draws them."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_places import fits, frames_of, places
from hypothesis import given
from hypothesis import strategies as st
from small_stores import clip

from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import Key
from ifrkit.core.records import ClipRecord
from ifrkit.data.loading import sampler
from ifrkit.data.loading.views import OTHER, RANDOM, Copy, View
from ifrkit.methods.tdc import InOrder

LABELED = [View("v0_0"), View("v0_1", "labeled", OTHER), View("v0_1_s", "labeled", Copy("v0_1"))]
UNLABELED = [View("v1_0", "unlabeled", RANDOM), View("v1_1", "unlabeled", RANDOM)]


@given(st.integers(2, 30), st.data(), st.integers(0, 10**6))
def test_the_labeled_pair_is_the_annotated_frame_and_another_one(length: int, data: st.DataObject, step: int) -> None:
    record = clip(0, length, data.draw(st.integers(0, length - 1)))
    frames = frames_of(LABELED, record, Key(0, step, 0))
    assert set(frames) == {"v0_0", "v0_1"}
    assert frames["v0_0"] == record.annotated
    assert frames["v0_1"] in set(range(length)) - {record.annotated}


@given(st.integers(2, 30), st.integers(0, 10**6))
def test_the_unlabeled_pair_is_two_different_frames(length: int, step: int) -> None:
    frames = frames_of(UNLABELED, clip(0, length, None), Key(0, step, 1))
    assert frames["v1_0"] != frames["v1_1"]
    assert set(frames.values()) <= set(range(length))


def test_all_other_frames_are_equally_likely() -> None:
    record, draws = clip(0, 5, 2), 4000
    others = [frames_of(LABELED, record, Key(0, step, 0))["v0_1"] for step in range(draws)]
    np.testing.assert_allclose(np.bincount(others, minlength=5) / draws, [0.25, 0.25, 0, 0.25, 0.25], atol=0.03)
    pairs = [frames_of(UNLABELED, record, Key(0, step, 0)) for step in range(draws)]
    both = np.zeros((5, 5))
    np.add.at(both, ([p["v1_0"] for p in pairs], [p["v1_1"] for p in pairs]), 1 / draws)
    np.testing.assert_allclose(both, (1 - np.eye(5)) / 20, atol=0.02)


@pytest.mark.parametrize(
    ("views", "length", "annotated", "serves"),
    [
        (LABELED, 2, 0, True),
        (LABELED, 1, 0, False),
        (LABELED, 9, None, False),
        (UNLABELED, 2, None, True),
        (UNLABELED, 1, None, False),
        ([View("v0_0")], 1, 0, True),
    ],
)
def test_which_clips_serve_which_views(views: list[View], length: int, annotated: int | None, serves: bool) -> None:
    assert fits(views, clip(0, length, annotated)) is serves


def test_an_epoch_shows_every_labeled_clip_once_and_epochs_differ() -> None:
    pool = list(range(10, 17))
    drawn = [sampler.labeled_clip(pool, Key(5, n // 3, n % 3), 3) for n in range(21)]
    epochs = [drawn[i : i + 7] for i in (0, 7, 14)]
    assert all(sorted(epoch) == pool for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_unlabeled_clips_are_uniform() -> None:
    drawn = [sampler.unlabeled_clip([3, 4, 8], Key(0, step, 1)) - 3 for step in range(3000)]
    np.testing.assert_allclose(np.bincount(drawn)[[0, 1, 5]] / 3000, 1 / 3, atol=0.03)


@given(st.integers(1, 20), st.integers(1, 20), st.data(), st.integers(0, 10**6))
def test_crops_lie_inside_the_frame(height: int, width: int, data: st.DataObject, step: int) -> None:
    crop = CropConfig(size=(data.draw(st.integers(1, height)), data.draw(st.integers(1, width))))
    for window in (
        sampler.crop_window((height, width), crop, Key(0, step, 0), "unlabeled"),
        sampler.clip_window((height, width), crop.size, Key(0, step, 0)),
    ):
        assert window[2:] == crop.size
        assert 0 <= window.y <= height - window.height
        assert 0 <= window.x <= width - window.width


def test_only_the_crop_of_stage_two_leaves_out_the_last_offset() -> None:
    keys = [Key(0, step, 0) for step in range(300)]
    one = {sampler.crop_window((10, 7), CropConfig(size=(6, 7)), key, "unlabeled")[:2] for key in keys}
    two = {sampler.clip_window((10, 7), (6, 7), key)[:2] for key in keys}
    assert one == {(y, 0) for y in range(5)}
    assert two == {(y, 0) for y in range(4)}


def test_a_labeled_crop_shows_two_classes_and_none_too_large() -> None:
    label = np.zeros((8, 64), np.uint8)
    label[:, 30:34] = 1
    label[:, 34:] = 255  # ignored pixels have no class, and count in no share
    crop = CropConfig(size=(8, 8), tries=200)
    seen = set()
    for step in range(200):
        _, x, _, _ = sampler.crop_window((8, 64), crop, Key(0, step, 0), "labeled", label)
        counts = np.bincount(label[:, x : x + 8].ravel(), minlength=256)[:2]
        assert counts.min() > 0
        assert counts.max() < 0.75 * counts.sum()
        seen.add(x)
    assert 24 not in seen  # 6 columns of 8 are exactly the share that is too large
    assert seen == {x for x in range(57) if ok(label[:, x : x + 8])}


def ok(part: np.ndarray) -> bool:
    ids, counts = np.unique(part[part != 255], return_counts=True)
    return len(ids) > 1 and counts.max() / counts.sum() < 0.75


@pytest.mark.parametrize("value", [0, 255])
def test_hopeless_labels_still_give_a_crop(value: int) -> None:
    label = np.full((9, 9), value, np.uint8)
    windows = {
        sampler.crop_window((9, 9), CropConfig(size=(4, 4)), Key(0, s, 0), "labeled", label)[:2] for s in range(400)
    }
    assert len(windows) == 36  # as uniform as without the rule


def test_flips_are_drawn_for_each_view_or_for_the_pool() -> None:
    keys = [Key(0, step, 0) for step in range(600)]
    record = clip(0, 4)

    def flips(key: Key, **crop: object) -> list[bool]:
        return [place.mirrored for place in places(LABELED, record, key, **crop).values()]

    each = np.array([flips(key) for key in keys])
    assert (each[:, 1] == each[:, 2]).all()  # a copy is mirrored like its source
    each = each[:, :2]
    np.testing.assert_allclose(each.mean(0), 0.5, atol=0.07)
    assert abs(np.corrcoef(each.T)[0, 1]) < 0.15
    assert all(len(set(flips(key, shared_flip=True))) == 1 for key in keys)
    assert not any(any(flips(key, flip=0)) for key in keys)
    assert all(all(flips(key, flip=1)) for key in keys)


@given(st.integers(2, 12), st.integers(1, 15), st.integers(0, 10**6))
def test_pairs_are_at_most_so_far_apart(count: int, most: int, step: int) -> None:
    first, second = sampler.pair(count, most, Key(0, step, 0))
    assert 1 <= abs(first - second) <= most
    assert {first, second} <= set(range(count))


def test_views_of_one_sample_do_not_depend_on_other_views() -> None:
    key, record = Key(0, 3, 1), clip(0, 9)
    alone = frames_of([LABELED[1]], record, key)["v0_1"]
    assert frames_of([View("extra", "labeled", OTHER), *LABELED], record, key)["v0_1"] == alone


def test_sorted_frames_are_distinct_in_order_and_leave_the_random_ones_alone() -> None:
    record = ClipRecord(name="c", video="v", split="train", frames=tuple(f"v/{i}" for i in range(6)))
    random = [View("a", "unlabeled", RANDOM), View("b", "unlabeled", RANDOM)]
    runs = [View(f"t{i}", "unlabeled", InOrder(i, 5, "t0" if i else None)) for i in range(5)]
    assert fits([*random, *runs], record)
    assert not fits([View(f"t{i}", "unlabeled", InOrder(i, 7)) for i in range(7)], record)
    for sample in range(50):
        key = Key(0, 3, sample)
        both = frames_of([*random, *runs], record, key)
        assert len({place.mirrored for place in places(runs, record, key).values()}) == 1
        times = [both[view.name] for view in runs]
        assert times == sorted(set(times))
        assert {name: both[name] for name in ("a", "b")} == frames_of(random, record, key)
