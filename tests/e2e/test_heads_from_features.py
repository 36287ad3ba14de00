"""A frozen backbone through the real executables: its features once, heads again and again, ordinary branches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_hf
from chains import Chain
from PIL import Image

from ifrkit.artifacts.indexes import Branches, Features
from ifrkit.artifacts.store import open_artifact

SMALL = "--set runtime.workers=0 --set loop.batch=2 --steps 2 --set crop.size=[28,42]"
HEAD = f"train-branches --branch update --ssl none {SMALL}"


def label(place: Path, video: str, number: int) -> None:
    ids = np.random.default_rng(number).integers(0, 3, (6, 9)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    (place / "labels" / video).mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(place / "labels" / video / f"{number:03}.png")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A directory with videos of 48x72, a label in each, and a tiny model."""
    pytest.importorskip("transformers")
    chain, rng = Chain(tmp_path), np.random.default_rng(0)
    for video in ("a", "b", "c"):
        (tmp_path / "own/frames" / video).mkdir(parents=True)
        for i in range(20):
            frame = rng.integers(0, 256, (48, 72, 3)).astype(np.uint8)
            Image.fromarray(frame).save(tmp_path / "own/frames" / video / f"{i:03}.png")
        label(tmp_path / "own", video, 3)
    (tmp_path / "own/train.txt").write_text("a\nb\n")
    (tmp_path / "own/val.txt").write_text("c\n")
    tiny_hf.save("dinov2", tmp_path / "tiny-dino")
    return chain


def test_label_a_few_look_label_more(chain: Chain, tmp_path: Path) -> None:
    prepare = "ifrkit prepare folders --root own --clip-length 5"
    cache = "ifrkit cache-features --backbone hf:tiny-dino --set update.head=light"
    planned = json.loads(chain.ok(f"{prepare} | {cache} --dry-run --json").stdout)
    line = f"{prepare} | {cache} | ifrkit {HEAD}"
    done = chain.ok(line)
    assert "45 frames and their mirror images" in done.stderr
    assert "cached maps at 1/7 and 1/14: crops of 28x42 in 48x72, and flips" in done.stderr
    first = open_artifact(chain.newest("features"))
    assert first.id == planned["id"]
    assert first.manifest.size == pytest.approx(planned["bytes"], rel=0.1)
    assert Features.read(first).pretrained["model"] == "tiny-dino"
    shutil.rmtree(tmp_path / "own/labels/a")  # another frame of the same videos
    label(tmp_path / "own", "a", 3)
    label(tmp_path / "own", "a", 12)
    again = chain.ok(line).stderr
    assert "labeled of" in again
    assert "frames and their mirror images" in again
    assert " of them are copied: the same backbone has seen them" in again
    branches = open_artifact(chain.newest("branches"))
    entry = Branches.read(branches).branches["update"]
    assert (entry.network["model"], entry.network["freeze"]) == ("tiny-dino", "all")
    assert entry.pretrained["sha256"] == Features.read(first).pretrained["sha256"]
    # An ordinary branch (tests/models/test_hf_backbones.py): neither the model's directory nor the features are needed.
    shutil.rmtree(tmp_path / "tiny-dino")
    shutil.rmtree(chain.workspace / "features")
    judged = json.loads(chain.ok("ifrkit eval --from branches --json").stdout)["metrics"]
    assert judged["miou"] == pytest.approx(branches.manifest.metrics["update"]["best"]["miou"], abs=0.01)


def test_another_head_on_the_same_features(chain: Chain) -> None:
    """What a flag says of the head counts; a recipe's other backbone does not."""
    chain.ok("ifrkit prepare folders --root own --clip-length 5 | ifrkit cache-features --backbone hf:tiny-dino -q")
    for more in ("--set update.dropout=0.5", "--recipe tiny --set update.dropout=0.2 --resume"):
        chain.ok(f"ifrkit {HEAD} --from features {more}")
    networks = [
        Branches.read(open_artifact(path)).branches["update"].network for path in chain.workspace.glob("branches/*")
    ]
    assert sorted(network["dropout"] for network in networks) == [0.2, 0.5]
    assert {network["backbone"] for network in networks} == {"hf"}
    done = chain.run(f"ifrkit {HEAD} --from features --set update.head=light -q")
    assert done.returncode == 2
    assert "update.head=light reads other maps than" in done.stderr
    assert "make them with cache-features --set update.head=light" in done.stderr
    assert len(list(chain.workspace.glob("branches/[!.]*"))) == 2
