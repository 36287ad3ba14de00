"""The commands that help texts and pages show: found by reading, taken apart, and run on toy data.

`Place` is a directory as the pages assume it: toy trees under the names that they use, and on PATH an `ifrkit` that
runs the true command with settings added that make it small (`SMALL`). Nothing else of a command is changed.
"""

from __future__ import annotations

import functools
import os
import pty
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from ifrkit.cli.main import COMMANDS, load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

SHELL = (
    "ifrkit",
    "python",
    "torchrun",
    "make",
    "git",
    "pip",
    "for",
    "while",
    "export",
    "sh",
    "cat",
    "mkdir",
    "cp",
    "ls",
)
"""Words that begin a command, by which an indented block is known as one. So does NAME=$(...)."""

STANDS_FOR = {
    "PROJECT": "my-project",
    "TABLE": "3",
    "COMMAND": "prepare",
    "DATASET": "synthetic",
    "ROOT": "my-video",
    "DIR": "my-video",
    "NAME": "ifr",
    "SSL": "none",
    "SEED": "0",
    "SEQUENCE": "0006R0",
    "BUDGET": "steps",
}
STANDS_FOR |= {"MODEL": "video-model", "REPORT": "report", "VIDEO": "street.mp4", "VIDEO_OR_DIR": "street.mp4"}
"""What the tests put in place of a page's place holders."""

_LOOP = "--set runtime.workers=0 --set loop.steps=2 --set loop.batch=2 --set loop.eval_every=2 --set {}=[24,32]"
_WIDTH = 0.0625
SMALL = {
    "train-branches": f"--set update.width={_WIDTH} --set reference.width={_WIDTH} {_LOOP.format('crop.size')}",
    "cache-features": f"--set update.width={_WIDTH} --set reference.width={_WIDTH}",
    "train-flow": f"--set width={_WIDTH} {_LOOP.format('crop')}",
    "train-fusion": f"--set key_interval=3 --set pretrain.width={_WIDTH} --set pretrain.crop=[24,32] "
    f"--set pretrain.loop.steps=2 --set pretrain.loop.batch=2 {_LOOP.format('crop')}",
    "doctor": "--seconds 0.1",
}
SMALL["train"] = " ".join(
    words.replace("--set ", f"--set {stage}.") for stage, words in SMALL.items() if "train" in stage
)
"""Stage -> words after the command that a page shows."""
SCRIPTS = {
    "benchmarks/results.py": "--steps 2 --only none self-training --seeds 0",
    "benchmarks/gpu_hours.py": "5",
}
"""Script -> words after what a page shows: their full tables take hours and minutes."""
_IF_SAID = {
    "--partition": "--set labeled.partition=1/2",
    "--distances": "--set distances=3",
    "loop.amp=fp16": "--set loop.amp=off --set loop.batch=4",  # two images for each of two ranks
    "--fail-under": "--fail-under mIoU=0",
    "--fail-over": "--fail-over ece=1",
    "--int8": "--set max_drop=1",
    "0-2": "--only baseline,ifr,1/30",
    "slurm": "--dry-run",
    "options.clip_length=9": "--set options.clip_length=5",
}
"""Further words, where the command holds this one: toys have few clips, a CPU no fp16, two steps teach little, three
seeds of a whole table are sixty chains, and there is no cluster (`benchmarks/slurm.sh` makes one)."""


class Block(NamedTuple):
    """Commands of a page, and the line where they begin."""

    page: str
    line: int
    text: str

    @property
    def where(self) -> str:
        """As an editor opens it."""
        return f"{self.page}:{self.line}"


@functools.cache
def commands() -> dict[str, click.Command]:
    """Every command that has a --help, groups included: "prepare", "artifacts", "artifacts ls"."""
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        found[name] = command = load(name)
        if isinstance(command, click.Group):
            found |= {f"{name} {child}": sub for child, sub in command.commands.items()}
    return found


def examples(name: str) -> list[str]:
    """The lines below "Examples:" in the help of a command."""
    text = commands()[name].get_help(click.Context(commands()[name], info_name=f"ifrkit {name}", max_content_width=120))
    _, _, below = text.partition("Examples:\n")
    lines = re.split(r"\n\s*\n", below)[0].splitlines()
    return [line.strip() for line in lines if line.strip()]


def blocks(page: Path) -> list[Block]:
    """The command blocks of a page, fenced or indented by four spaces, in their order."""
    found, lines, number = [], page.read_text().splitlines(), 0
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if line.startswith("```"):
            while number < len(lines) and not lines[number].startswith("```"):
                number += 1
            body, tag = lines[start + 1 : number], line.strip("` ")
            number += 1
        elif line.startswith("    ") and line.strip() and (start == 0 or not lines[start - 1].strip()):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                number += 1
            body, tag = [text[4:] for text in lines[start:number]], ""
        else:
            continue
        if tag in ("sh", "bash", "console") or (not tag and any(_is_command(text) for text in body)):
            found.append(Block(page.name, start + 1, "\n".join(body).strip("\n")))
    return found


def _is_command(line: str) -> bool:
    first = line.split(" ")[0]
    return first in SHELL or first.startswith("ifrkit-") or re.match(r"\w+=\$\(", line) is not None


def spans(page: Path) -> Iterator[str]:
    """Whole commands in the text of a page: `ifrkit prepare synthetic`. Not those with "..." or [options]."""
    text = re.sub(r"```.*?```|^    .*$", "", page.read_text(), flags=re.S | re.M)
    for span in re.findall(r"`(ifrkit [^`]+)`", text):
        if "..." not in span and "[" not in span.replace("=[", ""):
            yield " ".join(span.split())


def filled(text: str) -> str:
    """With something in place of every place holder, a word in capitals, and long scripts made short.

    Fails for a place holder that has no stand-in.
    """

    def stand_in(match: re.Match[str]) -> str:
        assert match[0] in STANDS_FOR, f"{match[0]} stands for what? see STANDS_FOR in {Path(__file__).name}"
        return STANDS_FOR[match[0]]

    text = _uncommented(text)
    for script, words in SCRIPTS.items():
        text = re.sub(rf"{script}[^|\n]*", rf"\g<0> {words}", text)
    return re.sub(r"(?<![\w$\{/.-])[A-Z][A-Z_]{2,}(?![\w=(/.-])", stand_in, text)


def _uncommented(text: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", text.replace("\\\n", " "), flags=re.M)


def invocations(text: str) -> list[list[str]]:
    """The arguments of every `ifrkit` in shell text; of a loop, those of its first round."""
    text = filled(text)
    values = dict(re.findall(r"\bfor (\w+) in (\S+)", text)) | {
        "FLOW": "flow",
        "BRANCHES": "branches",
        "A": "report",
        "B": "report",
    }
    text = re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], "some"), text)
    text = re.sub(r"\s\d?[<>]+ ?[^\s|;)]+", " ", text)
    parts = [text]
    while inner := re.search(r"\"?\$\(([^()]*)\)\"?", parts[0]):
        parts.append(inner[1])
        parts[0] = parts[0].replace(inner[0], "some", 1)
    found = []
    for simple in re.split(r"[\n;|&]+", "\n".join(parts)):
        words = shlex.split(simple)
        for index, word in enumerate(words):
            if word == "ifrkit" or word.startswith("ifrkit-"):
                found.append([*([word.removeprefix("ifrkit-")] if word != "ifrkit" else []), *words[index + 1 :]])
                break
    return found


def check(words: list[str]) -> None:
    """Parse a command as the shell would give it; resolve the configuration of a stage, without its input."""
    name, *args = words
    assert name in COMMANDS or name.startswith("-"), f"no command {name}"
    if name.startswith("-"):
        return
    command = load(name)
    options = {parameter.name for parameter in command.params}
    if isinstance(command, click.Group) and args and not args[0].startswith("-"):
        command, args = command.commands[args[0]], args[1:]
    try:
        extra = ["--print-config"] if "print_config" in options else ["--dry-run"] if name == "reproduce" else []
        context = command.make_context(f"ifrkit {name}", [*args, *extra])
    except click.exceptions.Exit:  # --help
        return
    if extra:
        with context:
            command.invoke(context)


def shrunk(words: list[str]) -> list[str]:
    """The words of a command and those that make it small."""
    stage = words[0] if words else ""
    more = SMALL.get(stage, "")
    if any("compact" in word for word in words):  # its backbone has one width
        more = re.sub(r"--set \S*(update|reference)\.width=\S+", "", more)
    extra = more.split()
    if stage == "prepare":
        sizes = {"train_videos": 4, "val_videos": 1, "clip_length": 5, "height": 32, "width": 48}
        settings = [f"options.{key}={value}" for key, value in sizes.items()] if "synthetic" in words else []
        settings += [] if "synthetic" in words else ["size=[32,48]"]
        extra = [word for setting in settings for word in ("--set", setting)]
    if stage == "reproduce":
        from tiny_tables import FLAGS

        extra = FLAGS
    if stage in ("init", "label-next") and "camvid-loop" in words:  # the toy has five clips for three rounds
        extra += ["--count", "1"]
    said = [added for word, added in _IF_SAID.items() if any(word in given for given in words)]
    return words if "--help" in words else [*words, *extra, *(word for added in said for word in added.split())]


class Place:
    """A directory to type the commands of a page in. `small`: False leaves the commands as they are."""

    def __init__(self, cwd: Path) -> None:
        self.cwd, self.bin = cwd / "here", cwd / "bin"
        self.workspace = self.cwd / "ifrkit_artifacts"
        self.cwd.mkdir()
        self.bin.mkdir()
        code = "import sys, pages; from ifrkit.cli.main import main; sys.argv[1:] = pages.shrunk(sys.argv[1:])"
        self._script("ifrkit", f"{code}; main()")
        for name in COMMANDS:
            self._script(f"ifrkit-{name}", f"import sys; sys.argv.insert(1, {name!r}); {code}; main()")
        run = "import runpy, sys; i = sys.argv.index('-m'); sys.argv[i : i + 2] = [{!r}]; sys.argv[1:1] = {!r}; {}"
        start = "runpy.run_module('torch.distributed.run', run_name='__main__')"
        self._script("torchrun", run.format(str(self.bin / "ifrkit"), ["--standalone"], start))
        paths = [str(Path(__file__).parent), str(ROOT)]
        self.env = {k: v for k, v in os.environ.items() if k not in {"IFRKIT_WORKSPACE", "RANK", "WORLD_SIZE"}}
        self.env |= {"PATH": f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        self.env |= {
            "PYTHONPATH": os.pathsep.join(paths),
            "FLOW": "flow",
            "BRANCHES": "branches",
            "A": "report",
            "B": "report",
        }

    def _script(self, name: str, code: str) -> None:
        path = self.bin / name
        path.write_text(f"#!{sys.executable}\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def lay_out(self, weights: bool = False) -> None:
        """Everything that a page supposes a reader to have: downloaded datasets, videos, files of weights."""
        import own_videos
        import tiny_hf

        from ifrkit.core.plugins import load as plugin

        for name, where in {
            "camvid": "CamVid", "cityscapes": "cityscapes", "cityscapes-vps": "data", "folders": "my-video"
        }.items():  # fmt: skip
            plugin("datasets", name).make_toy(self.cwd / where, 0)
        for video in ("street.mp4", "my-videos/a.mp4", "more-videos/b.mp4", "day1/c.mp4", "video.mp4"):
            (self.cwd / video).parent.mkdir(exist_ok=True)
            own_videos.write_video(self.cwd / video, own_videos.street(40 if "/" in video else 8))
        own_videos.write_folder(self.cwd / "frames", own_videos.street(8))
        tiny_hf.save("dinov2", self.cwd / "dinov2-small")
        for scripts in ("benchmarks", "docs"):
            (self.cwd / scripts).symlink_to(ROOT / scripts)
        for name, backbone in (
            ("resnet18-deep.pth", "resnet18"),
            ("resnet101-deep.pth", "resnet101"),
            ("r18.pth", "resnet18"),
            ("r101.pth", "resnet18"),  # what the reference branch of `reproduce --scale tiny` is
        ):
            if weights:
                _write_weights(self.cwd / name, backbone)
            else:
                (self.cwd / name).touch()

    def train(self) -> None:
        """One artifact of every kind in the workspace."""
        self.ok("ifrkit prepare synthetic | ifrkit train-flow -q")
        self.ok("ifrkit train-branches -q --ssl none | ifrkit train-fusion -q | ifrkit eval -q --metric mIoU,TC")
        self.ok("ifrkit pseudo-label -q")
        self.ok("ifrkit cache-features -q")

    def run(self, line: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run shell lines to their end, or to the first that fails."""
        return subprocess.run(
            ["bash", "-c", f"set -eo pipefail\n{line}"], cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def ok(self, line: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run lines that have to succeed."""
        done = self.run(line, timeout)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done


def _write_weights(path: Path, backbone: Any) -> None:
    """A backbone under the names that published deep-stem files have, as wide as the tests' networks."""
    import torch

    from ifrkit.config.network import NetworkConfig
    from ifrkit.models.network import build_network

    state = build_network(NetworkConfig(backbone=backbone, width=_WIDTH), 2, seed=0).backbone.state_dict()
    torch.save({key.removeprefix("stem.0."): value for key, value in state.items()}, path)


def on_terminal(line: str, place: Any, error_too: bool = False, timeout: float = 300) -> str:
    """What a command that succeeds says on standard error while its standard output is a terminal.

    place: has `cwd` and `env`. error_too: standard error is that terminal as well, 100 columns wide, and both are
    returned together.
    """
    ours, theirs = pty.openpty()
    if error_too:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", line], cwd=place.cwd, env=place.env, stdin=subprocess.DEVNULL, stdout=theirs,
        stderr=theirs if error_too else subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    shown = _drain(ours) if error_too else ""
    said = process.communicate(timeout=timeout)[1]
    os.close(ours)
    assert process.returncode == 0, shown + (said or "")
    return shown if error_too else said


def _drain(terminal: int) -> str:
    """Everything until the last process that writes there is gone."""
    read = bytearray()
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says so at the end
            part = b""
        if not part:
            return read.decode(errors="replace")
        read += part
