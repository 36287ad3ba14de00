"""The templates of docs/extending.md, taken off the page, registered as it says, put through the contract checks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

from ifrkit import testing
from ifrkit.core.plugins import load, names
from ifrkit.testing.methods import check_method

TEXT = (ROOT / "docs/extending.md").read_text()
CODE = {match[1]: match[0] for match in re.finditer(r'(?<=```python\n)"""(\w+\.py).*?(?=```)', TEXT, re.S)}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as `pip install` leaves it: the modules, and the entry points of the page."""
    directory = tmp_path_factory.mktemp("site")
    for name, code in CODE.items():
        (directory / name).write_text(code)
    toml = re.search(r"```toml\n(.*?)```", TEXT, re.S)
    assert toml is not None
    info = directory / "templates-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: templates\nVersion: 1\n")
    points = toml[1].replace('[project.entry-points."', "[").replace('"]', "]").replace('"', "")
    (info / "entry_points.txt").write_text(points)
    return directory


@pytest.fixture(autouse=True)
def _registered(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))


KINDS = {
    "datasets": "my-dataset",
    "labels": "my-labels",
    "backbones": "my-backbone",
    "methods": "my-method",
    "architectures": "my-arch",
    "metrics": "my-metric",
}


def test_the_page_has_all_templates_and_their_test() -> None:
    assert set(CODE) == {f"{name.replace('-', '_')}.py" for name in KINDS.values()} | {"test_plugins.py"}
    for kind, name in KINDS.items():
        assert name in names(kind)
        assert load(kind, name).__doc__


def test_the_test_file_of_the_page_passes(package: Path, tmp_path: Path) -> None:
    """As an author runs it, in a process of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package / "test_plugins.py")]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{len(KINDS)} passed" in done.stdout


def test_they_are_on_the_command_line(package: Path, tmp_path: Path) -> None:
    testing.toy("my-dataset", tmp_path / "toy")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])}
    line = (
        "ifrkit prepare my-dataset --root toy --set options.clip_length=5 --dry-run && "
        "ifrkit train-branches --ssl ifr,my-method --set method.my-method.weight=0.5 --print-config && "
        "ifrkit train-branches --backbone my-backbone,resnet18 --set update.blocks=2 --set update.stride=16 "
        "--print-config && "
        "ifrkit train-fusion --arch my-arch --print-config && ifrkit eval --metric my-metric --print-config"
    )
    done = subprocess.run(["bash", "-c", line], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6 clips of 5 frames" in done.stdout


def test_a_label_format_from_outside_reads_a_project(tmp_path: Path) -> None:
    from data_prep.folders import Dataset

    testing.toy("folders", tmp_path)
    shutil.rmtree(tmp_path / "labels")
    (tmp_path / "labels").mkdir()
    rows = "street_000012,64,48,road,0,0,63,47\nstreet_000012,64,48,sky,0,0,63,20\nstreet_000030,64,48,road,0,9,63,47\n"
    (tmp_path / "labels/all.boxes.csv").write_text(rows)
    for chosen in ("auto", "my-labels", "My_Labels"):
        dataset = Dataset(tmp_path, Dataset.Config.of({"label_format": chosen, "clip_length": 5}))
        assert "2 labels have a frame (my-labels: labels)" in dataset.summary()
    assert dataset.label("street/000012")[[0, 40], 0].tolist() == [0, 2]


def test_the_checks_catch_what_breaks_a_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault at a time, put into the templates."""
    method, arch, metric = load("methods", "my-method"), load("architectures", "my-arch"), load("metrics", "my-metric")
    with monkeypatch.context() as patch:
        patch.setattr(method, "OFF", {"weight": 0.5})
        with pytest.raises(AssertionError, match="switched off, it declares no view"):
            check_method("my-method", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(method, "losses", lambda *args: {"flat": args[1].features(args[2].views["v1_0"])})
        with pytest.raises(AssertionError, match="terms are scalars"):
            check_method("my-method", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(arch.model, "forward_clip", lambda self, frames: self.start(frames[:, 0])[0])
        with pytest.raises(AssertionError, match="chained steps equal forward_clip"):
            testing.check_architecture("my-arch")
    with monkeypatch.context() as patch:
        patch.setattr(metric, "compute", lambda self: {"my_accuracy": 2.0})
        with pytest.raises(AssertionError, match="it is None"):
            testing.check_metric("my-metric")


@pytest.mark.parametrize("name", names("metrics"))
def test_built_in_metrics_pass(name: str) -> None:
    testing.check_metric(name)


@pytest.mark.parametrize("name", names("architectures"))
def test_built_in_architectures_pass(name: str) -> None:
    testing.check_architecture(name)
