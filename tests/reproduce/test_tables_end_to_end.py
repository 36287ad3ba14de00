"""Tables at scale tiny, in one workspace: what one has trained the others find."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_tables import Answer

from ifrkit.artifacts.store import artifacts, open_artifact
from ifrkit.cli import main
from ifrkit.core.errors import ConfigError, IfrkitError, InterruptedRun, ResourceError
from ifrkit.core.plugins import names
from ifrkit.reproduce import results
from ifrkit.reproduce.matrix import Data, Matrix


def numbers(answer: Answer) -> dict[tuple[str, str], dict[str, Any]]:
    code, tree = answer
    assert code == 0
    return {(cell["row"], cell["column"]): cell for cell in tree["cells"]}


def test_table_3_two_methods_two_seeds(reproduce: Callable[..., Answer], workspace: Path) -> None:
    cells = numbers(reproduce("3", "--only", "baseline,ifr,1/30", "--seeds", "0-1"))
    assert set(cells) == {("baseline", "1/30"), ("+ IFR", "1/30")}
    ours, base = cells["+ IFR", "1/30"], cells["baseline", "1/30"]
    assert set(ours["values"]) == {"0", "1"}
    assert 0 <= ours["mean"] <= 100
    assert ours["spread"] is not None
    assert ours["gain"] == pytest.approx(ours["mean"] - base["mean"])
    assert (base["gain"], ours["paper"], ours["paper_gain"]) == (None, 52.86, 7.13)


def test_the_table_is_an_artifact_whose_lineage_reaches_the_clips(
    reproduce: Callable[..., Answer], workspace: Path
) -> None:
    _, tree = reproduce("3", "--only", "baseline,ifr,1/30", "--seeds", "0-1")
    table = open_artifact(Path(tree["path"]), ("table",), workspace=workspace)
    assert not [*table.problems()]
    assert {artifact.kind for artifact in table.inputs()} == {"report"}
    assert len(table.inputs()) == 4
    assert table.ancestor("clips") is not None
    text = table.file("table.txt").read_text()
    assert "52.86 (+7.13)" in text
    assert "+ IFR" in text
    lines = list(csv.DictReader(table.file("table.csv").read_text().splitlines()))
    assert [line["paper"] for line in lines] == ["45.73", "52.86"]
    assert table.file("table.png").read_bytes().startswith(b"\x89PNG")
    reports = {path.name: path.stat().st_mtime_ns for path in (workspace / "report").iterdir()}
    again = reproduce("3", "--only", "baseline,ifr,1/30", "--seeds", "0-1")[1]
    assert again["path"] == tree["path"]
    assert {path.name: path.stat().st_mtime_ns for path in (workspace / "report").iterdir()} == reports


def test_table_5_has_every_part(reproduce: Callable[..., Answer], workspace: Path) -> None:
    cells = numbers(reproduce("5"))
    assert [row for row, _ in cells] == ["baseline", "L_L", "L_U", "L_L + strong", "L_L + L_U", "all"]
    assert cells["all", "PSPNet18"]["paper_gain"] == 4.72
    assert cells["L_U", "PSPNet18"]["paper"] is None
    assert "46.81" in cells["L_U", "PSPNet18"]["note"]
    weights = {
        tuple(a.manifest.config["method"]["ifr"][key] for key in ("labeled", "unlabeled", "strong"))
        for a in artifacts(workspace, "branches")
        if a.manifest.config["ssl"] == ["ifr"] and a.manifest.config["branches"] == ["update"]
    }
    assert weights == {(0.01, 0, 0), (0, 0.001, 0), (0.01, 0, 0.1), (0.01, 0.001, 0), (0.01, 0.001, 0.1)}


def test_table_6_shows_both_stages_of_every_method(reproduce: Callable[..., Answer]) -> None:
    cells = numbers(reproduce("6"))
    assert len(cells) == 15
    assert all(cell["mean"] is not None for cell in cells.values())
    assert cells["+ CPS", "stage two"]["paper_gain"] == 3.24


def test_table_9_and_figure_4_are_of_the_models_of_table_6(reproduce: Callable[..., Answer], workspace: Path) -> None:
    trained = len(list((workspace / "video-model").iterdir()))
    cells = numbers(reproduce("9"))
    assert len(cells) == 10
    assert all(0 <= cell["mean"] <= 100 for cell in cells.values())
    published, ours = (cells[row, "+ IFR"] for row in ("TC (ETC, as published)", "TC (ours)"))
    assert (published["paper"], ours["paper"]) == (73.88, None)
    assert published["mean"] != ours["mean"]
    _, tree = reproduce("fig4")
    (sheet,) = Path(tree["path"]).glob("sheets/*.png")
    assert sheet.stat().st_size
    assert len(list((workspace / "video-model").iterdir())) == trained


def test_table_8_goes_away_from_the_annotated_frame(reproduce: Callable[..., Answer]) -> None:
    cells = numbers(reproduce("8", "--only", "baseline,ifr"))
    rows = ["T annotated", "T 1 before", "T 2 before", "T 3 before", "V annotated"]
    assert [row for row, column in cells if column == "+ IFR"] == rows
    last = cells["V annotated", "+ IFR"]
    assert last["gain"] == pytest.approx(last["mean"] - cells["T annotated", "+ IFR"]["mean"])
    assert last["paper_gain"] == -22.6
    assert len(numbers(reproduce("2", "--only", "baseline"))) == 5


def test_table_4_needs_no_test_split_on_other_data(reproduce: Callable[..., Answer]) -> None:
    assert numbers(reproduce("4", "--only", "baseline,1/30"))["baseline", "1/30"]["paper"] == 42.37


def architectures(*wanted: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not {*wanted} <= {*names("architectures")}, reason=f"no {wanted} here")


@architectures("dff", "davss")
def test_table_7_runs_both_architectures(reproduce: Callable[..., Answer]) -> None:
    cells = numbers(reproduce("7"))
    assert len(cells) == 4
    assert cells["DFF", "+ IFR"]["paper_gain"] == 5.78


def _has_deeplab() -> bool:
    from ifrkit.core.plugins import names
    from ifrkit.reproduce.tables import DEEPLAB

    return DEEPLAB in names("heads")


@pytest.mark.skipif(not _has_deeplab(), reason="no DeepLabv3+ here")
def test_table_1_compares_sampled_and_all_frames(reproduce: Callable[..., Answer]) -> None:
    cells = numbers(reproduce("1"))
    assert len(cells) == 6
    assert cells["+ CPS", "all frames"]["paper_gain"] == 0.27
    assert cells["+ CAC", "baseline"]["mean"] == cells["+ CPS", "baseline"]["mean"]


def test_a_failed_cell_leaves_a_dash_and_the_others(
    reproduce: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = main.in_process

    def broken(argv: list[str]) -> str:
        if "--resume" in argv and argv[0] == "train-fusion" and "3" in argv:  # the seed
            raise IfrkitError("the disk is on fire")
        return real(argv)

    monkeypatch.setattr(main, "in_process", broken)
    code, tree = reproduce("6", "--seeds", "0,3", "--only", "baseline,PSPNet18")
    assert code == 1
    (cell,) = tree["cells"]
    assert list(cell["values"]) == ["0"]


def test_where_every_cell_fails_the_exit_code_says_why(
    reproduce: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = main.in_process

    def full(argv: list[str]) -> str:
        if "--resume" in argv and argv[0] == "train-branches":
            raise ResourceError("the disk is full")
        return real(argv)

    monkeypatch.setattr(main, "in_process", full)
    with pytest.raises(IfrkitError, match="every cell failed") as raised:
        reproduce("6", "--only", "baseline,PSPNet18", "--seeds", "5")
    assert raised.value.exit_code == ResourceError.exit_code


def test_an_interrupted_run_is_no_failed_cell(
    reproduce: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = main.in_process

    def interrupted(argv: list[str]) -> str:
        if "--resume" in argv and argv[0] == "eval":
            raise InterruptedRun("stopped", signum=2)
        return real(argv)

    monkeypatch.setattr(main, "in_process", interrupted)
    with pytest.raises(InterruptedRun):
        reproduce("9", "--only", "baseline")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "nothing"], "no such row or column"),
        (["--set", "train-brunches.seed=1"], "did you mean 'train-branches'"),
        (["--set", "train-branches.sede=1"], "sede: unknown key"),
        (["--seeds", "a"], "0-2 or 0,3"),
        (["--seeds", "2-0"], "0-2 or 0,3"),
        (["--dataset", "camvid"], "no --root was given"),
    ],
)
def test_mistakes_show_before_anything_runs(
    reproduce: Callable[..., Answer], workspace: Path, words: list[str], said: str
) -> None:
    before = set(workspace.rglob("*"))
    with pytest.raises(ConfigError, match=said):
        reproduce("3", *words)
    assert set(workspace.rglob("*")) == before


@pytest.mark.parametrize(
    ("table", "setting", "said"),
    [
        ("3", "eval.metrics=TC", "eval.metrics tc: the table shows miou"),
        ("9", "eval.metrics=mIoU", "eval.metrics miou: the table shows tc-etc"),
        ("9", "eval.metrics=TC-ETC", "eval.metrics tc-etc: the table shows tc;"),
        ("8", "eval.frames=annotated", "eval.frames annotated: the table shows all"),
        ("8", "eval.split=val", "eval.split val: the table shows train"),
        ("fig4", "eval.pictures=0", "this table shows pictures"),
    ],
)
def test_a_setting_that_leaves_a_column_empty_is_refused_before_the_work(
    reproduce: Callable[..., Answer], workspace: Path, table: str, setting: str, said: str
) -> None:
    before = set(workspace.rglob("*"))
    with pytest.raises(ConfigError, match=said):
        reproduce(table, "--set", setting)
    assert set(workspace.rglob("*")) == before


def test_a_report_without_its_number_has_none() -> None:
    made = Matrix.of("9", Data(scale="tiny"), [0], "baseline,ours")
    ((place, measure),) = made.measures.items()
    assert place == ("TC (ours)", "baseline", 0)
    assert results.number({"systems": {"accel": {"tc": {"tc": None}}}}, measure.keys) is None
    assert results.number({"systems": {"accel": {"tc": {"tc": 0.25}}}}, measure.keys) == 0.25
