"""predict as a stage: what it says of frames is what eval says, whatever the video is."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import own_videos
import pytest
import torch
from PIL import Image

import ifrkit.media.images
import ifrkit.predict.outputs
import ifrkit.predict.resume
import ifrkit.stages._predict
from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError, DatasetError, InterruptedRun, ResourceError
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import PerFrame, Video
from ifrkit.media.mp4 import retime
from ifrkit.media.probe import Facts
from ifrkit.predict.overlap import DEPTH
from ifrkit.predict.sources import Item, Source
from ifrkit.trained import load_branch, load_video_model

CPU = torch.device("cpu")


class Told(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.lines: list[str] = []
        self.texts: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def info(self, message: str) -> None:
        self.lines.append(message)

    def status(self, text: str) -> None:
        self.texts.append(text)


def _index(artifact: Artifact) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(artifact.file("predictions.json").read_text())
    return tree


def _same(found: dict[str, Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for ids, right in zip(found.values(), wanted, strict=True):
        np.testing.assert_array_equal(ids, right)


def _clip_folder(tmp_path: Path, store: ClipStore, clip: int) -> Path:
    frames = [store.frame(clip, i) for i in range(len(store.clips[clip].frames))]
    return own_videos.write_folder(tmp_path / "clip", frames)


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_a_stream_is_what_eval_scores(tmp_path: Path, clips: Artifact, model: Artifact, interval: int) -> None:
    store = ClipStore(clips.path)
    folder = _clip_folder(tmp_path, store, 2)
    done = own_videos.run(tmp_path, model, folder, key_interval=interval)
    system = Video("accel", load_video_model(model, "best"), CPU)
    wanted = [seen.ids_hw for seen in system.stream(store, 2, interval)]
    _same(own_videos.labels(done, "clip"), wanted)
    for index, ids in enumerate(wanted):  # one step a frame equals the whole clip at once
        clip_ids = system.scored(store, 2, index, index - index % interval, store.size).ids_hw
        assert (clip_ids != ids).mean() < 0.01
    assert len(np.unique(wanted)) > 1
    (video,) = _index(done)["videos"]
    assert video["key_frames"] == list(range(0, len(wanted), interval))


def test_the_default_interval_is_that_of_the_training(tmp_path: Path, model: Artifact) -> None:
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(7))
    assert _index(own_videos.run(tmp_path, model, video))["videos"][0]["key_frames"] == [0, 3, 6]


@pytest.mark.parametrize("branch", [None, "update"])
def test_a_branch_alone(tmp_path: Path, clips: Artifact, branches: Artifact, branch: str | None) -> None:
    store = ClipStore(clips.path)
    done = own_videos.run(tmp_path, branches, _clip_folder(tmp_path, store, 2), branch=branch)
    alone = PerFrame("", load_branch(branches, branch or "reference", "best"), CPU)
    _same(own_videos.labels(done, "clip"), [alone.predict(store, 2, i, store.size).ids_hw for i in range(5)])


@pytest.mark.parametrize("size", [(45, 61), (7, 90), (1, 1)])
@pytest.mark.parametrize("seen", ["train", "own", (24, 40)])
def test_frames_of_any_size(tmp_path: Path, model: Artifact, size: tuple[int, int], seen: Any) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(3)]
    done = own_videos.run(tmp_path, model, own_videos.write_folder(tmp_path / "v", frames), key_interval=2, size=seen)
    (video,) = _index(done)["videos"]
    assert video["size"] == list(size)
    if seen == "train":
        assert np.prod(video["seen_at"]) == pytest.approx(32 * 48, rel=0.1)
    else:
        assert video["seen_at"] == list(size if seen == "own" else seen)
    found = own_videos.labels(done, "v")
    assert list(found) == ["f1", "f2", "f3"]
    assert {ids.shape for ids in found.values()} == {size}
    (shape,) = {frame.shape[:2] for frame in own_videos.read_video(done.path / "v/overlay.mp4")}
    assert shape == (size[0] + size[0] % 2, size[1] + size[1] % 2)


def test_overlay_and_palette_have_the_colours_of_the_classes(tmp_path: Path, clips: Artifact, model: Artifact) -> None:
    frames = own_videos.street(3)
    folder = own_videos.write_folder(tmp_path / "v", frames)
    labels = ClipStore(clips.path).labels
    done = own_videos.run(tmp_path, model, folder, overlay=1.0)
    assert _index(done)["classes"] == list(labels.names)
    colors = np.array(labels.colors, np.uint8)
    for picture, (name, ids) in zip(
        own_videos.read_video(done.path / "v/overlay.mp4"), own_videos.labels(done, "v").items(), strict=True
    ):
        with Image.open(done.path / f"v/labels/{name}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colors[ids])
        assert np.abs(picture.astype(int) - colors[ids]).mean() < 12  # the codec is lossy
    faint = own_videos.run(tmp_path, model, folder, overlay=0.05)
    (first, *_) = own_videos.read_video(faint.path / "v/overlay.mp4")
    assert np.abs(first.astype(int) - frames[0]).mean() < 15
    none = own_videos.run(tmp_path, model, folder, overlay=0)
    assert not list(none.path.glob("v/*.mp4"))
    assert len(own_videos.labels(none, "v")) == 3


def test_broken_frames_are_named_and_skipped(tmp_path: Path, model: Artifact) -> None:
    frames = own_videos.street(8)
    video = own_videos.write_video(tmp_path / "a.avi", frames)
    own_videos.break_avi(video, 4)
    folder = own_videos.write_folder(tmp_path / "b", frames)
    (folder / "f3.png").write_bytes((folder / "f3.png").read_bytes()[:200])
    Image.new("RGB", (50, 32)).save(folder / "f6.png")
    told = Told()
    done = own_videos.run(tmp_path, model, video, folder, key_interval=100, display=told)
    a, b = _index(done)["videos"]
    assert [item["frame"] for item in a["broken"]] == ["000004"]
    assert [item["frame"] for item in b["broken"]] == ["f3", "f6"]
    assert "32x50 pixels, most have 32x48" in b["broken"][1]["fault"]
    assert (a["frames"], b["frames"]) == (7, 6)
    assert (a["key_frames"], b["key_frames"]) == ([0, 5], [0, 3, 6])  # nothing is carried over a gap
    assert len(told.warnings) == 3
    cut, other = told.warnings[:2]
    assert cut == "1 files left out, cannot be read: b/f3.png (it is cut off)"
    assert other.startswith("1 files left out, not of the size that most frames of their video have: b/f6.png (32x50 ")
    assert "a: frame 000004 is broken" in told.warnings[2]
    assert any("a: 7 frames" in line and "1 broken" in line for line in told.lines)
    assert told.texts[-1].endswith("frames/s")
    assert set(own_videos.labels(done, "a")) == {f"{i:06}" for i in range(8) if i != 4}
    assert set(own_videos.labels(done, "b")) == {"f1", "f2", "f4", "f5", "f7", "f8"}
    shown = own_videos.read_video(done.path / "a/overlay.mp4")
    assert len(shown) == 8  # time stays right: the picture before stands still
    assert np.abs(shown[4].astype(int) - shown[3]).mean() < 2
    assert done.manifest.metrics["broken"] == 3


def test_a_video_that_is_cut_off(tmp_path: Path, model: Artifact) -> None:
    video = own_videos.write_video(tmp_path / "a.avi", own_videos.street(12))
    own_videos.cut_avi(video, 6)
    told = Told()
    done = own_videos.run(tmp_path, model, video, display=told)
    (record,) = _index(done)["videos"]
    assert 5 <= record["frames"] <= 6
    (warning,) = told.warnings
    assert "of 12 frames cannot be decoded; is the file cut off?" in warning


def test_videos_without_a_single_frame_are_refused(tmp_path: Path, model: Artifact) -> None:
    no_video = tmp_path / "a.mp4"
    no_video.write_bytes(b"not a video")
    with pytest.raises(DatasetError, match="cannot open this video"):
        own_videos.run(tmp_path, model, no_video)
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "f.png").write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match="none of its images can be read"):
        own_videos.run(tmp_path, model, folder)


@pytest.mark.parametrize("slow", ["networks", "encoder"])
def test_memory_does_not_grow_with_the_video(
    tmp_path: Path, branches: Artifact, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """At most so many frames are alive, whichever end has to be waited for."""
    video = own_videos.write_video(tmp_path / "a.avi", own_videos.street(2))
    alive, peak, lock = 0, 0, threading.Lock()

    def gone() -> None:
        nonlocal alive
        with lock:
            alive -= 1

    def many(source: Source, fact: Facts) -> Iterator[Item]:
        nonlocal alive, peak
        for number in range(60):
            frame = np.full((*fact.size, 3), number, np.uint8)
            with lock:
                alive += 1
                peak = max(peak, alive)
            weakref.finalize(frame, gone)
            yield Item(number, f"{number:06}", frame)
            del frame

    save = ifrkit.media.images.save_label

    def slowly(*args: Any) -> None:
        time.sleep(0.01 if slow == "encoder" else 0)
        save(*args)

    monkeypatch.setattr(ifrkit.stages._predict, "save_label", slowly)
    monkeypatch.setattr(ifrkit.stages._predict, "read", many)
    done = own_videos.run(tmp_path, branches, video, branch="update")
    assert _index(done)["videos"][0]["frames"] == 60
    # Both queues full, one item in the hands of each of the four threads, and one between the reader and its queue.
    assert peak <= 2 * DEPTH + 5
    if slow == "encoder":
        assert peak > 3


def test_an_encoder_that_fails_ends_the_run(
    tmp_path: Path, branches: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ifrkit.stages._predict, "save_label", full)
    video = own_videos.write_video(tmp_path / "a.avi", own_videos.street(9))
    with pytest.raises(ResourceError, match="No space left on device"):
        own_videos.run(tmp_path, branches, video)


def _after(calls: int) -> Any:
    """A stop that comes at this frame."""
    left = iter([0] * calls + [2] * 9)
    return lambda: next(left)


@pytest.mark.parametrize("policy", ["fixed", "adaptive"])
def test_a_resumed_run_makes_the_same(tmp_path: Path, model: Artifact, policy: str) -> None:
    first = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(4))
    frames = own_videos.street(6) + own_videos.street(6, seed=8)
    second = own_videos.write_video(tmp_path / "b.avi", frames)
    own_videos.break_avi(second, 2)
    changes = {"key_policy": policy, "key_interval": 4}
    whole = own_videos.run(tmp_path / "whole", model, first, second, **changes)
    with pytest.raises(InterruptedRun) as caught:
        own_videos.run(tmp_path / "ws", model, first, second, stop=_after(13), **changes)
    assert caught.value.exit_code == 130
    place = Path(str(caught.value).rpartition(" ")[2])
    assert place.name == "b"
    assert len(own_videos.read_video(place / "overlay.mp4")) == 9  # playable
    with pytest.raises(ConfigError, match="stopped at step 12 of 16"):
        own_videos.run(tmp_path / "ws", model, first, second, **changes)
    with pytest.raises(InterruptedRun):  # again, before it is as far as the first time
        own_videos.run(tmp_path / "ws", model, first, second, resume=True, stop=_after(3), **changes)
    done = own_videos.run(tmp_path / "ws", model, first, second, resume=True, **changes)
    assert _index(done) == _index(whole)
    assert done.manifest.files == whole.manifest.files


def _interrupted(workspace: Path, model: Artifact, *videos: Path, stop: int) -> Path:
    """The partial directory of a run that was stopped at its frame number `stop`."""
    with pytest.raises(InterruptedRun):
        own_videos.run(workspace, model, *videos, stop=_after(stop), key_interval=2)
    (partial,) = (workspace / "predictions").glob(".partial-*")
    return partial


def _flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "name",
    [
        "scratch/progress.json",
        "scratch/a.done.json",
        "scratch/a.done.jsonl",
        "a/overlay.mp4",
        "a/labels/000001.png",
        "b/labels/000002.png",
    ],
)
@pytest.mark.parametrize("place", [0.0, 0.4, 1.0, -1])
def test_what_is_damaged_of_an_interrupted_run_is_predicted_again(
    tmp_path: Path, model: Artifact, name: str, place: float
) -> None:
    """place: of the flipped bit in the file; -1: the file is cut to nothing."""
    first = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(4))
    second = own_videos.write_video(tmp_path / "b.mp4", own_videos.street(12, seed=8))
    whole = own_videos.run(tmp_path / "whole", model, first, second, key_interval=2)
    partial = _interrupted(tmp_path / "ws", model, first, second, stop=15)
    if place < 0:
        (partial / name).write_bytes(b"")
    else:
        _flip(partial / name, place)
    (partial / "b/labels/.000003.png.partial").write_bytes(b"half")  # a killed run left it
    done = own_videos.run(tmp_path / "ws", model, first, second, resume=True, key_interval=2)
    assert done.manifest.files == whole.manifest.files


def test_a_damaged_confidence_of_an_interrupted_run_is_made_again(tmp_path: Path, model: Artifact) -> None:
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(12))
    changes = {"key_interval": 2, "write": "confidence"}
    whole = own_videos.run(tmp_path / "whole", model, video, **changes)
    with pytest.raises(InterruptedRun):
        own_videos.run(tmp_path / "ws", model, video, stop=_after(11), **changes)
    (kept,) = (tmp_path / "ws").glob("predictions/.partial-*/a/confidence/000001.png")
    _flip(kept, 0.5)
    done = own_videos.run(tmp_path / "ws", model, video, resume=True, **changes)
    assert done.manifest.files == whole.manifest.files
    assert {"a/confidence/000001.png", "a/confidence.csv"} <= {entry.path for entry in whole.entries()}


def test_a_killed_run_goes_on_from_what_it_saved_on_its_way(
    tmp_path: Path, model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ifrkit.predict.resume, "SECONDS", 0.0)
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(12))
    whole = own_videos.run(tmp_path / "whole", model, video, key_interval=2)

    def kill() -> int:
        if next(calls) == 11:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    calls = iter(range(99))
    child = multiprocessing.get_context("fork").Process(
        target=lambda: own_videos.run(tmp_path / "ws", model, video, stop=kill, key_interval=2)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    (state,) = (tmp_path / "ws").glob("predictions/.partial-*/scratch/progress.json")
    assert json.loads(state.read_bytes())["current"]["key_frames"] == [0, 2, 4]  # 4 labels may not be written
    done = own_videos.run(tmp_path / "ws", model, video, resume=True, key_interval=2)
    assert done.manifest.files == whole.manifest.files


def test_confidence_is_the_probability_of_the_class(tmp_path: Path, clips: Artifact, branches: Artifact) -> None:
    store = ClipStore(clips.path)
    done = own_videos.run(tmp_path, branches, _clip_folder(tmp_path, store, 2), branch="update", write="confidence")
    network = load_branch(branches, "update", "best")
    assert network.temperature != 1, "it is fitted at the end of training"
    names = sorted(path.name for path in (done.path / "clip/labels").iterdir())
    assert sorted(path.name for path in (done.path / "clip/confidence").iterdir()) == names
    first, *listed = (done.path / "clip/confidence.csv").read_text().splitlines()
    assert (first, [row.split(",")[0] for row in listed]) == ("frame,confidence", [name[:-4] for name in names])
    for index, name in enumerate(names):
        frame = torch.from_numpy(store.frame(2, index).transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            logits = network(network.normalise(frame))
            full = torch.nn.functional.interpolate(logits, store.size, mode="bilinear", align_corners=False)
        wanted = 255 * (full / network.temperature).softmax(1).amax(1)[0].numpy()
        with Image.open(done.path / "clip/confidence" / name) as image:
            assert image.mode == "L"
            assert np.abs(np.asarray(image) - wanted).max() <= 0.51
        assert float(listed[index].split(",")[1]) == pytest.approx(wanted.mean() / 255, abs=1e-3)


def test_times_of_a_video_of_varying_rate_are_kept(tmp_path: Path, branches: Artifact) -> None:
    """As phones and screens record them; a broken frame shows the picture before it."""
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(6), fps=25.0)
    assert retime(video, [90 * ms for ms in (40, 40, 160, 700, 40, 40)])
    done = own_videos.run(tmp_path, branches, video, branch="update")
    capture, times = cv2.VideoCapture(str(done.path / "a/overlay.mp4")), []
    while capture.grab():
        times.append(round(capture.get(cv2.CAP_PROP_POS_MSEC)))
    assert times == [0, 40, 80, 240, 940, 980]


def test_a_stream_ends_when_it_is_told_to(tmp_path: Path, branches: Artifact) -> None:
    """An interrupt makes an artifact of it, and so does a number of frames; two streams are never the same."""
    path = own_videos.write_video(tmp_path / "yard.mp4", own_videos.street(9))
    address: Any = f"file://{path}"
    done = own_videos.run(tmp_path, branches, address, branch="update", stop=_after(4))
    (video,) = _index(done)["videos"]
    assert (video["name"], video["source"], video["frames"]) == ("yard", address, 4)
    assert len(own_videos.read_video(done.path / "yard/overlay.mp4")) == 4
    few = own_videos.run(tmp_path, branches, address, path, branch="update", frames=3)
    assert [(video["name"], video["frames"]) for video in _index(few)["videos"]] == [("yard", 3), ("yard-2", 3)]


def test_series_of_one_folder_begin_with_a_key_frame(tmp_path: Path, model: Artifact) -> None:
    """Two series are two videos; a jump of the number inside a series begins a stretch."""
    frames = own_videos.street(4)
    folder = tmp_path / "both"
    folder.mkdir()
    for name, frame in zip(("a_0", "a_1", "b_0", "b_1"), frames, strict=True):
        Image.fromarray(frame).save(folder / f"{name}.png")
    (tmp_path / "jump").mkdir()
    for name, frame in zip(("0", "1", "2", "90"), frames, strict=True):
        Image.fromarray(frame).save(tmp_path / "jump" / f"{name}.png")
    done = own_videos.run(tmp_path, model, folder, tmp_path / "jump", key_interval=100)
    found = [(video["name"], video["frames"], video["key_frames"]) for video in _index(done)["videos"]]
    assert found == [("a", 2, [0]), ("b", 2, [0]), ("jump", 4, [0, 3])]


def test_options_that_do_not_fit_the_model(tmp_path: Path, model: Artifact, branches: Artifact) -> None:
    video = own_videos.write_video(tmp_path / "a.avi", own_videos.street(2))
    with pytest.raises(ConfigError, match="--branch update"):
        own_videos.run(tmp_path, model, video, branch="update")
    for changes in ({"key_interval": 3}, {"key_policy": "adaptive"}):
        with pytest.raises(ConfigError, match="no key frames"):
            own_videos.run(tmp_path, branches, video, **changes)


def test_what_is_in_the_videos_names_the_artifact(tmp_path: Path, branches: Artifact) -> None:
    video = own_videos.write_video(tmp_path / "a.avi", own_videos.street(2))
    there = tmp_path / "there"
    there.mkdir()
    first = own_videos.run(tmp_path, branches, video)
    assert own_videos.run(tmp_path, branches, video.rename(there / "a.avi")).id == first.id
    changed = own_videos.run(tmp_path, branches, own_videos.write_video(there / "a.avi", own_videos.street(3)))
    assert changed.id != first.id
