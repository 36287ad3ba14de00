"""A stage is one file, its command another: with both in place, everything that lists stages knows it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from toystages import Shell

STAGE = '''
"""toy-count: how many clips there are."""

from ifrkit.core.stage import Stage

STAGE = Stage(
    name="toy-count",
    kind="toy-counts",
    config="toy_count_work:CountConfig",
    run="toy_count_work:run",
    help="Count the clips of a toy.",
    arguments="THING",
    order=25,
    needs=("clips",),
    schema=3,
    after=lambda counts, workspace: ["toy-count"],
    fitting=lambda counts: ["tiny"],
)
'''

COMMAND = '''
"""`ifrkit toy-count`."""

import click

from ifrkit.cli.common import Shared, running, stage_command
from ifrkit.stages.toy_count import STAGE


@stage_command("toy-count")
@click.argument("thing", required=False)
def command(shared: Shared, thing: str | None) -> None:
    """Count toys. Reads `clips`. Makes `toy-counts`."""
    running.run_stage(STAGE, shared, {"thing": (thing, "THING")})
'''

WORK = '''
"""What toy-count does."""

from ifrkit.core.config import Config


class CountConfig(Config):
    """What is counted."""

    thing: str = "clips"
    seed: int = 0


def run(job):
    (job.directory / "count.txt").write_text(job.config.thing)
'''

START = """
import sys
import ifrkit.cli, ifrkit.stages
sys.path.append("{place}")
ifrkit.stages.__path__.append("{place}/stages")
ifrkit.cli.__path__.append("{place}/commands")
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell whose `ifrkit` has the two files, and the module that does the work, beside its own."""
    place = tmp_path / "toy"
    for name, text in (("stages/toy_count.py", STAGE), ("commands/toy_count.py", COMMAND), ("toy_count_work.py", WORK)):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (place / "start.py").write_text(START.format(place=place))
    shell = Shell(tmp_path)
    program = tmp_path / "bin/ifrkit"
    code = f"exec(open({str(place / 'start.py')!r}).read())\nfrom ifrkit.cli.main import main\nmain()"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    return shell


def test_help_lists_it_in_its_place(shell: Shell) -> None:
    text = shell.ok("ifrkit --help")
    assert "Count the clips of a toy." in text
    assert text.index("train-branches ") < text.index("toy-count ") < text.index("pseudo-label ")


def test_completion_offers_its_kind_and_keys(shell: Shell) -> None:
    for line, wanted in (("ifrkit artifacts show toy", "toy-counts"), ("ifrkit toy-count --set th", "thing=")):
        env = f"COMP_WORDS='{line}' COMP_CWORD={len(line.split()) - 1} _IFRKIT_COMPLETE=bash_complete"
        assert shell.ok(f"{env} ifrkit") == f"plain,{wanted}"


def test_errors_name_it(shell: Shell) -> None:
    done = shell.run("ifrkit artifacts show toy-counts")
    assert done.returncode == 3
    assert "no toy-counts artifact in ifrkit_artifacts; make one with `ifrkit toy-count THING`" in done.stderr
    assert "did you mean 'toy-count'?" in shell.run("ifrkit toy-cuont").stderr


def test_recipes_have_a_section_for_it(shell: Shell) -> None:
    (shell.cwd / "own.yaml").write_text("toy-count: {thing: cars}\ntrain-flow: {}\n")
    assert 'thing: "cars"' in shell.ok("ifrkit toy-count --config own.yaml --print-config")
    shell.ok("ifrkit train-flow --config own.yaml --print-config")
    (shell.cwd / "own.yaml").write_text("toy-cuont: {thing: cars}\ntrain-flow: {}\n")
    done = shell.run("ifrkit train-flow --config own.yaml --print-config")
    assert "toy-cuont: unknown section in own.yaml; did you mean 'toy-count'?" in done.stderr


def test_it_runs_and_a_newer_payload_is_refused(shell: Shell) -> None:
    """The work is found by its dotted name; the schema is that of the stage."""
    shell.source()
    made = Path(shell.ok("ifrkit toy-count cars"))
    assert (made / "count.txt").read_text() == "cars"
    listed = shell.ok("ifrkit artifacts show toy-counts --json")
    assert '"schema_version": 3' in listed
    manifest = made / "manifest.json"
    tree = json.loads(manifest.read_text())
    del tree["sha256"]  # one without its own checksum is read, too
    manifest.write_text(json.dumps({**tree, "schema_version": 4}))
    done = shell.run("ifrkit artifacts verify")
    assert "schema of toy-counts is 4, this ifrkit reads up to 3; upgrade ifrkit" in done.stdout


def test_the_hint_is_its_own(shell: Shell) -> None:
    shell.source()
    shell.ok("ifrkit toy-count")
    code = (
        "from pathlib import Path\n"
        "from ifrkit.artifacts.store import newest\n"
        "from ifrkit.cli.hints import next_command\n"
        "from ifrkit.cli.main import load\n"
        "from ifrkit.cli.options import SHARED, Shared\n"
        "values = load('toy-count').make_context('x', []).params\n"
        "shared = Shared(**{option.name: values[option.name] for option in SHARED})\n"
        "print(next_command(newest(Path('ifrkit_artifacts'), ('toy-counts',)), shared))\n"
    )
    (shell.cwd / "hint.py").write_text((shell.cwd / "toy/start.py").read_text() + code)
    assert shell.ok(f"{sys.executable} hint.py") == "ifrkit toy-count --recipe tiny"
