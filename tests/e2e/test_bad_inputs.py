"""What cannot work ends the real executables with the right exit code and one line, and leaves no file."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from chains import EVAL, FLOW, FUSION, ONE, PREPARE, Chain, complaint
from file_limit import limited
from PIL import Image


def entries(chain: Chain) -> set[Path]:
    return set(chain.workspace.glob("*/*")) | set(chain.workspace.glob("*/.*"))


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("prepare camvid --root nowhere", 4, "nowhere"),
        ("prepare synthetic --set options.train_vidoes=3", 2, "did you mean 'train_videos'?"),
        ("prepare synthetic --workspace /dev/null", 2, "cannot write in /dev/null/clips"),
        ("train-branches --set loop.stepps=3", 2, "loop.stepps"),
        ("train-branches --set ssl=3", 2, "ssl: "),
        ("train-branches --set branches=[]", 2, "branches: "),
        ("train-branches --from nowhere/at/all", 3, "nowhere/at/all"),
        ("train-branches --ssl none --labeled-list nowhere.txt", 2, "nowhere.txt"),
        ("train-fusion --from clips", 3, "clips is a kind, needed is branches"),
        ("train-fusion --arch acel", 2, "did you mean 'accel'?"),
        ("pseudo-label --from clips", 3, "needed is branches"),
        ("cache-features --from branches", 3, "needed is clips"),
        ("train --from features", 3, "features is a kind, needed is clips"),
        ("eval --from clips", 3, "needed is video-model or branches"),
        ("eval --from branches --split test", 2, "--split test"),
        ("eval --from branches --metric mIuO", 2, "did you mean"),
        ("eval --from branches --metric ,", 2, "metrics: "),
        ("eval --from branches --metric TC --flow diss", 2, "dis, truth"),
        ("eval --from branches --metric TC --fail-under mIoU=0.5", 2, "add it to --metric"),
        (f"{ONE} --steps 9 --set sgd.lr_head=1e30", 6, "not finite"),
        (f"{FLOW} --set loop.steps=9 --set lr=1e30", 6, "not finite"),
        (f"{FUSION} --set loop.steps=9 --set lr=1e30 --set warmup_steps=0", 6, "not finite"),
    ],
)
def test_bad_arguments(chain: Chain, line: str, code: int, words: str) -> None:
    before = entries(chain)
    assert words in complaint(chain.run(f"ifrkit {line} -q"), code)
    assert entries(chain) == before


@pytest.mark.parametrize("line", ["artifacts show nothing", "compare branches", "artifacts lineage clips/nothing"])
def test_bad_references(chain: Chain, line: str) -> None:
    assert line.split()[-1] in complaint(chain.run(f"ifrkit {line}"), 3)


def test_a_bad_stage_in_the_middle_leaves_the_artifact_before_it(chain: Chain) -> None:
    done = chain.run(f"ifrkit {PREPARE} -q | ifrkit eval -q")
    assert "is of kind clips, needed is video-model or branches" in complaint(done, 3)


def test_what_is_no_reference_is_said_in_short(chain: Chain) -> None:
    text = complaint(chain.run("head -c 100000 /dev/zero | ifrkit eval -q"), 3)
    assert "not a reference" in text
    assert len(text) < 300


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_streams(chain: Chain, closed: str) -> None:
    """What should go to the one never comes out of the other."""
    reference = chain.newest("report")
    up_to_date, table = (
        chain.ok(f"ifrkit {line} {closed}") for line in (f"{EVAL} --from video-model", f"compare {reference}")
    )
    for done in (up_to_date, table):
        assert bool(done.stdout) == (not closed.startswith(">&-"))
    assert ("up to date" in up_to_date.stderr) == ("2>&-" not in closed)
    assert "Traceback" not in up_to_date.stderr + table.stderr
    done = chain.run(f"ifrkit eval --from nowhere/at/all {closed}")
    assert (done.returncode, done.stdout) == (3, "")
    assert bool(done.stderr) == ("2>&-" not in closed)


def test_a_pickle_is_no_weights_file(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"backbone": print}))
    before = entries(chain)
    line = f"ifrkit {ONE} --steps 1 --set update.pretrained={path} -q"
    assert str(path) in complaint(chain.run(line), 3)
    assert entries(chain) == before


def frames(root: Path) -> None:
    """Four frames of 12x16 with class ids 0 and 1 of two classes."""
    for directory in ("frames/a", "labels/a"):
        (root / directory).mkdir(parents=True)
    for index in range(4):
        noise = np.random.default_rng(index).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"frames/a/{index}.png")
        Image.fromarray(np.full((12, 16), index % 2, np.uint8)).save(root / f"labels/a/{index}.png")
    (root / "classes.yaml").write_text("classes: {street: [0, 0, 1], rest: [0, 0, 2]}\n")


def cut(root: Path) -> Path:
    path = root / "frames/a/3.png"
    path.write_bytes(path.read_bytes()[:-100])
    return path


def outside(root: Path) -> Path:
    path = root / "labels/a/3.png"
    Image.fromarray(np.full((12, 16), 7, np.uint8)).save(path)
    return path


def smaller(root: Path) -> Path:
    for kind in ("frames", "labels"):
        path = root / kind / "a/3.png"
        with Image.open(path) as image:
            image.resize((8, 6)).save(path)
    return Path("a/3")


def smaller_label(root: Path) -> Path:
    path = root / "labels/a/3.png"
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(path)
    return path


def empty(root: Path) -> Path:
    shutil.rmtree(root / "frames/a")
    return root / "frames"


@pytest.mark.parametrize(("spoil", "why"), [(cut, "cut off"), (smaller, "6x8 pixels")])
def test_one_bad_frame_is_left_out_by_name(tmp_path: Path, spoil: Callable[[Path], Path], why: str) -> None:
    frames(tmp_path / "data")
    spoil(tmp_path / "data")
    chain = Chain(tmp_path)
    done = chain.run(f"ifrkit prepare folders --root {tmp_path / 'data'} --clip-length 2 -q")
    assert done.returncode == 0
    assert re.search(rf"1 files left out, .*a/3\.png \({'it is ' if why == 'cut off' else ''}{why}", done.stderr)
    assert "1 labels left out with their frames: a/3" in done.stderr
    clips = json.loads((chain.newest("clips") / "clips.json").read_text())["clips"]
    assert "a/3" not in {name for clip in clips for name in clip["frames"]}


@pytest.mark.parametrize("spoil", [outside, smaller_label, empty])
def test_bad_datasets(tmp_path: Path, spoil: Callable[[Path], Path]) -> None:
    frames(tmp_path / "data")
    line = f"ifrkit prepare folders --root {tmp_path / 'data'} --clip-length 2 -q"
    culprit = spoil(tmp_path / "data")
    chain = Chain(tmp_path)
    assert str(culprit) in complaint(chain.run(line), 4)
    assert not entries(chain)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_is_found(chain: Chain, tmp_path: Path) -> None:
    shutil.copytree(chain.workspace, tmp_path / "ifrkit_artifacts")
    damaged = Chain(tmp_path)
    clips, branches = damaged.newest("clips"), damaged.newest("branches")
    weights = branches / "update.best.safetensors"
    flip(weights, weights.stat().st_size // 2)
    assert weights.name in complaint(damaged.run(f"ifrkit {EVAL} --from branches -q"), 3)
    with h5py.File(clips / "frames-00000.h5") as file:
        row = json.loads((clips / "clips.json").read_text())["clips"][0]["annotated"]
        start, size = file["frames"].id.get_offset(), file["frames"][0].nbytes
    flip(clips / "frames-00000.h5", start + row * size + size // 2)
    before = entries(damaged)
    assert "frames-00000.h5" in complaint(damaged.run(f"ifrkit {ONE} --steps 20 -q"), 3)
    assert entries(damaged) == before
    found = damaged.run("ifrkit artifacts verify")
    assert found.returncode == 3
    for name in (weights.name, "frames-00000.h5"):
        assert name in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("stage", "kib"),
    [(PREPARE, 16), (f"{ONE} --steps 1", 16), (FLOW, 16), (FUSION, 16), (EVAL, 8), ("pseudo-label", 1)],
)
def test_a_full_disk_is_exit_5(chain: Chain, tmp_path: Path, stage: str, kib: int) -> None:
    out = tmp_path / "made" / "out"
    done = chain.run(limited(kib, f"ifrkit {stage} --out {out} -q"))
    told = complaint(done, 5)
    assert str(out.parent) in told
    assert "raise the limit on the size of a file (ulimit -f)" in told or "make room for it" in told
    assert not list(out.parent.glob("[!.]*"))
