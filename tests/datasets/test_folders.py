"""The user's own data: finding, matching, splitting, cutting, class tables, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep._toys import save, save_video
from data_prep.folders import Dataset
from data_prep.folders.cut import cut
from data_prep.folders.find import flat_name
from ifrkit.core.errors import DatasetError
from ifrkit.testing import check_dataset, toy

Write = Callable[..., Path]


def _open(root: Path, seed: int = 0, **options: object) -> Dataset:
    return Dataset(root, Dataset.Config.of({"clip_length": 6, **options}), seed)


def _frames(root: Path, video: str, count: int, shade: int = 0) -> None:
    for n in range(count):
        save(root / "frames" / video / f"{n:04}.png", np.full((6, 8, 3), shade + n, np.uint8))


def _label(root: Path, name: str, pixels: object = 0) -> Path:
    path = root / "labels" / f"{name}.png"
    save(path, np.full((6, 8), pixels, np.uint8) if isinstance(pixels, int) else np.asarray(pixels, np.uint8))
    return path


def _annotated(dataset: Dataset) -> dict[str, str]:
    """Annotated frame -> split."""
    return {c.frames[c.annotated]: c.split for c in dataset.clips() if c.annotated is not None}


@given(
    owners=st.lists(st.sampled_from(["train", "train", "val", "test", None]), min_size=1, max_size=40),
    labels=st.sets(st.integers(0, 39)),
    length=st.integers(2, 9),
)
@settings(deadline=None, max_examples=300)
def test_cut_uses_every_label_once_and_never_mixes_splits(owners: list, labels: set[int], length: int) -> None:
    own = sorted(label for label in labels if label < len(owners))
    clips = cut(owners, own, length)
    scored = [c.annotated for c in clips if c.annotated is not None]
    assert len(scored) == len(set(scored))
    given_to: dict[int, str] = {}
    for c in clips:
        assert 2 <= c.stop - c.start <= length
        assert c.annotated is None or c.start <= c.annotated < c.stop
        assert c.annotated is not None or c.split == "train"
        for i in range(c.start, c.stop):
            assert given_to.setdefault(i, c.split) == c.split
            assert owners[i] in (c.split, None)
    for label in own:
        neighbours = {owners[i] for i in (label - 1, label + 1) if 0 <= i < len(owners)}
        if owners[label] is not None and owners[label] in neighbours:
            assert label in scored


def test_cut_gives_predecessors_first() -> None:
    clips = cut(["train"] * 20, [1, 10], 6)
    assert [(c.start, c.stop, c.annotated) for c in clips] == [(0, 6, 1), (5, 11, 10), (11, 17, None), (14, 20, None)]


def test_short_video_is_one_clip() -> None:
    assert [(c.start, c.stop) for c in cut(["train"] * 4, [], 30)] == [(0, 4)]
    assert cut(["train"], [0], 30) == []


def test_toy_finds_directories_series_and_video_files(tmp_path: Path) -> None:
    dataset = toy("folders", tmp_path, clip_length=10)
    assert {c.video for c in dataset.clips()} == {"street", "park", "night"}
    text = "\n".join(dataset.summary())
    assert "2 directories or series of images, 1 video files, 115 frames: night, park, street" in text
    assert "5 labels have a frame (png: labels)" in text
    assert "3 classes (classes.yaml): sky, building, road" in text
    assert set(_annotated(dataset)) == {"street/000012", "street/000027", "park/park_0020", "night/night_000010",
                                        "night/night_000015"}  # fmt: skip


def test_video_file_frames_are_the_numbered_ones(tmp_path: Path) -> None:
    images = [np.full((32, 32, 3), 5 * n, np.uint8) for n in range(40)]
    save_video(tmp_path / "frames" / "a.avi", images)
    save(tmp_path / "labels" / "a_17.png", np.zeros((32, 32), np.uint8))
    dataset = _open(tmp_path)
    (clip,) = (c for c in dataset.clips() if c.annotated is not None)
    assert clip.frames[-1] == "a/a_000017"
    assert [round(float(f.mean()) / 5) for _, f in dataset.frames(list(clip.frames))] == list(range(12, 18))


def test_video_that_is_cut_off_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "frames" / "a.avi"
    save_video(path, (np.random.default_rng(n).integers(0, 255, (32, 32, 3), np.uint8) for n in range(40)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert any("of 40 frames decode; is the file cut off?" in line for line in _open(tmp_path).summary())


@pytest.mark.parametrize("name", ["a/0003", "0003", "a/0003_L"])
def test_label_names_with_or_without_directory(tmp_path: Path, name: str) -> None:
    _frames(tmp_path, "a", 8)
    _label(tmp_path, name)
    assert set(_annotated(_open(tmp_path, label_suffix="_L"))) == {"a/0003"}


@pytest.mark.parametrize("name", ["deep/clip_5", "deep/clip/5", "deep/clip/clip_000005", "deep/clip/anything_5"])
def test_label_names_of_video_files(tmp_path: Path, name: str) -> None:
    save_video(tmp_path / "frames" / "deep" / "clip.avi", [np.zeros((32, 32, 3), np.uint8)] * 9)
    save(tmp_path / "labels" / f"{name}.png", np.zeros((32, 32), np.uint8))
    assert set(_annotated(_open(tmp_path))) == {"deep/clip/clip_000005"}


def test_labels_without_a_frame_are_counted_named_and_left_out_on_request(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    _frames(tmp_path, "b", 8)
    for name in ("0003", "c/0004", "a/0005"):
        _label(tmp_path, name)
    dataset = _open(tmp_path, allow_missing=True)
    assert set(_annotated(dataset)) == {"a/0005"}
    assert "2 labels left out, no frame has their name: 0003 (in several videos), c/0004" in dataset.summary()
    with pytest.raises(DatasetError, match=r"2 of 3 labels have no frame of their name: 0003 .*--allow-missing"):
        _open(tmp_path).clips()


def test_labels_in_which_nothing_is_labeled_do_not_count(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 14)
    _label(tmp_path, "a/0005")
    _label(tmp_path, "a/0012", 255)
    dataset = _open(tmp_path)
    assert set(_annotated(dataset)) == {"a/0005"}
    assert "1 labels left out, nothing is labeled in them: a/0012" in dataset.summary()


@pytest.mark.parametrize(
    ("video", "stem", "flat"),
    [
        ("street", "000031", "street_000031"),
        ("street", "street_000031", "street_000031"),
        ("a/b", "0001", "a_b_0001"),
        ("1", "100", "1_100"),
        ("img", "img7", "img7"),
        ("a/my clip", "my clip 7", "a_my_clip_7"),
    ],
)
def test_flat_names_are_found_in_any_directory(tmp_path: Path, video: str, stem: str, flat: str) -> None:
    for other in ("x", "y"):
        save(tmp_path / "frames" / other / f"{stem}.png", np.zeros((6, 8, 3), np.uint8))
    for name in (stem, f"{stem[:-1]}9"):
        save(tmp_path / "frames" / video / f"{name}.png", np.zeros((6, 8, 3), np.uint8))
    assert flat_name(f"{video}/{stem}") == flat
    for place in ("", "task 1/"):
        path = _label(tmp_path, f"{place}{flat}")
        assert set(_annotated(_open(tmp_path))) == {f"{video}/{stem}"}
        path.unlink()


def test_frames_of_the_only_video_by_the_name_that_cvat_gives(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_video(tmp_path / "frames" / f"{name}.avi", [np.zeros((32, 32, 3), np.uint8)] * 9)
    save(tmp_path / "labels" / "frame_000007.png", np.zeros((32, 32), np.uint8))
    with pytest.raises(DatasetError, match="none of 1 labels has a frame's name"):
        _open(tmp_path).clips()
    assert set(_annotated(_open(tmp_path, frames="frames/b.avi"))) == {"b/b_000007"}


def test_two_labels_for_one_frame(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    _label(tmp_path, "0003")
    _label(tmp_path, "a/0003")
    with pytest.raises(DatasetError, match="both label frame 'a/0003'"):
        _open(tmp_path).clips()


def test_frames_in_natural_order(tmp_path: Path) -> None:
    for n in (1, 2, 10, 20):
        save(tmp_path / "frames" / "v" / f"img{n}.png", np.zeros((4, 4, 3), np.uint8))
    dataset = _open(tmp_path)
    (clip,) = dataset.clips()
    assert clip.frames == ("v/img1", "v/img2", "v/img10", "v/img20")


def test_no_clip_crosses_a_jump_of_the_numbers(tmp_path: Path) -> None:
    for n in (*range(0, 240, 30), 241, *range(270, 420, 30), *range(2000, 2200, 30)):
        save(tmp_path / "frames" / "v" / f"{n:05}.png", np.zeros((6, 8, 3), np.uint8))
    _label(tmp_path, "v/02060")
    dataset = _open(tmp_path)
    assert any("v: the frame number jumps before v/02000;" in line for line in dataset.summary())
    for clip in dataset.clips():
        numbers = [int(f[2:]) for f in clip.frames]
        assert max(b - a for a, b in pairwise(numbers)) <= 31
    assert set(_annotated(dataset)) == {"v/02060"}


def test_no_labels_at_all(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 14)
    dataset = _open(tmp_path)
    assert [(c.split, len(c.frames), c.annotated) for c in dataset.clips()] == [("train", 6, None)] * 2
    assert "no labels in labels/: no clip has a label" in dataset.summary()
    assert dataset.summary()[-1] == "no classes: there is no classes.yaml, and no label"


def test_fraction_draws_videos_by_name_and_seed(tmp_path: Path) -> None:
    for k in range(6):
        _frames(tmp_path, f"v{k}", 8)
        _label(tmp_path, f"v{k}/0006")
    drawn = set()
    for seed in range(8):
        owners = _annotated(_open(tmp_path, seed, val_fraction=0.34))
        drawn.add(frozenset(n for n, split in owners.items() if split == "val"))
        assert list(owners.values()).count("val") == 2
    assert len(drawn) > 1
    assert _annotated(_open(tmp_path, 3)) == _annotated(_open(tmp_path, 3))
    assert set(_annotated(_open(tmp_path, val_fraction=0)).values()) == {"train"}


def test_one_video_is_split_by_time_with_a_gap(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 60)
    for n in (5, 15, 25, 35, 55):
        _label(tmp_path, f"a/{n:04}")
    dataset = _open(tmp_path)
    assert _annotated(dataset) == {f"a/{n:04}": "val" if n == 55 else "train" for n in (5, 15, 25, 35, 55)}
    last = max(f for c in dataset.clips() if c.split == "train" for f in c.frames)
    assert int(last[2:]) <= 55 - 6
    assert any("frames from 55 on are val, 6 frames before are a gap" in line for line in dataset.summary())


@pytest.mark.parametrize(
    ("total", "labels", "split"),
    [
        (5, (0, 1, 2, 3, 4), "tttvv"),
        (30, (10, 11, 12, 13, 14), "ttttv"),
        (4, (1, 2), "tv"),
        (6, (0, 1, 5), "ttv"),
        (40, (0, 39), "tv"),
    ],
)
def test_labels_that_lie_close_are_split_inside_the_clip(
    tmp_path: Path, total: int, labels: tuple[int, ...], split: str
) -> None:
    """Both splits get labels where that can be, no frame is in both, and the run says what that means."""
    _frames(tmp_path, "a", total)
    for n in labels:
        _label(tmp_path, f"a/{n:04}")
    dataset = _open(tmp_path)
    names = {"t": "train", "v": "val"}
    assert _annotated(dataset) == {f"a/{n:04}": names[s] for n, s in zip(labels, split, strict=True)}
    check_dataset(dataset)
    near = "a: val begins right after the frames of training, which flatters its scores"
    assert (near in dataset.summary()) == (near in dataset.catalog.warnings) == (total < 40)


@pytest.mark.parametrize(("total", "labels"), [(3, (1, 2)), (3, (0, 1)), (3, (0, 1, 2)), (9, (0, 1))])
def test_labels_too_close_to_hold_one_back_are_for_training(
    tmp_path: Path, total: int, labels: tuple[int, ...]
) -> None:
    _frames(tmp_path, "a", total)
    for n in labels:
        _label(tmp_path, f"a/{n:04}")
    dataset = _open(tmp_path)
    assert _annotated(dataset) == {f"a/{n:04}": "train" for n in labels}
    told = f"the {len(labels)} labels of a lie too close together to hold one back: all are for training"
    assert [line for line in dataset.catalog.warnings if "there is one class alone" not in line] == [told]
    assert dataset.summary().count(told) == 1


def test_a_label_alone_in_its_stretch_takes_no_video_for_validation(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    _label(tmp_path, "a/0006")
    for n in (0, 1, 2, 90):
        save(tmp_path / "frames" / "b" / f"{n:04}.png", np.zeros((6, 8, 3), np.uint8))
    _label(tmp_path, "b/0090")
    assert _annotated(_open(tmp_path)) == {"a/0006": "train"}
    assert any(
        line.startswith("1 labels are in no split or have no second frame") for line in _open(tmp_path).summary()
    )


def test_lists_of_videos_and_frames(tmp_path: Path) -> None:
    for k in range(3):
        _frames(tmp_path, f"v{k}", 20)
        for n in (3, 12, 18):
            _label(tmp_path, f"v{k}/{n:04}")
    (tmp_path / "train.txt").write_text("v0  # all of it\n\nv1/0003\nv1/0012.png\n")
    (tmp_path / "val.txt").write_text("v1/0018\n")
    dataset = _open(tmp_path)
    assert _annotated(dataset) == {
        **{f"v0/{n:04}": "train" for n in (3, 12, 18)}, "v1/0003": "train", "v1/0012": "train", "v1/0018": "val",
    }  # fmt: skip
    check_dataset(dataset)
    val = next(c for c in dataset.clips() if c.split == "val")
    assert val.frames == tuple(f"v1/{n:04}" for n in range(13, 19))
    assert any(line.startswith("3 labels are in no split") for line in dataset.summary())


def test_val_list_alone_leaves_the_rest_to_training(tmp_path: Path) -> None:
    for k in range(3):
        _frames(tmp_path, f"v{k}", 8)
        _label(tmp_path, f"v{k}/0006")
    (tmp_path / "val.txt").write_text("v1\n")
    assert _annotated(_open(tmp_path)) == {"v0/0006": "train", "v1/0006": "val", "v2/0006": "train"}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": "v0\n", "val": "v9\n"}, r"val\.txt:1: no video and no frame has the name 'v9'"),
        ({"train": "v0\nv1\n", "val": "v1\n"}, r"val\.txt:1: 'v1' is also in train\.txt"),
        ({"train": "0001\n"}, r"train\.txt:1: several frames have the name '0001'"),
        ({"train": "v0\n", "val": "v1\n"}, r"val\.txt: no clip for val"),
        ({"train": "\n"}, r"train\.txt: no clip for train"),
    ],
)
def test_bad_lists(tmp_path: Path, lists: dict[str, str], message: str) -> None:
    _frames(tmp_path, "v0", 8)
    _frames(tmp_path, "v1", 8)
    _label(tmp_path, "v0/0006")
    for split, text in lists.items():
        (tmp_path / f"{split}.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        _open(tmp_path).clips()


def test_ids_without_a_table_are_named_after_themselves(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    label = np.full((6, 8), 7)
    label[0], label[1] = 23, 255
    _label(tmp_path, "a/0006", label)
    dataset = _open(tmp_path)
    assert dataset.label_space().names == ("class_7", "class_23")
    assert dataset.label("a/0006")[:3, 0].tolist() == [1, 255, 0]
    assert dataset.summary()[-1] == ("2 classes (taken from the labels: there is no classes.yaml): class_7, class_23")


def test_table_maps_ids_and_colours(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    (tmp_path / "classes.yaml").write_text(
        "classes:\n  road: {color: [1, 2, 3], id: 7}\n  car: [9, 9, 9]\n  sky:\nignore: [40, [0, 0, 0]]\n"
    )
    _label(tmp_path, "a/0005", [[7, 1, 2, 40] * 2] * 6)
    colors = np.zeros((6, 8, 3), np.uint8)
    colors[0], colors[1] = (1, 2, 3), (9, 9, 9)
    _label(tmp_path, "a/0006", colors)
    dataset = _open(tmp_path)
    assert dataset.label_space().names == ("road", "car", "sky")
    assert dataset.label_space().colors[:2] == ((1, 2, 3), (9, 9, 9))
    assert dataset.label("a/0005")[0].tolist() == [0, 1, 2, 255] * 2
    assert dataset.label("a/0006")[:3, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: {a: [1, 2, 3], a: [4, 5, 6]}", "'a' is given twice"),
        ("classes: {a: [1, 2, 3], b: [1, 2, 3]}", r"colour of b: \(1, 2, 3\) is given twice"),
        ("classes: {a: {id: 1}, b: }", "id of b: 1 is given twice"),
        ("classes: {a: [1, 2, 300]}", r"classes\.a\.2: has to be a whole number, at least 0 and at most 255, got 300;"),
        ("classes: {a: {colour: [1, 2, 3]}}", r"classes\.a\.colour: unknown key"),
        (
            "classes: {a: red}",
            r"classes\.a: has to be a table of keys and values, or a list of 3, .* null, got 'red';",
        ),
        ("classes: {1: [1, 2, 3]}", r"classes\.1: has to be text, in quotes"),
        ("classes: [a, b]", r"classes: has to be a table of keys and values, .*, got \['a', 'b'\];"),
        ("classes: {}", r"classes: has to be a table of keys and values, at least 1 of them .*, got {};"),
        ("classes: {a: [1, 2]}", r"classes\.a: has to be a list of 3, each .*, got \[1, 2\];"),
        ("", "it has no classes; expected"),
        ("- a\n- b", "classes.yaml"),
        ("classes: [", r"classes\.yaml:1: "),
        ("classes: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("classes:\n" + "".join(f"  k{i}: [1, 2, 3]\n" for i in range(4000)), "at most 254 of them;"),
        ("classes:\n" + "".join(f"  k{i}: [1, 2, 3]\n" for i in range(30_000)), "more than 100000 values"),
        ("x: &a [1]\ny: &b [*a, *a]\nclasses: &c {k: *c}", "an alias contains itself"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    _frames(tmp_path, "a", 8)
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(DatasetError, match=message) as error:
        _open(tmp_path).label_space()
    assert "\n" not in str(error.value)


def test_what_labels_must_not_hold(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    (tmp_path / "classes.yaml").write_text("classes: {a: [1, 2, 3]}\n")
    colors = np.full((6, 8, 3), (1, 2, 3), np.uint8)
    colors[0, :5], colors[1, 0] = (9, 8, 7), (9, 8, 6)
    for name, pixels, message in (
        ("0004", colors, r"0004\.png: 6 pixels in 2 colours outside .* 5 x \[9, 8, 7\].*classes.yaml"),
        ("0005", 3, r"0005\.png: label ids 3 are outside"),
        ("0006", np.zeros((3, 4)), r"0006\.png: label is 4x3, its frame is 8x6"),
    ):
        path = _label(tmp_path, f"a/{name}", pixels)
        with pytest.raises(DatasetError, match=message):
            _open(tmp_path).clips()
        path.rename(tmp_path / f"{name}.kept")
    for path in tmp_path.glob("*.kept"):
        path.rename(tmp_path / "labels" / "a" / f"{path.stem}.png")
    with pytest.raises(DatasetError, match=r"^3 of 3 labels cannot be used, the first: .*0004\.png: 6 pixels") as error:
        _open(tmp_path).clips()
    assert "\n" not in str(error.value)


def test_colours_or_photographs_need_a_table(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    path = _label(tmp_path, "a/0004", np.full((6, 8, 3), 5))
    with pytest.raises(
        DatasetError, match=r"a label in 1 colours \(\[\[5, 5, 5\]\] ...\), and there is no class table"
    ):
        _open(tmp_path).label_space()
    save(path, np.arange(6 * 12, dtype=np.uint8).reshape(6, 12))
    with pytest.raises(DatasetError, match="more than 64 distinct ids"):
        _open(tmp_path).label_space()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="frames: no such directory"):
        _open(tmp_path).clips()
    (tmp_path / "frames").mkdir()
    with pytest.raises(DatasetError, match="no images and no video files found"):
        _open(tmp_path).clips()
    with pytest.raises(DatasetError, match="nowhere: no such directory"):
        _open(tmp_path / "nowhere").fingerprint()


def test_labels_of_other_names(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    _label(tmp_path, "x_7")
    with pytest.raises(DatasetError, match=r"none of 1 labels has a frame's name \(first: 'x_7'\)"):
        _open(tmp_path).clips()


def test_same_video_twice(tmp_path: Path) -> None:
    _frames(tmp_path, "a", 8)
    save_video(tmp_path / "frames" / "a.avi", [np.zeros((32, 32, 3), np.uint8)] * 3)
    with pytest.raises(DatasetError, match=r"a\.avi and .*a \(images\): both would be video 'a'; rename one"):
        _open(tmp_path).clips()


def test_fingerprint_sees_tables_and_lists(tmp_path: Path) -> None:
    toy("folders", tmp_path)
    seen = {_open(tmp_path).fingerprint()}
    (tmp_path / "val.txt").write_text("park\n")
    seen.add(_open(tmp_path).fingerprint())
    (tmp_path / "classes.yaml").write_text((tmp_path / "classes.yaml").read_text() + "# touched\n")
    seen.add(_open(tmp_path).fingerprint())
    assert len(seen) == 3


def test_frames_may_lie_in_the_root_itself(tmp_path: Path) -> None:
    for n in range(9):
        save(tmp_path / f"walk_{n}.png", np.zeros((6, 8, 3), np.uint8))
    _label(tmp_path, "walk_7")
    assert set(_annotated(_open(tmp_path, frames="."))) == {"walk/walk_7"}
