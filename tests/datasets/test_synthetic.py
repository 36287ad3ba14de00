"""The synthetic videos: pure functions of their key, exact labels, exact flow, weather that drifts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from data_prep.synthetic import Dataset
from data_prep.synthetic.dataset import _video
from ifrkit.core.errors import DatasetError
from ifrkit.core.invalid import Invalid
from ifrkit.core.records import TrueFlow

SIZE = (96, 192)
VIDEOS = range(4)
START = 4


def dataset(seed: int = 0, **options: float) -> Dataset:
    return Dataset(Path(), Dataset.Config.of(options), seed)


def video(number: int = 0, **options: float):  # type: ignore[no-untyped-def]
    return _video(0, "train", number, 10, SIZE, options.get("noise", 3.0))


def targets(flow: TrueFlow) -> NDArray[np.float64]:
    """(2, h, w): x and y where each pixel is found."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float64)
    return np.stack([x, y]) + flow.flow_2hw


def warped(image_chw: NDArray[np.float32], at_2hw: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.stack([map_coordinates(c, at_2hw[::-1], order=1, mode="nearest") for c in image_chw])


def nearest(map_hw: NDArray[np.uint8], at_2hw: NDArray[np.float64]) -> NDArray[np.uint8]:
    x, y = np.rint(at_2hw).astype(int)
    return map_hw[y.clip(0, SIZE[0] - 1), x.clip(0, SIZE[1] - 1)]


def inside_one_plane(number: int, t: int, other: int, flow: TrueFlow) -> NDArray[np.bool_]:
    """Visible pixels whose four bilinear neighbours all show the same plane, so that interpolation mixes nothing."""
    here, there = video(number).view(t)[1].plane_hw, video(number).view(other)[1].plane_hw
    x, y = np.floor(targets(flow)).astype(int)
    corners = [there[(y + j).clip(0, SIZE[0] - 1), (x + i).clip(0, SIZE[1] - 1)] for j in (0, 1) for i in (0, 1)]
    return flow.visible_hw & np.all([c == here for c in corners], axis=0)


def warp_errors(number: int, other: int, shift: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.bool_], TrueFlow]:
    """Grey levels by pixel: frame START against the other frame warped to it, under equal weather, without noise."""
    clip = video(number)
    flow = clip.flow(START, other)
    back = warped(clip.clean(other, weather_of=START), targets(flow) + shift)
    error = np.abs(back - clip.clean(START)).max(0) * 255
    return error, inside_one_plane(number, START, other, flow), flow


@pytest.mark.parametrize("step", [1, -1])
def test_the_warped_frame_reproduces_its_neighbour(step: int, tmp_path: Path) -> None:
    for number in VIDEOS:
        error, inner, flow = warp_errors(number, START + step)
        visible = flow.visible_hw
        unwarped = video(number).clean(START + step, weather_of=START) - video(number).clean(START)
        motion = np.abs(unwarped).max(0)[visible].mean() * 255
        print(
            f"video {number} step {step:+d}: visible {visible.mean():.3f}, grey levels unwarped {motion:.2f}, "
            f"warped {error[visible].mean():.2f}, inside planes {error[inner].mean():.2f}"
        )
        assert error[inner].mean() < 2.5
        assert np.percentile(error[inner], 95) < 12
        assert error[visible].mean() < 0.35 * motion
        assert error[~visible].mean() > 3 * error[visible].mean(), "what is masked is what cannot be reproduced"
        assert 0.6 < visible.mean() < 0.995
        assert inner.sum() > 0.8 * visible.sum()
        figure(number, START + step, tmp_path / f"warp_{number}_{step:+d}.png")


def figure(number: int, other: int, path: Path) -> None:
    """Frame, other frame, other frame warped back, four times their difference, what is masked: to be looked at."""
    clip, (error, _, flow) = video(number), warp_errors(number, other)
    target, source = clip.clean(START), clip.clean(other, weather_of=START)
    panels = [target, source, warped(source, targets(flow)), np.broadcast_to(error / 255 * 4, target.shape)]
    panels.append(np.broadcast_to(flow.visible_hw, target.shape))
    strip = (np.concatenate(panels, axis=2).clip(0, 1) * 255).astype(np.uint8)
    Image.fromarray(strip.transpose(1, 2, 0)).resize((2 * strip.shape[2], 2 * strip.shape[1])).save(path)


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_the_flow_is_exact_below_a_pixel(shift: float) -> None:
    for number in VIDEOS:
        exact, inner, _ = warp_errors(number, START + 1)
        off, _, _ = warp_errors(number, START + 1, shift)
        assert exact[inner].mean() < 0.6 * off[inner].mean()


def test_recorded_frames_differ_from_their_warped_neighbours_by_noise_and_drift_only() -> None:
    noise = 3.0
    for number in VIDEOS:
        clip, (_, inner, flow) = video(number, noise=noise), warp_errors(number, START - 1)
        target, source = (clip.frame(t).transpose(2, 0, 1).astype(np.float32) for t in (START, START - 1))
        difference = (warped(source, targets(flow)) - target)[:, inner]
        assert abs(np.median(difference)) < 6, "drift from one frame to the next is small"
        # Robust deviation: two noisy frames, one of them smoothed by interpolation, and some texture.
        spread = 1.4826 * np.median(np.abs(difference - np.median(difference)))
        assert 0.7 * noise < spread < 1.8 * noise


@pytest.mark.parametrize("step", [1, -1])
def test_warped_labels_equal_the_neighbours_labels(step: int) -> None:
    for number in VIDEOS:
        clip = video(number)
        flow = clip.flow(START, START + step)
        agree = nearest(clip.label(START + step), targets(flow)) == clip.label(START)
        assert agree[flow.visible_hw].mean() > 0.9999
        assert agree[~flow.visible_hw].mean() < 0.95


def test_there_and_back_again() -> None:
    for number in VIDEOS:
        clip = video(number)
        there, back = clip.flow(START, START + 1), clip.flow(START + 1, START)
        at = targets(there)
        inner = inside_one_plane(number, START, START + 1, there)
        loop = there.flow_2hw + warped(back.flow_2hw, at)
        assert np.percentile(np.hypot(*loop)[inner], 99) < 0.1


def test_nothing_flows_when_neither_camera_nor_thing_moves() -> None:
    clip = type(video())(0, "train", 1, length=10, size=SIZE, noise=0.0)
    clip.camera = replace(clip.camera, speed=0.0, turn=0.0, sway=((0.0, 0.0, 0.0),) * 5)
    flow = clip.flow(0, 1)
    can_move = np.array([any(plane.velocity) for plane in clip.planes.items])
    moving, moving_next = (can_move[clip.view(t)[1].plane_hw] for t in (0, 1))
    assert moving.any()
    assert not moving.all()
    assert np.abs(flow.flow_2hw[:, ~moving]).max() < 1e-4
    assert np.hypot(*flow.flow_2hw)[moving].max() > 0.05
    assert np.array_equal(flow.visible_hw[~moving], ~moving_next[~moving]), "only moving things hide what stands"


def test_the_same_key_gives_the_same_bytes_in_any_order() -> None:
    names = [f"val_0001/{t:06d}" for t in (0, 3, 9)]
    first = dataset()
    once = {n: (first.frame(n), first.label(n), first.flow(n, backward=True)) for n in names}
    _video.cache_clear()
    again = dataset()
    for name in reversed(names):
        flow = again.flow(name, backward=True)
        assert np.array_equal(again.label(name), once[name][1])
        assert np.array_equal(again.frame(name), once[name][0])
        if flow is not None:
            assert np.array_equal(flow.flow_2hw, once[name][2].flow_2hw)
            assert np.array_equal(flow.visible_hw, once[name][2].visible_hw)
    others = [dataset(seed=1).frame(names[1]), first.frame("val_0002/000003"), first.frame("train_0001/000003")]
    assert all((o != once[names[1]][0]).mean() > 0.5 for o in others)


def test_all_classes_occur() -> None:
    data = dataset(train_videos=12)
    names = [clip.frames[-1] for clip in data.clips() if clip.split == "train"]
    shares = np.stack([np.bincount(data.label(n).reshape(-1), minlength=8) for n in names]) / np.prod(SIZE)
    assert ((shares > 0).mean(0) > 0.7).all(), dict(zip(data.label_space().names, (shares > 0).mean(0), strict=True))
    assert (shares.mean(0) > 0.001).all()
    assert shares.mean(0).max() < 0.6


def test_colour_alone_does_not_tell_the_classes() -> None:
    """The nearest mean colour of a class, learned on some videos, says little about others."""
    data = dataset(train_videos=16)
    names = [clip.frames[-1] for clip in data.clips() if clip.split == "train"]
    colours = np.stack([data.frame(n) for n in names]).reshape(2, -1, 3).astype(np.float32)
    labels = np.stack([data.label(n) for n in names]).reshape(2, -1)
    means = np.stack([colours[0][labels[0] == k].mean(0) for k in range(8)])
    guess = ((colours[1][:, None] - means) ** 2).sum(2).argmin(1)
    overlap = [((guess == k) & (labels[1] == k)).sum() / ((guess == k) | (labels[1] == k)).sum() for k in range(8)]
    assert np.mean(overlap) < 0.3


def test_weather_differs_between_videos_and_drifts_inside_one() -> None:
    light = []
    for number in range(8):
        clip = video(number)
        first, last = clip.clean(0), clip.clean(0, weather_of=9)
        light.append((first.mean(), np.abs(last - first).mean() * 255))
    levels, drifts = np.array(light).T
    assert np.std(levels) > 0.04
    assert np.median(drifts) > 3, "grey levels over ten frames"
    assert drifts.max() < 80


def test_sensor_noise_has_the_asked_strength() -> None:
    quiet, loud = video(2, noise=0.0), video(2, noise=4.0)
    grain = (loud.frame(0).astype(np.float64) - quiet.frame(0)).reshape(-1)
    assert 2 < grain.std() < 5.5
    assert abs(grain.mean()) < 0.1
    assert (loud.frame(0) != loud.frame(1)).mean() > 0.3


def test_clips_follow_the_options() -> None:
    data = dataset(train_videos=2, val_videos=1, test_videos=1, clips_per_video=2, clip_length=3, annotated=0)
    clips = data.clips()
    assert [c.split for c in clips] == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    assert clips[1].frames == ("train_0000/000003", "train_0000/000004", "train_0000/000005")
    assert (clips[1].annotated, clips[1].labeled, clips[1].hidden) == (0, (0,), (1, 2))
    assert data.flow("train_0000/000000", backward=True) is None
    assert data.flow("train_0000/000003", backward=True) is not None, "clips of one video follow each other"
    assert data.flow("train_0000/000005", backward=False) is None
    assert len(data.summary()) == 4


def test_other_sizes() -> None:
    data = dataset(height=40, width=56)
    assert data.frame("train_0000/000001").shape == (40, 56, 3)
    assert data.label("train_0000/000001").shape == (40, 56)
    flow = data.flow("train_0000/000001", backward=True)
    assert flow is not None
    assert flow.flow_2hw.shape == (2, 40, 56)


@pytest.mark.parametrize(
    "name", ["nonsense", "train_0000/000010", "train_9999/000000", "later_0000/000000", "/", "train_0000/-1"]
)
def test_unknown_frames_are_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="no frame named"):
        dataset().frame(name)


@pytest.mark.parametrize(
    "options", [{"annotated": 10}, {"annotated": -11}, {"clip_length": 0}, {"noise": -1}, {"colour": 1}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        dataset(**options)


def test_it_needs_neither_torch_nor_opencv() -> None:
    code = (
        "import sys; from pathlib import Path; from data_prep.synthetic import Dataset; "
        "Dataset(Path(), Dataset.Config()).frame('train_0000/000000'); "
        "assert not {'torch', 'cv2', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
