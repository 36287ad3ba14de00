"""Teachers and second networks beside the trained one: who follows whom, when, and which of them is saved."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ifrkit.artifacts.store import Artifact
from ifrkit.methods import cps
from ifrkit.methods._mean_teacher import MeanTeacher
from ifrkit.testing.methods import toy_clips, toy_task, train
from ifrkit.train.stage_one import BranchTask

TEACHERS: dict[tuple[str, int], tuple[list[float], str]] = {
    ("fixmatch", 1): ([0.0, 0.5, 2 / 3], "student"),
    ("classmix", 1): ([0.0, 0.5, 2 / 3], "student"),
    ("unimatch", 2): ([0.0, 0.5, 2 / 3], "student"),
    ("blend", 1): ([0.0, 0.5, 2 / 3], "ema"),
    ("cutmix", 1): ([0.99, 0.99, 0.99], "ema"),
}
"""Method and version -> decay of the first three updates, and which network is saved unless asked otherwise."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return toy_clips(tmp_path_factory.mktemp("workspace"))


def task_of(ssl: str, version: int, clips: Artifact, **options: Any) -> tuple[BranchTask, MeanTeacher]:
    task = toy_task(ssl, clips, method={ssl: {**({"version": 2} if version == 2 else {}), **options}})
    method = task.methods[ssl]
    assert isinstance(method, MeanTeacher)
    return task, method


@pytest.mark.parametrize(("ssl", "version"), TEACHERS)
def test_the_teacher_is_the_moving_average_of_parameters_and_batch_statistics(
    clips: Artifact, ssl: str, version: int
) -> None:
    task, method = task_of(ssl, version, clips)
    teacher = {name: value.clone() for name, value in method.teacher.network.state_dict().items()}
    assert all(torch.equal(value, teacher[name]) for name, value in task.network.state_dict().items())
    for step, decay in enumerate(TEACHERS[ssl, version][0]):
        train(task, step, step + 1)
        for name, value in task.network.state_dict().items():
            if value.is_floating_point():
                teacher[name] = decay * teacher[name] + (1 - decay) * value
    for name, value in method.teacher.network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, teacher[name], msg=name)


@pytest.mark.parametrize("export", ["student", "ema", None])
@pytest.mark.parametrize(("ssl", "version"), TEACHERS)
def test_which_network_is_saved(clips: Artifact, ssl: str, version: int, export: str | None) -> None:
    task, method = task_of(ssl, version, clips, **({"export": export} if export else {}))
    wanted = export or TEACHERS[ssl, version][1]
    assert task.exported is (task.network if wanted == "student" else method.teacher.network)


def test_of_two_networks_the_first_is_saved_and_both_are_resumed(clips: Artifact) -> None:
    task = toy_task("cps", clips)
    method = task.methods["cps"]
    assert isinstance(method, cps.Method)
    train(task)
    saved, second = task.state(), method.second.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in task.network.state_dict().items())
    assert not torch.equal(saved["decode_head.conv_seg.weight"], second["decode_head.conv_seg.weight"])
    resumed = task.module.state_dict()
    assert all(torch.equal(resumed[f"network.{name}"], value) for name, value in saved.items())
    assert all(torch.equal(resumed[f"extra.cps.{name}"], value) for name, value in second.items())
