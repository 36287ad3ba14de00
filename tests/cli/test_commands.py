"""The command table, the frozen flags, --help, and how flags become config values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from toystages import Shell

from ifrkit.cli.main import COMMANDS, load, root
from ifrkit.cli.train_branches import flags_of
from ifrkit.config.resolve import resolve
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.stage import sections

SHARED = """--from --out --workspace --config --recipe --set --seed --resume --force --dry-run --json --print-config
--quiet --verbose --device --threads"""

FLAGS = {
    "prepare": "--root --frames --labels --label-format --clip-length --allow-missing",
    "train-branches": "--ssl --backbone --branch --partition --labeled-count --partition-seed --labeled-list --steps"
    " --budget --allow-download",
    "cache-features": "--backbone --branch --allow-download",
    "pseudo-label": "--branch",
    "train-flow": "--steps",
    "train-fusion": "--arch --flow --ssl --steps",
    "eval": "--metric --flow --split --frames --key-interval --distances --fail-under --fail-over --junit",
    "predict": "--branch --key-interval --key-policy --backend --frames --write --plan",
    "plan": "",
    "propagate": "--flow --branch --reach --write",
    "export": "--format --int8",
}
"""Few flags; the rest is --set. A new one is a decision: change it here too."""

ARTIFACTS = {"ls": "", "show": "", "verify": "", "lineage": "", "gc": "--dry-run --interrupted"}


def _long(command: click.Command) -> set[str]:
    return {o for p in command.params if isinstance(p, click.Option) for o in p.opts if o.startswith("--")}


@pytest.mark.parametrize("name", FLAGS)
def test_flags_are_frozen(name: str) -> None:
    assert _long(load(name)) == {*SHARED.split(), *FLAGS[name].split()}
    short = {o for p in load(name).params for o in p.opts if not o.startswith("--") and o.startswith("-")}
    assert short == {"-n", "-q", "-v"}


def test_flags_of_artifacts_are_frozen() -> None:
    group = load("artifacts")
    assert isinstance(group, click.Group)
    assert set(group.commands) == set(ARTIFACTS)
    for name, flags in ARTIFACTS.items():
        assert _long(group.commands[name]) == {"--workspace", "--json", "--verbose", *flags.split()}


def test_flags_of_compare_are_frozen() -> None:
    assert _long(load("compare")) == {"--workspace", "--json", "--verbose", "--power"}


def test_flags_of_init_are_frozen() -> None:
    own = "--frames --count --classes --clip-length --from --branch --json --quiet --verbose --workspace"
    assert _long(load("init")) == set(own.split())


def test_flags_of_label_next_are_frozen() -> None:
    own = "--count --from --write --dry-run --device --threads --json --quiet --verbose --workspace"
    assert _long(load("label-next")) == set(own.split())


def test_flags_of_report_and_log_are_frozen() -> None:
    assert _long(load("report")) == {"--workspace", "--json", "--verbose", "--out", "--trust", "--project"}
    assert _long(load("log")) == {"--workspace", "--json", "--verbose", "--plot", "--follow"}


def test_flags_of_doctor_are_frozen() -> None:
    assert _long(load("doctor")) == {"--workspace", "--json", "--verbose", "--seconds"}


def test_flags_of_reproduce_are_frozen() -> None:
    own = "--dataset --root --seeds --scale --set --only --jobs --gpus --executor --refs --dry-run --json --quiet"
    assert _long(load("reproduce")) == {*own.split(), "--verbose", "--device", "--threads", "--workspace"}


def test_every_stage_of_a_recipe_is_a_command() -> None:
    assert set(sections()) == set(FLAGS)
    assert {*FLAGS, "artifacts"} <= set(COMMANDS)


def test_help_of_everything_imports_nothing_heavy_and_teaches() -> None:
    code = """
import sys
from ifrkit.cli.main import COMMANDS, load, root
import click
texts = {name: load(name).get_help(click.Context(load(name))) for name in COMMANDS}
texts["ifrkit"] = root().get_help(click.Context(root(), info_name="ifrkit"))
heavy = {"torch", "numpy", "msgspec", "rich", "yaml", "h5py", "cv2", "importlib.metadata"} & set(sys.modules)
assert not heavy, heavy
for name, text in texts.items():
    if name not in ("ifrkit", "artifacts", "compare", "doctor"):
        assert "Reads" in text and "Makes" in text, name
    assert f"ifrkit {name}" in text or name == "ifrkit", name
    print(len(text))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_has_its_help_line() -> None:
    text = root().get_help(click.Context(root(), info_name="ifrkit"))
    for name, line in COMMANDS.items():
        assert f"{name} " in text
        assert line in text


def test_unknown_words_get_the_nearest_and_exit_2(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for line, wanted in [
        ("ifrkit tran-flow", "did you mean 'train-flow'?"),
        ("ifrkit train-flow --stepps 3", "--steps"),
        ("ifrkit prepare synthetik", "did you mean 'synthetic'?"),
        ("ifrkit train-branches --ssl iffr", "did you mean 'ifr'?"),
        ("ifrkit train-branches --set sgd.lr_haed=1", "sgd.lr_haed: unknown key (from --set); did you mean 'lr_head'?"),
        ("ifrkit toy-train --recipe nosuch", "no recipe named 'nosuch'"),
        ("ifrkit artifacts ls branchs", "did you mean 'branches'?"),
    ]:
        done = shell.run(line)
        assert done.returncode == 2, line
        assert wanted in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""


def test_a_missing_artifact_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    done = Shell(tmp_path).run("ifrkit eval < /dev/null")
    assert done.returncode == 3
    assert "make one with `ifrkit train-fusion` or `ifrkit train-branches`" in done.stderr


def test_nothing_is_verified_where_there_is_no_workspace(tmp_path: Path) -> None:
    done = Shell(tmp_path).run("ifrkit artifacts verify --workspace nowhere")
    assert done.returncode == 3
    assert "no workspace at nowhere" in done.stderr


def test_recipes_add_up_however_they_are_listed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    together, apart = (
        shell.ok(f"ifrkit train-branches {recipes} --print-config --json")
        for recipes in ("--recipe tiny,paper-equations", "--recipe tiny --recipe paper-equations")
    )
    assert together == apart
    assert "recipe tiny" in apart
    assert "recipe paper-equations" in apart


def test_python_dash_m_and_version(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert shell.ok(f"{sys.executable} -m ifrkit --version") == shell.ok("ifrkit --version")
    assert shell.ok("ifrkit --version").startswith("ifrkit ")


def _branches(**given: object) -> TrainBranchesConfig:
    names = (
        "ssl",
        "backbone",
        "branch",
        "partition",
        "labeled_count",
        "partition_seed",
        "labeled_list",
        "steps",
        "budget",
    )
    flags = flags_of(**{name: given.get(name) for name in names})  # type: ignore[arg-type]
    return resolve(TrainBranchesConfig, "train-branches", flags=flags)[0]


def test_train_branches_flags() -> None:
    both = _branches(backbone="resnet18,resnet50", partition="1/30", partition_seed=2, steps=7, ssl="none")
    assert (both.update.backbone, both.reference.backbone) == ("resnet18", "resnet50")
    assert (both.labeled.partition, both.labeled.seed, both.loop.steps) == ("1/30", 2, 7)
    assert both.ssl == ("none",)
    one = _branches(backbone="resnet34", branch="reference")
    assert one.branches == ("reference",)
    assert one.reference.backbone == "resnet34"
    assert one.update == TrainBranchesConfig().update
    assert set(_branches(branch="both").branches) == {"update", "reference"}
    with pytest.raises(ConfigError, match="needs 2 names"):
        _branches(backbone="resnet18")
    with pytest.raises(ConfigError, match="needs 1 names, for update"):
        _branches(backbone="resnet18,resnet50", branch="update")


def test_a_count_replaces_the_share_of_a_recipe() -> None:
    flags = flags_of(None, None, partition=None, labeled_list=None, labeled_count=5)
    config = resolve(TrainBranchesConfig, "train-branches", recipes=["tiny"], flags=flags)[0]
    assert (config.labeled.count, config.labeled.partition) == (5, "1/1")
