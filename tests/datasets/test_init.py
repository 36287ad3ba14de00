"""`ifrkit init`: which frames it proposes, and a project that `prepare folders` reads when the labels are back."""

from __future__ import annotations

import errno
import json
import re
import subprocess
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import label_exports as exports
import numpy as np
import pytest
import tiny_run
from chains import Chain, complaint
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_prep._toys import picture, save, save_video
from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact
from ifrkit.data.store.clips import ClipStore
from ifrkit.init.features import BranchFeatures
from ifrkit.init.footage import Footage
from ifrkit.init.project import Chooser, Project
from ifrkit.init.selection import k_center
from ifrkit.media.images import image_size

Cli = Callable[[str], subprocess.CompletedProcess[str]]

CLASSES = {"sky": (70, 130, 180), "road": (128, 64, 128), "tree": (107, 142, 35)}
VIDEOS = ("harbour", "tours/night", "walk")


def _videos(root: Path, count: int = 40) -> Path:
    """A video file, one in a directory, and a directory of frames; label k is (picture of the name)[1]."""
    frames = {video: [picture(video, n, 3, 0)[0] for n in range(count)] for video in VIDEOS}
    save_video(root / "harbour.avi", frames["harbour"])
    save_video(root / "tours" / "night.avi", frames["tours/night"])
    for n, frame in enumerate(frames["walk"]):
        save(root / "walk" / f"{n:04}.jpg", frame)
    return root


def _label(name: str) -> np.ndarray:
    """The true label of a frame by its name."""
    video, _, stem = name.rpartition("/")
    return picture(video, int(stem[-4:]), 3, 0)[1]


def test_from_videos_to_clips(tmp_path: Path) -> None:
    """Every command is run as it is told; only the labeling is ours."""
    chain = Chain(tmp_path)
    _videos(tmp_path / "videos")
    done = chain.ok("ifrkit init my-project --frames videos --count 8 --clip-length 10 --classes sky,road,tree")
    project = tmp_path / "my-project"
    assert done.stdout == f"{project}\n"
    names = (project / "to_label.txt").read_text().split()
    assert len(set(names)) == 8
    assert {name.rpartition("/")[0] for name in names} == set(VIDEOS)
    images = sorted((project / "to_label").iterdir())
    assert [p.stem for p in images] == sorted(
        name.replace("walk/", "walk_").replace("tours/night/", "tours_").replace("harbour/", "") for name in names
    )
    drawn = {path.stem: _label(next(n for n in names if _stem(n) == path.stem)) for path in images}
    assert all(image_size(path) == (48, 64) for path in images)
    exports.packed(project / "labels" / "task_7_annotations.zip", exports.cvat(drawn, classes=CLASSES))
    (then,) = re.findall(r"then: (ifrkit .*)", done.stderr)
    assert "8 labels have a frame (cvat: task_7_annotations.zip)" in chain.ok(f"{then} --dry-run").stdout
    store = ClipStore(Path(chain.ok(then).stdout.strip()))
    assert store.labels.names == ("sky", "road", "tree")
    found = {c.frames[c.annotated]: store.label(i, c.annotated) for i, c in enumerate(store.clips) if c.labeled}
    assert found.keys() == set(names)
    for name, label in found.items():
        assert np.array_equal(label, _label(name)), name
    assert {len(c.frames) for c in store.clips if c.labeled} == {10}
    assert all(c.annotated == 9 for c in store.clips if c.labeled)


def _stem(name: str) -> str:
    *directory, stem = name.split("/")
    return stem if directory == ["harbour"] else "_".join([directory[0], stem])


def test_the_same_whatever_the_order_of_the_questions(tmp_path: Path, cli: Cli) -> None:
    """Two runs agree, and asking for three and then for seven is asking for seven."""
    _videos(tmp_path / "videos")
    line = "ifrkit init {} --frames videos --clip-length 10 -q --count {}"
    for project, counts in {"a": (7,), "b": (7,), "c": (3, 5, 7)}.items():
        for count in counts:
            assert cli(line.format(project, count)).returncode == 0
    lists = [(tmp_path / project / "to_label.txt").read_text() for project in "abc"]
    assert lists[0] == lists[1] == lists[2]
    files = [{p.name: p.read_bytes() for p in (tmp_path / project / "to_label").iterdir()} for project in "abc"]
    assert files[0] == files[1] == files[2]
    assert len(files[0]) == 7


def test_no_clip_is_proposed_twice(tmp_path: Path, cli: Cli) -> None:
    _videos(tmp_path / "videos", 47)
    done = cli("ifrkit init p --frames videos --clip-length 10 --count 99")
    assert "warning: 12 of 99 frames found: each clip of 10 frames gives one; a shorter" in done.stderr
    numbers: dict[str, list[int]] = {}
    for name in (tmp_path / "p" / "to_label.txt").read_text().split():
        numbers.setdefault(name.rpartition("/")[0], []).append(int(name[-4:]))
    assert all(sorted(own) == [9, 19, 29, 39] for own in numbers.values())


def test_what_looks_different_is_chosen(tmp_path: Path, cli: Cli) -> None:
    for video, color in {"a": (200, 60, 50), "b": (205, 60, 50), "c": (200, 60, 55), "odd": (20, 30, 220)}.items():
        for n in range(6):
            save(tmp_path / "videos" / video / f"{n}.png", np.full((12, 16, 3), color, np.uint8))
    tree = json.loads(cli("ifrkit init p --frames videos --count 2 --json").stdout)
    assert tree["to_label"][1] == "odd/5"
    assert tree["path"] == str(tmp_path / "p")
    assert tree["classes"] == ["background", "object"]
    done = cli("ifrkit init p --count 9")
    assert len((tmp_path / "p" / "to_label.txt").read_text().split()) == 4
    for n in range(6):
        save(tmp_path / "videos" / "copy" / f"{n}.png", np.full((12, 16, 3), (20, 30, 220), np.uint8))
    done = cli("ifrkit init p --count 9")
    assert "4 of 9 frames found: the other clips look the same" in done.stderr


def test_a_new_project_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """What stops it on the way takes away what was made: not the user's frames, and nothing of an older project."""
    videos = _videos(tmp_path / "videos", count=2)
    project = Project(tmp_path / "my-project")

    def fails() -> None:
        with project.whole():
            project.create(videos)
            raise OSError(errno.ENOSPC, "No space left on device")

    for old in (False, True):
        if old:
            project.create(videos)
            (project.labels / "mine.png").touch()
        with pytest.raises(OSError, match="No space"):
            fails()
        assert project.path.exists() == old
        assert len([*videos.rglob("*.jpg")]) == 2
    assert (project.labels / "mine.png").exists()


def test_nothing_of_the_users_is_replaced(tmp_path: Path, cli: Cli) -> None:
    _videos(tmp_path / "videos")
    assert cli("ifrkit init p --frames videos --count 2 --clip-length 10").returncode == 0
    project = tmp_path / "p"
    (project / "classes.yaml").write_text("classes: {water: [1, 2, 3]}\n")
    first = min((project / "to_label").iterdir())
    first.write_bytes(b"the user's")
    (project / "labels" / "mine.png").write_bytes(b"the user's")
    done = cli("ifrkit init p --count 4 --clip-length 10")
    assert done.returncode == 0
    assert "4 frames to label in p/to_label/, 2 of them new" in done.stderr
    assert "classes: water (p/classes.yaml)" in done.stderr
    assert (project / "classes.yaml").read_text() == "classes: {water: [1, 2, 3]}\n"
    assert first.read_bytes() == (project / "labels" / "mine.png").read_bytes() == b"the user's"
    assert "holds others" not in cli("ifrkit init p --frames videos --count 4 --classes water").stderr


@pytest.mark.parametrize("place", ["videos/harbour.avi", "videos/walk"])
def test_one_video_alone(tmp_path: Path, cli: Cli, place: str) -> None:
    _videos(tmp_path / "videos")
    assert cli(f"ifrkit init p --frames {place} --count 2 --clip-length 10 -q").returncode == 0
    names = (tmp_path / "p" / "to_label.txt").read_text().split()
    exports.packed(tmp_path / "p" / "labels", {
        f"{path.stem}.png": exports.png(_label(f"{Path(place).stem}/{path.stem}"))
        for path in (tmp_path / "p" / "to_label").iterdir()
    })  # fmt: skip
    (tmp_path / "p" / "classes.yaml").write_text("classes: {sky: , road: , tree: }\n")
    done = cli("ifrkit prepare folders --root p --clip-length 10 --dry-run")
    assert done.returncode == 0, done.stderr
    assert "2 labels have a frame (png: labels)" in done.stdout
    assert len(names) == 2


def test_black_is_background_or_nothing(tmp_path: Path, cli: Cli) -> None:
    _videos(tmp_path / "videos")
    for project, classes, first, ignored in (
        ("a", "road,background", "background: [0, 0, 0]", "ignore: [255]"),
        ("b", "road,car", "road: [128, 0, 0]", "- [0, 0, 0]"),
    ):
        assert cli(f"ifrkit init {project} --frames videos --count 1 --classes {classes} -q").returncode == 0
        lines = (tmp_path / project / "classes.yaml").read_text().splitlines()
        assert lines[lines.index("classes:") + 1].strip() == first
        assert ignored in lines


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("p", 2, "p: no frames in it yet; name a directory of videos with --frames"),
        ("p --frames nowhere", 4, "nowhere: no directory and no video file"),
        ("p --frames empty", 4, "no images and no video files found"),
        ("p --frames more.mp4", 4, "more.mp4: OpenCV cannot open this video; convert it"),
        ("p --frames sizes", 4, "its images have 2 sizes, and none is that of most: 1 of 8x8, 1 of 8x9; make them one"),
        ("videos/p --frames videos", 2, "videos/p: lies inside videos; make the project beside its frames"),
        ("p --frames videos --branch update", 2, "--branch: without --from there are no branches"),
        ("p --frames videos --classes road,,car", 2, "an empty name, or one twice"),
        ("p --frames videos --classes road,road", 2, "an empty name, or one twice"),
        ("p --frames videos --from nothing", 3, "no artifact 'nothing'"),
        ("old --frames empty", 2, "old/frames: holds other frames already"),
        ("old --frames more.mp4", 2, "old/frames: holds other frames already"),
        ("old --classes sky", 2, "--classes: old/classes.yaml has others; edit that file, or remove it"),
        ("spoiled", 4, "spoiled/to_label.txt: no frame 'gone/0001' in spoiled/frames; correct or remove the line"),
        ("same --frames same-names --clip-length 2", 4, "several frames would be named a_b_1; rename one"),
        ("p --frames videos --count 0", 2, "Invalid value for '--count'"),
    ],
)
def test_refused(tmp_path: Path, cli: Cli, line: str, code: int, message: str) -> None:
    for n in range(4):
        save(tmp_path / "videos" / "walk" / f"{n}.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "more.mp4").touch()
    for project in {"old", "spoiled"} & {line.split()[0]}:
        assert cli(f"ifrkit init {project} --frames videos -q").returncode == 0
        (tmp_path / project / "to_label.txt").write_text("gone/0001\n")
    for name in ("a/b_0", "a/b_1", "a_b/0", "a_b/1"):
        save(tmp_path / "same-names" / f"{name}.png", np.full((8, 8, 3), len(name) * 9, np.uint8))
    for width in (8, 9):
        save(tmp_path / "sizes" / f"{width}.png", np.zeros((8, width, 3), np.uint8))
    assert message in complaint(cli(f"ifrkit init {line} -q"), code)
    assert not any((tmp_path / project).exists() for project in ("p", "same", "videos/p"))  # no half of one is left


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    workspace = tmp_path_factory.mktemp("workspace")
    changes = {"loop": {"steps": 1, "batch": 2, "eval_every": 1}, "ssl": "none"}
    return tiny_run.train(workspace, tiny_run.branches_config(**changes), tiny_run.make_clips(workspace))


def test_branches_choose_by_their_features_and_bring_their_classes(tmp_path: Path, branches: Artifact) -> None:
    chain = Chain(tmp_path)
    _videos(tmp_path / "videos")
    line = f"ifrkit init p --frames videos --clip-length 10 -q --json --count 3 --from {branches.path} --branch update"
    tree = json.loads(chain.ok(line).stdout)
    store = ClipStore(branches.ancestor("clips").path)  # type: ignore[union-attr]
    assert tuple(tree["classes"]) == store.labels.names
    text = (tmp_path / "p" / "classes.yaml").read_text()
    assert f"{store.labels.names[0]}: {list(store.labels.colors[0])}" in text
    assert len(tree["to_label"]) == 3
    again, by_color = Project(tmp_path / "q"), Project(tmp_path / "r")
    for project, features in ((again, BranchFeatures(branches, "update")), (by_color, None)):
        footage = Footage(project.place(tmp_path / "videos"), project.labels, Silent())
        proposal = project.propose(footage, 10, 6, Chooser(features, Silent()))
        project.create(tmp_path / "videos")
        project.write(footage, proposal)
    assert again.proposed()[:3] == tree["to_label"]
    assert again.proposed() != by_color.proposed()


ROWS = arrays(np.float32, st.tuples(st.integers(1, 9), st.just(2)), elements=st.integers(-50, 50).map(float))


@given(rows=ROWS, count=st.integers(1, 4))
@settings(deadline=None, max_examples=200)
def test_k_center_is_within_twice_the_best_radius(rows: np.ndarray, count: int) -> None:
    """Gonzalez' bound for his choice, whichever row is the first; and a larger count only adds."""

    def radius(chosen: list[int] | tuple[int, ...]) -> float:
        return float(np.linalg.norm(rows[:, None] - rows[None, list(chosen)], axis=2).min(1).max())

    found = k_center(rows, count)
    distinct = len(np.unique(rows, axis=0))
    assert len(set(found)) == len(found) == min(count, distinct)
    best = min(radius(chosen) for chosen in combinations(range(len(rows)), len(found)))
    assert radius(found) <= 2 * best + 1e-4
    assert k_center(rows, count + 1)[: len(found)] == found
    assert k_center(rows, count, found[:1])[: len(found) - 1] == found[1:]
