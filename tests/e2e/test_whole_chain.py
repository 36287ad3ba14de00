"""The chain through the real executables: one line from nothing to a report, signals, locks, readers that leave."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from chains import LINE, ONE, PREPARE, Chain, complaint, wait_for


def test_one_line_from_nothing_to_a_report(chain: Chain) -> None:
    (path,) = (chain.cwd / "stdout").read_text().splitlines()
    report = json.loads((Path(path) / "report.json").read_text())
    assert report["model"]["ssl"] == ["ifr"]
    assert set(report["systems"]["accel"]) == {"miou", "tc"}
    told = (chain.cwd / "stderr").read_text()
    for word in ("accel", "reference, every frame", "update, every frame", "key frame, copied", "mIoU", "TC"):
        assert word in told
    chain.ok("ifrkit artifacts verify")
    lineage = chain.ok(f"ifrkit artifacts lineage {path}").stdout
    for kind in ("report", "video-model", "branches", "flow", "clips"):
        assert kind in lineage
    assert "ifr" in chain.ok(f"ifrkit compare {path}").stdout


def test_the_same_line_again_is_up_to_date_at_every_stage(chain: Chain) -> None:
    """By the separate executables, and with references in JSON."""
    path = (chain.cwd / "stdout").read_text()
    again = chain.ok(LINE.replace("ifrkit ", "ifrkit-"))
    assert again.stdout == path
    assert again.stderr.count("up to date: ") == 4
    tree = json.loads(chain.ok(" | ".join(f"{stage.strip()} --json" for stage in LINE.split("|"))).stdout)
    assert (tree["kind"], tree["path"]) == ("report", path.strip())
    report = json.loads((Path(tree["path"]) / "report.json").read_text())
    assert tree["metrics"]["miou"] == report["systems"]["accel"]["miou"]["miou"]
    assert tree["metrics"]["tc"] == report["systems"]["accel"]["tc"]["tc"]


def test_a_killed_training_resumes_to_the_same_bits_and_is_locked_while_it_runs(chain: Chain, tmp_path: Path) -> None:
    train = f"{ONE} --steps 12 --set runtime.save_every=1 -q"
    whole = Path(chain.ok(f"ifrkit {train} --out {tmp_path / 'whole'}").stdout.strip())
    cut = f"{train} --out {tmp_path / 'parts'}"
    process = chain.start(f"exec ifrkit {cut}")
    state = tmp_path / ".partial-parts" / "scratch" / "progress.json"
    wait_for(lambda: state.exists() or process.poll() is not None)
    process.send_signal(signal.SIGSTOP)  # it can neither finish nor give up its lock now
    assert f"process {process.pid}" in complaint(chain.run(f"ifrkit {cut}"), 75)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out) == (143, "")
    assert "--resume" in err.splitlines()[-1]
    step = json.loads(state.read_text())["step"]
    assert 0 < step < 12
    assert f"at step {step} of 12" in complaint(chain.run(f"ifrkit {cut}"), 2)
    parts = Path(chain.ok(f"ifrkit {cut} --resume").stdout.strip())
    for name in ("update.last.safetensors", "update.best.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    assert not list(tmp_path.glob(".*partial*"))


def test_the_reader_is_gone_but_the_artifact_is_there(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    read, write = os.pipe()
    os.close(read)
    process = chain.start(f"exec ifrkit {PREPARE} -q", stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 141
    (line,) = err.splitlines()
    assert str(chain.newest("clips")) in line
    chain.ok("ifrkit artifacts verify")
