"""`ifrkit report` and `ifrkit log` as a user runs them: on finished trainings, and on one that still runs."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import pytest
from chains import ONE, PREPARE, Chain, complaint, wait_for
from PIL import Image

from ifrkit.artifacts.locks import locked
from ifrkit.artifacts.store import Artifact, newest, partial_path
from ifrkit.cli import log
from ifrkit.core.errors import ArtifactError
from ifrkit.report.curves import read_run


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path)


def test_the_page_of_a_workspace(chain: Chain, workspace: Path, reports: list[Artifact]) -> None:
    place = f"--workspace {workspace}"
    assert chain.ok(f"ifrkit report {place}").stdout == f"{workspace / 'report.html'}\n"
    last = newest(workspace, ("report",))  # another test of this package may have made one since
    assert last is not None
    assert last.id in (workspace / "report.html").read_text()
    line = f"ifrkit report {reports[0].path} {reports[1].id[:8]} {reports[0].path} --out both.html --json {place}"
    told = json.loads(chain.ok(line).stdout)
    assert told["from"] == [report.id for report in reports]  # one that is named twice stands there once
    page = chain.cwd / "both.html"
    assert (told["path"], told["bytes"]) == (str(page), page.stat().st_size)
    assert "not a file in a directory that exists" in complaint(chain.run("ifrkit report --out gone/a.html"), 2)
    assert "no report artifact" in complaint(chain.run("ifrkit report"), 3)
    assert "name the page with --out" in complaint(chain.run(f"ifrkit report {reports[0].path}"), 2)
    assert "is of kind clips" in complaint(chain.run(f"ifrkit report {workspace}/clips/*"), 3)


def test_the_log_of_a_finished_training(chain: Chain, workspace: Path, branches: Artifact) -> None:
    place = f"--workspace {workspace}"
    shown = chain.ok(f"ifrkit log branches --follow --plot curves.png {place}").stdout
    assert shown.splitlines()[0].startswith(f"{branches.path} (synthetic, ")
    run = read_run(branches.path / "update.events.jsonl")
    for step, miou in run.metric:
        best = " (best)" if step == run.best_step else ""
        assert f"{100 * miou:.2f}{best}" in shown
    assert f"{run.loss[-1][1]:.4g}" in shown
    assert "update" in shown
    assert "reference" in shown
    with Image.open(chain.cwd / "curves.png") as image:
        assert image.format == "PNG"
        assert image.width > image.height
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 10
    tree = json.loads(chain.ok(f"ifrkit log {branches.id[:8]} --json {place}").stdout)
    assert [run["name"] for run in tree["runs"]] == ["reference", "update"]
    assert tree["runs"][1]["loss"] == [list(point) for point in run.loss]
    assert "not a PNG" in complaint(chain.run("ifrkit log branches --plot curves.jpg"), 2)
    assert "leave one out" in complaint(chain.run("ifrkit log branches --follow --json"), 2)
    assert "has no events of a training" in complaint(chain.run(f"ifrkit log clips {place}"), 3)
    assert "no branches artifact" in complaint(chain.run("ifrkit log branches"), 3)


def test_the_log_follows_a_running_training_to_its_end(chain: Chain) -> None:
    chain.ok(f"ifrkit {PREPARE}")
    runtime = "--set runtime.log_every=1 --set loop.eval_every=3"
    training = chain.start(f"exec ifrkit {ONE} --steps 100000 {runtime}")
    wait_for(lambda: any(path.stat().st_size for path in chain.workspace.glob("branches/.partial-*/*.jsonl")))
    following = chain.start("exec ifrkit log branches --follow --plot curves.png")
    png = chain.cwd / "curves.png"
    wait_for(png.exists)
    first = png.stat().st_mtime_ns
    wait_for(lambda: png.stat().st_mtime_ns > first)  # it is drawn again
    assert following.poll() is None
    training.send_signal(signal.SIGTERM)
    training.communicate(timeout=180)
    assert training.returncode == 143
    out, err = following.communicate(timeout=180)
    assert (following.returncode, err) == (0, "")
    (events,) = chain.workspace.glob("branches/.partial-*/update.events.jsonl")
    run = read_run(events)
    lines = [line for line in out.splitlines() if line.startswith("update: step ")]
    steps = [int(line.split()[2]) for line in lines if " loss " in line]
    assert steps == list(range(steps[0], run.loss[-1][0] + 1))  # each event once, to the last
    assert f"update: step {run.loss[-1][0]}  loss {run.loss[-1][1]:.4g}  lr {run.lr[-1][1]:.2e}" in lines
    assert any(" mIoU " in line and line.endswith((" %", " (best)")) for line in lines)


def test_a_run_that_is_finished_while_it_is_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory gets another name: what it wrote last is read there, also a network that was begun in between."""
    monkeypatch.setattr(log, "SECONDS", 0.01)
    target = tmp_path / "toy-123456789abc"
    partial = partial_path(target)
    partial.mkdir()

    def event(name: str, step: int, **values: object) -> None:
        with (partial / f"{name}.events.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    event("a", 1, loss=1.0, lr=[0.5])
    known = [read_run(partial / "a.events.jsonl")]
    with locked(target):
        follower = threading.Thread(target=log._follow, args=(partial, known, None))
        follower.start()
        time.sleep(0.05)
        event("a", 2, loss=0.5, lr=[0.25])
        event("a", 2, metrics={"miou": 0.25}, best=True)
        event("b", 1, loss=3.0, lr=[0.5])
        partial.rename(target)
    follower.join(timeout=10)
    assert not follower.is_alive()
    assert capsys.readouterr().out.splitlines() == [
        "a: step 2  loss 0.5  lr 2.50e-01",
        "a: step 2  mIoU 25.00 % (best)",
        "b: step 1  loss 3  lr 5.00e-01",
    ]


def test_a_log_that_is_being_written_and_one_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.events.jsonl"
    path.write_text('{"step": 1, "loss": 2.0, "lr": [0.1]}\n{"step": 2, "lo')
    assert read_run(path).loss == [(1, 2.0)]
    for line in ("{}", '{"step": 1, "loss": 1}', "nonsense", '{"step": 1, "metrics": {}}', "[1]"):
        path.write_text(line + "\n")
        with pytest.raises(ArtifactError, match=r"a\.events\.jsonl: line 1 is not an event of a training"):
            read_run(path)
