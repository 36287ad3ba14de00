"""Every line that names an artifact says what it is: dataset, root, size, age; and what is printed is a reference."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tiny_run

from ifrkit.artifacts import store
from ifrkit.artifacts.about import about, age, in_bytes
from ifrkit.artifacts.manifest import InputRef, Manifest
from ifrkit.artifacts.reference import format_reference
from ifrkit.artifacts.store import Artifact
from ifrkit.cli.main import in_process
from ifrkit.core.errors import ArtifactError, IfrkitError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _make(workspace: Path, kind: str, tag: str, *, made_from: Artifact | None = None, **config: str) -> Artifact:
    """A small artifact of 2 KiB, made just now."""
    id = (tag * 64)[:64]
    target = workspace / kind / f"{kind}-{id[:12]}"
    partial = store.begin(target)
    (partial / "data").write_bytes(b"x" * 2048)
    inputs = (InputRef(kind="clips", id=made_from.id, path=f"../../clips/{made_from.path.name}"),) if made_from else ()
    created = datetime.now(UTC).isoformat()
    return store.commit(partial, target, Manifest(kind=kind, id=id, inputs=inputs, config=config, created=created))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clips of two datasets, and branches of the first."""
    monkeypatch.chdir(tmp_path)
    place = Path("ifrkit_artifacts")
    first = _make(place, "clips", "a1", dataset="camvid", root="data/CamVid")
    _make(place, "branches", "b2", made_from=first)
    _make(place, "clips", "c3", dataset="folders", root="my project")
    return place


def test_what_is_known_of_an_artifact(workspace: Path) -> None:
    clips, branches = store.resolve(workspace, "a1a1"), store.resolve(workspace, "branches")
    assert about(clips) == "camvid data/CamVid, 2 KiB, just now"
    assert about(branches) == "camvid data/CamVid, 2 KiB, just now"  # through its lineage
    shutil.rmtree(clips.path)
    assert about(branches) == "2 KiB, just now"


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=-90), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=47), "1 day ago"),
        (timedelta(days=400), "400 days ago"),
    ],
)
def test_age(passed: timedelta, text: str) -> None:
    made = Manifest(kind="clips", id="0" * 64, created=(NOW - passed).isoformat())
    assert age(Artifact(Path("x"), made), NOW) == text


@pytest.mark.parametrize("created", ["", "yesterday", "2026-01-01", "9" * 400])
def test_a_time_that_is_none_is_left_out(created: str) -> None:
    assert age(Artifact(Path("x"), Manifest(kind="clips", id="0" * 64, created=created)), NOW) == ""


def test_sizes() -> None:
    assert [in_bytes(n) for n in (0, 1023, 1024, 5 << 20, 3 << 30)] == ["0 B", "1023 B", "1 KiB", "5 MiB", "3.0 GiB"]


def test_the_list(workspace: Path) -> None:
    lines = in_process(["artifacts", "ls"]).splitlines()
    cells = [re.split(r"  +", line) for line in lines]
    assert [cell[:5] for cell in cells] == [
        ["branches", "b2b2b2b2b2b2", "camvid data/CamVid", "2 KiB", "just now"],
        ["clips", "a1a1a1a1a1a1", "camvid data/CamVid", "2 KiB", "just now"],
        ["clips", "c3c3c3c3c3c3", "folders my project", "2 KiB", "just now"],
    ]
    known = json.loads(in_process(["artifacts", "ls", "--json"]))
    assert [(a["dataset"], a["root"]) for a in known] == [("camvid", "data/CamVid")] * 2 + [("folders", "my project")]
    for word in (cells[0][1], cells[0][5], Path(cells[0][5]).name):  # whatever it prints is a reference
        assert in_process(["artifacts", "show", word]).splitlines()[1] == "kind: branches"


def test_every_form_that_is_printed_is_a_reference(workspace: Path) -> None:
    made = store.resolve(workspace, "branches")
    forms = [made.path.name, f"branches/{made.path.name}", str(made.path), made.id, made.id[:4]]
    forms += [format_reference(made.path.resolve(), made.kind, made.id, as_json=True)]
    assert {store.resolve(workspace, form).id for form in forms} == {made.id}
    for bad in ("branches/nothing", "nothing", "{", "x" * 5000, "a\0b", "../" * 2000 + "x"):
        with pytest.raises(ArtifactError):
            store.resolve(workspace, bad)


@pytest.mark.parametrize("line", ["artifacts lineage branches", "artifacts verify branches", "artifacts show branches"])
def test_lines_of_artifacts(workspace: Path, line: str) -> None:
    assert "camvid data/CamVid, 2 KiB, just now" in in_process(line.split())


def test_the_wrong_newest_clips_are_seen(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After another `prepare`, the line says whose clips are taken, whether the newest are asked for or implied."""
    for words in ([], ["--from", "clips"]):
        with pytest.raises(IfrkitError):
            in_process(["train-flow", "--dry-run", *words])  # they hold no frames
        said = capsys.readouterr().err
        assert (
            f"from {workspace}/clips/clips-c3c3c3c3c3c3 (the newest clips: folders my project, 2 KiB, just now)" in said
        )


def test_stages_say_it_of_what_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tiny_run.make_clips(tmp_path)
    words = ["prepare", "synthetic", "--workspace", str(tmp_path)]
    words += [word for key, value in tiny_run.OPTIONS.items() for word in ("--set", f"options.{key}={value}")]
    wanted = re.compile(rf"up to date: {made.path} \(synthetic, \d+ KiB, just now\)")
    assert in_process(words).strip() == str(made.path)
    assert wanted.search(capsys.readouterr().err)
    assert wanted.search(in_process([*words, "--dry-run"]))
    flow = ["train-flow", "--workspace", str(tmp_path), "--set", "crop=[24,32]", "--set", "loop.batch=2", "--dry-run"]
    assert re.search(rf"from clips: {made.path} \(synthetic, \d+ KiB, just now\)", in_process(flow))
