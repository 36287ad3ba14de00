"""Hostile text through every command and page: it is shown, as text, and does nothing.

Class names, file and video names, manifests, arguments and errors hold what rich takes for markup, what terminals take
for commands, what turns or hides text, line breaks, NUL, HTML, formulas and bytes that are not UTF-8.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import click
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ifrkit.artifacts import store
from ifrkit.artifacts.manifest import Manifest, write_manifest
from ifrkit.cli import guard
from ifrkit.cli.display import TerminalDisplay
from ifrkit.cli.main import COMMANDS, load, root
from ifrkit.core.text import file_name, is_safe, safe

LINK = "[link=x:y]"
ESCAPES = "\x1b]0;pwned\x07\x1b[31m\x9b31m\x7f\x08"
TURNS = "\u202e\u2066\u200f\u200b\ufeff\u2028\U000e0041"
NAME = f"n[bold]{LINK}:smile:$a$_{{x}}<b>&'\"{ESCAPES}{TURNS}\r\n"
"""What the name of a file can hold."""
CLASS = f"c[/red]$\\frac$</td><script>alert(1)</script>\0{NAME}."
"""What YAML and JSON can hold, and no space at an end, which does not belong to a class's name."""
LETTERS = "Straße 日本　語 \u0645\u06cc\u200c\u062e 👩\u200d🚀 a\u0301"
"""Harmless, and shown as it is."""
BYTES = os.fsdecode(b"caf\xe9\x9b31m")
"""A name that is not UTF-8."""
LONG = "x" * 5000
"""Too long for a path."""
SIZE = "--set update.width=0.0625 --set reference.width=0.0625 --set crop.size=[24,32]"
LOOP = "--steps 1 --set loop.batch=2 --set loop.eval_every=1 --set runtime.workers=0 -q"


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Runner = Callable[..., Said]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Runner]:
    """Runs a command in this process; whatever it says, and whatever libraries say, holds no harmful character."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*words: str) -> Said:
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as done:
            guard.run(root(), list(words), "ifrkit")
        out, err = (stream.decode() for stream in capfdbinary.readouterr())
        for line in (out + err).split("\n"):
            assert is_safe(line), words
        assert "Traceback" not in err, err
        return Said(int(done.value.code or 0), out, err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_what_is_shown_for_what() -> None:
    shown = {
        "road [/red]": "road [/red]",
        "\x1b[31m\x9b\x7f\0\r\n\t": r"\x1b[31m\x9b\x7f\x00\r\n\t",
        "\u202egpj\u2066\u200b\ufeff\u2028": r"\u202egpj\u2066\u200b\ufeff\u2028",
        os.fsdecode(b"caf\xe9"): r"caf\udce9",
        LETTERS: LETTERS,
        r"C:\new $5 <b>": r"C:\new $5 <b>",
    }
    assert {text: safe(text) for text in shown} == shown
    assert all(safe(text) == text for text in shown.values())


def test_file_names() -> None:
    assert file_name("0016E5/0016E5_07959") == "0016E5_0016E5_07959"
    names = ["a\\b\x1b\n", "a_b_x1b_n", "a\\b\\x1b_n", *("\u00e9" * 300 + end for end in "ab")]
    found = [file_name(name) for name in names]
    assert len({*found}) == len(names)
    assert found[0].startswith("a_b_x1b_n-")
    assert all(is_safe(name) and len(name.encode()) <= 200 and not {*"/\\"} & {*name} for name in found)


def test_a_terminal_shows_it_as_text() -> None:
    display, screen = TerminalDisplay("toy"), io.StringIO()
    display.console = Console(file=screen, force_terminal=True, width=3000, color_system="truecolor")
    for _ in display.track(range(2), f"bar {CLASS}", total=2):
        display.status(f"status {CLASS}")
    display.info(CLASS)
    display.warn(CLASS)
    display.table(f"title {CLASS}", [f"column {CLASS}", "n"], [[f"cell {CLASS}", CLASS]])
    text = screen.getvalue()
    for part in ("bar ", "status ", "toy: ", "warning: ", "title ", "column ", "cell "):
        assert part + safe(CLASS) in text
    assert not any(mark in text for mark in ("\x1b]", "\x1b[31m", "\x9b", "\x07", "\0", *TURNS))


def _commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and subcommand, with the words that call it."""
    for name in COMMANDS:
        command = load(name)
        if isinstance(command, click.Group):
            yield from (((name, sub), each) for sub, each in command.commands.items())
        else:
            yield (name,), command


def _lines(words: tuple[str, ...], command: click.Command) -> Iterator[list[str]]:
    """The command with hostile text in each place that takes text: every argument, every option with a value."""
    quick = ["--seconds", "0"] if words == ("doctor",) else []
    for text in (NAME, BYTES, LONG):
        yield [*words, *quick, text]
        yield [*words, f"--{text}"]
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag:
                yield [*words, *quick, option.opts[-1], text]


@pytest.mark.parametrize(
    ("words", "command"), list(_commands()), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_hostile_arguments(
    words: tuple[str, ...], command: click.Command, run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in _lines(words, command):
        said = run(*line)
        assert said.code in (0, 2, 3, 4, 5), (line, said.err)
        if said.code:
            assert said.err.count("\n") == 1, (line, said.err)
            assert "a bug" not in said.err


def test_an_unknown_command(run: Runner) -> None:
    for text in (NAME, BYTES):
        assert run(text).code == 2


def _yaml(text: str) -> str:
    return '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a hostile name, and own videos with hostile names and classes in it."""
    place = tmp_path_factory.mktemp("place") / NAME
    rng = np.random.default_rng(0)
    for video in ("v" + NAME, "w" + NAME):
        for kind in ("frames", "labels"):
            (place / "own" / kind / video).mkdir(parents=True)
        for i in range(10):
            frame = rng.integers(0, 256, (32, 48, 3)).astype(np.uint8)
            Image.fromarray(frame).save(place / "own" / "frames" / video / f"{i:03d}.png")
        for i in (3, 8):
            ids = rng.integers(0, 2, (32, 48)).astype(np.uint8)
            Image.fromarray(ids).save(place / "own" / "labels" / video / f"{i:03d}.png")
    colors = {CLASS: [1, 2, 3], "_$\n" + NAME: [4, 5, 6]}
    (place / "own" / "classes.yaml").write_text(
        "classes:\n" + "".join(f"  {_yaml(name)}: {color}\n" for name, color in colors.items())
    )
    return place


CHAIN = [
    "artifacts ls",
    "prepare folders --root own --clip-length 5 --dry-run",
    "prepare folders --root own --clip-length 5 --print-config",
    "prepare folders --root own --clip-length 5",
    f"train-flow --set width=0.0625 --set crop=[24,32] {LOOP}",
    f"train-branches --ssl none --backbone resnet18,resnet18 {SIZE} {LOOP}",
    f"train-fusion --set key_interval=3 --set crop=[24,32] --set warmup_steps=0 {LOOP}",
    "eval --metric mIoU,TC --flow dis --distances 2 --set distance=2 --set pictures=2",
    "eval --metric mIoU,TC --flow dis --distances 2 --set distance=2 --set pictures=2 --from branches --json",
    "pseudo-label",
    "cache-features --set update.width=0.0625",
    f"train-branches --ssl none --from features --set crop.size=[24,32] {LOOP}",
    "report",
    "report branches flow --out trainings.html",
    "eval --metric mIoU --distances 2 --set pictures=2 --from branches --fail-under mIoU=0 --junit ci.xml",
    "report --trust",
    "propagate --from branches --write labelme,coco,png",
    "label-next own --count 1 --write labelme,coco,png --from branches",
    "report --project own --out project.html",
    "compare report --power",
    "compare report",
    "log branches",
    "log branches --plot curves.png",
    "artifacts ls",
    "artifacts show report",
    "artifacts lineage report",
    "artifacts verify",
    "artifacts gc",
    "init new --frames own/frames --count 2 --clip-length 5",
    "doctor --seconds 0",
]


def test_hostile_names_through_the_chain(place: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `prepare` to the page, all in a directory, with videos and classes, that have such names."""
    monkeypatch.chdir(place)
    said = {}
    for line in CHAIN:
        said[line] = run(*line.split())
        assert said[line].code == 0, (line, said[line].err)
    assert json.loads(said[CHAIN[3]].out)["kind"] == "clips"  # a path that cannot be a line
    assert safe(CLASS) in said[CHAIN[3]].err
    for name in ("v" + NAME, BYTES):
        shutil.copytree(place / "own" / "frames" / ("v" + NAME), place / name)
        assert run("predict", name, "--from", "branches").code == 0
    assert run("artifacts", "verify").code == 0
    made = {artifact.kind for artifact in store.artifacts(Path("ifrkit_artifacts"))}
    assert made == {"clips", "flow", "branches", "video-model", "report", "pseudo-labels", "predictions", "features"}
    for page in ("ifrkit_artifacts/report.html", "ifrkit_artifacts/trust.html", "trainings.html", "project.html"):
        _check_page(Path(page).read_text("utf-8"))
    cards = [*Path("ifrkit_artifacts").glob("*/*/README.md"), Path("ci.xml")]
    assert len(cards) == 2
    for card in cards:
        assert all(is_safe(line) for line in card.read_text("utf-8").split("\n")), card
    ET.parse("ci.xml")


@pytest.mark.slow
def test_hostile_names_in_exported_graphs(place: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs hold the class names, and `predict` runs them."""
    monkeypatch.chdir(place)
    for line in (CHAIN[3], CHAIN[5], "export --from branches --format torch", "export --from branches --format onnx"):
        said = run(*line.split())
        assert said.code == 0, (line, said.err)
    assert run("predict", str(place / "own" / "frames" / ("w" + NAME)), "--backend", "onnx").code == 0


class _Page(HTMLParser):
    """Tags, the names of their attributes, and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def _check_page(text: str) -> None:
    assert all(is_safe(line) for line in text.split("\n"))
    page = _Page()
    page.feed(text)
    page.close()
    assert not page.tags & {"script", "b", "link", "a", "iframe"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert "report.html" not in page.text
    assert safe(CLASS) in page.text or "Curves" in text


def test_hostile_manifests(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stranger's artifact says of itself is shown by everything that reads manifests."""
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "ws" / "report" / ("x" + NAME)
    target.mkdir(parents=True)
    hostile = {CLASS: CLASS}
    manifest = Manifest(
        kind="report", id="a" * 64, stage=CLASS, created=CLASS, command=("/bin/" + CLASS, CLASS), config=hostile,
        origins=hostile, environment=hostile, metrics=hostile,
    )  # fmt: skip
    write_manifest(target, manifest)
    for words in (
        "artifacts ls",
        "artifacts show aaaaaa",
        "artifacts lineage aaaaaa",
        "artifacts verify",
        "artifacts gc",
    ):
        assert run(*words.split(), "--workspace", "ws").code == 0, words
    for words in ("report aaaaaa", "compare aaaaaa", "log aaaaaa", "eval --from aaaaaa", "artifacts verify ws/report"):
        assert run(*words.split(), "--workspace", "ws").code in (2, 3), words
