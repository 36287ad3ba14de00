"""`ifrkit label-next`: a round of the loop on an untrained model, read back by `prepare folders`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import own_videos
import pytest
import tiny_run
from click.testing import CliRunner, Result
from PIL import Image

from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact
from ifrkit.cli.label_next import command
from ifrkit.config.prepare import PrepareConfig
from ifrkit.core.errors import ConfigError
from ifrkit.data.store.clips import ClipStore
from ifrkit.init.next_frames import NextFrames, meant, write_round
from ifrkit.init.project import Project
from ifrkit.labels.base import open_labels
from ifrkit.media.classes import named_table
from ifrkit.media.images import image_size, read_rgb
from ifrkit.media.pictures import colored
from ifrkit.stages import prepare
from ifrkit.stages.runner import Run, execute


def invoke(*args: str) -> Result:
    return CliRunner().invoke(command, [*args, "--device", "cpu", "-q", "--json"], catch_exceptions=False)


@pytest.fixture(scope="module")
def branches(workspace: Path) -> Artifact:
    clips = tiny_run.make_clips(workspace, train_videos=4, val_videos=1, clip_length=3)
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    config = tiny_run.branches_config(branches="update,reference", ssl="none", labeled={"count": 1}, loop=loop)
    return tiny_run.train(workspace, config, clips)


def test_rounds_from_the_clips_alone(tmp_path: Path, workspace: Path, branches: Artifact) -> None:
    given = ["--from", str(branches.path), "--workspace", str(workspace)]
    project = tmp_path / "project"
    dry = json.loads(invoke(str(project), *given, "--count", "2", "--dry-run").stdout)
    assert not project.exists()
    first = json.loads(invoke(str(project), *given, "--count", "2", "--write", "cvat,label-studio").stdout)
    names = [row["name"] for row in first["to_label"]]
    clips = branches.ancestor("clips")
    assert clips is not None
    store = ClipStore.of(clips)
    assert len(set(names)) == 2
    assert first == dry
    assert set(first["to_label"][0]["parts"]) == {"uncertain", "disagree", "unsteady", "stands_for", "apart"}
    assert json.loads((project / "label_next.json").read_text()) == first["to_label"]
    files = [f"{name.replace('/', '_')}.png" for name in names]
    chooser = NextFrames(branches, "cpu")
    for name, file in zip(names, files, strict=True):
        assert np.array_equal(read_rgb(project / "to_label" / file), chooser.stored(name))
        drawn = read_rgb(project / "unsure" / file).astype(int)
        assert drawn.shape == (32, 48, 3)
        said = chooser.stored(name) * 0.5 + colored(chooser.look(name).ids_hw, store.labels) * 0.5
        assert np.array_equal(read_rgb(project / "predicted" / file), said.astype(np.uint8))
        redder = (drawn - chooser.stored(name)).mean((0, 1))
        assert redder[0] > redder[2]
        for kind in ("cvat", "label-studio"):
            found = open_labels(project / "pre_labels" / kind, kind).reader
            key = next(entry.key for entry in found.entries() if entry.names[-1] == file[:-4])
            ids_hw = found.read(key, (32, 48), named_table("", store.labels.names))
            assert np.array_equal(ids_hw, chooser.look(name).ids_hw)
    second = json.loads(invoke(str(project), *given, "--count", "5").stdout)
    assert (project / "to_label.txt").read_text().split() == [*names, *(row["name"] for row in second["to_label"])]
    assert len(second["to_label"]) == 1  # four clips, one labeled, two proposed before
    assert not (project / "pre_labels").exists()
    (third,) = json.loads(invoke(str(project), *given, "--count", "1").stdout)["to_label"]
    assert third["name"].endswith("/000000")  # every clip has a known frame, its last one: the farthest is the first


def test_frames_whose_video_the_clips_call_otherwise() -> None:
    """As on a list of labels, the last part of a name will do where it fits one frame."""
    training = {"a/a_01": 0, "a/a_02": 0, "b/f1": 0, "c/f1": 0}
    assert meant(["a/a_01", "x/a_02"], training, {}) == {"a/a_01", "x/a_02", "a/a_02"}
    assert meant(["x/f1"], training, {}) == {"x/f1"}, "two frames end so"
    assert meant(["v/a_02"], training, {"v/a_02"}) == {"v/a_02"}, "a held-out frame is none of training"


def test_a_project_gives_frames_of_their_own_size(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for number in range(3):
        own_videos.write_folder(project / f"frames/walk{number}", own_videos.street(4, (48, 72), number))
    frames = sorted((project / "frames").rglob("f4.png"))
    (project / "labels/walk0").mkdir(parents=True)
    label = np.zeros((48, 72), np.uint8)
    label[20:] = 1
    Image.fromarray(label).save(project / "labels/walk0/f4.png")
    options = {"dataset": "folders", "root": str(project), "size": (32, 48), "options": {"val_fraction": 0}}
    clips = execute(prepare.STAGE, PrepareConfig.of(options), Run(workspace=tmp_path / "ws", inputs=[]))
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    branches = tiny_run.train(tmp_path / "ws", tiny_run.branches_config(ssl="none", loop=loop), clips)
    done = json.loads(
        invoke(str(project), "--from", str(branches.path), "--workspace", str(tmp_path / "ws"), "--write", "png").stdout
    )
    names = {row["name"] for row in done["to_label"]}
    assert names == {"walk1/f4", "walk2/f4"}
    for name in names:
        file = f"{name.replace('/', '_')}.png"
        frame = read_rgb(project / "to_label" / file)
        own = next(path for path in frames if path.parent.name == name.partition("/")[0])
        assert np.array_equal(frame, read_rgb(own))
        assert image_size(project / "pre_labels/png" / file) == (48, 72)
        assert image_size(project / "unsure" / file) == (48, 72)


def test_a_dataset_that_calls_the_videos_otherwise(tmp_path: Path, branches: Artifact) -> None:
    """Frames come out of the videos, at their own size, where the last part of a name fits one."""
    chooser = NextFrames(branches, "cpu")
    (choice,) = chooser.choose(1, [], Silent())
    project = Project(tmp_path / "project")
    own_videos.write_folder(project.frames / "walk", own_videos.street(3, (48, 72)))
    for path in project.frames.rglob("*.png"):
        path.rename(path.with_stem(f"{int(path.stem[1:]):06}"))
    write_round(project, chooser, [choice], (), Silent())
    assert image_size(next(project.to_label.iterdir())) == (48, 72)
    (project.frames / "walk" / f"{Path(choice.name).name}.png").unlink()
    with pytest.raises(ConfigError, match="has no frame"):
        write_round(project, chooser, [choice], (), Silent())


def test_a_file_is_no_project(tmp_path: Path, branches: Artifact) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file: a file, not a project"):
        invoke(str(tmp_path / "file"), "--from", str(branches.path))


def test_formats_are_checked_before_anything_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="read only"):
        invoke(str(tmp_path), "--write", "yolo")
