"""Size and documentation budgets of the design: small files, small functions, everything public explained."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for top in ("ifrkit", "data_prep", "benchmarks") for p in (ROOT / top).rglob("*.py"))
LIBRARY = [p for p in SOURCES if "benchmarks" not in p.parts]


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 40


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_and_function_sizes(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert not long


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent == ROOT / "ifrkit" / "methods"], ids=lambda p: p.name)
def test_a_method_is_one_short_file(path: Path) -> None:
    """A reader with the paper open finds each of its equations."""
    assert path.read_text().count("\n") <= 150


def test_median_file_is_short() -> None:
    assert statistics.median(p.read_text().count("\n") for p in SOURCES if p.name != "__init__.py") <= 120


def _undocumented(path: Path) -> list[str]:
    """Public modules, classes and top-level functions without a docstring."""
    tree = ast.parse(path.read_text())
    missing = [] if ast.get_docstring(tree) else ["(module)"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            overload = any("overload" in ast.unparse(d) for d in node.decorator_list)
            if not ast.get_docstring(node) and not overload:
                missing.append(node.name)
    return missing


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_names_are_documented(path: Path) -> None:
    assert not _undocumented(path)


def test_no_absolute_paths_in_the_tree() -> None:
    """A path of somebody's machine must not get into the project."""
    pattern = re.compile(r"['\"(\s](/home/|/root/|/work/|/data/|/mnt/|/Users/)\w")
    texts = [p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml", ".yaml", ".sh", ".txt"} and p.is_file()]
    tracked = [p for p in texts if not {".venv", "ifrkit_artifacts", ".git"} & set(p.relative_to(ROOT).parts)]
    assert tracked
    hits = [f"{p.relative_to(ROOT)}: {m.group(0)}" for p in tracked for m in pattern.finditer(p.read_text())]
    assert not [h for h in hits if "test_budgets.py" not in h]


def test_changelog_is_in_keep_a_changelog_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    assert re.search(r"^## \[Unreleased\]$", text, re.M)
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= allowed


def _functions(paths: list[Path]) -> list[ast.FunctionDef]:
    return [
        node for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
    ]


def test_imports_stand_at_the_top() -> None:
    """What is too heavy to import early is named by a dotted name, or is a lazy module (`ifrkit/core/lazy.py`)."""
    inside = {
        (node.lineno, ast.unparse(node), path)
        for path in LIBRARY
        for function in _functions([path])
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert len(inside) < 20


def test_few_functions_have_many_arguments() -> None:
    functions = _functions(LIBRARY)
    counts = [len([a for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs) if a.arg not in ("self", "cls")])
              for f in functions]  # fmt: skip
    assert sum(count > 6 for count in counts) <= 0.005 * len(functions)
