"""Cityscapes: clips, labels, the stored bytes against the published rules, and trees that are wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chains import Chain, complaint
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep._catalog import Catalog
from data_prep.cityscapes import Dataset
from data_prep.cityscapes.classes import LABELS
from data_prep.cityscapes.files import Anchor, Files, Missing
from data_prep.cityscapes.toys import moment
from ifrkit.config.prepare import PrepareConfig
from ifrkit.core.errors import DatasetError
from ifrkit.data.store.clips import ClipStore
from ifrkit.media.resize import resize_frame
from ifrkit.stages.prepare import STAGE
from ifrkit.stages.runner import Run, execute

TRAIN_IDS = {
    7: 0,
    8: 1,
    11: 2,
    12: 3,
    13: 4,
    17: 5,
    19: 6,
    20: 7,
    21: 8,
    22: 9,
    23: 10,
    24: 11,
    25: 12,
    26: 13,
    27: 14,
    28: 15,
    31: 16,
    32: 17,
    33: 18,
}
"""Label id -> train id, as published; all others are void."""
NAMES = "road sidewalk building wall fence pole traffic-light traffic-sign vegetation terrain sky person rider car "
SEQUENCE, FINE = "leftImg8bit_sequence", "gtFine"
AACHEN = "aachen/aachen_000000"

Tree = Callable[[str], Path]
Replace = Callable[[Path, np.ndarray], Path]
CLI = Callable[[str], subprocess.CompletedProcess[str]]


def _open(root: Path, **options: object) -> Dataset:
    return Dataset(root, Dataset.Config.of(options))


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _half(frame: np.ndarray) -> np.ndarray:
    """The rule: the mean of 2x2 pixels, halves up."""
    blocks = frame.astype(int).reshape(frame.shape[0] // 2, 2, frame.shape[1] // 2, 2, 3)
    return ((blocks.sum((1, 3)) + 2) >> 2).astype(np.uint8)


def _train_ids(label_ids: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda i: TRAIN_IDS.get(i, 255), otypes=[np.uint8])(label_ids)


def test_the_classes_are_the_published_ones() -> None:
    names = [*NAMES.split(), "truck", "bus", "train", "motorcycle", "bicycle"]
    assert [name.replace(" ", "-") for name in LABELS.names] == names
    assert LABELS.colors[0] == (128, 64, 128)
    assert LABELS.colors[13] == (0, 0, 142)
    assert LABELS.colors[18] == (119, 11, 32)
    assert len(set(LABELS.colors)) == 19


def test_clips_end_ten_frames_after_their_label_wherever_they_begin(tree: Tree) -> None:
    clips = {clip.name: clip for clip in _open(tree("cityscapes")).clips()}
    assert len(clips) == 24
    assert [sum(c.split == s for c in clips.values()) for s in ("train", "val", "test")] == [20, 4, 0]
    assert all(len(c.frames) == 30 and c.annotated == 19 and c.labeled == (19,) for c in clips.values())
    frankfurt = clips["frankfurt_000000_000294"]
    assert frankfurt.split == "val"
    assert frankfurt.frames[0] == "frankfurt/frankfurt_000000_000275"
    assert frankfurt.frames[19] == "frankfurt/frankfurt_000000_000294"
    one, other = clips["hamburg_000000_000629"], clips["hamburg_000000_000659"]
    assert (one.frames[-1], other.frames[0]) == ("hamburg/hamburg_000000_000639", "hamburg/hamburg_000000_000640")
    assert one.video == other.video == "hamburg_000000"


@pytest.mark.parametrize(("length", "first", "annotated"), [(5, 15, 4), (20, 0, 19), (25, 0, 19), (1, 19, 0)])
def test_shorter_clips(tree: Tree, length: int, first: int, annotated: int) -> None:
    clip = _open(tree("cityscapes"), clip_length=length).clips()[0]
    assert clip.frames[0] == f"{AACHEN}_{first:06}"
    assert (len(clip.frames), clip.annotated) == (length, annotated)
    assert clip.frames[annotated] == f"{AACHEN}_000019"


def test_test_clips_have_no_labels(tree: Tree) -> None:
    root = tree("cityscapes")
    clips = [clip for clip in _open(root, test=True).clips() if clip.split == "test"]
    assert [clip.name for clip in clips][:2] == ["berlin_000000_000019", "bielefeld_000000_000019"]
    assert all(len(c.frames) == 30 and c.annotated is None and not c.labeled for c in clips)
    shutil.rmtree(root / FINE / "test")
    assert [clip for clip in _open(root, test=True).clips() if clip.split == "test"] == clips
    shutil.rmtree(root / SEQUENCE / "test" / "bonn")
    with pytest.raises(DatasetError, match=r"missing: 1 city \(the first: test/bonn\)"):
        _open(root, test=True).clips()


@pytest.mark.parametrize(("size", "workers"), [((16, 32), 1), ((32, 64), 0)])
def test_the_store_holds_the_published_bytes(tree: Tree, tmp_path: Path, size: tuple[int, int], workers: int) -> None:
    """Half size: 2x2 mean and top-left label; full size: as it is. Every frame and label of a clip of each city."""
    root, chain = tree("cityscapes"), Chain(tmp_path)
    line = f"ifrkit prepare cityscapes --root {root} --set size={list(size)} --set runtime.workers={workers} -q"
    store = ClipStore(Path(chain.ok(line.replace(", ", ",")).stdout.strip()))
    assert store.size == size
    assert len(store.clips) == 24
    for number, clip in enumerate(store.clips):
        for index, name in enumerate(clip.frames):
            if index in (0, 18, 19, 20, 29):
                frame = _read(root / SEQUENCE / clip.split / f"{name}_leftImg8bit.png")
                assert np.array_equal(store.frame(number, index), _half(frame) if size == (16, 32) else frame)
        label = _train_ids(_read(root / FINE / clip.split / f"{clip.frames[19]}_gtFine_labelIds.png"))
        assert np.array_equal(store.label(number, 19), label[::2, ::2] if size == (16, 32) else label)
    store.verify()


def test_real_size_is_stored_at_half_of_it(tmp_path: Path) -> None:
    """One frame of 1024x2048, by default."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (1024, 2048, 3), np.uint8)
    label = rng.integers(0, 34, (1024, 2048), np.uint8)
    for name, pixels in ((f"{SEQUENCE}/train/{AACHEN}_000019_leftImg8bit.png", frame),
                         (f"{FINE}/train/{AACHEN}_000019_gtFine_labelIds.png", label)):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / name, compress_level=1)
    given = {"dataset": "cityscapes", "root": str(tmp_path), "options": {"allow_missing": True}}
    config = PrepareConfig.of({**given, "runtime": {"workers": 0}})
    store = ClipStore(execute(STAGE, config, Run(workspace=tmp_path / "made", inputs=[])).path)
    assert np.array_equal(store.frame(0, 0), _half(frame))
    assert np.array_equal(store.label(0, 0), _train_ids(label[::2, ::2]))
    assert np.array_equal(resize_frame(frame, (512, 1024)), _half(frame))


def test_generated_train_ids_are_the_same_labels(tree: Tree) -> None:
    root = tree("cityscapes")
    before = {clip.name: _open(root).label(clip.frames[19]) for clip in _open(root).clips()}
    for path in sorted((root / FINE).glob("*/*/*_labelIds.png")):
        ids = _read(path)
        path.unlink()
        Image.fromarray(_train_ids(ids)).save(str(path).replace("labelIds", "labelTrainIds"))
    dataset = _open(root)
    for clip in dataset.clips():
        assert np.array_equal(dataset.label(clip.frames[19]), before[clip.name])
    assert set(np.unique(np.stack(list(before.values()))).tolist()) == {*range(19), 255}


def test_label_ids_are_preferred(tree: Tree) -> None:
    root = tree("cityscapes")
    other = root / FINE / "train" / f"{AACHEN}_000019_gtFine_labelTrainIds.png"
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(other)
    label = _open(root).label(f"{AACHEN}_000019")
    assert np.array_equal(label, _train_ids(moment("aachen_000000", 19)[1]))


def test_allow_missing_keeps_what_is_around_the_label(tree: Tree) -> None:
    root = tree("cityscapes")
    for city, number in (("aachen", 7), ("aachen", 11), ("aachen", 25), ("bochum", 19), ("ulm", 29)):
        (root / SEQUENCE / "train" / city / f"{city}_000000_{number:06}_leftImg8bit.png").unlink()
    shutil.rmtree(root / FINE / "train" / "weimar")
    for directory in (SEQUENCE, FINE):
        shutil.rmtree(root / directory / "train" / "zurich")
    dataset = _open(root, allow_missing=True)
    clips = {clip.name: clip for clip in dataset.clips()}
    assert len(clips) == 24 - 3
    aachen, ulm = clips["aachen_000000_000019"], clips["ulm_000000_000019"]
    assert aachen.frames == tuple(f"{AACHEN}_{n:06}" for n in range(12, 25))
    assert aachen.annotated == 7
    assert (len(ulm.frames), ulm.annotated) == (29, 19)
    text = "\n".join(dataset.summary())
    assert "going on without 1 city (the first: train/zurich)" in text
    assert f"without 5 frames of 3 clips (the first: {SEQUENCE}/train/{AACHEN}_000007_leftImg8bit.png)" in text
    assert f"without 1 label (the first: {FINE}/train/weimar/weimar_000000_000019_gtFine_labelIds.png)" in text


@settings(deadline=None)
@given(st.sets(st.integers(0, 29)), st.integers(1, 30))
def test_what_is_left_of_a_clip_with_gaps(gaps: set[int], length: int) -> None:
    anchor, missing, catalog = Anchor("ulm_000003", 119), Missing(), Catalog()
    there = {number: Path(str(number)) for i, number in enumerate(anchor.numbers) if i not in gaps}
    clip = _open(Path(), clip_length=length).cut(Files("train", {anchor.video: there}), anchor, catalog, missing)
    begin = 20 - min(20, length)
    run = "".join("-" if i in gaps or i < begin or i >= begin + length else "x" for i in range(30))
    before, after = len(run[:19].rpartition("-")[2]), len(run[20:].partition("-")[0])
    names = [f"ulm/ulm_000003_{number:06}" for number in range(119 - before, 120 + after)]
    assert (clip is None) == (19 in gaps)
    assert list(clip.frames if clip else ()) == (names if clip else []) == list(catalog.frames)
    assert len(missing.frames) == len(gaps & {*range(begin, begin + length)})
    assert missing.clips == bool(missing.frames)


def no_city(root: Path, replace: Replace) -> str:
    for city in ("ulm", "bremen"):
        for directory in (SEQUENCE, FINE):
            shutil.rmtree(root / directory / "train" / city)
    return "missing: 2 cities (the first: train/bremen); unpack leftImg8bit_sequence_trainvaltest.zip and gtFine"


def no_sequence(root: Path, replace: Replace) -> str:
    shutil.rmtree(root / SEQUENCE)
    return f"missing: 720 frames of 24 clips (the first: {SEQUENCE}/train/{AACHEN}_000000_leftImg8bit.png); unpack left"


def no_sequence_of_a_city(root: Path, replace: Replace) -> str:
    shutil.rmtree(root / SEQUENCE / "val" / "frankfurt")
    name = "frankfurt/frankfurt_000000_000275"
    return f"missing: 60 frames of 2 clips (the first: {SEQUENCE}/val/{name}_leftImg8bit.png); unpack left"


def no_neighbours(root: Path, replace: Replace) -> str:
    for city, number in (("jena", 16), ("jena", 15), ("ulm", 18)):
        (root / SEQUENCE / "train" / city / f"{city}_000000_{number:06}_leftImg8bit.png").unlink()
    return f"missing: 3 frames of 2 clips (the first: {SEQUENCE}/train/jena/jena_000000_000015_leftImg8bit.png); unpack"


def no_labels(root: Path, replace: Replace) -> str:
    for city in ("munster", "lindau"):
        (root / FINE / "val" / city / f"{city}_000000_000019_gtFine_labelIds.png").unlink()
    first = f"{FINE}/val/lindau/lindau_000000_000019_gtFine_labelIds.png"
    return f"missing: 2 labels (the first: {first}); unpack gtFine_trainvaltest.zip there"


def nothing(root: Path, replace: Replace) -> str:
    shutil.rmtree(root / SEQUENCE)
    shutil.rmtree(root / FINE)
    return "not Cityscapes: neither gtFine/ nor leftImg8bit_sequence/ is here; unpack"


def ids_out_of_range(root: Path, replace: Replace) -> str:
    path = root / FINE / "train" / "ulm" / "ulm_000000_000019_gtFine_labelIds.png"
    ids = _read(path).copy()
    ids[3, :2] = 34, 99
    return f"{replace(path, ids)}: holds 34, 99, but label ids are 0-33; "


def train_ids_as_label_ids(root: Path, replace: Replace) -> str:
    path = root / FINE / "train" / "ulm" / "ulm_000000_000019_gtFine_labelIds.png"
    return f"{replace(path, _train_ids(_read(path)))}: holds 255, but label ids are 0-33; "


def frame_of_another_size(root: Path, replace: Replace) -> str:
    path = root / SEQUENCE / "val" / "lindau" / "lindau_000000_000004_leftImg8bit.png"
    return f"{replace(path, _read(path)[::2, ::2])}: 32x16 pixels, the first frame has 64x32; "


def label_of_another_size(root: Path, replace: Replace) -> str:
    path = root / FINE / "train" / "ulm" / "ulm_000000_000019_gtFine_labelIds.png"
    return f"{replace(path, _read(path)[:, ::2])}: label is 32x32, its frame ulm/ulm_000000_000019 is 64x32; "


def cut_off(root: Path, replace: Replace) -> str:
    path = root / SEQUENCE / "train" / f"{AACHEN}_000003_leftImg8bit.png"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-300])
    return f"{path}: cannot be read as an image"


WRONG = [
    *(no_city, no_sequence, no_sequence_of_a_city, no_neighbours, no_labels, nothing),
    *(ids_out_of_range, train_ids_as_label_ids, frame_of_another_size, label_of_another_size, cut_off),
]


@pytest.mark.parametrize("spoil", WRONG)
def test_wrong_trees_are_one_line_and_exit_4(
    tree: Tree, replace: Replace, cli: CLI, tmp_path: Path, spoil: Callable[[Path, Replace], str]
) -> None:
    root = tree("cityscapes")
    words = spoil(root, replace)
    done = cli(f"ifrkit prepare cityscapes --root {root} --set size=[16,32] --set runtime.workers=0 -q")
    assert words in complaint(done, 4)
    assert not list(tmp_path.glob("ifrkit_artifacts/clips/*"))


def test_train_ids_and_colours_that_are_none(tree: Tree, replace: Replace) -> None:
    root = tree("cityscapes")
    path = root / FINE / "train" / f"{AACHEN}_000019_gtFine_labelIds.png"
    replace(path, np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"labelIds\.png: colours, not class ids"):
        _open(root).label(f"{AACHEN}_000019")
    path.unlink()
    path = path.with_name(path.name.replace("labelIds", "labelTrainIds"))
    Image.fromarray(np.full((32, 64), 19, np.uint8)).save(path)
    with pytest.raises(DatasetError, match=r"labelTrainIds\.png: holds 19, but train ids are 0-18, and 255 for void"):
        _open(root).label(f"{AACHEN}_000019")


def test_nothing_left_with_allow_missing(tree: Tree) -> None:
    root = tree("cityscapes")
    shutil.rmtree(root / SEQUENCE)
    with pytest.raises(DatasetError, match="no clip is left; missing: 720 frames of 24 clips"):
        _open(root, allow_missing=True).clips()


def test_the_chain_trains_on_clips_of_cityscapes(tree: Tree, cli: CLI, tmp_path: Path) -> None:
    """prepare | train-branches --ssl ifr, by a published kind of list; then lists that do not fit."""
    root, chain = tree("cityscapes"), Chain(tmp_path)
    path = tmp_path / "train_sup.txt"
    path.write_text("jena/jena_000001_000019\nhamburg/hamburg_000000_000659\naachen/aachen_000000_000019\n")
    train = (
        "ifrkit train-branches --ssl ifr --recipe cityscapes --backbone resnet18,resnet34 --steps 2 "
        "--set update.width=0.0625 --set reference.width=0.0625 --set loop.eval_every=2 --set loop.batch=2 "
        "--set crop.size=[24,32] --set runtime.workers=0 -q --labeled-list"
    )
    made = chain.ok(
        f"ifrkit prepare cityscapes --root {root} --recipe cityscapes --set size=[32,64] -q | {train} {path}"
    )
    listed = (Path(made.stdout.strip()) / "branches.json").read_text()
    assert all(name in listed for name in ("jena_000001_000019", "hamburg_000000_000659", "aachen_000000_000019"))
    path.write_text("aachen/aachen_000000_000019\naachen/aachen_000077_000019\nulm/ulm_000000_000018\n")
    said = complaint(cli(f"{train} {path} --from clips"), 4)
    assert "lines that name no annotated training frame: 2, first aachen/aachen_000077_000019" in said
