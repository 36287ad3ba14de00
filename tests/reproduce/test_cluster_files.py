"""What `--executor print` writes, run by an sbatch that executes at once; several stages at once; a killed run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import string
import subprocess
from pathlib import Path

import pytest
from chains import Chain, wait_for
from tiny_tables import FLAGS

from ifrkit.artifacts.store import open_artifact
from ifrkit.reproduce.cluster import write
from ifrkit.reproduce.plan import Node

TINY = shlex.join(FLAGS)

SBATCH = """#!/bin/bash
# Keeps the rules of sbatch: dependencies by id, afterok only if they succeeded, the job's id on standard output.
mkdir -p "$FAKE"; id=$(($(ls "$FAKE" | wc -l) + 1))
for word in "$@"; do
  case "$word" in
    --dependency=afterok:*) ids=${word#*:}; for i in ${ids//:/ }; do grep -qx 0 "$FAKE/$i" || fail=1; done;;
  esac
  script="$word"
done
if [ -z "$fail" ]; then bash "$script" >> "$FAKE.out" 2>> "$FAKE.err"; echo $? > "$FAKE/$id"
else echo cancelled > "$FAKE/$id"; fi
echo "$id;fake"
"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A directory whose name has to be quoted, with that sbatch on PATH."""
    directory = tmp_path_factory.mktemp("it's a place")
    (directory / "bin").mkdir()
    (directory / "bin" / "sbatch").write_text(SBATCH)
    (directory / "bin" / "sbatch").chmod(0o755)
    chain = Chain(directory)
    chain.env |= {"PATH": f"{directory / 'bin'}:{chain.env['PATH']}", "FAKE": str(directory / "fake")}
    return chain


@pytest.mark.parametrize("name", ["a\ntouch${IFS}PWNED;#", "a b", "a\ttouch PWNED", "$(touch PWNED)", "plain"])
def test_no_name_of_a_directory_becomes_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / name
    directory.mkdir()
    write(directory, [], [], ["--version"], 0)
    text = (directory / "collect.sbatch").read_text()
    assert ("--output" in text) == (name == "plain")
    for script in ("collect.sbatch", "submit.sh"):
        subprocess.run(["bash", str(directory / script)], capture_output=True, check=False)
    assert not list(tmp_path.rglob("PWNED"))
    lines = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert len(lines) == text.count("#SBATCH")


def test_printed_jobs_make_the_table(chain: Chain) -> None:
    line = f"ifrkit reproduce 5 --only baseline,all {TINY} --executor print -q"
    directory = Path(chain.ok(line).stdout.strip())
    assert not (chain.workspace / "branches").exists()
    done = chain.ok(f"bash {shlex.quote(str(directory / 'submit.sh'))}")
    assert done.stdout.strip() == "6;fake"  # clips, two branches, two reports, the table
    codes = [path.read_text().strip() for path in Path(chain.env["FAKE"]).iterdir()]
    assert codes == ["0"] * 6, Path(chain.env["FAKE"] + ".err").read_text()
    path = Path(chain.env["FAKE"] + ".out").read_text().strip()
    table = open_artifact(Path(path), ("table",))
    cells = json.loads(table.file("table.json").read_text())["cells"]
    assert [cell["row"] for cell in cells] == ["baseline", "all"]
    assert all(cell["mean"] is not None for cell in cells)
    # Run here, the same command finds everything, and the same table.
    again = chain.ok(f"ifrkit reproduce 5 --only baseline,all {TINY}")
    assert again.stdout.strip() == path
    assert again.stderr.count("up to date") == 6
    assert "gone" not in again.stderr


def test_gpus_and_dependencies_are_asked_for(chain: Chain) -> None:
    words = TINY.replace("--device cpu", "--device cuda")
    line = f"ifrkit reproduce 3 --only baseline,1/30 {words} --gpus 4 --executor print -q --json"
    directory = Path(json.loads(chain.ok(line).stdout)["directory"])
    (training,) = directory.glob("train-branches-*.sbatch")
    text = training.read_text()
    assert "#SBATCH --gpus-per-node=4\n" in text
    assert "torch.distributed.run --standalone --nproc-per-node 4 -m ifrkit train-branches" in text
    assert "--gpus-per-node" not in next(directory.glob("prepare-*.sbatch")).read_text()
    assert "--gpus-per-node=1\n" in next(directory.glob("eval-*.sbatch")).read_text()
    assert 'dependency="afterok:${job1}:${job2}"' in (directory / "submit.sh").read_text()


def test_slurm_without_submitit_or_sbatch_is_one_line(chain: Chain) -> None:
    done = chain.run(f"PATH={Path(os.sys.executable).parent}:/usr/nowhere ifrkit reproduce 9 {TINY} --executor slurm")
    assert done.returncode == 2
    assert "--executor slurm" in done.stderr.splitlines()[-1]


def test_stages_side_by_side_make_the_same_table(chain: Chain) -> None:
    line = f"ifrkit reproduce 5 --only baseline,all {TINY}"
    alone = chain.ok(f"{line} -q").stdout
    cells = chain.ok(f"{line} --jobs 2 --workspace other --json").stdout
    values = json.loads((Path(alone.strip()) / "table.json").read_text())["cells"]
    assert json.loads(cells)["cells"] == values


def test_a_killed_run_goes_on(chain: Chain) -> None:
    more = TINY.replace("train-branches.loop.steps=2", "train-branches.loop.steps=40")
    line = f"ifrkit reproduce 5 --only baseline {more} --set train-branches.runtime.save_every=1 -q"
    process = chain.start(f"exec {line}")

    def states() -> list[Path]:
        return list(chain.workspace.glob("branches/.partial-*/scratch/progress.json"))

    wait_for(lambda: bool(states()) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out) == (143, "")
    assert len(err.strip().splitlines()) <= 2
    (state,) = states()
    assert 0 < json.loads(state.read_text())["step"] < 40
    table = Path(chain.ok(line).stdout.strip())
    assert json.loads((table / "table.json").read_text())["cells"][0]["mean"] is not None
    assert not states()


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("plain-1.2", True),
        ("a\ntouch${IFS}PWNED;#", False),
        ("a\r\n#SBATCH --gpus-per-node=64", False),
        ("$(touch PWNED)'\"; touch PWNED", False),
        ("%j and %x", False),
        (os.fsdecode(b"caf\xe9\x1b[31m"), False),
    ],
)
def test_a_directory_is_never_a_line_of_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, listed: bool
) -> None:
    """Whatever its name holds: no command runs but those of the plan, and sbatch reads no option but ours."""
    directory = tmp_path / name
    directory.mkdir()
    monkeypatch.chdir(directory)
    node = Node("prepare", f"label {name}", ("synthetic",))
    assert set(node.name) <= set(string.ascii_letters + string.digits + "_.+=-")
    write(directory, [node], [], ["--version"], 2)
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "sbatch").write_text('#!/bin/bash\n[ -f "${!#}" ] && echo 1\n')
    (fake / "sbatch").chmod(0o755)
    env = {**os.environ, "PATH": f"{fake}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", str(directory / "submit.sh")], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["1"]), done.stderr
    done = subprocess.run(["bash", str(directory / "collect.sbatch")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "ifrkit"), done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name == "PWNED"]
    for script in directory.glob("*.sbatch"):
        options = [
            line.split("=")[0] for line in os.fsdecode(script.read_bytes()).splitlines() if line.startswith("#S")
        ]
        output = ["#SBATCH --output"] if listed and str(tmp_path).isascii() else []
        assert options == ["#SBATCH --job-name", "#SBATCH --time", "#SBATCH --requeue", *output]
