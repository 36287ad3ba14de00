"""`--executor slurm` on a Slurm that runs: bash benchmarks/slurm.sh python -m pytest -m slurm."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from chains import Chain
from tiny_tables import FLAGS

from ifrkit.artifacts.store import open_artifact


def _runs() -> bool:
    return shutil.which("sinfo") is not None and subprocess.run(["sinfo"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("'slurm' not in config.getoption('markexpr')", reason="run with -m slurm"),
    pytest.mark.skipif(not _runs(), reason="no Slurm runs here"),
]

TABLE = f"ifrkit reproduce 5 --only baseline,all {shlex.join(FLAGS)} --json"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return Chain(tmp_path_factory.mktemp("slurm"))


def submit(chain: Chain, words: str) -> tuple[Path, dict[str, str]]:
    """The directory of the jobs, and their ids by the names without their digests."""
    tree = json.loads(chain.ok(f"{TABLE} {words} --executor slurm").stdout)
    return Path(tree["directory"]), {re.sub(r"-\w{8}$", "", name): id for name, id in tree["jobs"].items()}


def told(id: str) -> str:
    """What Slurm knows of a job."""
    return subprocess.run(["scontrol", "show", "job", id], capture_output=True, text=True, check=True).stdout


def states(jobs: dict[str, str]) -> dict[str, str]:
    """How each job ended, once all have."""
    end = time.monotonic() + 600
    while True:
        found = {name: told(id).partition("JobState=")[2].split()[0] for name, id in jobs.items()}
        if not {*found.values()} & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.5)


def test_jobs_wait_for_what_they_read_and_make_the_table(chain: Chain) -> None:
    directory, jobs = submit(chain, "")
    assert len(jobs) == 6
    (training,) = (name for name in jobs if name.startswith("train-branches-psp18-all"))
    waits = re.search(r"Dependency=(.*)", told(jobs[training]))
    assert waits is not None
    assert waits[1] in ("(null)", f"afterok:{jobs['prepare-synthetic']}(unfulfilled)")
    assert {*states(jobs).values()} == {"COMPLETED"}
    reference = (directory / "logs" / f"{jobs['collect']}_0_log.out").read_text()
    (path,) = (line for line in reference.splitlines() if line.startswith(str(chain.workspace.resolve())))
    cells = json.loads(open_artifact(Path(path), ("table",)).file("table.json").read_text())["cells"]
    assert [cell["row"] for cell in cells] == ["baseline", "all"]
    assert all(cell["mean"] is not None for cell in cells)
    here = json.loads(chain.ok(TABLE).stdout)  # everything is up to date, so it is the same table
    assert here["path"] == path


def test_a_job_that_was_cancelled_leaves_a_dash(chain: Chain) -> None:
    _, jobs = submit(chain, "--seeds 1")
    (training,) = (name for name in jobs if name.startswith("train-branches-psp18-all"))
    subprocess.run(["scancel", jobs[training]], check=True)
    found = states(jobs)
    report = next(name for name in jobs if name.startswith("eval") and "-all-" in name)
    assert (found[training], found[report], found["collect"]) == ("CANCELLED", "CANCELLED", "FAILED")
    cells = json.loads((chain.newest("table") / "table.json").read_text())["cells"]
    assert [cell["mean"] is None for cell in cells] == [False, True]
    _, jobs = submit(chain, "--seeds 1")  # again: what is done is up to date
    assert {*states(jobs).values()} == {"COMPLETED"}


def test_a_training_on_two_gpus_is_two_ranks(chain: Chain) -> None:
    """Slurm counts the GPUs; where there is none in truth, torch takes the CPU."""
    directory, jobs = submit(chain, "--only baseline --seeds 2 --device auto --gpus 2")
    (training,) = (name for name in jobs if name.startswith("train-branches"))
    assert "gpu:2" in told(jobs[training])
    assert {*states(jobs).values()} == {"COMPLETED"}
    (script,) = directory.glob("train-branches-*.sbatch")
    assert "--nproc-per-node 2" in script.read_text()
