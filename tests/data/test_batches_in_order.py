"""The loader: what a batch holds is a function of its key; workers, ranks and the first step change nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_stores import clip, flow, pixels, write_store

from ifrkit.config.training import CropConfig
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.data.loading.batch import ClipBatch, RawBatch
from ifrkit.data.loading.clip_loader import clip_batches
from ifrkit.data.loading.loader import to_device, view_batches
from ifrkit.data.loading.pools import Clips
from ifrkit.data.loading.shots import Shot
from ifrkit.data.loading.stream import Span
from ifrkit.data.loading.views import OTHER, RANDOM, Copy, View
from ifrkit.data.pixels.augment import distort
from ifrkit.data.store.clips import ClipStore
from ifrkit.models.normalisation import IMAGENET

VIEWS = [
    View("v0_0"),
    View("v0_1", "labeled", OTHER),
    View("v0_1_s", "labeled", Copy("v0_1")),
    View("v1_0", "unlabeled", RANDOM),
    View("v1_1", "unlabeled", RANDOM),
    View("v1_1_s", "unlabeled", Copy("v1_1")),
]
SIZE = (40, 56)
CROP = CropConfig(size=(24, 32))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    clips = [clip(i, 6, annotated=4) for i in range(5)]
    clips += [clip(5, 1, None), clip(6, 3, None), clip(7, 2, 0), clip(8, 6, split="val")]
    return write_store(tmp_path_factory.mktemp("loader"), clips, SIZE, has_flow=True)


def batches(store: ClipStore, start: int = 0, stop: int = 4, **options: Any) -> list[RawBatch]:
    span = Span(**{"batch": 4, "seed": 7, "start": start, "stop": stop} | options)
    return list(view_batches(Clips(store, [0, 1, 2, 3, 4, 7], store.clips_of("train")), VIEWS, CROP, span))


def tensors(item: RawBatch | ClipBatch) -> dict[str, torch.Tensor]:
    flat: dict[str, torch.Tensor] = {}
    for key, value in vars(item).items():
        if isinstance(value, torch.Tensor):
            flat[key] = value
        elif isinstance(value, dict):
            flat |= {f"{key}.{name}": torch.as_tensor(part) for name, part in value.items()}
    return flat


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, equal_nan=True)


def joined(parts: list[RawBatch]) -> dict[str, torch.Tensor]:
    flat = [tensors(part) for part in parts]
    return {name: torch.cat([f[name] for f in flat]) for name in flat[0]}


def test_a_batch_holds_the_views_crops_and_labels_it_names(store: ClipStore) -> None:
    seen = set()
    for raw in batches(store, stop=6):
        assert set(raw.images) == {"v0_0", "v0_1", "v1_0", "v1_1"}
        assert set(raw.distortions) == {"v0_1_s", "v1_1_s"}
        assert set(raw.labels) == {"v0_0"}
        for sample in range(4):
            label_hw = raw.labels["v0_0"][sample].numpy()
            clips = {"v0": raw.clips["labeled"][sample], "v1": raw.clips["unlabeled"][sample]}
            found = {name: find(store, clips[name[:2]], raw.images[name][sample]) for name in raw.images}
            annotated = store.clips[clips["v0"]].annotated
            assert found["v0_0"][0] == annotated
            assert found["v0_1"][0] != annotated
            assert found["v1_0"][0] != found["v1_1"][0]
            for pair in (("v0_0", "v0_1"), ("v1_0", "v1_1")):
                assert found[pair[0]][1:3] == found[pair[1]][1:3]  # one window for both
            _, y, x, mirrored = found["v0_0"]
            whole = store.label(clips["v0"], annotated or 0)[y : y + 24, x : x + 32]
            np.testing.assert_array_equal(label_hw, whole[:, ::-1] if mirrored else whole)
            seen.add((found["v0_0"][3], found["v0_1"][3]))
    assert len(seen) == 4  # flips of the two frames are independent


def find(store: ClipStore, number: int, image_3hw: torch.Tensor) -> tuple[int, int, int, bool]:
    """Where in a clip an image comes from: frame, y, x, mirrored."""
    for mirrored in (False, True):
        part = np.moveaxis((image_3hw.flip(2) if mirrored else image_3hw).numpy(), 0, 2)
        for index, name in enumerate(store.clips[number].frames):
            whole = pixels(name, SIZE)
            for y, x in np.argwhere((whole[: 40 - 23, : 56 - 31] == part[0, 0]).all(2)):
                if np.array_equal(whole[y : y + 24, x : x + 32], part):
                    return index, int(y), int(x), mirrored
    raise AssertionError(f"no frame of clip {number} holds this image")


def test_workers_and_the_first_step_change_nothing(store: ClipStore) -> None:
    whole = [tensors(raw) for raw in batches(store, 0, 6)]
    for start, workers in ((0, 2), (3, 0), (3, 2)):
        for ours, theirs in zip(whole[start:], batches(store, start, 6, workers=workers), strict=True):
            assert_same(ours, tensors(theirs))
    assert multiprocessing.active_children() == []


def test_ranks_and_accumulation_share_the_samples_of_a_step(store: ClipStore) -> None:
    whole = [tensors(raw) for raw in batches(store, 2, 5)]
    for world, accumulate in ((2, 1), (1, 2), (2, 2), (4, 1)):
        parts = [batches(store, 2, 5, rank=r, world=world, accumulate=accumulate) for r in range(world)]
        for step in range(3):
            micros = range(step * accumulate, (step + 1) * accumulate)
            assert_same(whole[step], joined([parts[rank][m] for m in micros for rank in range(world)]))


def test_another_seed_gives_other_batches(store: ClipStore) -> None:
    ours, theirs = (batches(store, stop=1, seed=seed)[0].images["v0_0"] for seed in (7, 8))
    assert not torch.equal(ours, theirs)


def test_reading_ahead_leaves_the_global_generators_alone(store: ClipStore) -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    batches(store, workers=1)
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)


def test_the_device_gets_distorted_and_normalised_views(store: ClipStore) -> None:
    raw = batches(store, stop=1)[0]
    batch = to_device(raw, VIEWS, "cpu", IMAGENET)
    assert list(batch.views) == [view.name for view in VIEWS]
    assert torch.equal(batch.views["v1_0"], IMAGENET(raw.images["v1_0"]))
    strong = distort(raw.images["v1_1"].contiguous(), raw.distortions["v1_1_s"])
    assert torch.equal(batch.views["v1_1_s"], IMAGENET(strong))
    assert batch.labels["v0_0"].dtype == torch.int64


def runs(store: ClipStore, mode: Any, clips: list[int] | None = None, **options: Any) -> list[ClipBatch]:
    shot = Shot(mode, options.pop("crop", (24, 32)), options.pop("distance", 4))
    span = Span(**{"batch": 4, "seed": 0, "start": 0, "stop": 6} | options)
    return list(clip_batches(store, clips or store.clips_of("train"), shot, span))


@pytest.mark.parametrize("mode", ["fixed", "uniform", "pairs", "truth"])
def test_clip_batches_do_not_depend_on_workers_or_start(store: ClipStore, mode: str) -> None:
    whole = [tensors(item) for item in runs(store, mode)]
    for start, workers in ((0, 2), (4, 0)):
        for ours, theirs in zip(whole[start:], runs(store, mode, start=start, workers=workers), strict=True):
            assert_same(ours, tensors(theirs))


def test_runs_end_at_the_annotated_frame_and_repeat_the_first(store: ClipStore) -> None:
    for item in runs(store, "fixed", [7]):
        assert item.frames_bt3hw.shape == (4, 5, 3, 24, 32)
        for sample in item.frames_bt3hw:
            assert [find(store, 7, frame)[0] for frame in sample] == [0] * 5
    for item in runs(store, "fixed", [0, 1], crop=SIZE, stop=2):
        clips = [
            n for n in (0, 1) for s in item.frames_bt3hw if np.array_equal(s[4], store.frame(n, 4).transpose(2, 0, 1))
        ]
        assert len(clips) == 4
        for sample, label_hw in zip(item.frames_bt3hw, item.label_bhw, strict=True):
            number = next(n for n in (0, 1) if np.array_equal(store.label(n, 4), label_hw))
            for index in range(5):
                np.testing.assert_array_equal(sample[index], store.frame(number, index).transpose(2, 0, 1))


def test_uniform_runs_have_one_distance_a_step_on_every_rank(store: ClipStore) -> None:
    lengths = [item.frames_bt3hw.shape[1] for item in runs(store, "uniform", stop=40)]
    assert set(lengths) == {1, 2, 3, 4, 5}
    other = [item.frames_bt3hw.shape[1] for item in runs(store, "uniform", stop=40, rank=1, world=2)]
    assert other == lengths


def test_truth_pairs_come_with_the_flow_of_the_second_frame(store: ClipStore) -> None:
    orders = set()
    for item in runs(store, "truth", [0, 1], crop=SIZE):
        assert item.flow_bt2hw is not None
        assert item.valid_bthw is not None
        assert item.valid_bthw.dtype == torch.bool
        for sample in range(4):
            first, second = (locate(store, [0, 1], frame) for frame in item.frames_bt3hw[sample])
            assert first[0] == second[0]
            assert abs(first[1] - second[1]) == 1
            true = flow(store.clips[second[0]].frames[second[1]], SIZE, "backward" if first < second else "forward")
            np.testing.assert_array_equal(item.flow_bt2hw[sample, 0], true.flow_2hw)
            np.testing.assert_array_equal(item.valid_bthw[sample, 0], true.visible_hw)
            orders.add(first < second)
    assert orders == {True, False}


def locate(store: ClipStore, clips: list[int], image_3hw: torch.Tensor) -> tuple[int, int]:
    """Clip and position of a whole frame."""
    for number in clips:
        for index in range(len(store.clips[number].frames)):
            if np.array_equal(store.frame(number, index).transpose(2, 0, 1), image_3hw):
                return number, index
    raise AssertionError("no such frame")


def test_pairs_have_no_label_and_are_never_one_frame(store: ClipStore) -> None:
    for item in runs(store, "pairs", [5, 6], distance=2):
        assert (item.label_bhw == 255).all()
        assert item.flow_bt2hw is None
        assert not any(torch.equal(a, b) for a, b in item.frames_bt3hw)


def test_what_the_clips_cannot_serve_is_a_config_error(store: ClipStore, tmp_path: Path) -> None:
    train = store.clips_of("train")

    def views(labeled: list[int], unlabeled: list[int], size: tuple[int, int] = (24, 32)) -> None:
        view_batches(Clips(store, labeled, unlabeled), VIEWS, CropConfig(size=size), Span(2, 0, 0, 1))

    views([0], [0], SIZE)
    with pytest.raises(ConfigError, match=r"crop.size 41x56 is larger"):
        views([0], train, (41, 56))
    with pytest.raises(ConfigError, match="clip5 lacks frames"):
        views([0], [5])
    with pytest.raises(ConfigError, match="clip6 lacks frames"):
        views([0, 6], train)
    with pytest.raises(ConfigError, match="no clips"):
        views([], train)
    with pytest.raises(ConfigError, match="is larger"):
        runs(store, "fixed", crop=(40, 57))
    with pytest.raises(ConfigError, match="'fixed'"):
        runs(store, "fixed", [6])
    with pytest.raises(ConfigError, match="'pairs'"):
        runs(store, "pairs", [5])
    with pytest.raises(ConfigError, match="exact flow"):
        runs(write_store(tmp_path, [clip(0)], SIZE), "truth")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_file_stops_the_loader_in_one_line(tmp_path: Path, workers: int) -> None:
    broken = write_store(tmp_path, [clip(i) for i in range(4)], SIZE)
    path = tmp_path / "frames-00001.h5"
    path.write_bytes(path.read_bytes()[:3000])
    iterator = view_batches(Clips(broken, [0, 1], [0, 1, 2, 3]), VIEWS, CROP, Span(2, 0, 0, 50, workers=workers))
    with pytest.raises(ArtifactError, match=r"frames-00001\.h5") as caught:
        list(iterator)
    assert "\n" not in str(caught.value)


def test_ctrl_c_reaches_the_training_process_only(store: ClipStore) -> None:
    """SIGINT to the whole group, as a terminal sends it: the workers go on, and print nothing."""
    program = f"""
        import signal, sys, time
        from pathlib import Path
        from ifrkit.config.training import CropConfig
        from ifrkit.data.loading.views import OTHER, RANDOM, Copy, View
        from ifrkit.data.loading.loader import view_batches
        from ifrkit.data.loading.pools import Clips
        from ifrkit.data.loading.stream import Span
        from ifrkit.data.store.clips import ClipStore
        stopped = []
        signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
        store = ClipStore(Path({str(store.path)!r}))
        span = Span(2, 0, 0, 99, workers=2)
        items = view_batches(Clips(store, [0, 1], [0, 1]), [View("v0_0")], CropConfig(size=(24, 32)), span)
        next(items)
        print("ready", flush=True)
        while not stopped:
            time.sleep(0.01)
        print(len(list(items)), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out, err) == (0, "98\n", "")
