"""Threads that wait for each other are noticed in the first steps, and only those."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ifrkit.artifacts.job import Silent
from ifrkit.train import threads
from ifrkit.train.threads import ThreadWatch

CPU = torch.device("cpu")


class Heard(Silent):
    """Remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


class Machine:
    """Clocks of a machine on which a step takes so long with each number of threads, on a share of the cores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], share: float) -> None:
        self.seconds, self.share, self.wall, self.own = seconds, share, 0.0, 0.0
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(threads.time, "process_time", lambda: self.own)

    def step(self) -> None:
        count = torch.get_num_threads()
        self.wall += self.seconds[count]
        self.own += self.seconds[count] * count * self.share


@pytest.mark.parametrize(
    ("seconds", "share", "tried", "kept"),
    [
        ({2: 4.0, 1: 0.4}, 0.5, True, 1),  # a busy machine
        ({2: 0.3, 1: 0.5}, 0.5, True, 2),  # much is not parallel, and two are faster all the same
        ({2: 0.25, 1: 0.4}, 0.98, False, 2),  # an idle one: one thread is not even tried
    ],
)
def test_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], share: float, tried: bool, kept: int
) -> None:
    machine, heard = Machine(monkeypatch, seconds, share), Heard()
    watch, used = ThreadWatch(CPU, heard), []
    for _ in range(8):
        used.append(torch.get_num_threads())
        with watch.step():
            machine.step()
    assert used == [2, 2, 2, *([1, 1] if tried else [kept, kept]), kept, kept, kept]
    assert len(heard.warnings) == (kept == 1)
    if heard.warnings:
        assert "2 threads take 4 s a step, one takes 0.4 s; going on with one" in heard.warnings[0]


def test_one_thread_and_a_gpu_are_left_alone() -> None:
    assert not ThreadWatch(torch.device("cuda"), Silent()).on
    torch.set_num_threads(1)
    assert not ThreadWatch(CPU, Silent()).on
