"""Views of neighbouring frames with their flow, and true labels that only the log may see."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_places import fits, frames_of
from small_stores import clip, label, pixels, write_store

from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import Key
from ifrkit.data.loading.batch import RawBatch
from ifrkit.data.loading.loader import to_device, view_batches
from ifrkit.data.loading.pools import Clips
from ifrkit.data.loading.stream import Span
from ifrkit.data.loading.views import RANDOM, View
from ifrkit.data.pixels.flow import consistent_flow
from ifrkit.data.store.clips import ClipStore
from ifrkit.methods.tps import Neighbour
from ifrkit.models.normalisation import IMAGENET

SIZE = (40, 56)
PAIR = [View("now", "unlabeled", RANDOM), View("then", "unlabeled", Neighbour("now"))]
VIEWS = [View("v0_0"), *PAIR]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return write_store(tmp_path_factory.mktemp("pairs"), [clip(0, 4, 3), clip(1, 3, None), clip(2, 1, 0)], SIZE)


@pytest.fixture(scope="module")
def raws(store: ClipStore) -> list[RawBatch]:
    clips, span = Clips(store, [0], [0, 1, 2]), Span(batch=4, seed=1, start=0, stop=6)
    return list(view_batches(clips, VIEWS, CropConfig(size=(24, 32)), span, judged=["now"]))


def test_the_neighbour_is_the_frame_before_or_for_the_first_the_one_after() -> None:
    record, seen = clip(0, 4), set()
    for sample in range(60):
        found = frames_of(PAIR, record, Key(0, 0, sample))
        seen.add((found["now"], found["then"]))
    assert seen == {(0, 1), (1, 0), (2, 1), (3, 2)}


def test_a_clip_of_one_frame_has_no_neighbours() -> None:
    assert not fits(PAIR, clip(0, 1))
    assert fits(PAIR, clip(0, 2))


def test_both_frames_have_one_window_and_one_flip_and_the_flow_between_them(
    store: ClipStore, raws: list[RawBatch]
) -> None:
    flips = set()
    for raw in raws:
        assert set(raw.extras) == {"then"}
        for sample, (now, then) in enumerate(zip(raw.places["now"], raw.places["then"], strict=True)):
            assert now[1:] == then[1:]
            flips.add(now.mirrored)
            images = [raw.images[name][sample].permute(1, 2, 0).numpy() for name in ("now", "then")]
            flow, sure = consistent_flow(*images)
            np.testing.assert_array_equal(raw.extras["then"][sample, :2].numpy(), flow)
            np.testing.assert_array_equal(raw.extras["then"][sample, 2].numpy(), sure)
    assert flips == {False, True}


def test_truth_is_the_hidden_label_of_the_same_pixels_and_255_without_one(
    store: ClipStore, raws: list[RawBatch]
) -> None:
    hidden = 0
    for raw in raws:
        assert set(raw.truth) == {"now"}
        for sample, place in enumerate(raw.places["now"]):
            number, window = raw.clips["unlabeled"][sample], np.s_[place.y : place.y + 24, place.x : place.x + 32]
            image = raw.images["now"][sample].permute(1, 2, 0).numpy()
            image = image[:, ::-1] if place.mirrored else image
            names = [n for n in store.clips[number].frames if np.array_equal(pixels(n, SIZE)[window], image)]
            expected = label(names[0], SIZE)[window] if number == 0 else np.full((24, 32), 255)
            expected = expected[:, ::-1] if place.mirrored else expected
            np.testing.assert_array_equal(raw.truth["now"][sample].numpy(), expected)
            hidden += number == 0 and names[0] != store.clips[0].frames[3]
    assert hidden > 3


def test_a_method_never_sees_the_truth(raws: list[RawBatch]) -> None:
    batch = to_device(raws[0], VIEWS, "cpu", IMAGENET)
    assert set(batch.labels) == {"v0_0"}
    assert not any("truth" in name for name in vars(batch))
