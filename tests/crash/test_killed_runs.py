"""Whatever happens to a run: no half artifact, no lost state, the right exit code, one line."""

from __future__ import annotations

import hashlib
import json
import pickle
import signal
import time
from pathlib import Path

import pytest
from file_limit import limited
from toystages import Shell

from ifrkit.artifacts import store
from ifrkit.artifacts.listing import LIST, entry
from ifrkit.artifacts.manifest import VERSION

FAST = ["ifrkit-toy-train", "--from", "clips", "--steps", "40", "--device", "cpu"]
SLOW = [*FAST, "--set", "runtime.seconds=0.1"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.source()
    return made


def _interrupted(shell: Shell, signum: signal.Signals) -> tuple[int, str]:
    run = shell.start(*SLOW)
    shell.wait_for("branches/.partial-*/scratch/progress.json")
    return shell.interrupt(run, signum)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_killed_run_goes_on_where_it_was(shell: Shell, signum: signal.Signals, code: int) -> None:
    returned, err = _interrupted(shell, signum)
    assert returned == code
    assert "Traceback" not in err
    (partial,) = (shell.workspace / "branches").glob(".partial-*")
    assert not list((shell.workspace / "branches").glob("[!.]*"))
    state = json.loads((partial / "scratch/progress.json").read_text())
    assert 0 < state["step"] < 40

    asked = shell.run(" ".join(FAST))
    assert asked.returncode == 2
    assert f"at step {state['step']} of 40" in asked.stderr
    assert "--resume to continue, --force to start over" in asked.stderr
    assert (partial / "scratch/progress.json").exists()

    done = shell.run(" ".join([*FAST, "--resume", "--json"]))
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    assert tree["metrics"]["sum"] == sum(range(40))
    assert not partial.exists()
    assert not (Path(tree["path"]) / "scratch").exists()


def test_force_starts_over(shell: Shell) -> None:
    _interrupted(shell, signal.SIGTERM)
    run = shell.start(*SLOW, "--force")
    lines = shell.wait_for("branches/.partial-*/log.txt")
    run.kill()
    run.communicate()
    assert lines.read_text().startswith("0\n")


def test_resume_without_state_starts_and_says_when_the_config_differs(shell: Shell) -> None:
    _interrupted(shell, signal.SIGTERM)
    done = shell.run("ifrkit toy-train --from clips --device cpu --resume --seed 5")
    assert done.returncode == 0
    assert "nothing to resume" in done.stderr


def test_the_second_signal_stops_at_once(shell: Shell) -> None:
    run = shell.start(*SLOW, "--set", "runtime.seconds=30")
    shell.wait_for("branches/.partial-*/scratch/progress.json")
    run.send_signal(signal.SIGINT)
    said = iter(run.stderr.readline, "")  # type: ignore[union-attr]
    assert any("saving the state" in line for line in said)
    returned, err = shell.interrupt(run, signal.SIGINT)
    assert returned == 130
    assert "at once" in err


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stage_without_state_stops_at_once_and_leaves_nothing(
    shell: Shell, signum: signal.Signals, code: int
) -> None:
    run = shell.start("ifrkit-toy-source", "--set", "seconds=60")
    shell.wait_for("clips/.partial-*")
    returned, err = shell.interrupt(run, signum)
    assert returned == code
    assert err == "ifrkit-toy-source: interrupted; run it again\n"
    assert not list((shell.workspace / "clips").glob(".*"))


def test_a_signal_is_not_lost_in_a_finalizer(shell: Shell) -> None:
    """Python drops what a signal's handler raises in there, so the run would go on for its minute."""
    run = shell.start("ifrkit-toy-source", "--set", "seconds=60", "--set", "finalizer=60")
    shell.wait_for("clips/.partial-*")
    time.sleep(0.5)  # it is in the finalizer
    returned, err = shell.interrupt(run, signal.SIGTERM)
    assert returned == 143
    assert err == "ifrkit-toy-source: interrupted; run it again\n"
    assert not list((shell.workspace / "clips").glob(".*"))


def test_two_runs_with_one_output_are_exit_75_and_name_the_process(shell: Shell) -> None:
    run = shell.start("ifrkit-toy-source", "--set", "seconds=60")
    shell.wait_for("clips/.partial-*")
    second = shell.run("ifrkit toy-source --set seconds=60")
    assert second.returncode == 75
    assert f"process {run.pid}" in second.stderr
    kept = json.loads(shell.ok("ifrkit artifacts gc --json"))
    assert [item["removed"] for item in kept] == [False, False]
    run.kill()
    run.communicate()
    gone = shell.ok("ifrkit artifacts gc")
    assert gone.count("removed: ") == 2
    assert not list((shell.workspace / "clips").glob(".*"))


@pytest.mark.parametrize("force", ["", "--force"])
@pytest.mark.parametrize("out", [".", "..", "mine", "mine.txt"])
def test_what_is_no_artifact_is_never_replaced_and_said_before_anything_runs(
    shell: Shell, out: str, force: str
) -> None:
    (shell.cwd / "mine").mkdir()
    (shell.cwd / "mine" / "thesis.txt").write_text("years of work")
    (shell.cwd / "mine.txt").write_text("more of it")
    (shell.cwd / "here").mkdir()
    where = "here" if out == "." else "."
    done = shell.run(f"cd {where} && ifrkit toy-source --set seconds=60 --out {out} {force}")
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (shell.cwd / "mine" / "thesis.txt").read_text() == "years of work"
    assert (shell.cwd / "mine.txt").read_text() == "more of it"


def test_gc_keeps_what_can_be_resumed_unless_asked(shell: Shell) -> None:
    _interrupted(shell, signal.SIGTERM)
    assert "kept: " in shell.ok("ifrkit artifacts gc")
    assert "would remove: " in shell.ok("ifrkit artifacts gc --interrupted --dry-run")
    assert list((shell.workspace / "branches").glob(".partial-*"))
    assert "removed: " in shell.ok("ifrkit artifacts gc --interrupted")
    assert not list((shell.workspace / "branches").iterdir())
    assert len(shell.ok("ifrkit artifacts ls").splitlines()) == 1


def test_full_disk_is_exit_5_and_leaves_no_artifact(shell: Shell) -> None:
    done = shell.run(limited(8, "ifrkit toy-source --size 100000"))
    assert done.returncode == 5
    assert "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [p for p in (shell.workspace / "clips").iterdir() if "x" * 100 in p.name or p.name.startswith(".")] == []


def test_full_disk_keeps_the_state_of_a_training_run(shell: Shell) -> None:
    done = shell.run(limited(8, "ifrkit toy-train --from clips --steps 20 --device cpu"))
    assert done.returncode == 5, done.stderr
    again = shell.run("ifrkit toy-train --from clips --steps 20 --device cpu --resume --json")
    assert json.loads(again.stdout)["metrics"]["sum"] == sum(range(20))


def test_out_of_memory_is_exit_5(shell: Shell) -> None:
    done = shell.run("ifrkit toy-train --from clips --set allocate=true --device cpu")
    assert done.returncode == 5
    assert "memory" in done.stderr


def test_a_bug_is_exit_1_with_a_traceback(shell: Shell) -> None:
    (shell.cwd / "toy.yaml").write_text("size: -1\nseconds: -1.0\n")
    done = shell.run("ifrkit toy-source --config toy.yaml")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a bug: ValueError" in done.stderr.splitlines()[-1]
    assert not list((shell.workspace / "clips").glob(".*"))


def test_verbose_adds_the_traceback(shell: Shell) -> None:
    done = shell.run("ifrkit toy-train --from nowhere/at/all -v")
    assert done.returncode == 3
    assert "Traceback" in done.stderr


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_one_flipped_bit_in_weights_is_exit_3(shell: Shell) -> None:
    clips = shell.source()
    _damage(clips / "sub/w.safetensors")
    done = shell.run("ifrkit toy-train --set read=sub/w.safetensors --from clips --device cpu")
    assert done.returncode == 3
    assert "w.safetensors" in done.stderr
    assert "corrupt" in done.stderr
    verify = shell.run("ifrkit artifacts verify")
    assert verify.returncode == 3
    assert "w.safetensors" in verify.stdout


def test_a_missing_or_cut_file_is_exit_3_before_anything_runs(shell: Shell) -> None:
    clips = shell.source()
    (clips / "data.bin").write_bytes(b"x")
    for line in ("ifrkit toy-train --from clips --device cpu", "ifrkit toy-source", "ifrkit toy-train --device cpu"):
        done = shell.run(line)
        assert done.returncode == 3, line
        assert "data.bin" in done.stderr
    shell.ok("ifrkit toy-source --force")
    shell.ok("ifrkit toy-train --device cpu")


def test_a_pickle_instead_of_weights_is_exit_3(shell: Shell) -> None:
    clips = shell.source()
    data = pickle.dumps({"weight": [1.0, 2.0]})
    (clips / "sub/w.safetensors").write_bytes(data)
    # Even where the manifest says that this is what belongs there.
    entries = [json.loads(line) for line in (clips / LIST).read_text().splitlines()]
    for each in entries:
        if each["path"].endswith("w.safetensors"):
            each |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (clips / LIST).write_text("".join(json.dumps(each) + "\n" for each in entries))
    tree = json.loads((clips / "manifest.json").read_text())
    del tree["sha256"]
    tree["files"] = [entry(clips, LIST).tree()]
    (clips / "manifest.json").write_text(json.dumps(tree))
    done = shell.run("ifrkit toy-train --set read=sub/w.safetensors --from clips --device cpu")
    assert done.returncode == 3
    assert "not a sound safetensors file" in done.stderr


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("{", "is corrupt"),
        (f'{{"ifrkit": {VERSION + 1}}}', "upgrade ifrkit"),
        ('{"ifrkit": 1, "kind": "clips"}', "is corrupt: id"),
        ("[]", "is not a manifest"),
    ],
)
def test_bad_manifests_are_exit_3(shell: Shell, change: str, wanted: str) -> None:
    clips = shell.source()
    (clips / "manifest.json").write_text(change)
    done = shell.run(f"ifrkit toy-train --from {clips}")
    assert done.returncode == 3
    assert wanted in done.stderr
    assert wanted in store.check(clips)[0]
