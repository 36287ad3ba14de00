"""The overlay video: which codec, when each picture is shown, the legend, and sizes that codecs do not take."""

from __future__ import annotations

from math import nan
from pathlib import Path

import cv2
import numpy as np
import own_videos
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifrkit.core.errors import ResourceError
from ifrkit.core.records import LabelSpace
from ifrkit.media.mp4 import retime
from ifrkit.predict import overlay
from ifrkit.predict.legend import Legend
from ifrkit.predict.overlay import ENCODERS, Look, Overlay, durations_of, encoder

LABELS = LabelSpace(names=("road", "Straße", "дерево"), colors=((128, 64, 128), (0, 200, 0), (250, 10, 10)))
WRITTEN = [name for name in ENCODERS if overlay._writes(ENCODERS[name])]


def _times(path: Path) -> list[int]:
    """When a player shows each picture, in milliseconds."""
    capture, times = cv2.VideoCapture(str(path)), []
    while capture.grab():
        times.append(round(capture.get(cv2.CAP_PROP_POS_MSEC)))
    return times


def _look(codec: overlay.Codec = "mpeg4", opacity: float = 0.5) -> Look:
    return Look(LABELS, opacity, True, codec)


def _ids(size: tuple[int, int]) -> np.ndarray:
    return np.arange(size[0] * size[1], dtype=np.uint8).reshape(size) % 3


def test_some_codec_is_always_there() -> None:
    assert encoder("auto") == WRITTEN[0]
    assert "mpeg4" in WRITTEN
    assert "which browsers do not play" in overlay.unplayable("mpeg4")
    assert not any(overlay.unplayable(codec) for codec in WRITTEN if codec != "mpeg4")


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("size", [(32, 48), (45, 61)])
def test_every_codec_that_is_there_is_played(tmp_path: Path, codec: overlay.Codec, size: tuple[int, int]) -> None:
    if codec not in WRITTEN:
        with pytest.raises(ResourceError, match=f"OpenCV cannot write an mp4 of {codec} here; --set codec=auto"):
            encoder(codec)
        return
    shades = (20, 90, 200)
    with Overlay(tmp_path / "o.mp4", size, 12.5, _look(codec, 0.0)) as video:
        for shade in shades:
            video.write(np.full((*size, 3), shade, np.uint8), _ids(size))
    shown = own_videos.read_video(tmp_path / "o.mp4")
    assert [frame.shape[:2] for frame in shown] == [(size[0] + size[0] % 2, size[1] + size[1] % 2)] * 3
    for frame, shade in zip(shown, shades, strict=True):
        assert abs(frame[: size[0], : size[1]].mean() - shade) < 6
    assert _times(tmp_path / "o.mp4") == [0, 80, 160]
    tag = int(cv2.VideoCapture(str(tmp_path / "o.mp4")).get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    assert tag.lower() in {"mpeg4": (b"mp4v", b"fmp4"), "vp9": (b"vp09", b"vp90")}.get(codec, (tag.lower(),))


@pytest.mark.parametrize("codec", WRITTEN)
def test_pictures_keep_the_times_of_their_frames(tmp_path: Path, codec: overlay.Codec) -> None:
    times = [100.0, 140.0, 180.0, 340.0, 380.0, 1100.0, 1140.0]
    with Overlay(tmp_path / "o.mp4", (32, 48), 25, _look(codec)) as video:
        for number, time in enumerate(times):
            video.write(np.full((32, 48, 3), 20 * number, np.uint8), _ids((32, 48)), time)
    assert _times(tmp_path / "o.mp4") == [round(time - 100) for time in times]


def test_durations() -> None:
    assert durations_of([0.0, 40.0, 81.0, 119.0], 25) == []
    assert durations_of([nan] * 5, 25) == []
    assert durations_of([500.0, 540.0, 700.0], 25) == [3600, 14400, 3600]
    assert durations_of([0.0, nan, 200.0], 25) == [3600, 14400, 3600]  # a broken frame has no time
    assert min(durations_of([0.0, 300.0, 10.0, 500.0], 25)) > 0  # a clock that goes back


@given(times=st.lists(st.just(nan) | st.floats(0, 1e7), min_size=1, max_size=30), fps=st.floats(1, 240))
def test_durations_are_never_empty_or_negative(times: list[float], fps: float) -> None:
    durations = durations_of(times, fps)
    assert not durations or (len(durations) == len(times) and min(durations) > 0)


def test_a_file_of_another_form_stays_as_it_is(tmp_path: Path) -> None:
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(3))
    good = video.read_bytes()
    for data, count in ((good, 4), (b"", 3), (b"no mp4 at all", 3), (good[:-9], 3), (good + good, 3)):
        video.write_bytes(data)
        assert not retime(video, [900] * count)
        assert video.read_bytes() == data


def test_the_legend_names_the_classes_that_occur(tmp_path: Path) -> None:
    size = (240, 320)
    legend = Legend(LABELS, size)
    ids = np.zeros(size, np.uint8)
    ids[:, 200:] = 2
    picture = np.full((*size, 3), 255, np.uint8)
    legend.draw(picture, ids)
    for index, here in enumerate((True, False, True)):
        color = np.array(LABELS.colors[index][::-1], np.uint8)
        assert (picture == color).all(2).sum() >= (60 if here else 0)
        assert here or not (picture == color).all(2).any()
    assert (picture[:150] == 255).all()  # in a corner
    assert (picture[:, 200:] == 255).all()
    small = np.full((60, 80, 3), 255, np.uint8)
    Legend(LABELS, (60, 80)).draw(small, ids[:60, :80])
    assert (small == 255).all()


def test_a_legend_has_room_for_many_classes() -> None:
    many = LabelSpace(
        names=tuple(f"class {i}" * 9 for i in range(200)), colors=tuple((i, 255 - i, 7) for i in range(200))
    )
    size = (130, 170)
    picture = np.full((*size, 3), 255, np.uint8)
    Legend(many, size).draw(picture, (np.arange(130 * 170) % 200).astype(np.uint8).reshape(size))
    assert (picture != 255).any()
