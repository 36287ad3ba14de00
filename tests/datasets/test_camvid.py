"""CamVid: clips of both layouts, labels, offsets, and what is refused."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep._runs import runs, windows
from data_prep.camvid import Dataset
from data_prep.camvid import original as _camvid_original
from data_prep.camvid import toys as toys
from data_prep.camvid.classes import LABELS, MEMBERS, read_color_label
from ifrkit.config.training import LabeledSet
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.stages._prepare_check import check_clips
from ifrkit.testing import check_dataset, check_fingerprint

REAL = Path(__file__).parents[3] / "shared" / "data" / "camvid"


def _open(root: Path, **options: object) -> Dataset:
    return Dataset(root, Dataset.Config.of(options))


@pytest.fixture
def segnet(tmp_path: Path) -> Path:
    toys.segnet(tmp_path)
    return tmp_path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    toys.original(tmp_path)
    return tmp_path


def test_runs_bridge_the_odd_label_and_stop_at_gaps() -> None:
    numbers = [840, 870, 901, 930, 960, 4350, 4380, 4410, 7959, 7961, 7963, 7965, 7990, 8020, 8050]
    parts = [[numbers[i] for i in run] for run in runs(numbers, 3)]
    assert parts == [[840, 870, 901, 930, 960], [4350, 4380, 4410], [7959, 7961, 7963, 7965], [7990, 8020, 8050]]


def test_runs_at_small_steps_have_no_tolerance() -> None:
    assert runs([0, 2, 4, 7, 9, 11], 3) == [[0, 1, 2], [3, 4, 5]]
    assert runs([0, 1, 2, 4, 5, 6], 3) == [[0, 1, 2], [3, 4, 5]]


def test_runs_keep_a_lone_frame_apart() -> None:
    assert runs([5, 1000, 1030, 1060, 1090], 3) == [[0], [1, 2, 3, 4]]
    assert runs([], 3) == []


def test_windows_leave_the_remainder() -> None:
    assert windows(list(range(8)), 3, 3) == [[0, 1, 2], [3, 4, 5]]
    assert windows(list(range(5)), 3, 1) == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_segnet_clips(segnet: Path) -> None:
    clips = _open(segnet).clips()
    train = [c for c in clips if c.split == "train"]
    frames = [f for c in train for f in c.frames]
    assert len(frames) == len(set(frames))
    assert [c.name for c in train] == ["0001TP_006810", "0001TP_006960", "0016E5_00901", "0016E5_01050", "0016E5_04470"]
    assert all(c.annotated == 4 and c.labeled == (4,) and c.hidden == (0, 1, 2, 3) for c in train)
    val = [c for c in clips if c.split == "val"]
    assert [c.name for c in val] == [f"0016E5_{n:05}" for n in range(7967, 7977, 2)]
    scored = [c.frames[i] for c in val for i in (*c.labeled, *c.hidden)]
    assert sorted(scored) == sorted({f for c in val for f in c.frames})  # every label once, none forgotten


def test_segnet_strides(segnet: Path) -> None:
    clips = _open(segnet, clip_length=3, stride=1, eval_stride=3).clips()
    assert len([c for c in clips if c.video == "0001TP"]) == 9
    assert [c.name for c in clips if c.split == "val"] == ["0016E5_07963", "0016E5_07969", "0016E5_07975"]
    listed = [c.frames[i] for c in clips for i in (*c.labeled, *c.hidden)]
    assert len(listed) == len(set(listed))


def test_segnet_void_is_255(segnet: Path) -> None:
    dataset = _open(segnet)
    label = dataset.label(dataset.clips()[0].frames[4])
    assert (label[:2] == 255).all()
    assert set(np.unique(label[2:])) == set(range(11))


def test_segnet_summary_names_what_is_left_out(segnet: Path) -> None:
    text = "\n".join(_open(segnet).summary())
    assert "train 0016E5: 15 frames in runs of 10 at step 30, 5 at step 30" in text
    assert "1 in no clip: 0001TP/0001TP_006990" in text
    assert "val: 5 clips of 5 frames (9 distinct), 5 labeled, 4 hidden labels" in text


@pytest.mark.parametrize(
    ("options", "key"),
    [({"protocol": "paper"}, "protocol"), ({"offsets": {"0016E5": 0}}, "offsets")],
)
def test_segnet_refuses_options_of_the_other_layout(segnet: Path, options: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=f"options.{key} has no meaning"):
        _open(segnet, **options).clips()


def test_segnet_empty_split(segnet: Path) -> None:
    for path in (segnet / "val").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="val: no images"):
        _open(segnet).clips()


def test_segnet_clips_too_long(segnet: Path) -> None:
    with pytest.raises(DatasetError, match=r"no 30 consecutive frames; lower options.clip_length"):
        _open(segnet, clip_length=30).clips()


def test_segnet_missing_label(segnet: Path) -> None:
    (segnet / "trainannot" / "0016E5_00901.png").unlink()
    with pytest.raises(DatasetError, match=r"0016E5_00901.png: its label .* is missing"):
        _open(segnet).clips()


def test_segnet_frame_in_two_splits(segnet: Path) -> None:
    for part in ("", "annot"):
        shutil.copy(segnet / f"train{part}" / "0016E5_00901.png", segnet / f"val{part}" / "0016E5_00901.png")
    with pytest.raises(DatasetError, match="keep it in one split only"):
        _open(segnet).clips()


def test_segnet_ids_outside_the_label_space(segnet: Path) -> None:
    path = segnet / "trainannot" / "0016E5_00901.png"
    Image.fromarray(np.full((48, 64), 26, np.uint8)).save(path)
    with pytest.raises(DatasetError, match=r"0016E5_00901.png: label ids 26 are outside"):
        _open(segnet).label("0016E5/0016E5_00901")


def test_segnet_sizes_differ(segnet: Path) -> None:
    path = segnet / "trainannot" / "0016E5_00901.png"
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(path)
    with pytest.raises(DatasetError, match=r"label is 32x24, its frame 0016E5/0016E5_00901 is 64x48"):
        _open(segnet).label("0016E5/0016E5_00901")


def test_neither_layout(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither train/ with trainannot/ .* nor SEQUENCE_NUMBER_L.png"):
        _open(tmp_path).clips()
    with pytest.raises(DatasetError, match="no such directory"):
        _open(tmp_path / "nowhere").clips()


def test_the_32_colours_group_into_11_classes(tmp_path: Path) -> None:
    members = [(index, rgb) for index, group in enumerate(MEMBERS.values()) for rgb in group.values()]
    assert len(members) == 31
    assert len({rgb for _, rgb in members}) == 31
    colors = np.array([[rgb for _, rgb in members] + [(0, 0, 0), (1, 2, 3)]], np.uint8)
    Image.fromarray(colors).save(tmp_path / "x_L.png")
    label, unknown = read_color_label(tmp_path / "x_L.png")
    assert label[0].tolist() == [index for index, _ in members] + [255, 255]
    assert unknown == 1
    spec = {"car": [(64, 128, 192), (192, 128, 192)], "sidewalk": [(64, 192, 128)], "pole": [(0, 0, 64)]}
    for name, wanted in spec.items():
        assert {LABELS.names[i] for i, rgb in members if rgb in wanted} == {name}


def test_original_contract(original: Path) -> None:
    dataset = _open(original)
    check_dataset(dataset)
    check_fingerprint(dataset)


def test_original_clips_end_at_their_label(original: Path) -> None:
    dataset = _open(original)
    clips = {c.name: c for c in dataset.clips()}
    assert list(clips) == ["0001TP_000030", "0001TP_000060", *(f"0016E5_{n:06}" for n in (391, 421, 423, 425)),
                           "Seq05VD_000031"]  # fmt: skip
    assert {c.split for c in clips.values() if c.video == "Seq05VD"} == {"test"}
    clip = clips["0016E5_000391"]
    assert clip.frames[-1] == "0016E5/0016E5_000391"
    assert clip.frames[0] == "0016E5/0016E5_000362"
    assert clip.annotated == 29
    still = np.asarray(Image.open(original / "701_StillsRaw_full" / "0016E5_00390.png"))
    assert np.array_equal(dataset.frame(clip.frames[29]), still)
    ids = np.asarray(Image.open(original / "LabeledApproved_full" / "0016E5_00390_L.png"))
    assert np.array_equal(dataset.label(clip.frames[29]) == 255, (ids == 0).all(-1))


def test_original_summary(original: Path) -> None:
    text = "\n".join(_open(original).summary())
    assert "0016E5_00424_L.png: 7 pixels of unknown colours become void" in text
    assert "without 29 predecessors: Seq05VD_f00000_L.png" in text
    assert "0001TP: frame numbers confirmed by 2 stills" in text


def test_original_splits() -> None:
    split = _camvid_original.split_of
    assert [split("0001TP", n, "paper") for n in (6690, 8520, 8550, 10380)] == ["train", "train", "test", "test"]
    assert split("Seq05VD", 30, "segnet") == "test"
    assert [split("0016E5", n, "paper") for n in (390, 7959)] == ["train", "train"]
    assert [split("0016E5", n, "segnet") for n in (7920, 7959, 8159, 8190)] == ["train", "val", "val", "train"]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """All 701 labels and the four videos by name; nothing is in them."""
    numbers = {
        "0001TP_{:06}": range(6690, 10381, 30),
        "0006R0_f{:05}": range(930, 3931, 30),
        "0016E5_{:05}": [n if n != 900 else 901 for n in (*range(390, 2401, 30), *range(4350, 7921, 30))]
        + [*range(7959, 8160, 2), *range(8190, 8641, 30)],
        "Seq05VD_f{:05}": range(0, 5101, 30),
    }
    names = [form.format(n) + "_L.png" for form, own in numbers.items() for n in own]
    assert len(set(names)) == 701
    for name in (*names, "01TP_extract.avi", "0006R0.MXF", "0016E5.MXF", "0005VD.MXF"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(("protocol", "counts"), [("paper", (468, 0, 232)), ("segnet", (367, 101, 232))])
def test_the_published_labels_give_the_published_clips(published: Path, protocol: str, counts: tuple[int, ...]) -> None:
    clips = _open(published, protocol=protocol).clips()
    assert tuple(sum(c.split == split for c in clips) for split in ("train", "val", "test")) == counts
    assert all(len(c.frames) == 30 and c.annotated == 29 for c in clips)
    check_clips(clips)  # no frame is in two splits
    if protocol == "paper":
        train = [c for c in clips if c.split == "train"]
        assert Counter(c.video for c in train) == {"0016E5": 305, "0006R0": 101, "0001TP": 62}
        assert len({f for c in train for f in c.frames}) == 11_239


def test_partitions_and_lists_of_the_papers_protocol(published: Path, tmp_path: Path) -> None:
    clips = _open(published).clips()
    train = [i for i, c in enumerate(clips) if c.split == "train"]
    store: Any = SimpleNamespace(clips=clips, path=published, clips_of=lambda split: train)
    drawn = {k: labeled_clips(store, LabeledSet(partition=f"1/{k}")) for k in (1, 2, 4, 8, 16, 30)}
    assert {k: len(own) for k, own in drawn.items()} == {1: 468, 2: 234, 4: 117, 8: 58, 16: 29, 30: 15}
    path = tmp_path / "trainval_image.txt"
    path.write_text("0001TP/0001TP_001470\n0016E5/0016E5_007141\n0006R0/0006R0_000931\n")
    listed = labeled_clips(store, LabeledSet(list=str(path)))
    assert [clips[i].name for i in listed] == ["0001TP_001470", "0006R0_000931", "0016E5_007141"]
    path.write_text("Seq05VD/Seq05VD_000031\n")  # a test frame
    with pytest.raises(DatasetError, match="lines that name no annotated training frame: 1, first Seq05VD"):
        labeled_clips(store, LabeledSet(list=str(path)))


def test_original_offset_that_the_stills_contradict(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that yields one leading frame less: everything shifts by one, and the error says how to correct it."""
    monkeypatch.setitem(_camvid_original.OFFSETS, "0016E5", 0)
    dataset = _open(original)
    for _ in range(2):  # not only the first time
        with pytest.raises(DatasetError, match=r"the decoded frame \+1 .*options.offsets.0016E5=-1"):
            dataset.clips()
    corrected = _open(original, offsets={"0016E5": -1})
    assert "0016E5: frame numbers confirmed by 3 stills" in corrected.summary()


def test_original_missing_frame(original: Path) -> None:
    (original / "video_image" / "0016E5" / "0016E5_000380.png").unlink()
    with pytest.raises(DatasetError, match=r"frame 380 is missing; 0016E5_00390_L.png needs 30 frames up to 391"):
        _open(original).clips()


def test_original_video_that_ends_too_early(original: Path) -> None:
    video = original / "01TP_extract.avi"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"01TP_extract.avi"):
        list(_open(original).frames(["0001TP/0001TP_000060"]))


def test_original_labels_without_frames(original: Path) -> None:
    (original / "01TP_extract.avi").unlink()
    assert "0001TP: 2 labels left out: no 0001TP/ frames and no video here" in _open(original).summary()
    shutil.rmtree(original / "video_image")
    with pytest.raises(DatasetError, match="labels, but no frames: looked for"):
        _open(original).clips()


def test_original_refuses_stride_and_unknown_sequence(original: Path) -> None:
    with pytest.raises(ConfigError, match=r"options.stride has no meaning"):
        _open(original, stride=3).clips()
    with pytest.raises(ConfigError, match=r"options.offsets names '0017E5'"):
        _open(original, offsets={"0017E5": 0}).clips()


@pytest.mark.skipif(not REAL.is_dir(), reason="CamVid is not here")
def test_real_camvid() -> None:
    dataset = _open(REAL)
    clips = dataset.clips()
    assert len(dataset.catalog.frames) == 367 + 101
    assert [sum(c.split == s for c in clips) for s in ("train", "val")] == [12 + 20 + 13 + 24 + 3, 97]
    bridged = next(c for c in clips if "0016E5/0016E5_00901" in c.frames)
    assert {"0016E5/0016E5_00870", "0016E5/0016E5_00930"} & set(bridged.frames)
    label = dataset.label(clips[0].frames[4])
    assert label.shape == (360, 480)
    assert 0.5 < np.isin(label, (0, 1, 3, 5)).mean() < 1
