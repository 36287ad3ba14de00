"""`eval --fail-under` and `--fail-over`: what a pipeline gates on."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ifrkit.artifacts.manifest import Manifest
from ifrkit.artifacts.store import Artifact, begin, commit
from ifrkit.cli.eval import _require, command
from ifrkit.core.errors import ConfigError, ThresholdError
from ifrkit.evaluation.limits import Limit, check, outcomes, parse, parsed, write_junit


def tree(**changes: Any) -> dict[str, Any]:
    """A report of two systems; the first one counts."""
    numbers = {"miou": {"miou": 0.5}, "ece": {"ece": 0.08}, "tc": {"tc": None}}
    other = {"miou": {"miou": 0.1}, "ece": {"ece": 0.9}, "tc": {"tc": 0.1}}
    intervals = {"accel": {"miou": [0.42, 0.57], "ece": [0.05, 0.12], "tc": None}}
    counted = {"clips": 4, "scored_frames": 4, "frames_nearer_to_their_key": 0, "videos": 4, "classes": ["road"]}
    how = {"key_interval": 5, "distance": 4, "label_size": "store", "flow": None, "frames": "annotated"}
    where = {"model": {}, "dataset": "d", "clips_id": "c", "split": "val"}
    return {**where, **counted, **how, "systems": {"accel": numbers, "copy": other}, "intervals": intervals} | changes


def stored(workspace: Path, report: dict[str, Any]) -> Artifact:
    target = workspace / "report" / "val-1"
    partial = begin(target)
    (partial / "report.json").write_text(json.dumps(report))
    return commit(partial, target, Manifest(kind="report", id="1" * 64))


@pytest.mark.parametrize("text", ["miou", "miou=", "miou=x", "miou=55", "=0.5", "miou=nan", "miou=-1", "miou.mean=0.5"])
def test_what_is_not_a_limit(text: str) -> None:
    with pytest.raises(ConfigError, match="METRIC=FRACTION"):
        parse(text, over=False)


def test_any_spelling() -> None:
    assert parse("mIoU=0.5", over=False) == Limit("miou", "", 0.5, False)
    assert parse("TC_ETC.low=0.5", over=False) == Limit("tc-etc", "low", 0.5, False)
    assert parse("TC_ETC.low=0.5", over=False).flag == "--fail-under tc-etc.low=0.5"


def test_the_last_of_several_counts() -> None:
    found = parsed(["miou=0.5", "miou.low=0.3", "mIoU=0.6"], ["ece=0.1"])
    assert [limit.flag.split()[1] for limit in found] == ["miou=0.6", "miou.low=0.3", "ece=0.1"]
    assert [limit.over for limit in found] == [False, False, True]


def test_the_metric_is_measured_and_the_side_is_right() -> None:
    check([parse("mIoU=0.5", over=False), parse("ECE.high=0.1", over=True)], ["miou", "ece"])
    with pytest.raises(ConfigError, match="add it to --metric"):
        check([parse("tc=0.5", over=False)], ["miou"])
    with pytest.raises(ConfigError, match="of ece smaller is better; use --fail-over"):
        check([parse("ece=0.5", over=False)], ["ece"])
    with pytest.raises(ConfigError, match="of miou larger is better; use --fail-under"):
        check([parse("miou=0.5", over=True)], ["miou"])


@pytest.mark.parametrize(
    ("text", "over", "kept"),
    [
        ("miou=0.5", False, True),
        ("miou=0.51", False, False),
        ("miou.low=0.42", False, True),
        ("miou.low=0.43", False, False),
        ("miou.high=0.58", False, False),
        ("ece=0.08", True, True),
        ("ece=0.07", True, False),
        ("ece.high=0.12", True, True),
        ("ece.high=0.11", True, False),
        ("tc=0", False, False),
        ("tc.low=0", False, False),
    ],
)
def test_each_limit(text: str, over: bool, kept: bool) -> None:
    (found,) = outcomes([parse(text, over)], tree())
    assert found.kept == kept
    assert kept or text.split("=")[0] in found.said


def test_one_video_has_no_bound_to_keep() -> None:
    (found,) = outcomes([parse("miou.low=0", over=False)], tree(videos=1, intervals={"accel": {"miou": None}}))
    assert "an interval needs several videos" in found.said


def test_exit_7_names_all_that_were_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = stored(tmp_path, tree())
    asked = [parse("miou=0.6", over=False), parse("ece=0.5", over=True), parse("miou.low=0.5", over=False)]
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with pytest.raises(ThresholdError, match=r"miou is 0.5000, below .*; miou.low is 0.4200, below") as caught:
        _require(report, asked, tmp_path / "eval.xml")
    assert caught.value.exit_code == 7
    assert capsys.readouterr().err == ""
    suite = ET.parse(tmp_path / "eval.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    failures = [case.find("failure") is not None for case in suite]
    assert failures == [True, False, True]
    assert suite[0].get("name") == "--fail-under miou=0.6"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(ThresholdError):
        _require(report, asked, None)
    assert capsys.readouterr().err.startswith("::error title=ifrkit eval::miou is 0.5000, below")
    _require(report, asked[1:2], tmp_path / "kept.xml")
    assert ET.parse(tmp_path / "kept.xml").getroot().get("failures") == "0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--junit", "eval.xml"], "nothing to say without a limit"),
        (["--fail-under", "miou=0.5", "--junit", "gone/eval.xml"], "gone is not a directory"),
        (["--fail-under", "ece=0.5", "--metric", "ece"], "smaller is better; use --fail-over"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_judged(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(command, words, catch_exceptions=False)


def test_strange_names_are_written_as_xml(tmp_path: Path) -> None:
    systems = {'a<b>"&': tree()["systems"]["accel"]}
    report = tree(systems=systems, dataset="<&>")
    write_junit(tmp_path / "x.xml", outcomes([parse("miou=1", over=False)], report), report)
    (case,) = ET.parse(tmp_path / "x.xml").getroot()
    assert case.get("classname") == 'ifrkit.eval.a<b>"&'
