"""Stages chain through one line on standard output: found by pipe, --from, or as the newest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toystages import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_pipe_hands_over_exactly_one_line_either_way(shell: Shell) -> None:
    plain = shell.run("ifrkit toy-source | ifrkit toy-train --device cpu")
    assert plain.returncode == 0, plain.stderr
    (line,) = plain.stdout.splitlines()
    manifest = json.loads((Path(line) / "manifest.json").read_text())
    assert manifest["kind"] == "branches"
    assert manifest["inputs"][0]["kind"] == "clips"
    assert not manifest["inputs"][0]["path"].startswith("/")
    again = shell.run("ifrkit-toy-source --json | ifrkit-toy-train --device cpu --json")
    tree = json.loads(again.stdout)
    assert tree == {
        "ifrkit": 1,
        "kind": "branches",
        "path": line,
        "id": manifest["id"],
        "metrics": {"sum": 6},
    }
    assert "up to date" in again.stderr


def test_command_substitution_and_from(shell: Shell) -> None:
    shell.ok("A=$(ifrkit toy-source) && ifrkit toy-train --from $A --device cpu")
    shell.ok("ifrkit toy-source | ifrkit toy-train --from - --device cpu")
    shell.ok("ifrkit toy-train --from clips --device cpu")
    identity = json.loads(shell.ok("ifrkit toy-source --json"))["id"]
    shell.ok(f"ifrkit toy-train --from {identity[:8]} --device cpu")
    assert len(list((shell.workspace / "branches").iterdir())) == 1


def test_newest_is_taken_and_named(shell: Shell) -> None:
    shell.ok("ifrkit toy-source --size 1")
    newest = shell.ok("ifrkit toy-source --size 2")
    done = shell.run("ifrkit toy-train --device cpu")
    assert Path(newest).name in done.stderr
    assert shell.run("ifrkit toy-train --device cpu -q").stderr == ""


def test_no_input_anywhere_is_exit_3(shell: Shell) -> None:
    done = shell.run("ifrkit toy-train")
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("first", ["true", "false", "echo", "ifrkit toy-source --set sise=1"])
def test_no_line_from_the_stage_before_is_exit_3(shell: Shell, first: str) -> None:
    done = shell.run(f"{first} | ifrkit toy-train")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "through the pipe" in done.stderr.splitlines()[-1]


def test_config_is_checked_before_the_line_comes(shell: Shell) -> None:
    # The writer never ends by itself: only an early answer can end this in time.
    read, write = os.pipe()
    try:
        done = shell.run("ifrkit toy-train --set stepz=1", stdin=read)
    finally:
        os.close(write)
        os.close(read)
    assert done.returncode == 2
    assert done.stderr == "ifrkit-toy-train: stepz: unknown key (from --set); did you mean 'steps'?\n"


def test_a_waiting_stage_has_not_imported_torch(shell: Shell) -> None:
    done = shell.run(f"true | {sys.executable} -X importtime -m ifrkit train-branches")
    assert "through the pipe" in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "ifrkit.stages.runner" in imported
    assert not [name for name in imported if name.split(".")[0] == "torch"]


def test_wrong_kind_is_exit_3(shell: Shell) -> None:
    done = shell.run("ifrkit toy-source | ifrkit toy-train --device cpu | ifrkit toy-train")
    assert done.returncode == 3
    assert "is of kind branches, needed is clips" in done.stderr


def test_reference_to_another_id_is_refused(shell: Shell) -> None:
    tree = json.loads(shell.ok("ifrkit toy-source --json"))
    line = json.dumps({**tree, "id": "0" * 64})
    done = shell.run(f"echo '{line}' | ifrkit toy-train")
    assert done.returncode == 3


def test_reader_gone_still_commits_and_names_the_path(shell: Shell) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        command = ["ifrkit-toy-source"]
        done = subprocess.run(
            command,
            cwd=shell.cwd,
            env=shell.env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 141
    (path,) = (shell.workspace / "clips").iterdir()
    assert str(path) in done.stderr
    assert (path / "manifest.json").exists()
    assert "Traceback" not in done.stderr


def test_a_read_only_command_dies_quietly_with_its_reader(shell: Shell) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(
            ["ifrkit", "--help"], cwd=shell.cwd, env=shell.env, stdout=out, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_out_makes_it_exactly_there(shell: Shell) -> None:
    assert shell.ok("ifrkit toy-source --out here") == str(shell.cwd / "here")
    assert "up to date" in shell.run("ifrkit toy-source --out here").stderr
    other = shell.run("ifrkit toy-source --out here --size 1")
    assert other.returncode == 2
    assert "another" in other.stderr
    shell.ok("ifrkit toy-source --out here --size 1 --force")
    assert (shell.cwd / "here/data.bin").read_bytes() == b"x"
    mine = shell.cwd / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for force in ("", " --force"):
        assert shell.run(f"ifrkit toy-source --out mine{force}").returncode == 2
        assert (mine / "thesis.txt").read_text() == "years of work"


def test_lineage_crosses_workspaces_and_survives_a_move(shell: Shell) -> None:
    shell.ok("ifrkit toy-source --workspace one")
    model = shell.ok("ifrkit toy-train --workspace two --from one/clips/* --device cpu")
    assert "clips" in shell.ok(f"ifrkit artifacts lineage {model}")
    (shell.cwd / "two/clips").mkdir()
    source = next((shell.cwd / "one/clips").iterdir())
    moved = shell.cwd / "two/clips" / source.name
    source.rename(moved)
    assert str(moved) in shell.ok(f"ifrkit artifacts lineage {model}")
    moved.rename(shell.cwd / "elsewhere")
    gone = shell.ok(f"ifrkit artifacts lineage {model}")
    assert "gone" in gone


def test_force_makes_it_anew(shell: Shell) -> None:
    path = Path(shell.ok("ifrkit toy-source"))
    before = json.loads((path / "manifest.json").read_text())["created"]
    assert shell.ok("ifrkit toy-source --force") == str(path)
    assert json.loads((path / "manifest.json").read_text())["created"] > before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_dry_run_makes_nothing(shell: Shell) -> None:
    told = shell.ok("ifrkit toy-source -n")
    assert told.startswith("a toy\nwould make: ")
    assert not shell.workspace.exists()
    tree = json.loads(shell.ok("ifrkit toy-source -n --json"))
    path = shell.ok("ifrkit toy-source")
    assert path.endswith(tree["path"])
    assert json.loads(shell.ok("ifrkit toy-source -n --json"))["exists"] is True


def test_printed_config_is_a_config_file(shell: Shell) -> None:
    text = shell.ok("ifrkit toy-source --size 7 --seed 3 --print-config")
    assert "size: 7" in text
    assert "# --size" in text
    assert "# default" in text
    (shell.cwd / "c.yaml").write_text(text)
    again = json.loads(shell.ok("ifrkit toy-source --config c.yaml --print-config --json"))
    assert again["config"] == {"size": 7, "seconds": 0.0, "finalizer": 0.0, "seed": 3}
    assert again["origins"] == dict.fromkeys(again["config"], "c.yaml")


def test_workspace_from_the_environment(shell: Shell) -> None:
    path = shell.ok("IFRKIT_WORKSPACE=elsewhere ifrkit toy-source")
    assert Path(path).parent == shell.cwd / "elsewhere/clips"
