"""On a terminal a stage names the command that comes next, as a line that works; in a pipe it keeps quiet about it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tiny_run
from pages import Place, on_terminal
from toystages import Shell


def hint(standard_error: str) -> str:
    """The command behind `next:`, as it was printed."""
    (line,) = re.findall(r"next: (ifrkit .*\S)", standard_error)
    return str(line)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_hint_is_for_terminals_that_want_to_hear_it(place: Place) -> None:
    line = "ifrkit prepare synthetic"
    assert hint(on_terminal(line, place)) == "ifrkit train-branches --ssl ifr --recipe tiny"
    assert "next:" not in on_terminal(f"{line} -q", place)
    assert "next:" not in place.ok(line).stderr


def test_it_names_what_the_next_stage_would_not_find_alone(place: Place) -> None:
    elsewhere = on_terminal("ifrkit prepare synthetic --workspace 'my runs' --recipe tiny", place)
    assert hint(elsewhere) == "ifrkit train-branches --ssl ifr --recipe tiny --workspace 'my runs'"
    exactly = hint(on_terminal("ifrkit prepare synthetic --out clips", place))
    assert exactly.startswith("ifrkit train-branches --ssl ifr --from ")
    assert "up to date" not in place.ok(f"{exactly} --dry-run").stdout
    place.env["IFRKIT_WORKSPACE"] = "ws"
    assert "--workspace" not in hint(on_terminal("ifrkit prepare synthetic", place))


def test_the_recipe_of_a_dataset_whose_crops_fit(place: Place) -> None:
    place.lay_out()
    small, large = (
        on_terminal(f"ifrkit prepare camvid --root CamVid {size}", place) for size in ("", "--set size=[360,480]")
    )
    assert "--recipe tiny" in hint(small)
    assert "--recipe camvid" in hint(large)


def test_stages_without_a_next_one_say_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    made = tiny_run.make_clips(shell.workspace, val_videos=0)
    shutil.copytree(made.path, shell.workspace / "clips" / "again")
    trained = tiny_run.train(shell.workspace, tiny_run.branches_config(ssl="none"), made)
    assert "next:" not in on_terminal(f"ifrkit export --format torch --from {trained.path} --device cpu", shell)


@pytest.mark.slow
def test_a_newcomer_who_types_every_hint_arrives_at_a_report(place: Place) -> None:
    """From `prepare` on, nothing is typed but what the terminal said, on small networks."""
    seen, line = [], "ifrkit prepare synthetic"
    while len(seen) < 6:
        said = on_terminal(line, place)
        seen.append(line.split()[1])
        if "next:" not in said:
            break
        line = hint(said)
    assert seen == ["prepare", "train-branches", "train-fusion", "eval", "report"]
    assert hint(on_terminal("ifrkit train-flow --recipe tiny", place)) == "ifrkit train-fusion --recipe tiny"
    assert "self-training" in hint(on_terminal("ifrkit pseudo-label", place))
