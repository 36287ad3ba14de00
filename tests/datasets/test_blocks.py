"""One long video: val in blocks over it, with a gap in time on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep._leakage import measure
from data_prep.folders import Dataset
from data_prep.folders.blocks import blocks_of
from ifrkit.core.records import IGNORE

LABELS = list(range(9, 200, 10))
"""Of a video of 200 frames."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one")
    (path / "frames/a").mkdir(parents=True)
    (path / "labels").mkdir()
    rng = np.random.default_rng(0)
    for number in range(200):
        frame = rng.integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(frame).save(path / f"frames/a/{number:04}.png")
    for number in LABELS:
        Image.fromarray(np.array([[0, 1], [1, IGNORE]], np.uint8).repeat(8, 0).repeat(8, 1)).save(
            path / f"labels/a_{number:04}.png"
        )
    return path


def opened(root: Path, **options: float) -> Dataset:
    return Dataset(root, Dataset.Config.of({"clip_length": 5, "fps": 10.0, **options}), 0)


def split_of(dataset: Dataset) -> dict[int, str]:
    return {int(c.frames[c.annotated][2:]): c.split for c in dataset.clips() if c.annotated is not None}


def test_blocks_share_the_labels_and_leave_training_some_in_each_part() -> None:
    assert [list(b.labels) for b in blocks_of(range(20), 4, 2)] == [[8, 9], [18, 19]]
    assert [list(b.labels) for b in blocks_of(range(20), 5, 3)] == [[5], [11, 12], [18, 19]]
    assert [b.before for b in blocks_of(range(20), 5, 3)] == [4, 10, 17]
    assert [list(b.labels) for b in blocks_of(range(3), 2, 2)] == [[2]]  # a part of one label keeps it for training
    for count in range(1, 20):
        for blocks in range(1, 8):
            found = [label for block in blocks_of(range(20), count, blocks) for label in block.labels]
            assert found == sorted(set(found))
            assert 0 < len(found) <= count


def test_val_lies_in_blocks_over_the_video(root: Path) -> None:
    held = [n for n, split in split_of(opened(root, blocks=4)).items() if split == "val"]
    assert held == [49, 99, 149, 199]
    assert [n for n, split in split_of(opened(root)).items() if split == "val"] == [169, 179, 189, 199]
    notes = opened(root, blocks=2).summary()
    assert any("4 labels in 2 blocks of it are val, frames 89 to 99, 189 to 199" in line for line in notes)


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.2])
def test_the_leakage_of_blocks_is_what_their_frames_say(root: Path, gap: float) -> None:
    dataset = opened(root, blocks=4, gap=gap)
    found = measure(dataset.clips(), dataset.frame)
    train = {int(name[2:]) for c in dataset.clips() if c.split == "train" for name in c.frames}
    held = [n for n, split in split_of(dataset).items() if split == "val"]
    nearest = {n: min(abs(n - other) for other in train) for n in held}
    assert {int(pair.held_out[2:]): pair.distance for pair in found.nearest} == nearest
    assert found.near == sum(distance <= 2 for distance in nearest.values()) == (3 if gap == 0 else 0)
    assert min(nearest.values()) > 10 * gap
    for clip in dataset.clips():
        if clip.split == "val":
            assert len(clip.frames) == 5  # with predecessors, out of the gap


def test_too_few_labels_for_blocks_are_split_as_without(root: Path) -> None:
    options = {"val_fraction": 0.05}
    assert split_of(opened(root, blocks=4, **options)) == split_of(opened(root, **options))
