"""The chain through the real executables, on clips so small that it takes seconds."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
import tiny_run

BIN = Path(sys.executable).parent
PREPARE = "prepare synthetic " + " ".join(f"--set options.{key}={value}" for key, value in tiny_run.OPTIONS.items())
SMALL = "--set runtime.workers=0 --set loop.batch=2 --set crop{}=[24,32]"
BRANCHES = (
    "train-branches --backbone resnet18,resnet34 --set update.width=0.0625 --set reference.width=0.0625 "
    f"{SMALL.format('.size')} --set loop.eval_every=2"
)
ONE = f"train-branches --branch update --set update.width=0.0625 {SMALL.format('.size')} --ssl none"
FLOW = f"train-flow --steps 2 --set width=0.0625 {SMALL.format('')}"
FUSION = f"train-fusion --steps 2 --set key_interval=3 {SMALL.format('')}"
EVAL = "eval --metric mIoU,TC --flow truth --set distance=2"


class Chain:
    """A directory to run shell lines in."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.env = {k: v for k, v in os.environ.items() if k not in {"IFRKIT_WORKSPACE", "RANK", "WORLD_SIZE"}}
        self.env |= {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def ok(self, line: str) -> subprocess.CompletedProcess[str]:
        done = self.run(line)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Clips, flow, branches, a video model and a report, made by one line each."""
    chain = Chain(tmp_path_factory.mktemp("chain"))
    chain.ok(f"ifrkit {PREPARE} | ifrkit {FLOW}")
    return chain


@pytest.fixture(scope="module")
def line() -> str:
    stages = (PREPARE, f"{BRANCHES} --ssl ifr --steps 2", FUSION, EVAL)
    return " | ".join(f"ifrkit {stage}" for stage in stages)


def test_one_line_from_nothing_to_a_report_and_then_up_to_date(chain: Chain, line: str) -> None:
    first = chain.ok(line)
    (path,) = first.stdout.splitlines()
    report = json.loads((Path(path) / "report.json").read_text())
    assert report["model"]["ssl"] == ["ifr"]
    assert set(report["systems"]["accel"]) == {"miou", "tc"}
    for word in ("accel", "reference, every frame", "update, every frame", "key frame, copied", "mIoU", "TC"):
        assert word in first.stderr
    again = chain.ok(line.replace("ifrkit ", "ifrkit-"))
    assert again.stdout == first.stdout
    assert again.stderr.count("up to date: ") == 4
    tree = json.loads(chain.ok(" | ".join(f"{part.strip()} --json" for part in line.split("|"))).stdout)
    assert (tree["kind"], tree["path"]) == ("report", path)
    assert tree["metrics"]["miou"] == report["systems"]["accel"]["miou"]["miou"]
    chain.ok("ifrkit artifacts verify")
    lineage = chain.ok(f"ifrkit artifacts lineage {path}").stdout
    for kind in ("report", "video-model", "branches", "flow", "clips"):
        assert kind in lineage
    assert "ifr" in chain.ok(f"ifrkit compare {path}").stdout


def test_a_killed_training_resumes_to_the_same_bits(chain: Chain, tmp_path: Path) -> None:
    train = f"{ONE} --steps 40 --from clips --set runtime.save_every=1"
    whole = chain.ok(f"ifrkit {train} --out {tmp_path / 'whole'}").stdout.strip()
    process = subprocess.Popen(
        [BIN / "ifrkit", *f"{train} --out {tmp_path / 'parts'}".split()],
        cwd=chain.cwd,
        env=chain.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    state = tmp_path / ".partial-parts" / "scratch" / "progress.json"
    wait_for(lambda: state.exists() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 143, text
    assert "--resume" in text.splitlines()[-1]
    refused = chain.run(f"ifrkit {train} --out {tmp_path / 'parts'}")
    assert refused.returncode == 2
    assert "--resume to continue" in refused.stderr
    parts = chain.ok(f"ifrkit {train} --out {tmp_path / 'parts'} --resume").stdout.strip()
    for name in ("update.last.safetensors", "update.best.safetensors"):
        assert (Path(whole) / name).read_bytes() == (Path(parts) / name).read_bytes()


def wait_for(condition: object) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if callable(condition) and condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


@pytest.fixture
def bad(chain: Chain, tmp_path: Path) -> Iterator[Chain]:
    """Looks for what a refused run may have left behind."""
    before = set((chain.cwd / "ifrkit_artifacts").rglob(".partial*"))
    yield chain
    assert set((chain.cwd / "ifrkit_artifacts").rglob(".partial*")) == before


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of a refused run."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [text for text in done.stderr.splitlines() if not text.startswith("train-") and " from " not in text[:20]]
    lines = [text for text in lines if "(the newest" not in text and "labeled of" not in text]
    assert len(lines) == 1, done.stderr
    assert ";" in lines[0]  # what is wrong; what to do
    return lines[0]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("prepare camvid --root nowhere", 4, "nowhere"),
        ("prepare synthetic --set options.train_vidoes=3", 2, "did you mean 'train_videos'?"),
        ("train-branches --set loop.stepps=3", 2, "loop.stepps"),
        ("train-branches --from nowhere/at/all", 3, "nowhere/at/all"),
        ("train-fusion --from clips", 3, "clips is a kind, needed is branches"),
        ("train-flow --set crop=[4000,32]", 2, "larger than the stored frames"),
        ("train-branches --ssl none --partition 1/30 --set crop.size=[4000,32]", 2, "larger than the stored frames"),
        ("train-branches --ssl none --labeled-list nowhere.txt", 2, "nowhere.txt"),
        ("eval --from branches --split test", 2, "--split test"),
        ("eval --from branches --metric mIuO", 2, "did you mean"),
        ("eval --from branches --metric TC --flow diss", 2, "dis, truth"),
        ("pseudo-label --from clips", 3, "needed is branches"),
        ("artifacts show nothing", 3, "nothing"),
        ("compare branches", 3, "needed is report"),
    ],
)
def test_bad_input_is_one_line(bad: Chain, line: str, code: int, words: str) -> None:
    if "branches --metric" in line or "branches --split" in line:
        bad.ok(f"ifrkit {ONE} --steps 1 --from clips")
    assert words in complaint(bad.run(f"ifrkit {line}"), code)


def test_a_loss_that_is_not_finite_is_exit_6(bad: Chain) -> None:
    done = bad.run(f"ifrkit {ONE} --steps 9 --from clips --set sgd.lr_head=1e30 -q")
    assert "not finite" in complaint(done, 6)


def test_a_pickle_is_no_weights_file(bad: Chain, tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"backbone": print}))
    line = f"ifrkit {ONE} --steps 1 --from clips --set update.pretrained={path} -q"
    assert str(path) in complaint(bad.run(line), 3)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_is_found(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    clips = Path(chain.ok(f"ifrkit {PREPARE}").stdout.strip())
    branches = Path(chain.ok(f"ifrkit {ONE} --steps 1").stdout.strip())
    weights, frames = branches / "update.best.safetensors", clips / "frames-00000.h5"
    flip(weights, weights.stat().st_size // 2)
    assert weights.name in complaint(chain.run("ifrkit eval --from branches -q"), 3)
    with h5py.File(frames) as file:
        row = json.loads((clips / "clips.json").read_text())["clips"][0]["annotated"]
        start, size = file["frames"].id.get_offset(), file["frames"][0].nbytes
    flip(frames, start + row * size + size // 2)
    assert frames.name in complaint(chain.run(f"ifrkit {ONE} --steps 20 -q"), 3)
    found = chain.run("ifrkit artifacts verify")
    assert found.returncode == 3
    assert weights.name in found.stdout + found.stderr
    assert frames.name in found.stdout + found.stderr


@pytest.mark.parametrize("stage", [PREPARE, f"{ONE} --steps 1 --from clips"])
def test_a_full_disk_is_exit_5(chain: Chain, tmp_path: Path, stage: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [BIN / "ifrkit", *stage.split(), "--out", str(tmp_path / "out"), "-q"],
        cwd=chain.cwd,
        env=chain.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit,
    )
    assert "space" in complaint(done, 5)
    assert not (tmp_path / "out").exists()
