"""`ifrkit plan`: what is measured, what reports add, which choice is the best, and `predict --plan` takes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import own_videos
import pytest
import torch
from chains import Chain, complaint
from msgspec.structs import replace

from ifrkit.artifacts import store
from ifrkit.artifacts.indexes import Choice, Exported, Plan, Report
from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.config.export import ExportConfig
from ifrkit.config.plan import PlanConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.machine import machine
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import to_ids
from ifrkit.predict.planned import frontier, pick, wanted_rate
from ifrkit.stages import evaluate, export, plan
from ifrkit.stages._plan import verdicts
from ifrkit.stages.runner import Run, execute
from ifrkit.trained import load_branch

ROWS = [
    "reference, every frame",
    "update, every frame",
    "update, every frame, at 0.5 of the size",
    "accel, key interval 2",
    "accel, key interval 3",
]


def _way(name: str, rate: float | None, miou: float | None, interval: int = 1, lacking: str = "") -> Choice:
    return Choice(
        name=name, kind="branches", id="1", settings={}, interval=interval, frames_per_second=rate, miou=miou,
        lacking=(lacking,) if lacking else (),
    )  # fmt: skip


def _plan(*choices: Choice) -> Plan:
    return Plan(machine=machine(), device="cpu", threads=1, size=(32, 48), rounds=1, choices=choices)


HEAVY, LIGHT = _way("heavy", 2, 0.6), _way("light", 20, 0.5)
SLOW, FAST = _way("slow", 1, 0.55), _way("fast", 50, None, lacking="ifrkit eval --from x")


def test_what_beats_what() -> None:
    """By hand: `slow` is slower than `heavy` and less accurate; of `fast` the accuracy is not known."""
    assert frontier([SLOW, LIGHT, FAST, HEAVY]) == [HEAVY, LIGHT]
    assert frontier([_way("a", 2, 0.5), _way("b", 3, 0.5)]) == [_way("b", 3, 0.5)]


def test_the_choice_for_a_wish() -> None:
    made = _plan(SLOW, LIGHT, FAST, HEAVY, _way("not made", None, 0.9))
    found = {wanted: pick(made, wanted).name for wanted in ("fastest", "best", "fps=2", "fps=2.5", "fps=20")}
    assert found == {"fastest": "fast", "best": "heavy", "fps=2": "heavy", "fps=2.5": "light", "fps=20": "light"}
    with pytest.raises(ConfigError, match=r"fps=60: nothing is as fast here; fast reaches 50.0 .*--plan fastest"):
        pick(made, "fps=60")
    with pytest.raises(ConfigError, match=r"the mIoU of fast is not known; ifrkit eval --from x, then ifrkit plan"):
        pick(made, "fps=30")
    with pytest.raises(ConfigError, match="no way to predict could be measured"):
        pick(_plan(_way("not made", None, 0.9)), "fastest")
    for wrong in ("slowest", "fps", "fps=0", "fps=-1", "fps=nan"):
        with pytest.raises(ConfigError, match="fps=25"):
            wanted_rate(wrong)


def test_a_network_on_every_frame_that_beats_the_video_model_is_named() -> None:
    video = [_way("accel, key interval 2", 5, 0.45, 2), _way("accel, key interval 9", 15, 0.7, 9)]
    assert list(verdicts([LIGHT, *video])) == ["light: faster than accel at key interval 2, and no less accurate"]
    assert list(verdicts([HEAVY, *video])) == []
    unknown = [replace(choice, miou=None) for choice in video]
    said = "light: faster than accel at key interval 2, 9; how accurate they are is not known"
    assert list(verdicts([LIGHT, *unknown])) == [said]


class Listening(Silent):
    """Keeps the tables that were shown."""

    def __init__(self) -> None:
        self.tables: list[tuple[str, list[str], list[list[str]]]] = []

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        self.tables.append((title, columns, rows))


def _made(workspace: Path, given: Artifact, **changes: Any) -> tuple[Artifact, Listening]:
    config = PlanConfig.of({"what": "32x48", "intervals": [2, 3], "rounds": 2, "threads": 1} | changes)
    display = Listening()
    return execute(plan.STAGE, config, Run(workspace=workspace, inputs=[given], display=display)), display


def test_everything_is_measured_and_what_is_not_known_has_its_command(tmp_path: Path, model: Artifact) -> None:
    artifact, display = _made(tmp_path, model)
    made = {choice.name: choice for choice in Plan.read(artifact).choices}
    assert list(made)[:5] == ROWS
    for name in ROWS:
        choice = made[name]
        assert choice.slowest is not None
        assert choice.fastest is not None
        assert choice.frames_per_second is not None
        assert 0 < choice.slowest <= choice.frames_per_second <= choice.fastest
        assert choice.processor_seconds
        assert choice.processor_seconds > 0
        assert choice.miou is choice.tc is None
        assert [re.sub(r"--from \S+", "", command).split()[:2] for command in choice.lacking] == [["ifrkit", "eval"]]
    assert made["accel, key interval 2"].settings == {"key_interval": 2}
    assert made["accel, key interval 2"].id == model.id
    assert made[ROWS[2]].settings == {"branch": "update", "scale": 0.5}
    assert made["accel, onnx"].lacking == (f"ifrkit export --from {model.path}",)
    ((_, columns, rows),) = display.tables
    assert [row[0] for row in rows] == list(made)
    assert all(len(row) == len(columns) for row in rows)
    again, _ = _made(tmp_path, model)
    assert again.id == artifact.id
    other, _ = _made(tmp_path, model, what="64x48")
    assert other.id != artifact.id


def test_reports_give_the_accuracy(tmp_path: Path, model: Artifact) -> None:
    def judge(**changes: Any) -> dict[str, Any]:
        config = EvalConfig.of({"metrics": "miou,tc", "pictures": 0} | changes)
        made = execute(evaluate.STAGE, config, Run(workspace=tmp_path, inputs=[model]))
        return Report.read(made).tree()

    whole, half = judge(key_interval=3), judge(scale=0.5)
    near = judge(key_interval=2, distances=2)
    found = {choice.name: choice for choice in Plan.read(_made(tmp_path, model)[0]).choices}

    def told(report: dict[str, Any], system: str) -> tuple[float, float]:
        numbers = report["systems"][system]
        return numbers["miou"]["miou"], numbers["tc"]["tc"]

    for name in ROWS[:2]:
        assert (found[name].miou, found[name].tc) == told(whole, name)
    assert (found[ROWS[2]].miou, found[ROWS[2]].tc) == told(half, ROWS[2])
    assert found[ROWS[3]].miou == near["distances"]["systems"]["accel"]["mean"][1]
    assert found[ROWS[3]].tc == near["systems"]["accel"]["tc"]["tc"]
    assert (found[ROWS[4]].miou, found[ROWS[4]].tc) == (None, whole["systems"]["accel"]["tc"]["tc"])
    assert [bool(found[name].lacking) for name in ROWS] == [False, False, False, False, True]


def test_graphs_are_measured_too(tmp_path: Path, branches: Artifact) -> None:
    pytest.importorskip("onnxruntime")
    made = {
        int8: execute(
            export.STAGE,
            ExportConfig(int8=int8, max_drop=1, calibration=2),
            Run(workspace=tmp_path, inputs=[branches]),
        )
        for int8 in (False, True)
    }
    judged = execute(evaluate.STAGE, EvalConfig(pictures=0), Run(workspace=tmp_path, inputs=[branches]))
    found = {choice.name: choice for choice in Plan.read(_made(tmp_path, branches)[0]).choices}
    for name, int8 in (("onnx", False), ("int8", True)):
        choice = found[f"update, every frame, {name}"]
        assert (choice.kind, choice.id, choice.settings) == ("exported", made[int8].id, {"branch": "update"})
        assert choice.frames_per_second
    exact = Report.read(judged).systems["update, every frame"]["miou"]["miou"]
    assert found["update, every frame, onnx"].miou == exact
    assert found["update, every frame, int8"].miou == Exported.read(made[True]).int8["update"]["int8"]
    assert not [name for name in found if "size, " in name]  # graphs of 32x48 frames take no other size


def test_half_size_is_what_it_says(tmp_path: Path, branches: Artifact, clips: Artifact) -> None:
    """Ids of predict, and the confusion of eval, from the network on frames that OpenCV made half as large."""
    frames = own_videos.street(2)
    folder = own_videos.write_folder(tmp_path / "v", frames)
    made = own_videos.run(tmp_path, branches, folder, branch="update", scale=0.5)
    network, clip_store = load_branch(branches, "update", "best"), ClipStore.of(clips)

    def seen(frame: Any) -> Any:
        small = cv2.resize(frame, (24, 16), interpolation=cv2.INTER_LINEAR)
        with torch.inference_mode():
            return network(network.normalise(torch.from_numpy(small).permute(2, 0, 1)[None]))

    for frame, label in zip(frames, own_videos.labels(made, "v").values(), strict=True):
        logits = cv2.resize(seen(frame)[0].permute(1, 2, 0).numpy(), (48, 32), interpolation=cv2.INTER_LINEAR)
        assert np.mean(logits.argmax(2) == label) > 0.999  # sums in another order
    config = EvalConfig.of({"scale": 0.5, "pictures": 0})
    report = Report.read(execute(evaluate.STAGE, config, Run(workspace=tmp_path, inputs=[branches]))).tree()
    right = total = 0
    for clip in clip_store.clips_of("val"):
        index = clip_store.clips[clip].annotated
        assert index is not None
        truth = clip_store.label(clip, index, hidden=True)
        ids = to_ids(seen(clip_store.frame(clip, index)), (32, 48))
        right, total = right + int(((ids == truth) & (truth != 255)).sum()), total + int((truth != 255).sum())
    assert report["scale"] == 0.5
    assert report["systems"][ROWS[2]]["miou"]["pixel_accuracy"] == pytest.approx(right / total)


def test_the_command_line(tmp_path: Path, workspace: Path, model: Artifact, branches: Artifact) -> None:
    """The label images of --plan are those of the flags that it stands for, and the artifact is the same."""
    chain = Chain(tmp_path)
    chain.env["IFRKIT_WORKSPACE"] = str(workspace)
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(4))
    given = f"--from {model.path}"
    assert "no plan of" in complaint(chain.run(f"ifrkit predict a.mp4 --plan fastest {given} -q"), 3)
    made = chain.ok(f"ifrkit plan {video.name} {given} --threads 1 --set rounds=1 --set intervals=[2]")
    artifact = open_artifact(Path(made.stdout.strip()))
    assert store.find(workspace, "plan", artifact.id)
    done = chain.ok(f"ifrkit predict a.mp4 --plan fastest {given}")
    choice = pick(Plan.read(artifact), "fastest")
    assert choice.name in done.stderr
    flags = " ".join(f"--set {key}={value}" for key, value in choice.settings.items())
    source = store.find(workspace, choice.kind, choice.id)  # may be graphs that another test made of them
    assert source
    plain = chain.ok(f"ifrkit predict a.mp4 --from {source.path} {flags}")
    assert "up to date" in plain.stderr
    assert plain.stdout == done.stdout
    assert "with 2 threads" in complaint(chain.run(f"ifrkit predict a.mp4 --plan best {given} --threads 2 -q"), 3)
    assert "mIoU" in complaint(chain.run(f"ifrkit predict a.mp4 --plan best {given} -q"), 2)
    assert "--branch itself" in complaint(chain.run("ifrkit predict a.mp4 --plan best --branch update"), 2)
    assert "no video and no size" in complaint(chain.run("ifrkit plan"), 2)
    assert "nowhere" in complaint(chain.run(f"ifrkit plan nowhere.mp4 {given}"), 4)
