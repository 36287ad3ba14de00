"""What is one video, what is left out and how that is said: the same for `init`, `prepare folders` and `predict`."""

# ruff: noqa: RUF001 - digits that look like others are the subject

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import own_videos
import pytest
from PIL import Image

from data_prep._toys import save, save_video
from data_prep.folders import Dataset
from ifrkit.artifacts.job import Silent
from ifrkit.core.errors import DatasetError
from ifrkit.init.footage import Footage
from ifrkit.labels.base import LabelFiles, open_labels
from ifrkit.media.images import image_size, read_raw_label, read_rgb
from ifrkit.media.label_image import read_label_image
from ifrkit.media.litter import is_litter
from ifrkit.media.numbering import find_series, jumps, last_number, natural
from ifrkit.media.search import search
from ifrkit.media.video import SUFFIXES, VideoReader
from ifrkit.predict.sources import survey

BLACK = np.zeros((6, 8, 3), np.uint8)


def _series(*stems: str) -> tuple[dict[str, list[str]], list[str]]:
    """Series by their names, and what is in none."""
    series, strays = find_series(stems)
    return {name: [stems[i] for i in places] for name, places, _ in series}, [stems[i] for i in strays]


def _images(root: Path, *names: str, size: tuple[int, int] = (6, 8)) -> None:
    for name in names:
        path = root / (name if "." in name else f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, np.zeros((*size, 3), np.uint8))


def _everywhere(root: Path) -> tuple[list[list[str]], list[str]]:
    """The files of each video and the lines on what was left out, on which all three commands agree."""
    dataset = Dataset(root.parent, Dataset.Config.of({"frames": root.name}))
    footage = Footage(root, root.parent / "labels", Silent())
    found = survey([str(root)])
    told = [dataset.frames_found.left.lines(), footage.read.left.lines(), found.left.lines()]
    assert told[0] == told[1] == told[2]
    prepared = [[str(s.path) for s in table.values()] for table in dataset.frames_found.table.values()]
    proposed = [[str(s.path) for s in table.values()] for table in footage.videos.values()]
    predicted = [
        [str(path) for path in source.files() if path not in facts.faults]
        if source.video.images
        else [str(source.path)] * len(VideoReader(source.path).numbers())
        for source, facts in found.videos
    ]
    assert sorted(prepared) == sorted(proposed) == sorted(predicted)
    short = [[os.path.relpath(path, root) for path in dict.fromkeys(files)] for files in prepared]
    return short, told[0]


@pytest.mark.parametrize("tail", ["", "_leftImg8bit"])
def test_sequences_whose_numbers_begin_again(tail: str) -> None:
    names = [f"aachen_{s:06}_{n:06}{tail}" for s in (0, 1) for n in (0, 1, 2)]
    assert _series(*names) == ({"aachen_000000": names[:3], "aachen_000001": names[3:]}, [])


@pytest.mark.parametrize(
    ("stems", "series"),
    [
        (["a_0", "a_1", "b_0", "b_1"], {"a": 2, "b": 2}),
        (["s1f001", "s1f002", "s2f001", "s2f002", "s2f003"], {"s1f": 2, "s2f": 3}),
        (["clip-2.9", "clip-2.10", "clip-3.1", "clip-3.2"], {"clip-2": 2, "clip-3": 2}),
        (["000000_10", "000000_11", "000001_10", "000001_11"], {"000000": 2, "000001": 2}),
        (["0001_left", "0001_right", "0002_left", "0002_right"], {"left": 2, "right": 2}),
        (["f_01_cam0", "f_01_cam1", "f_02_cam0", "f_02_cam1"], {"f_cam0": 2, "f_cam1": 2}),
        (["1305031102.975304", "1305031103.011304", "1305031103.043211"], {"": 3}),
        (["1305031102_975304", "1305031103_011304", "1305031103_043211"], {"": 3}),
        (["x_0001_t12", "x_0002_t25", "x_0003_t31"], {"x": 3}),
        (["f1", "f01", "f2", "f02"], {"f": 2, "f-2": 2}),
        (["2024-05-01_12-00-50", "2024-05-01_12-01-00", "2024-05-01_12-01-10"], {"": 3}),
        (["2024-12-31T23.59.59", "2025-01-01T00.00.00"], {"": 2}),
        (["20240501_120059_cam1", "20240501_120100_cam1"], {"": 2}),
    ],
)
def test_series_by_their_names(stems: list[str], series: dict[str, int]) -> None:
    found, strays = _series(*stems)
    assert {name: len(own) for name, own in found.items()} == series
    assert not strays


def test_recordings_that_are_named_after_their_beginning() -> None:
    names = [f"yard 20240501_1{hour}0059_{n:04}" for hour in (2, 3) for n in range(3)]
    assert list(_series(*names)[0].values()) == [names[:3], names[3:]]


@pytest.mark.parametrize("tail", ["", ".5", "250", ".123456"])
def test_minutes_have_sixty_seconds(tail: str) -> None:
    """No jump where a minute, an hour or a day begins; a pause is one."""
    stems = [f"IMG_20240229_2359{second}{tail}" for second in (40, 50)]
    stems += [f"IMG_20240301_0000{second}{tail}" for second in ("00", "10")] + [f"IMG_20240301_0100{10}{tail}"]
    (series,), strays = find_series(stems)
    assert not strays
    assert [stems[place] for place in series.places] == stems
    assert jumps(series.numbers) == (4,)
    assert series.numbers[1] - series.numbers[0] == 10


@pytest.mark.parametrize(
    "stems",
    [
        ["f9", "f10", "f100"],
        ["①", "②", "⑩", "⑪"],
        ["f⁸", "f⁹", "f¹⁰"],
        ["９", "１０"],
        ["٣", "٩", "١٠"],
        ["f९", "f१०"],
        ["9", "１０", "⑪"],
        ["½", "¾"],
        ["a", "b1", "b02", "b²"],
    ],
)
def test_digits_of_any_kind_count(stems: list[str]) -> None:
    assert sorted(stems, key=natural) == stems
    find_series(stems)


@pytest.mark.parametrize(
    ("name", "number"), [("a/b_0012", 12), ("a/b٣", 3), ("a/b²", None), ("a/b①", None), ("a", None), ("12/a", None)]
)
def test_the_number_at_the_end_of_a_name(name: str, number: int | None) -> None:
    assert last_number(name) == number


def test_digits_that_are_numbers_make_one_series() -> None:
    assert _series("⑩", "②", "①") == ({"": ["①", "②", "⑩"]}, [])
    assert _series("f１０", "f２") == ({"f": ["f２", "f１０"]}, [])


def test_a_stretch_ends_where_the_number_jumps_or_goes_back() -> None:
    assert jumps([1, 2, 3, 9, 10, 11]) == (3,)
    assert jumps([5, 6, 7, 1, 2, 3]) == (3,)
    assert jumps([10, 20, 31, 40, 55]) == ()
    assert jumps([1]) == jumps([1, 900]) == ()


def test_images_beside_video_files(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    _images(root, "cover.jpg", "back.jpg", "walk_1", "walk_2", "night/0", "night/1", "talk/hello", "talk/bye")
    save_video(root / "a.avi", [np.zeros((32, 32, 3), np.uint8)] * 3)
    videos, told = _everywhere(root)
    assert videos == [["a.avi"], ["night/0.png", "night/1.png"], ["talk/bye.png", "talk/hello.png"],
                      ["walk_1.png", "walk_2.png"]]  # fmt: skip
    assert told == ["2 files left out, no number puts them into a series of their directory: back.jpg, cover.jpg"]


def test_linked_directories_are_read_once(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    _images(root, "own/0", "own/1")
    _images(tmp_path, "elsewhere/0", "elsewhere/1")
    (root / "linked").symlink_to("../elsewhere")
    (root / "again").symlink_to("own")
    (root / "own" / "round").symlink_to("..")
    (root / "gone").symlink_to("nowhere")
    videos, told = _everywhere(root)
    assert videos == [["linked/0.png", "linked/1.png"], ["own/0.png", "own/1.png"]]
    assert told == ["3 files left out, links to nothing, or to what is read already: gone, again, own/round"]


@pytest.mark.parametrize("suffix", ["MTS", "wmv", "MPEG", "3gp", "ts", "gif", "m2ts", "VOB", "flv", "Mov"])
def test_suffixes_of_video_files(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "frames"
    root.mkdir()
    own_videos.write_video(tmp_path / "a.mp4", own_videos.street(3)).rename(root / f"a.{suffix}")
    assert _everywhere(root) == ([[f"a.{suffix}"]], [])


def test_a_suffix_is_that_of_an_image_or_of_a_video() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


def test_what_systems_leave_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    _images(root, "s/0", "s/1")
    _images(root, "s/@eaDir/0.png/THUMB_M.jpg", "s/@eaDir/1.png/THUMB_M.jpg", "#recycle/old.png", "s/._0.png")
    for name in ("Thumbs.db", "s/.DS_Store", "desktop.ini", "notes.txt"):
        (root / name).touch()
    videos, told = _everywhere(root)
    assert videos == [["s/0.png", "s/1.png"]]
    assert told[0].startswith("7 files left out, hidden or made by a system: ")
    assert told[1:] == ["1 files left out, neither image nor video: notes.txt"]
    kept = ("#1.png", "found.1", "@home", "thumbs", "my_thumbs.db.png", "icon.png", "$1.png", "eaDir")
    assert not any(map(is_litter, kept))
    others = ("THUMBS.DB", "Desktop.ini", ".@__thumb", "$RECYCLE.BIN", "System Volume Information", "__MACOSX")
    assert all(map(is_litter, (*others, "lost+found", "@Recycle", "GX010001.LRV", "GX010001.THM", "found.000")))


def test_labels_are_no_litter_either(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    _images(root, "s/0", "s/1", "s/2", "s/3")
    for name in ("s/2.png", "s/@eaDir/2.png", "s/._2.png"):
        save(tmp_path / "labels" / name, np.zeros((6, 8), np.uint8))
    dataset = Dataset(tmp_path, Dataset.Config.of({}))
    assert dataset.catalog.labels == {"s/2": tmp_path / "labels/s/2.png"}


def test_the_size_of_most_frames_is_the_size_of_the_video(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    _images(root, "s/0", size=(5, 5))
    _images(root, "s/1", "s/2", "s/3")
    videos, told = _everywhere(root)
    assert videos == [["s/1.png", "s/2.png", "s/3.png"]]
    assert told == [
        "1 files left out, not of the size that most frames of their video have: s/0.png (5x5 pixels, most have 6x8)"
    ]
    _images(root, "s/4", "s/5", size=(5, 5))
    with pytest.raises(
        DatasetError, match=r"its images have 2 sizes, and none is that of most: 3 of .*; make them one"
    ):
        _everywhere(root)


def test_files_that_cannot_be_read_do_not_stop_the_others(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    frames = own_videos.street(4)
    own_videos.write_folder(root / "s", frames)
    (root / "s/f2.png").write_bytes((root / "s/f2.png").read_bytes()[:-30])
    (root / "s/f3.png").write_bytes(b"no image")
    own_videos.write_video(root / "good.avi", frames)
    (root / "bad.mp4").write_bytes(b"no video" * 99)
    (root / "empty.mkv").touch()
    videos, told = _everywhere(root)
    assert videos == [["good.avi"], ["s/f1.png", "s/f4.png"]]
    (line,) = told
    assert line.startswith("4 files left out, cannot be read: bad.mp4 (OpenCV cannot open this video), empty.mkv (")
    assert "and 1 more" in line
    for name in ("bad.mp4", "s"):
        os.rename(root / name, tmp_path / name)
    (root / "good.avi").unlink()
    with pytest.raises(DatasetError, match=r"empty\.mkv: OpenCV cannot open"):
        _everywhere(root)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_cut_off_images_are_left_out(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "frames"
    for number, frame in enumerate(own_videos.street(3)):
        save(root / f"{number}{suffix}", frame)
    path = root / f"1{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size - 40])
    assert _everywhere(root)[0] == [[f"0{suffix}", f"2{suffix}"]]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("more", ["zeros", "a motion photo's video"])
def test_whole_images_with_more_after_them_are_whole(tmp_path: Path, suffix: str, more: str) -> None:
    """Phones append videos, recovered disks zeros; what is cut off before that is cut off all the same."""
    root = tmp_path / "frames"
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)  # its pixels hold markers, too
    for number in range(3):
        save(root / f"{number}{suffix}", noise)
    tail = {"zeros": b"\0", "a motion photo's video": b"\xff\xd9 mdat \xff\xda\xff"}[more] * 100_000
    cut = root / f"1{suffix}"
    cut.write_bytes(cut.read_bytes()[:-40])
    assert _everywhere(root)[0] == [[f"0{suffix}", f"2{suffix}"]]
    for path in (root / f"0{suffix}", root / f"2{suffix}"):
        path.write_bytes(path.read_bytes() + tail)
    assert _everywhere(root)[0] == [[f"0{suffix}", f"2{suffix}"]]


def test_broken_frames_of_a_video_file_keep_their_numbers(tmp_path: Path) -> None:
    """A label named after frame 6 belongs to frame 6, whatever is broken before it."""
    path = own_videos.write_video(tmp_path / "frames.avi", own_videos.street(9))
    own_videos.break_avi(path, 4)
    assert list(VideoReader(path).numbers()) == [0, 1, 2, 3, 5, 6, 7, 8]
    whole = own_videos.write_video(tmp_path / "whole.avi", own_videos.street(9))
    np.testing.assert_array_equal(VideoReader(path).read(6), VideoReader(whole).read(6))
    footage = Footage(path, tmp_path / "labels", Silent())
    assert footage.read.notes == ["frames.avi: 1 broken frames left out"]
    assert list(footage.videos["frames"])[3:6] == [f"frames/frames_{n:06}" for n in (3, 5, 6)]


def test_labels_and_lists_of_frames_that_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    _images(root, "v/a", "v/b", "v/c")
    _images(root, "v/d", size=(5, 5))
    for name, size in (("b", (6, 8)), ("d", (5, 5))):
        save(tmp_path / "labels" / f"{name}.png", np.zeros(size, np.uint8))
    (tmp_path / "train.txt").write_text("a\nb\nd.png\n")
    dataset = Dataset(tmp_path, Dataset.Config.of({}))
    assert {clip.frames for clip in dataset.clips()} == {("v/a", "v/b", "v/c")}
    assert "1 labels left out with their frames: d" in dataset.summary()


def test_a_line_of_a_list_may_name_a_directory_of_series(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    for series in ("town/a", "town/b", "wood/a", "wood/b"):
        _images(root, *(f"{series}_{n}" for n in range(4)))
    for name in ("town/a_2", "wood/b_2"):
        save(tmp_path / "labels" / f"{name}.png", np.zeros((6, 8), np.uint8))
    (tmp_path / "val.txt").write_text("town\n")
    clips = Dataset(tmp_path, Dataset.Config.of({})).clips()
    assert {clip.video for clip in clips if clip.split == "train"} == {"wood/a", "wood/b"}
    assert {clip.frames for clip in clips if clip.split == "val"} == {tuple(f"town/a_{n}" for n in range(4))}


def test_unreadable_directories_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _images(tmp_path / "frames", "s/0", "s/1", "closed/0")
    listed = Path.iterdir

    def refusing(self: Path):  # type: ignore[no-untyped-def]
        if self.name == "closed":  # root may list every directory, so that a mode does not show it
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refusing)
    found = search(tmp_path / "frames")
    assert [video.name for video in found.videos] == ["s"]
    assert found.left.lines() == ["1 files left out, cannot be read: closed (Permission denied)"]


def _animation(path: Path, pages: int = 3, **how: Any) -> None:
    frames = [Image.fromarray(np.full((6, 8, 3), 60 * n, np.uint8)) for n in range(pages)]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], **how)


@pytest.mark.parametrize("name", ["000001.webp", "000001.png", "000001.tif"])
def test_an_image_that_is_an_animation_is_named_not_read_as_its_first_frame(tmp_path: Path, name: str) -> None:
    root = tmp_path / "frames"
    _images(root, "s/000000", "s/000002", "s/000003")
    _animation(root / "s" / name, **({"lossless": True} if name.endswith("webp") else {}))
    videos, lines = _everywhere(root)
    assert videos == [["s/000000.png", "s/000002.png", "s/000003.png"]]
    assert len(lines) == 1
    assert lines[0].startswith(f"1 files left out, cannot be read: s/{name} (holds several images (an animation")
    for read in (read_rgb, image_size, read_raw_label, read_label_image):
        with pytest.raises(DatasetError, match="several images"):
            read(root / "s" / name)
    with pytest.raises(DatasetError, match="several images"):
        survey([str(root / "s" / name)])


def test_one_page_is_an_image_and_so_is_a_page_with_its_preview(tmp_path: Path) -> None:
    for name in ("a.webp", "a.png", "a.tif"):
        _animation(tmp_path / name, pages=1)
        assert read_rgb(tmp_path / name).shape == (6, 8, 3)
    whole, preview = Image.new("RGB", (8, 6), (9, 8, 7)), Image.new("RGB", (4, 3))
    whole.save(tmp_path / "b.tif", save_all=True, append_images=[preview])
    assert read_rgb(tmp_path / "b.tif")[0, 0].tolist() == [9, 8, 7]


def test_a_gif_is_a_video_of_all_its_frames(tmp_path: Path) -> None:
    _animation(tmp_path / "frames/walk.gif", pages=4)
    videos, lines = _everywhere(tmp_path / "frames")
    assert (videos, lines) == ([["walk.gif"]], [])
    assert list(VideoReader(tmp_path / "frames/walk.gif").numbers()) == [0, 1, 2, 3]


def test_masks_beside_frames_are_no_video_anywhere(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    _images(root, *(f"v/{part}/00000{n}" for part in ("origin", "mask") for n in (1, 2)), "w/origin/1", "w/origin/2")
    frames = [["v/origin/000001.png", "v/origin/000002.png"], ["w/origin/1.png", "w/origin/2.png"]]
    line = "2 files left out, labels beside their frames: v/mask"
    footage, found = Footage(root, root.parent / "labels", Silent()), survey([str(root)])
    assert [[os.path.relpath(s.path, root) for s in table.values()] for table in footage.videos.values()] == frames
    assert [[os.path.relpath(path, root) for path in source.files()] for source, _ in found.videos] == frames
    assert footage.read.left.lines() == found.left.lines() == [line]
    named = survey([str(root / "v/mask")])  # what a user names is read
    assert [len(source.files()) for source, _ in named.videos] == [2]


def test_labels_are_looked_for_by_the_same_rule(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    _images(labels, "s/1", "s/@eaDir/1.png/SYNOFILE_THUMB_M.png", "s/._1.png", "#recycle/2", "elsewhere.tif")
    (labels / "linked").symlink_to(labels / "s")
    (labels / "round").symlink_to(labels)
    (labels / "gone.png").symlink_to(labels / "nothing")
    files = LabelFiles(labels)
    assert files.names == ["elsewhere.tif", "s/1.png"]
    assert files.left.lines("labels: ") == [
        "labels: 3 files left out, hidden or made by a system: #recycle, s/._1.png, s/@eaDir",
        "labels: 3 files left out, links to nothing, or to what is read already: gone.png, linked, round",
    ]
    again = pickle.loads(pickle.dumps(files))
    assert (again.names, again.left) == (files.names, files.left)
    assert open_labels(labels, "png").reader.notes() == [
        "1 images among the labels left out, they are not PNG: elsewhere.tif"
    ]


def test_what_an_archive_holds_of_a_system_is_counted_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        for name in ("s/1.png", "__MACOSX/s/._1.png", "s/.DS_Store"):
            archive.writestr(name, b"x")
    files = LabelFiles(tmp_path / "labels.zip")
    assert files.names == ["s/1.png"]
    assert files.left.lines() == ["2 files left out, hidden or made by a system: __MACOSX/s/._1.png, s/.DS_Store"]


def test_prepare_says_what_it_passes_over_among_the_labels(tmp_path: Path) -> None:
    for n in range(6):
        _images(tmp_path / "frames", f"s/00000{n}")
    _images(tmp_path / "labels", "s/000003", "s/000005", "s/@eaDir/000003.png/SYNOFILE_THUMB_M.png")
    (tmp_path / "classes.yaml").write_text("classes: {thing: [0, 0, 0]}\n")
    dataset = Dataset(tmp_path, Dataset.Config.of({}))
    line = "labels: 1 files left out, hidden or made by a system: s/@eaDir"
    assert line in dataset.summary()
    told: list[str] = []

    class Told(Silent):
        def info(self, message: str) -> None:
            told.append(message)

    dataset.tell(Told())
    assert line in told


def test_signs_that_are_numbers_by_themselves() -> None:
    roman = ["Ⅰ", "Ⅱ", "Ⅲ", "Ⅳ", "Ⅴ", "Ⅵ", "Ⅶ", "Ⅷ", "Ⅸ", "Ⅹ"]
    assert _series(*reversed(roman)) == ({"": roman}, [])
    assert _series("f፫", "f፩", "f፪") == ({"f": ["f፩", "f፪", "f፫"]}, [])
    assert _series("⑩", "②", "③") == ({"": ["②", "③", "⑩"]}, [])
    assert _series("½", "¼") == ({}, ["½", "¼"])  # neither is the number of a frame
