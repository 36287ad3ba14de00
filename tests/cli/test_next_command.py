"""On a terminal a stage names the command that comes next, as a line that works; in a pipe it keeps quiet about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from pages import Place, on_terminal
from tiny_video import make_branches

from ifrkit.artifacts.store import Artifact
from ifrkit.cli.hints import next_command
from ifrkit.cli.main import load
from ifrkit.cli.options import SHARED, Shared
from ifrkit.config.prepare import PrepareConfig
from ifrkit.stages import prepare
from ifrkit.stages.runner import Run, execute
from ifrkit.testing import toy


def hint(standard_error: str) -> str:
    """The command after `next:`, as it was printed."""
    (line,) = re.findall(r"next: (ifrkit .*\S)", standard_error)
    return str(line)


def after(artifact: Artifact, *words: str) -> str:
    """The next command, where the stage was run with these options. It has to parse."""
    context = load("train-flow").make_context("x", list(words))
    shared = Shared(**{option.name or "": context.params[option.name or ""] for option in SHARED})
    command = next_command(artifact, shared)
    if command is None:
        return ""
    name, *rest = re.sub(r"'my runs'", "runs", command).split()[1:]
    load(name).make_context(name, rest)
    return command


def test_the_hint_is_for_terminals_that_want_to_hear_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    line = "ifrkit prepare synthetic"
    assert hint(on_terminal(line, place)) == "ifrkit train-branches --ssl ifr --recipe tiny"
    assert "next:" not in on_terminal(f"{line} -q", place)
    assert "next:" not in place.ok(line).stderr


def test_it_names_what_the_next_stage_would_not_find_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IFRKIT_WORKSPACE", raising=False)
    clips = tiny_run.make_clips(tmp_path)
    train = "ifrkit train-branches --ssl ifr"
    assert after(clips) == f"{train} --recipe tiny"  # the frames are smaller than the default's crops
    assert after(clips, "--recipe", "camvid,tiny") == f"{train} --recipe camvid,tiny"
    assert after(clips, "--workspace", "my runs") == f"{train} --recipe tiny --workspace 'my runs'"
    assert after(clips, "--out", "clips") == f"{train} --from {clips.path} --recipe tiny"
    monkeypatch.setenv("IFRKIT_WORKSPACE", "elsewhere")
    assert after(clips) == f"{train} --recipe tiny"


def test_the_recipe_of_a_dataset_is_named_where_its_crops_fit(tmp_path: Path) -> None:
    toy("camvid", tmp_path / "CamVid")
    for size, recipe in (((48, 64), "tiny"), ((200, 240), "camvid")):
        config = PrepareConfig.of({"dataset": "camvid", "root": str(tmp_path / "CamVid"), "size": size})
        clips = execute(prepare.STAGE, config, Run(workspace=tmp_path, inputs=[]))
        assert after(clips) == f"ifrkit train-branches --ssl ifr --recipe {recipe}"


def test_what_follows_depends_on_what_there_is(tmp_path: Path) -> None:
    clips, bare = tiny_run.make_clips(tmp_path), tiny_run.make_clips(tmp_path, val_videos=0)
    options: dict[str, Any] = {"ssl": "none", "loop": {"steps": 1, "batch": 2, "eval_every": 1}}
    one, unjudged = (tiny_run.train(tmp_path, tiny_run.branches_config(**options), made) for made in (clips, bare))
    assert after(one, "--recipe", "tiny") == "ifrkit eval --metric mIoU,TC"  # the recipe has nothing for eval
    assert after(unjudged) == ""  # nothing is held out
    assert after(tiny_run.cache(tmp_path, clips)) == "ifrkit train-branches --ssl none --branch update --from features"
    assert after(make_branches(tmp_path, clips), "--recipe", "tiny") == "ifrkit train-fusion --recipe tiny"


@pytest.mark.slow
def test_a_newcomer_who_types_every_hint_arrives_at_a_report(tmp_path: Path) -> None:
    """From `prepare` on, nothing is typed but what the terminal said, on small networks."""
    place, seen, line = Place(tmp_path), [], "ifrkit prepare synthetic"
    while len(seen) < 6:
        said = on_terminal(line, place)
        seen.append(line.split()[1])
        if "next:" not in said:
            break
        line = hint(said)
    assert seen == ["prepare", "train-branches", "train-fusion", "eval", "report"]
    assert hint(on_terminal("ifrkit train-flow --recipe tiny", place)) == "ifrkit train-fusion --recipe tiny"
    assert "self-training" in hint(on_terminal("ifrkit pseudo-label", place))
