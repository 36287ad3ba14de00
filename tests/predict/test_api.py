"""`ifrkit.load(model).predict(...)`: what the command writes, without the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import own_videos
import pytest
from PIL import Image

import ifrkit
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ConfigError, IfrkitError
from ifrkit.data.store.clips import ClipStore
from ifrkit.predict.outputs import load_label


def frames_of(clips: Artifact) -> list[np.ndarray]:
    store = ClipStore(clips.path)
    clip = store.clips_of("val")[0]
    return [store.frame(clip, index) for index in range(len(store.clips[clip].frames))]


@pytest.fixture
def folder(clips: Artifact, tmp_path: Path) -> Path:
    place = tmp_path / "street"
    place.mkdir()
    for number, frame in enumerate(frames_of(clips)):
        Image.fromarray(frame).save(place / f"{number:03}.png")
    return place


@pytest.mark.parametrize("kind", ["branches", "video-model"])
def test_a_video_is_predicted_as_by_the_command(
    workspace: Path, model: Artifact, clips: Artifact, folder: Path, kind: str
) -> None:
    loaded = ifrkit.load(kind, workspace=workspace)
    assert loaded.classes == tuple(ClipStore(clips.path).labels.names)
    found = list(loaded.predict(folder))
    command = [
        sys.executable,
        "-m",
        "ifrkit",
        "predict",
        str(folder),
        "--from",
        kind,
        "--workspace",
        str(workspace),
        "-q",
    ]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    written = sorted((Path(path) / "street" / "labels").glob("*.png"))
    assert len(written) == len(found) > 1
    for (frame, ids), file, truth in zip(found, written, frames_of(clips), strict=True):
        np.testing.assert_array_equal(frame, truth)
        np.testing.assert_array_equal(ids, load_label(file))
    again = [ids for _, ids in loaded.predict(iter(frames_of(clips)))]
    assert all(np.array_equal(a, b) for a, (_, b) in zip(again, found, strict=True))


def test_a_video_file_of_the_newest_model(
    workspace: Path, model: Artifact, clips: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the workspace of the environment, as on the command line; by its path as a stage prints it."""
    video = tmp_path / "street.mp4"
    own_videos.write_video(video, frames_of(clips))
    monkeypatch.setenv("IFRKIT_WORKSPACE", str(workspace))
    found = [list(ifrkit.load(name).predict(video)) for name in ("video-model", f"{model.path}\n", model.path.name)]
    assert [len(frames) for frames in found] == [len(frames_of(clips))] * 3
    for (frame, ids), *others in zip(*found, strict=True):
        assert frame.shape[:2] == ids.shape
        assert all(np.array_equal(ids, other) for _, other in others)
    decoded = [frame for frame, _ in found[0]]
    again = ifrkit.load("video-model").predict(decoded)
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(again, found[0], strict=True))


def test_an_image_is_a_key_frame_whatever_came_before(workspace: Path, model: Artifact, folder: Path) -> None:
    loaded = ifrkit.load(model.path, workspace=workspace)
    first, *_, last = sorted(folder.iterdir())
    alone = loaded.predict(last)
    loaded.predict(first)
    np.testing.assert_array_equal(loaded.predict(np.asarray(Image.open(last))), alone)
    assert alone.dtype == np.uint8
    assert alone.shape == np.asarray(Image.open(last)).shape[:2]


def test_what_it_refuses(workspace: Path, model: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no artifact"):
        ifrkit.load(tmp_path / "nothing", workspace=workspace)
    with pytest.raises(ConfigError, match="uses both"):
        ifrkit.load(model.path, workspace=workspace, branch="update")
    loaded = ifrkit.load(model.path, workspace=workspace)
    with pytest.raises(ConfigError, match="uint8"):
        loaded.predict(np.zeros((4, 5, 3), np.float32))
    with pytest.raises(ConfigError, match=r"uint8, not \(0, 5, 3\)"):
        loaded.predict(np.zeros((0, 5, 3), np.uint8))
    with pytest.raises(ConfigError, match="cannot predict int"):
        loaded.predict(3)
    for odd in (["a.png", "b.png"], b"a.png", {"a": 1}):
        with pytest.raises(ConfigError, match="an image is an array of numpy, not "):
            list(loaded.predict(odd))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key_intervall": 5}, "key_intervall: unknown key; did you mean 'key_interval'"),
        ({"scale": -1}, "scale: has to be a number, above 0 and at most 1, got -1"),
        ({"size": [0, 0]}, "size"),
        ({"device": "tpu"}, "no device 'tpu'; use cpu, cuda"),
        ({"device": "cuda:99"}, "torch sees no device cuda:99"),
    ],
)
def test_options_that_do_not_fit(workspace: Path, model: Artifact, options: dict, message: str) -> None:
    """As the command says it, in one line."""
    with pytest.raises(IfrkitError, match=message) as error:
        ifrkit.load(model.path, workspace=workspace, **options)
    assert "\n" not in str(error.value)


def test_nothing_heavy_is_imported_before_load() -> None:
    code = "import sys, ifrkit; assert 'torch' not in sys.modules; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
