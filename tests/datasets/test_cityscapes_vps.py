"""Cityscapes-VPS: which frames are annotated, hidden and scored; the split of Tables 2 and 8; wrong trees."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chains import complaint
from PIL import Image

from data_prep.cityscapes.toys import moment
from data_prep.cityscapes_vps import Dataset
from ifrkit.core.errors import ArtifactError, ConfigError, DatasetError
from ifrkit.data.store.clips import ClipStore

TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14}
TRAIN_IDS |= {28: 15, 31: 16, 32: 17, 33: 18}
FRANKFURT = "frankfurt_000000_000294"
CLS = "cityscapes_vps/train/cls"

Tree = Callable[[str], Path]
CLI = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tree: Tree) -> Path:
    return tree("cityscapes-vps")


def _open(root: Path, seed: int = 0, **options: object) -> Dataset:
    return Dataset(root, Dataset.Config.of(options), seed)


def _trained(dataset: Dataset) -> set[str]:
    return {clip.name for clip in dataset.clips() if clip.split == "train"}


def test_frame_20_is_annotated_and_every_other_fifth_hidden(root: Path) -> None:
    clips = {clip.name: clip for clip in _open(root, train_videos=3).clips()}
    assert len(clips) == 6
    assert [sum(c.split == s for c in clips.values()) for s in ("train", "val")] == [3, 3]
    assert all(len(c.frames) == 30 and c.annotated == 19 and c.labeled == (19,) for c in clips.values())
    hidden = {name: clip.hidden for name, clip in clips.items()}
    assert hidden.pop("lindau_000000_000019") == ()  # its labels are not published
    assert set(hidden.values()) == {(4, 9, 14, 24, 29)}
    assert clips[FRANKFURT].frames[4] == "frankfurt/frankfurt_000000_000279"
    shorter = {clip.name: clip for clip in _open(root, clip_length=16).clips()}[FRANKFURT]
    assert (shorter.frames[0], shorter.annotated, shorter.hidden) == (clips[FRANKFURT].frames[4], 15, (0, 5, 10))


def test_every_label_is_that_of_its_frame(root: Path) -> None:
    dataset = _open(root)
    for clip in dataset.clips():
        for index in (*clip.labeled, *clip.hidden):
            ids = moment(clip.video, int(clip.frames[index][-6:]))[1]
            expected = np.vectorize(lambda i: TRAIN_IDS.get(i, 255), otypes=[np.uint8])(ids)
            assert np.array_equal(dataset.label(clip.frames[index]), expected)


def test_labelmaps_do_for_colours(root: Path) -> None:
    labels = {name: _open(root).label(name) for name in _open(root).catalog.labels}
    for split in ("train", "val"):
        directory = root / "cityscapes_vps" / split
        (directory / "labelmap").mkdir()
        for path in (directory / "cls").iterdir():
            frame = path.name[10:-15].rpartition("_")
            label = labels[f"{frame[0].partition('_')[0]}/{frame[0]}_{frame[2]}"]
            Image.fromarray(label).save(directory / "labelmap" / path.name)
        shutil.rmtree(directory / "cls")
    dataset = _open(root)
    assert all(np.array_equal(dataset.label(name), label) for name, label in labels.items())


def test_a_fifth_trains_drawn_by_the_seed(root: Path) -> None:
    assert len(_trained(_open(root))) == 1  # of 6 videos; of 500 it is the paper's 100
    draws = {seed: _trained(_open(root, seed, train_videos=2)) for seed in range(8)}
    assert draws[0] == _trained(_open(root, 0, train_videos=2))
    assert len({frozenset(draw) for draw in draws.values()}) > 2
    assert all(len(draw) == 2 and "lindau_000000_000019" not in draw for draw in draws.values())
    assert draws[0] < _trained(_open(root, 0, train_videos=3))


def test_of_500_videos_100_train_and_400_are_val(tmp_path: Path) -> None:
    """By names; nothing is in the files. The authors' last 50 videos have no new labels."""
    cities = [("frankfurt", 267), ("lindau", 59), ("munster", 174)]
    masks = tmp_path / CLS
    masks.mkdir(parents=True)
    videos = [(city, number) for city, count in cities for number in range(count)]
    for at, (city, number) in enumerate(videos):
        for kind, name in (("gtFine", "gtFine_color"), ("leftImg8bit_sequence", "leftImg8bit")):
            path = tmp_path / kind / "val" / city / f"{city}_{number:06}_000019_{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for frame in (4, 9, 14, 24, 29) if at % 10 else ():
            (masks / f"{at + 1:04}_{frame:04}_{city}_{number:06}_{frame:06}_final_mask.png").touch()
    dataset = _open(tmp_path, clip_length=1)
    assert [sum(c.split == s for c in dataset.clips()) for s in ("train", "val")] == [100, 400]
    assert "450 of 500 videos have new labels; 100 train, by seed 0" in dataset.summary()
    with pytest.raises(DatasetError, match="451 training videos are wanted, 450 have labels"):
        _open(tmp_path, clip_length=1, train_videos=451).clips()


@pytest.mark.parametrize(
    "line",
    [
        FRANKFURT,
        f"frankfurt/{FRANKFURT}_leftImg8bit.png",
        f"0001_0004_{FRANKFURT}",
        "0001_0001_frankfurt_000000_000279",
    ],
)
def test_a_list_names_videos_by_any_of_their_frames(root: Path, tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"# mine\n{line}\n\nmunster/munster_000000_000019\n")
    dataset = _open(root, train_list=str(path))
    assert _trained(dataset) == {FRANKFURT, "munster_000000_000019"}


def test_lists_that_cannot_be_used(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(ConfigError, match="train_list: cannot read"):
        _open(root, train_list=str(path)).clips()
    path.write_text("# nothing\n")
    with pytest.raises(DatasetError, match="lists no video"):
        _open(root, train_list=str(path)).clips()
    with pytest.raises(ConfigError, match="exclude each other"):
        _open(root, train_list=str(path), train_videos=1).clips()


def no_new_labels(root: Path) -> tuple[str, str]:
    shutil.rmtree(root / "cityscapes_vps")
    return "", "no labels: no train/cls/*_final_mask.png and no val/cls/; unpack train_gt.zip and val_gt.zip"


def some_new_labels(root: Path) -> tuple[str, str]:
    for name in ("0001_0003_frankfurt_000000_000289", "0001_0001_frankfurt_000000_000279"):
        (root / CLS / f"{name}_final_mask.png").unlink()
    first = "cityscapes_vps/*/cls/*_frankfurt_000000_000279_final_mask.png"
    return "", f"missing: 2 labels (the first: {first}); unpack train_gt.zip and val_gt.zip"


def no_cityscapes(root: Path) -> tuple[str, str]:
    for directory in ("gtFine", "leftImg8bit_sequence"):
        shutil.rmtree(root / directory)
    return "", "missing: 3 cities (the first: val/frankfurt); unpack leftImg8bit_sequence_trainvaltest.zip and gtFine"


def no_fine_label(root: Path) -> tuple[str, str]:
    (root / "gtFine/val/frankfurt" / f"{FRANKFURT}_gtFine_color.png").unlink()
    return "", f"missing: 1 label (the first: gtFine/val/frankfurt/{FRANKFURT}_gtFine_color.png); unpack gtFine_train"


def no_sequence(root: Path) -> tuple[str, str]:
    shutil.rmtree(root / "leftImg8bit_sequence/val/lindau")
    first = "leftImg8bit_sequence/val/lindau/lindau_000000_000000_leftImg8bit.png"
    return "", f"missing: 60 frames of 2 clips (the first: {first}); unpack leftImg8bit_sequence_trainvaltest.zip there"


def no_colours(root: Path) -> tuple[str, str]:
    path = root / CLS / "0001_0001_frankfurt_000000_000279_final_mask.png"
    path.unlink()
    Image.fromarray(np.full((32, 64, 3), 9, np.uint8)).save(path)
    return "", f"{path}: no pixel has the colour of a Cityscapes class; "


def unknown_videos(root: Path) -> tuple[str, str]:
    (root.parent / "list.txt").write_text(f"{FRANKFURT}\nfrankfurt_000009_000019\nulm_000000_000019\n")
    words = "list.txt: lines that name no video of this copy: 2, first frankfurt_000009_000019; "
    return "--set options.train_list=list.txt", words


@pytest.mark.parametrize(
    "spoil",
    [no_new_labels, some_new_labels, no_cityscapes, no_fine_label, no_sequence, no_colours, unknown_videos],
)
def test_wrong_trees_are_one_line_and_exit_4(root: Path, cli: CLI, spoil: Callable[[Path], tuple[str, str]]) -> None:
    option, words = spoil(root)
    done = cli(f"ifrkit prepare cityscapes-vps --root {root} --set size=[16,32] --set runtime.workers=0 -q {option}")
    assert words in complaint(done, 4)


def test_the_numbers_of_tables_2_and_8(root: Path, cli: CLI, tmp_path: Path) -> None:
    """Trained on frame 20; frames 5, 10, 15 and 20 of the same videos are scored apart, frame 20 of the others."""
    data = f"--root {root} --set size=[32,64] --set options.train_videos=2 --set runtime.workers=0"
    clips = Path(_ok(cli(f"ifrkit prepare cityscapes-vps {data} -q")))
    store = ClipStore(tmp_path / clips)
    for clip in store.clips_of("train"):
        with pytest.raises(ArtifactError, match="has a hidden label"):
            store.label(clip, 14)
    net = "--set update.width=0.0625 --set crop.size=[24,32] --set loop.batch=2 --set runtime.workers=0"
    _ok(cli(f"ifrkit train-branches --ssl none --branch update --steps 1 {net} -q"))
    found = {}
    for options in ("--split train --frames all", "--split val"):
        path = tmp_path / _ok(cli(f"ifrkit eval --from branches --metric mIoU --set runtime.workers=0 {options} -q"))
        found[options] = json.loads((path / "report.json").read_text())
    inside, outside = found.values()
    assert (inside["clips"], inside["scored_frames"]) == (2, 12)
    offsets = inside["inner_video"]["update, every frame"]["by_offset"]
    assert set(offsets) == {"-15", "-10", "-5", "0", "5", "10"}
    assert (outside["clips"], outside["scored_frames"]) == (4, 4)


def _ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
