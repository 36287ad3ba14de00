"""Indexes of long videos: held in few bytes, and the same as ever to who reads them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import small_stores

from ifrkit.artifacts.indexes import CarriedFrame, Provenance, Pseudo, write_long
from ifrkit.core.errors import ArtifactError
from ifrkit.core.names import Chosen, Names, distinct
from ifrkit.core.records import ClipRecord, LabelSpace
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.index import INDEX, StoreFile, StoreIndex

ODD = ("a/000001", "strasse/ß 1", "", "\N{GRINNING FACE}", "broken\udcff")


def test_names_are_what_was_put_in() -> None:
    names = Names(ODD)
    assert tuple(names) == ODD
    assert names[-1] == ODD[-1]
    assert names[1:3] == ODD[1:3]
    with pytest.raises(IndexError):
        names[5]
    chosen = Chosen(names, range(1, 4))
    assert chosen == ODD[1:4]
    assert ODD[1:4] == chosen
    assert chosen[0] == ODD[1]
    assert chosen[-2:] == ODD[2:4]
    assert ODD[3] in chosen
    assert len({chosen, ODD[1:4]}) == 1


def test_names_are_small() -> None:
    """A text of Python takes more than twice as much."""
    names = Names(f"street/{i:06}" for i in range(1000))
    assert names._text.__sizeof__() + names._begins.__sizeof__() < 30 * len(names)


class Alike(str):
    """Texts with one hash."""

    def __hash__(self) -> int:
        return 7


def test_distinct_texts_keep_their_order() -> None:
    parts = [("a", "b"), ("c",), ("b", "d", "d"), (), ("a",), ("e", "c")]
    assert tuple(distinct(parts)) == ("a", "b", "c", "d", "e")
    assert tuple(distinct([])) == ()
    assert tuple(distinct([tuple(map(Alike, "ab")), tuple(map(Alike, "bca"))])) == ("a", "b", "c")
    joined = distinct(parts)
    assert (joined[2], joined[-1], joined[1:3]) == ("c", "e", ("b", "c"))
    with pytest.raises(IndexError):
        joined[5]


def test_what_is_there_once_is_not_copied() -> None:
    """The names of a long video are made by a rule, and stay so."""
    parts = [Chosen(Names(ODD[:2]), range(2)), Chosen(Names(ODD[2:]), range(3))]
    joined = distinct(parts)
    assert tuple(joined) == ODD
    assert [own is part for own, part in zip(joined._parts, parts, strict=True)] == [True, True]


def test_an_index_is_written_in_pieces() -> None:
    """No piece is longer than what is said of one clip beside its frames, and together they are the text of json."""
    odd = ('a"frames": []', "\n\t\x01\x7f\u2028", "strasse/ß 1", "\N{GRINNING FACE}")
    clips = [ClipRecord(name=odd[n], video="v", split="train", frames=odd, labeled=(n,)) for n in range(2)]
    space = LabelSpace(names=(' "clips": [],', "b"), colors=((1, 2, 3), (4, 5, 6)))
    files = [StoreFile(name=f"frames-0000{n}.h5", frames=odd[n:]) for n in range(2)]
    for shown, stored in itertools.product((clips, clips[:1], []), (files, files[:1], [])):
        index = StoreIndex(
            name="x", size=(1, 2), codec="raw", has_flow=False, labels=space, clips=tuple(shown), files=tuple(stored)
        )
        pieces = list(index.pieces())
        assert "".join(pieces) == json.dumps(index.tree(), indent=1, ensure_ascii=False) + "\n"
        assert max(map(len, pieces)) < 150


@pytest.mark.parametrize("shared", [False, True])
def test_an_index_reads_as_it_was_written(tmp_path: Path, shared: bool) -> None:
    """shared: clips that show the same frames, in another order than the files hold them."""
    clips = [small_stores.clip(number, length=7) for number in range(3)]
    if shared:
        every = [name for clip in clips for name in clip.frames]
        clips.append(ClipRecord(name="again", video="v", split="train", frames=tuple(every[8:2:-1])))
        clips.insert(0, ClipRecord(name="first", video="v", split="val", frames=(every[4], every[20])))
    store = small_stores.write_store(tmp_path / "store", clips, per_file=4)
    assert store.clips == clips
    assert store.clips[0].frames == clips[0].frames
    assert [name for file in store.index.files for name in file.frames] == list(
        dict.fromkeys(name for clip in clips for name in clip.frames)
    )
    stored = [name for file in store.index.files for name in file.frames]
    for number, clip in enumerate(clips):
        assert [stored[row] for row in store.rows(number)] == list(clip.frames)
        for index, name in enumerate(clip.frames):
            assert (store.frame(number, index) == small_stores.pixels(name, store.size)).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"clips"', '"clipz"'),
        lambda text: text.replace('"frames"', '"framez"', 1),
        lambda text: text.replace("video0/001", "video0/009", 1),
        lambda text: text + "1",
        lambda text: text.replace("],", "]", 1),
        lambda text: text.rstrip()[:-1] + ",}",
        lambda text: "[" * 100_000,
        lambda text: '{"clips": ' + "[" * 100_000,
        lambda text: "",
        lambda text: "7",
    ],
)
def test_what_is_no_index_is_refused(tmp_path: Path, damage: object) -> None:
    store = small_stores.write_store(tmp_path / "store", [small_stores.clip(0)])
    path = store.path / INDEX
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(ArtifactError, match="the file is corrupt") as raised:
        ClipStore(store.path)
    assert "\n" not in raised.value.message


def test_what_is_written_piece_by_piece_is_the_same_file(tmp_path: Path) -> None:
    frames = {f"s/{i}": CarriedFrame.joined([("s/0", i, 0.5), ("s/9", 9 - i, 1.0)]) for i in range(5)}
    index = Provenance(flow="dis", frames=frames)
    index.write(tmp_path)
    trees = [{name: frame.tree()} for name, frame in frames.items()]
    parts = iter([{}, trees[0], trees[1] | trees[2], {}, trees[3] | trees[4]])
    write_long(tmp_path / "long.json", {"flow": "dis", "frames": parts})
    assert (tmp_path / "long.json").read_bytes() == (tmp_path / Provenance.FILE).read_bytes()
    other = Pseudo(frames=("a", "ß", "c"), per_file=2, size=(4, 6), num_classes=3)
    other.write(tmp_path)
    tree = other.tree()
    write_long(tmp_path / "long.json", {**tree, "frames": iter([["a", "ß"], [], ["c"]])})
    assert (tmp_path / "long.json").read_bytes() == (tmp_path / Pseudo.FILE).read_bytes()
    write_long(tmp_path / "long.json", {"none": iter([[]]), "kept": 1})
    assert json.loads((tmp_path / "long.json").read_bytes()) == {"none": [], "kept": 1}
