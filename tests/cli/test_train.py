"""`ifrkit train`: the artifacts that the three stages make one by one, in one command that plans, stops and goes on."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run

import ifrkit
from ifrkit.artifacts import store
from ifrkit.cli.main import in_process
from ifrkit.core.errors import ConfigError, IfrkitError, InterruptedRun
from ifrkit.train import loop

BRANCHES = {"update.width": 0.0625, "reference.width": 0.0625, "crop.size": "[24,32]", "loop.eval_every": 2}
FLOW = {"width": 0.0625, "crop": "[24,32]", "loop.eval_every": 2}
FUSION = {"key_interval": 3, "crop": "[24,32]", "warmup_steps": 0, "loop.eval_every": 2}
STAGES = {"train-branches": BRANCHES, "train-flow": FLOW, "train-fusion": FUSION}
COMMON = {"loop.steps": 2, "loop.batch": 2, "runtime.workers": 0, "runtime.save_every": 1}


def sets(stage: str, prefix: str = "") -> list[str]:
    """Settings of a stage, as --set."""
    return [word for key, value in (STAGES[stage] | COMMON).items() for word in ("--set", f"{prefix}{key}={value}")]


TRAIN = ["train", "--ssl", "none", "--backbone", "resnet18,resnet18", "--device", "cpu"]
TRAIN += [word for stage in STAGES for word in sets(stage, f"{stage}.")]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the tiny clips in its workspace."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.chdir(tmp_path)
    tiny_run.make_clips(Path("ifrkit_artifacts"))
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_it_makes_what_the_stages_make(capsys: pytest.CaptureFixture[str]) -> None:
    planned = json.loads(in_process([*TRAIN, "--dry-run", "--json"]))
    assert [stage["exists"] for stage in planned["stages"]] == [False, False, False]
    assert not Path("ifrkit_artifacts/branches").exists()
    shown = in_process([*TRAIN, "--dry-run"])
    assert re.search(r"^train-branches: would make: ifrkit_artifacts/branches/none-1-1-\w{12}$", shown, re.M)
    assert "train-fusion: would make a video-model of both" in shown

    made = json.loads(in_process([*TRAIN, "--json"]))
    assert made["kind"] == "video-model"
    assert planned["stages"][0]["path"] == str(Path(made["branches"]).relative_to(Path.cwd()))
    for stage, kind in (("train-branches", "branches"), ("train-flow", "flow"), ("train-fusion", "video-model")):
        own = ["--ssl", "none", "--backbone", "resnet18,resnet18"] if kind == "branches" else []
        again = in_process([stage, *own, *sets(stage), "--recipe", "tiny", "--device", "cpu"]).strip()
        assert again == made.get(kind, made["path"])  # up to date: the same artifact
    capsys.readouterr()
    assert in_process(TRAIN).strip() == made["path"]
    assert capsys.readouterr().err.count("up to date: ") == 3
    assert in_process([*TRAIN, "--dry-run"]).count("up to date: ") == 3

    # What it prints is what Python takes, with its line break and as JSON.
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3)).astype(np.uint8)
    for line in (made["path"] + "\n", json.dumps(made), Path(made["path"]).name):
        ids = [ids_hw for _, ids_hw in ifrkit.load(line).predict(list(frames))]
        assert [i.shape for i in ids] == [(32, 48)] * 3


def test_it_stops_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the flow network: branches stay, and --resume ends with the same weights."""
    whole = Path(in_process([*TRAIN, "--workspace", "other", "--from", str(_clips())]).strip())
    step = loop._Run.train_step

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if Path("ifrkit_artifacts/flow").exists():
            signal.raise_signal(signal.SIGINT)
        return step(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "train_step", interrupted)
        with pytest.raises(InterruptedRun, match="resume"):
            in_process(TRAIN)
    with pytest.raises(ConfigError, match="train-flow: an interrupted run"):
        in_process(TRAIN)
    made = Path(in_process([*TRAIN, "--resume"]).strip())
    weights = [path.name for path in whole.glob("*.safetensors")]
    assert weights
    assert all((made / name).read_bytes() == (whole / name).read_bytes() for name in weights)


def _clips() -> Path:
    clips = store.newest(Path("ifrkit_artifacts"), ("clips",))
    assert clips is not None
    return clips.path


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--set", "train-fusion.crop=[64,48]"], "train-fusion: crop 64x48 is larger than the stored frames"),
        (["--set", "train-fusion.labeled.count=9"], "train-fusion: labeled.count 9: only 2 training clips"),
        (["--set", "train-flow.loop.batch=0"], "train-flow: loop.batch"),
        (["--set", "train-branches.branches=update"], "train-fusion: --arch accel wants a reference branch"),
        (["--labeled-count", "9"], "train-branches: labeled.count 9: only 2"),
        (["--set", "loop.steps=3"], "names no stage; write train-branches.KEY=VALUE"),
        (["--arch", "nosuch"], "train-fusion: no architecture plug-in named"),
    ],
)
def test_all_is_checked_before_any_work(words: list[str], fault: str) -> None:
    """Also what the last stage will refuse, by the same line in a dry run and the run."""
    for dry in (["--dry-run"], []):
        with pytest.raises(IfrkitError) as caught:
            in_process([*TRAIN, *words, *dry])
        assert fault in str(caught.value)
    assert [path.name for path in Path("ifrkit_artifacts").iterdir()] == ["clips"]


def test_the_recipe_that_fits_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IfrkitError, match="larger than the stored frames"):  # 32x48 is too small for any recipe
        in_process(["train", "--dry-run"])
    assert "recipe tiny, for frames of 32x48" in capsys.readouterr().err
    config = json.loads(in_process(["train", "--recipe", "tiny", "--print-config", "--json"]))["config"]
    assert (config["train-branches"]["loop"]["steps"], config["train-fusion"]["loop"]["steps"]) == (200, 60)
    Path("all.yaml").write_text(in_process(["train", "--recipe", "tiny", "--print-config"]))
    again = json.loads(in_process(["train", "--config", "all.yaml", "--print-config", "--json"]))["config"]
    assert again == config
