"""The one training loop: exact resume, divergence, checkpoints, accumulation, ranks."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_task
from file_limit import files_of_at_most
from toy_task import STEPS, ToyTask, train

from ifrkit.artifacts.job import Silent
from ifrkit.core.errors import ArtifactError, ConfigError, DivergedError, InterruptedRun, ResourceError
from ifrkit.models.weights import load_weights
from ifrkit.train.loop import FitResult
from ifrkit.train.state import load_state


def stop_at(step: int, signum: int = signal.SIGTERM) -> Callable[[], int]:
    """A job.stop() that turns true when `step` steps are done."""
    calls = iter(range(1, STEPS + 1))
    return lambda: signum if next(calls) == step else 0


def files(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.glob("*.safetensors")}


def events(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "toy.events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FitResult]:
    directory = tmp_path_factory.mktemp("whole")
    return directory, train(directory)


@pytest.mark.parametrize("step", [1, 4, 5, 6, 12, STEPS - 1])
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, uninterrupted: tuple[Path, FitResult], step: int
) -> None:
    whole, result = uninterrupted
    with pytest.raises(InterruptedRun, match=f"after step {step} of {STEPS}") as caught:
        train(tmp_path, stop=stop_at(step))
    assert caught.value.exit_code == 143
    torch.manual_seed(step)  # whatever the global generator holds does not matter
    assert train(tmp_path, resumed=True) == result
    assert files(tmp_path) == files(whole)


def _train_until_killed(directory: Path, step: int) -> None:
    def kill() -> int:
        if next(calls) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    calls = iter(range(1, STEPS + 1))
    train(directory, stop=kill)


@pytest.mark.parametrize("step", [3, 9, 14])
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, uninterrupted: tuple[Path, FitResult], step: int
) -> None:
    whole, result = uninterrupted
    child = multiprocessing.get_context("fork").Process(target=_train_until_killed, args=(tmp_path, step))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert train(tmp_path, resumed=True) == result
    assert files(tmp_path) == files(whole)
    steps = [(record["step"], "metrics" in record) for record in events(tmp_path)]
    assert steps == sorted(set(steps))  # what was logged after the saved state is not there twice


def test_fp16_scaler_is_part_of_the_state(tmp_path: Path) -> None:
    train(tmp_path / "whole", amp="fp16")
    with pytest.raises(InterruptedRun):
        train(tmp_path / "parts", amp="fp16", stop=stop_at(7))
    state = load_state(tmp_path / "parts" / ".scratch" / "toy.state.pt")
    assert state["scaler"]["_growth_tracker"] > 0
    train(tmp_path / "parts", amp="fp16", resumed=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


class TwoOptimizers(ToyTask):
    """The last layer has an Adam of its own."""

    def __init__(self, parts: int = 1) -> None:
        super().__init__(parts)
        first, last = (list(layer.parameters()) for layer in (self.module.layers[:-1], self.module.layers[-1]))
        self.optimizers = [torch.optim.SGD(first, momentum=0.9), torch.optim.Adam(last)]

    def lrs(self, step: int) -> list[float]:
        return [0.1, 1e-3 * (1 - step / STEPS)]


@pytest.mark.parametrize("options", [{}, {"amp": "fp16"}, {"accumulate": 2}])
def test_two_optimizers_each_with_its_rates_and_state(tmp_path: Path, options: dict[str, Any]) -> None:
    parts = options.get("accumulate", 1)
    start = {name: p.clone() for name, p in TwoOptimizers().module.state_dict().items()}
    whole = train(tmp_path / "whole", TwoOptimizers(parts), **options)
    with pytest.raises(InterruptedRun):
        train(tmp_path / "parts", TwoOptimizers(parts), stop=stop_at(7), **options)
    assert train(tmp_path / "parts", TwoOptimizers(parts), resumed=True, **options) == whole
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    end = load_weights(tmp_path / "whole" / "toy.last.safetensors")
    # Batch norm takes the first bias away again: whether rounding moves it depends on the processor.
    assert all(not torch.equal(value, start[name]) for name, value in end.items() if name != "layers.0.bias")
    last = [name for name in end if name.startswith("layers.3.")]  # 20 steps of Adam go no further than 20 rates
    assert len(last) == 2
    assert all((end[name] - start[name]).abs().max() < 0.02 for name in last)
    assert events(tmp_path / "whole")[0]["lr"] == [0.1, pytest.approx(1e-3 * (1 - 2 / STEPS))]


def test_bf16_and_channels_last_train(tmp_path: Path) -> None:
    plain = train(tmp_path / "fp32")
    half = train(tmp_path / "bf16", amp="bf16", channels_last=True)
    assert half.last["score"] == pytest.approx(plain.last["score"], abs=0.05)
    assert files(tmp_path / "bf16") != files(tmp_path / "fp32")


@pytest.mark.parametrize(("able", "same"), [(True, "bf16"), (False, "off")])
def test_auto_is_bf16_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool, same: str
) -> None:
    monkeypatch.setattr("ifrkit.train.half_precision.computes_bfloat16", lambda: able)
    train(tmp_path / "auto", amp="auto")
    train(tmp_path / same, amp=same)
    weights = [(tmp_path / place / "toy.last.safetensors").read_bytes() for place in ("auto", same)]
    assert weights[0] == weights[1]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    result = train(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert train(tmp_path, resumed=True) == result
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before


def test_without_resume_old_state_is_ignored(tmp_path: Path, uninterrupted: tuple[Path, FitResult]) -> None:
    with pytest.raises(InterruptedRun):
        train(tmp_path, stop=stop_at(5))
    assert train(tmp_path) == uninterrupted[1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_named_and_never_saved(tmp_path: Path, value: float) -> None:
    task = ToyTask(poison=lambda step: value if step == 9 else 1.0)
    with pytest.raises(DivergedError, match="loss extra is not finite at step 9"):
        train(tmp_path, task)
    state = load_state(tmp_path / ".scratch" / "toy.state.pt")
    assert state["step"] == 8
    for tensors in (state["module"], load_weights(tmp_path / "toy.best.safetensors")):
        assert all(t.isfinite().all() for t in tensors.values())


def test_weights_that_are_not_finite_are_named_and_never_saved(tmp_path: Path) -> None:
    """A gradient can overflow while every loss is still finite: here in the last step before a save."""
    task = ToyTask()
    task.lrs = lambda step: [math.inf if step == 3 else 0.1]  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match=r"layers\.0\.weight is not finite after step 4"):
        train(tmp_path, task)
    assert not list(tmp_path.rglob("*.pt"))
    assert not files(tmp_path)


def test_a_tie_keeps_the_earlier_weights(tmp_path: Path) -> None:
    scores = iter([0.2, 0.5, 0.5, 0.1])
    result = train(tmp_path, ToyTask(score=lambda: {"score": next(scores)}))
    assert (result.best_step, result.best, result.last) == (12, {"score": 0.5}, {"score": 0.1})
    assert [e["best"] for e in events(tmp_path) if "metrics" in e] == [True, True, False, False]
    assert files(tmp_path)["toy.best.safetensors"] != files(tmp_path)["toy.last.safetensors"]


def test_without_validation_the_last_weights_are_the_best(tmp_path: Path) -> None:
    result = train(tmp_path, ToyTask(score=dict))
    assert (result.best_step, result.best, result.last) == (STEPS, {}, {})
    assert files(tmp_path)["toy.best.safetensors"] == files(tmp_path)["toy.last.safetensors"]


def test_accumulated_micro_batches_equal_one_batch(tmp_path: Path) -> None:
    train(tmp_path / "one", ToyTask(norm=False))
    train(tmp_path / "four", ToyTask(norm=False, parts=4), accumulate=4)
    one, four = (load_weights(tmp_path / d / "toy.last.safetensors") for d in ("one", "four"))
    for name in one:
        torch.testing.assert_close(four[name], one[name], rtol=1e-4, atol=1e-6)


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loop\.batch 8"):
        train(tmp_path, accumulate=3)


def test_events_hold_losses_rates_and_seconds(uninterrupted: tuple[Path, FitResult]) -> None:
    records = events(uninterrupted[0])
    first = records[0]
    assert first["step"] == 3
    assert set(first) == {"step", "loss", "losses", "lr", "seconds"}
    assert first["loss"] == pytest.approx(sum(first["losses"].values()))  # type: ignore[attr-defined]
    assert first["lr"] == [pytest.approx(0.1 * (1 - 2 / STEPS))]
    assert [r["step"] for r in records if "metrics" in r] == [6, 12, 18, STEPS]


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.texts: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def status(self, text: str) -> None:
        self.texts.append(text)


def test_progress_and_missing_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    report = Listening()
    task = ToyTask()
    task.images = 8
    train(tmp_path, task, report=report, runtime={"tensorboard": True})
    assert len(report.warnings) == 1
    assert "ifrkit[tb]" in report.warnings[0]
    assert all("loss" in t and "lr" in t and "img/s" in t for t in report.texts)


def test_a_full_disk_is_a_resource_error(tmp_path: Path) -> None:
    """The limit holds inside the test alone: pytest itself may be writing into a long file."""
    with files_of_at_most(900), pytest.raises(ResourceError, match=r"toy\.state\.pt: File too large"):
        train(tmp_path)
    assert not list((tmp_path / ".scratch").iterdir())


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRun):
        train(tmp_path, stop=stop_at(5))
    path = tmp_path / ".scratch" / "toy.state.pt"
    whole = path.read_bytes()
    spots = range(0, len(whole), len(whole) // 50)
    for damaged in (whole[:-100], b"", *(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in spots)):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"toy\.state\.pt"):
            load_state(path)
    with pytest.raises(ArtifactError, match=r"toy\.state\.pt"):
        train(tmp_path, resumed=True)


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    """torchrun over gloo: the gradient of a split batch is that of the whole batch; all ranks end alike."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [toy_task.__file__, str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    train(tmp_path / "one", ToyTask(norm=False))
    one, two = (load_weights(tmp_path / d / "toy.last.safetensors") for d in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-6)
    assert events(tmp_path / "two")[0]["loss"] == pytest.approx(events(tmp_path / "one")[0]["loss"], rel=1e-4)
