"""Partitions 1/K: published sizes, nested, the same whatever the order of files; and published lists."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from small_stores import clip

from ifrkit.config.training import LabeledSet
from ifrkit.core.errors import ConfigError, DatasetError, IfrkitError
from ifrkit.core.invalid import Invalid
from ifrkit.core.records import ClipRecord
from ifrkit.data.store.partitions import labeled_clips

PARTITIONS = (1, 2, 4, 8, 16, 30)


def stub(clips: list[ClipRecord]) -> Any:
    """All that a partition needs of a store."""
    return SimpleNamespace(
        clips=clips, path=Path("clips"), clips_of=lambda split: [i for i, c in enumerate(clips) if c.split == split]
    )


def names(store: Any, partition: int, seed: int = 0) -> set[str]:
    chosen = labeled_clips(store, LabeledSet(partition=f"1/{partition}", seed=seed))
    assert chosen == sorted(set(chosen))
    return {store.clips[i].name for i in chosen}


@pytest.mark.parametrize(
    ("count", "sizes"), [(2975, (2975, 1488, 744, 372, 186, 100)), (468, (468, 234, 117, 58, 29, 15))]
)
def test_sizes_are_the_published_ones_and_partitions_are_nested(count: int, sizes: tuple[int, ...]) -> None:
    store = stub([clip(i, length=2) for i in range(count)])
    drawn = [names(store, k) for k in PARTITIONS]
    assert tuple(map(len, drawn)) == sizes
    assert all(small < large for large, small in pairwise(drawn))
    assert names(store, 30, seed=1) != drawn[-1]


@given(st.integers(1, 40), st.sampled_from(PARTITIONS), st.randoms(use_true_random=False))
def test_the_order_of_clips_does_not_matter(count: int, partition: int, random: Any) -> None:
    clips = [clip(i, length=2) for i in range(count)] + [clip(99, annotated=None), clip(98, split="val")]
    before = names(stub(clips), partition)
    random.shuffle(clips)
    assert names(stub(clips), partition) == before
    assert before
    assert not before & {"clip98", "clip99"}


def test_a_known_draw_stays_as_it_is() -> None:
    """Published results name a partition and a seed; a change here changes what they mean."""
    store = stub([clip(i, length=2) for i in range(30)])
    assert labeled_clips(store, LabeledSet(partition="1/8")) == [1, 8, 11, 16]


def test_a_list_names_frames_whole_or_by_their_last_part(tmp_path: Path) -> None:
    store = stub([clip(i, annotated=2) for i in range(3)])
    path = tmp_path / "list.txt"
    path.write_text("# mine\nvideo2/002.png\n\nvideo0/002\tignored\n")
    assert labeled_clips(store, LabeledSet(list=str(path))) == [0, 2]
    unique = stub([replace(clip(0), frames=("city/a_0", "city/a_1", "city/a_2", "city/a_3")), clip(1)])
    path.write_text("elsewhere/a_3.png\n")
    assert labeled_clips(unique, LabeledSet(list=str(path))) == [0]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("video7/001\nvideo0/003\nvideo8/001\n", DatasetError, "lines that name no .*: 2, first video7/001"),
        ("video0/001\n", DatasetError, "video0/001"),
        ("\n# nothing\n", ConfigError, "lists no frame"),
    ],
)
def test_a_list_that_does_not_fit(tmp_path: Path, text: str, error: type[IfrkitError], message: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(error, match=message):
        labeled_clips(stub([clip(0), clip(1)]), LabeledSet(list=str(path)))


def test_ambiguous_and_missing_lists(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("003\n")
    with pytest.raises(ConfigError, match="several"):
        labeled_clips(stub([clip(0), clip(1)]), LabeledSet(list=str(path)))
    with pytest.raises(ConfigError, match="cannot read"):
        labeled_clips(stub([clip(0)]), LabeledSet(list=str(tmp_path / "none.txt")))
    path.write_bytes(np.arange(256, dtype=np.uint8).tobytes())
    with pytest.raises(ConfigError, match="cannot read"):
        labeled_clips(stub([clip(0)]), LabeledSet(list=str(path)))


def test_no_label_at_all_is_a_dataset_error() -> None:
    with pytest.raises(DatasetError, match="no training clip has a label"):
        labeled_clips(stub([clip(0, annotated=None)]), LabeledSet())


@pytest.mark.parametrize("partition", ["2/3", "1/0", "0.5", "1/-2", ""])
def test_a_partition_is_one_over_a_number(partition: str) -> None:
    with pytest.raises(Invalid):
        LabeledSet.of({"partition": partition})


@given(st.integers(1, 40), st.integers(0, 3))
def test_a_count_is_that_many_of_the_same_order(count: int, seed: int) -> None:
    store = stub([clip(f"c{i}", 1) for i in range(40)])
    chosen = labeled_clips(store, LabeledSet(count=count, seed=seed))
    assert len(chosen) == count
    assert set(chosen) <= set(labeled_clips(store, LabeledSet(count=40, seed=seed)))
    if count in (40, 20, 10):
        assert chosen == labeled_clips(store, LabeledSet(partition=f"1/{40 // count}", seed=seed))


def test_a_count_of_more_clips_than_there_are() -> None:
    store = stub([clip(f"c{i}", 1) for i in range(4)])
    with pytest.raises(ConfigError, match=r"labeled.count 5: only 4 training clips have a label"):
        labeled_clips(store, LabeledSet(count=5))


@pytest.mark.parametrize("other", [{"partition": "1/2"}, {"list": "names.txt"}])
def test_only_one_of_count_partition_and_list(other: dict[str, str]) -> None:
    store = stub([clip(f"c{i}", 1) for i in range(4)])
    with pytest.raises(ConfigError, match="exclude each other"):
        labeled_clips(store, LabeledSet.of({"count": 2, **other}))
