"""The regression guard: what benchmarks write as JSON, and what `compare.py` says of two of them."""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from figures import Figures  # noqa: E402

MACHINE = {"processor": "one", "cores": 2, "torch": "2.0", "load": 0.5}
NOT_MEASURED = {"figures.py", "compare.py", "cluster.py", "turns.py"}


def written(path: Path, values: dict[str, tuple[float, str]], name: str = "loader", **machine: Any) -> Path:
    """A file as a benchmark writes it: "row/figure" -> value and what is better."""
    figures = [
        {"row": key.split("/")[0], "figure": key.split("/")[1], "value": value, "better": better}
        for key, (value, better) in values.items()
    ]
    tree = {"benchmark": name, "command": [], "machine": MACHINE | machine, "figures": figures}
    path.write_text(json.dumps(tree))
    return path


def compared(*words: object) -> tuple[int, list[str], str]:
    """Exit code, lines on standard output, standard error."""
    command = [sys.executable, str(BENCHMARKS / "compare.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


OLD = {"store/samples a second": (300.0, "larger"), "png/ms": (40.0, "smaller"), "help/ms": (60.0, "smaller")}


@pytest.mark.parametrize(("threshold", "code"), [(1.25, 1), (1.6, 0)])
def test_the_worst_comes_first_and_the_threshold_decides(tmp_path: Path, threshold: float, code: int) -> None:
    new = OLD | {"store/samples a second": (200.0, "larger"), "png/ms": (20.0, "smaller")}
    found, lines, _ = compared(written(tmp_path / "a", OLD), written(tmp_path / "b", new), "--threshold", threshold)
    assert found == code
    assert [line.split()[0] for line in lines[1:4]] == ["1.500", "1.000", "0.500"]
    assert "store" in lines[1]
    assert ("over" in lines[1]) == bool(code)
    assert lines[-1] == f"{code} of 3 figures are worse than {threshold:g} times"


def test_figures_of_one_side_are_named_and_do_not_count(tmp_path: Path) -> None:
    old = {"store/ms": (1.0, "smaller"), "gone/ms": (1.0, "smaller")}
    new = {"store/ms": (1.0, "smaller"), "added/ms": (99.0, "smaller")}
    code, lines, _ = compared(written(tmp_path / "a", old), written(tmp_path / "b", new))
    assert code == 0
    assert lines[-3:-1] == ["only old: loader / gone / ms", "only new: loader / added / ms"]


def test_directories_are_compared_by_benchmark(tmp_path: Path) -> None:
    for side, value in (("old", 1.0), ("new", 3.0)):
        (tmp_path / side).mkdir()
        written(tmp_path / side / "loader.json", {"row/ms": (value, "smaller")})
        written(tmp_path / side / "memory.json", {"row/ms": (1.0, "smaller")}, name="memory")
    code, lines, _ = compared(tmp_path / "old", tmp_path / "new")
    assert code == 1
    assert "3.000" in lines[1]
    assert "loader / row / ms" in lines[1]
    assert "memory / row / ms" in lines[2]


def test_two_machines_are_compared_only_when_asked(tmp_path: Path) -> None:
    sides = written(tmp_path / "a", OLD), written(tmp_path / "b", OLD, torch="2.1", load=9.0)
    code, lines, _ = compared(*sides)
    assert (code, lines[0]) == (2, "not the same machine: loader: torch 2.0 and 2.1")
    assert not any("load 0.5" in line for line in lines)  # another load is not another machine
    assert compared(*sides, "--other-machine")[0] == 0


def test_a_figure_that_was_nothing_is_infinitely_worse(tmp_path: Path) -> None:
    old, new = {"row/frames lost": (0.0, "smaller")}, {"row/frames lost": (2.0, "smaller")}
    assert compared(written(tmp_path / "a", old), written(tmp_path / "b", new))[0] == 1
    assert compared(written(tmp_path / "a", old), written(tmp_path / "b", old))[0] == 0


@pytest.mark.parametrize("text", ["", "[]", '{"benchmark": "x"}', '{"benchmark": "x", "machine": {}, "figures": [1]}'])
def test_what_is_no_measurement_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "b").write_text(text)
    code, _, error = compared(written(tmp_path / "a", OLD), tmp_path / "b")
    assert code == 2
    assert len(error.splitlines()) == 1
    assert str(tmp_path / "b") in error


def test_nothing_in_common_is_no_success(tmp_path: Path) -> None:
    other = written(tmp_path / "b", OLD, name="memory")
    assert compared(written(tmp_path / "a", OLD), other)[0] == 2


def test_what_is_written_compares_with_itself(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    Figures.option(parser)
    path = parser.parse_args(["--json", str(tmp_path / "x.json")]).json
    figures = Figures()
    figures.add("store", larger={"samples a second": 3}, smaller={"ms": 4.5})
    figures.write(None)
    assert not path.exists()
    figures.write(path)
    tree = json.loads(path.read_text())
    assert [(f["figure"], f["value"], f["better"]) for f in tree["figures"]] == [
        ("ms", 4.5, "smaller"),
        ("samples a second", 3.0, "larger"),
    ]
    assert {"processor", "cores", "python", "torch", "numpy", "load"} <= tree["machine"].keys()
    assert compared(path, path)[0] == 0


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_every_benchmark_writes_json(path: Path) -> None:
    called = {ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)}
    if path.name not in NOT_MEASURED:
        assert {"Figures.option", "figures.add", "figures.write"} <= called
