"""What every metric must do. New metrics are found by name: nothing is to be added here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import CLASSES, LENGTH, random_clip, steady
from numpy.typing import NDArray

from ifrkit.core.plugins import load, names
from ifrkit.metrics.base import NEEDS, ClipResult, Metric

METRICS = names("metrics")
pytestmark = pytest.mark.parametrize("name", METRICS)

SEEDS = st.integers(0, 10_000)


def made(name: str, *clips: ClipResult, classes: int = CLASSES) -> Metric:
    metric: Metric = load("metrics", name)(classes)
    for clip in clips:
        metric.update(clip)
    return metric


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, float):
        yield value


def test_says_what_it_is(name: str) -> None:
    metric = load("metrics", name)
    assert issubclass(metric, Metric)
    assert metric.__doc__
    assert metric.title
    assert metric.headline in metric(CLASSES).compute()
    assert metric.protocol in {"scored", "stream"}
    assert metric.needs
    assert metric.needs <= NEEDS
    alone = {"labels"} <= metric.needs <= {"labels", "confidences"}
    assert metric.protocol == "stream" or alone, "scored frames have neither flow nor neighbours"


def test_titles_and_headlines_are_its_own(name: str) -> None:
    this = load("metrics", name)
    others = [load("metrics", other) for other in METRICS if other != name]
    assert this.title not in {other.title for other in others}
    assert this.headline not in {other.headline for other in others}


def test_nothing_judged_is_none(name: str) -> None:
    bare = ClipResult("bare", random_clip(0).predictions)
    for metric in (made(name), made(name, bare)):
        result = metric.compute()
        assert result[metric.headline] is None
        assert json.loads(json.dumps(result, allow_nan=False)) == result


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_plain_numbers_from_0_to_1(name: str, seed: int) -> None:
    result = made(name, random_clip(seed)).compute()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert isinstance(result[load("metrics", name).headline], float)
    assert all(0 <= value <= 1 for value in numbers(result))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), seeds=st.lists(SEEDS, max_size=5), shards=st.integers(1, 4))
def test_neither_order_nor_shards_matter(name: str, data: st.DataObject, seeds: list[int], shards: int) -> None:
    whole = made(name, *map(random_clip, seeds))
    parts = [made(name) for _ in range(shards)]
    for seed in data.draw(st.permutations(seeds)):
        parts[data.draw(st.integers(0, shards - 1))].update(random_clip(seed))
    first, *others = data.draw(st.permutations(parts))
    for other in others:
        first.merge(other.counts)
    assert first.compute() == whole.compute()
    assert all(value.dtype == np.int64 for value in first.counts.values())


def test_merging_leaves_the_other_shard_alone(name: str) -> None:
    one, other = made(name, random_clip(1)), made(name, random_clip(2))
    before = json.dumps(other.compute())
    one.merge(other.counts)
    one.update(random_clip(3))
    assert json.dumps(other.compute()) == before


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, share=st.sampled_from([0.01, 0.1, 0.5]))
def test_what_is_predicted_where_nothing_is_known_counts_nowhere(name: str, seed: int, share: float) -> None:
    """Scribbles and points: of a label a hundredth of the pixels is known."""
    if "labels" not in load("metrics", name).needs:
        pytest.skip("it reads no label, or as VSPW's code 255 like any other")
    clip, rng = random_clip(seed, size=(12, 20)), np.random.default_rng(seed)
    labels = {i: np.where(rng.random(ids.shape) < share, ids, 255).astype(np.uint8) for i, ids in clip.labels.items()}
    thin = replace(clip, labels=labels)

    def noise(i: int, ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        other = rng.integers(0, CLASSES, ids.shape).astype(np.uint8)
        return np.where(labels[i] == 255, other, ids).astype(np.uint8)

    other = replace(thin, predictions={i: noise(i, ids) for i, ids in thin.predictions.items()})
    assert made(name, thin).compute() == made(name, other).compute()


def test_perfect_predictions_of_a_moving_scene_score_best(name: str) -> None:
    """A stripe pattern that moves by one pixel a frame, so that every class is there; mVC sees a strip that stands."""
    height, width = 6, 40
    stripes = (np.arange(width + LENGTH) // 3 % CLASSES).astype(np.uint8)
    frames = {
        i: np.vstack([stripes[None, :width], np.tile(stripes[i : i + width], (height, 1))]) for i in range(LENGTH)
    }
    flow = steady((-1, 0), (height + 1, width))
    flow.flow_2hw[:, 0] = 0
    # The leftmost pixels leave the frame: what is repeated there is right only while the stripe lasts.
    flow.consistent_hw[1:, 0] = False
    flows, sure = dict.fromkeys(range(LENGTH - 1), flow), dict.fromkeys(frames, np.ones(frames[0].shape, np.float32))
    pictures = {i: ids[..., None].repeat(3, 2) * np.uint8(60) for i, ids in frames.items()}
    metric = made(name, ClipResult("perfect", frames, frames, flows, sure, pictures))
    best = 0.0 if metric.smaller_is_better else 1.0
    assert metric.compute()[metric.headline] == pytest.approx(best, abs=0.02 if name == "tc-etc" else 1e-12)


def test_worse_predictions_score_less(name: str) -> None:
    rng, clip = np.random.default_rng(0), random_clip(5)
    still = {i: steady((0, 0), (3, 5)) for i in range(LENGTH - 1)}
    noisy = {
        i: np.where(rng.random((3, 5)) < 0.3, rng.integers(0, CLASSES, (3, 5)), clip.predictions[0]).astype(np.uint8)
        for i in range(LENGTH)
    }
    labels = dict.fromkeys(range(LENGTH), clip.predictions[0])
    sure = dict.fromkeys(range(LENGTH), np.full((3, 5), 0.99, np.float32))
    good, bad = (made(name, ClipResult("clip", ids, labels, still, sure, clip.frames)) for ids in (labels, noisy))
    worse, better = (metric.compute()[metric.headline] for metric in (bad, good))
    assert worse > better if good.smaller_is_better else worse < better


def test_what_it_does_not_ask_for_it_does_not_need(name: str) -> None:
    """`eval` fills in what the metrics need, and nothing else."""
    clip, needs = random_clip(7), load("metrics", name).needs
    bare = ClipResult(
        clip.name,
        clip.predictions,
        clip.labels if needs & {"labels", "dense-labels"} else {},
        *(getattr(clip, kind) if kind in needs else {} for kind in ("flows", "confidences", "frames")),
    )
    assert made(name, bare).compute() == made(name, clip).compute()


def test_flow_that_is_not_finite_is_survived(name: str) -> None:
    """Predictions of the other pixels are judged as they would be beside finite flow far out of the frame."""
    clip = random_clip(6)
    results = []
    for odd in ([np.nan, np.inf, -np.inf, 1e10], [-1e6, 1e6, -1e6, 1e6]):
        flows = {i: flow._replace(flow_2hw=flow.flow_2hw.copy()) for i, flow in clip.flows.items()}
        for flow in flows.values():
            flow.flow_2hw[:, 0, :4] = odd
            flow.consistent_hw[0, :4] = False
        odd_clip = ClipResult("odd", clip.predictions, clip.labels, flows, clip.confidences, clip.frames)
        results.append(made(name, odd_clip).compute())
    assert results[0] == results[1]
