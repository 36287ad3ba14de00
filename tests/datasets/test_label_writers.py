"""Labels that are written for a tool come back from its reader to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load, names
from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.labels.base import open_labels, writer_of
from ifrkit.media.classes import ClassTable, named_table
from ifrkit.media.palette import distinct_colors

FORMATS = [name for name in names("labels") if load("labels", name).writer is not None]
SIZE = (13, 37)


def space(count: int, background: bool) -> LabelSpace:
    """Classes whose colours are twice the same, once black."""
    classes = [f"thing {n}" for n in range(count)]
    if background:
        classes[count // 2] = "background"
    return LabelSpace(names=tuple(classes), colors=((0, 0, 0), (9, 9, 9), *distinct_colors(count)[1:])[:count])


def hard_labels(count: int) -> dict[str, Label]:
    """Noise; a hole in a hole; single pixels; all borders; nothing but one class; nothing at all."""
    rng = np.random.default_rng(count)
    ids = np.array([*range(count), IGNORE], np.uint8)
    noise = ids[rng.integers(0, count + 1, SIZE)]
    holes = np.zeros(SIZE, np.uint8)
    for depth, index in enumerate((1, IGNORE, 1, count - 1)):
        holes[1 + depth : -1 - depth, 2 + depth : -2 - depth] = index
    dots = np.full(SIZE, IGNORE, np.uint8)
    dots[::4, ::5] = ids[rng.integers(0, count, dots[::4, ::5].shape)]
    borders = np.full(SIZE, count - 1, np.uint8)
    borders[0], borders[-1], borders[:, 0], borders[:, -1] = 0, 1, 1, 0
    every = np.resize(ids, SIZE)
    one, last = np.zeros(SIZE, np.uint8), np.full(SIZE, count // 2, np.uint8)
    made = {"noise": noise, "holes": holes, "dots": dots, "borders": borders, "every": every, "one": one, "last": last}
    return {f"street_{name}_{n:06}": label for n, (name, label) in enumerate(made.items())}


def table(labels: LabelSpace) -> ClassTable:
    """The user's own class table."""
    return named_table("classes.yaml", labels.names, labels.colors)


def round_trip(place: Path, name: str, labels: LabelSpace, given: dict[str, Label]) -> dict[str, Label]:
    """Frame name -> what the reader finds, which the format is seen from."""
    with writer_of(name)(place, labels) as writer:
        for frame, ids_hw in given.items():
            writer.write(f"{frame}.jpg", ids_hw)
    found = open_labels(place, "auto")
    assert found.format == name
    size = next(iter(given.values())).shape
    entries = found.reader.entries()
    return {entry.names[-1]: found.reader.read(entry.key, (size[0], size[1]), table(labels)) for entry in entries}


def test_these_formats_are_written() -> None:
    assert {"coco", "cvat", "label-studio", "labelme", "png"} <= set(FORMATS)
    with pytest.raises(ConfigError, match=r"cityscapes-polygons are read only; written are: .*coco"):
        writer_of("Cityscapes_Polygons")


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("count", [2, 12, 64])
@pytest.mark.parametrize("name", FORMATS)
def test_identity(tmp_path: Path, name: str, count: int, background: bool) -> None:
    given = hard_labels(count)
    found = round_trip(tmp_path, name, space(count, background), given)
    assert found.keys() == given.keys()
    for frame, ids_hw in given.items():
        assert np.array_equal(found[frame], ids_hw), frame


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_identity_of_any_size(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    count, seed = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 999))
    ids = np.array([*range(count), IGNORE], np.uint8)
    label = ids[np.random.default_rng(seed).integers(0, count + 1, (height, width))]
    assume((label != IGNORE).any())  # nothing drawn is, to some tools, not labeled
    found = round_trip(tmp_path_factory.mktemp("any"), name, space(count, data.draw(st.booleans())), {"a_1": label})
    assert np.array_equal(found["a_1"], label)


@pytest.mark.parametrize("name", FORMATS)
def test_an_open_place_and_background_are_not_the_same(tmp_path: Path, name: str) -> None:
    """A frame that shows background alone is labeled; one of which nothing is known is not."""
    labels = space(3, background=True)
    full = np.full(SIZE, 1, np.uint8)
    half = full.copy()
    half[:, 9:] = IGNORE
    found = round_trip(tmp_path, name, labels, {"a_1": full, "a_2": half})
    assert (found["a_1"] == 1).all()
    assert np.array_equal(found["a_2"], half)


def test_label_map_holds_no_name_that_it_would_lose(tmp_path: Path) -> None:
    labels = LabelSpace(names=("road", "#1"), colors=distinct_colors(2))
    with pytest.raises(ConfigError, match=r"class '#1': labelmap\.txt of CVAT cannot hold this name"):
        writer_of("cvat")(tmp_path, labels)
