"""The page: one file that refers to nothing outside, with every part of every model, and with every name escaped."""

from __future__ import annotations

import base64
import html.parser
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from ifrkit.artifacts.store import Artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.core.errors import ConfigError
from ifrkit.evaluation.records import read_records
from ifrkit.report import page as module
from ifrkit.report.gather import command_line, gather
from ifrkit.report.page import page
from ifrkit.stages import evaluate
from ifrkit.stages.runner import Run, execute

VOID = {"meta", "img", "br", "hr", "source", "link", "input"}
HOSTILE = "<script>alert('x')</script>\"&"


class Read(html.parser.HTMLParser):
    """A page as a browser takes it in: tags closed in order, text by section, pictures, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        self.pictures: list[tuple[str, str]] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.section = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        assert not [key for key in found if key.startswith("on")]
        self.tags.append(tag)
        self.references += [
            v for k, v in found.items() if k in ("src", "srcset", "href", "xlink:href", "action", "data")
        ]
        self.references += [v.split("(")[1].strip(")'\"") for v in found.values() if v.startswith("url(")]
        self.ids += [found["id"]] if "id" in found else []
        if tag == "img":
            self.pictures.append((self.section, found["src"]))
            assert found["alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["h2"]:
            self.section = data
        if self.open[-1:] != ["style"]:
            self.text[self.section] = self.text.get(self.section, "") + data + " "


@pytest.fixture(scope="module")
def text(reports: list[Artifact]) -> str:
    return page(reports)


@pytest.fixture(scope="module")
def read(text: str) -> Read:
    return Read(text)


def test_nothing_outside_and_no_script(text: str, read: Read) -> None:
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {*read.tags}
    outside = [found for found in read.references if not found.startswith(("data:image/webp;base64,", "#"))]
    assert outside == []
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "@import" not in text
    inside = {found for found in read.references if found.startswith("#")}
    assert inside <= {f"#{id}" for id in read.ids}
    assert len(read.ids) == len({*read.ids})  # figures must not share the names of their parts
    assert "default-src 'none'" in text


def test_every_part_is_there(read: Read, reports: list[Artifact], model: Artifact, branches: Artifact) -> None:
    assert list(read.text) == [
        "",
        "Results",
        "Classes",
        "Frames",
        "A clip in motion",
        "Confusion",
        "Distance to the key frame",
        "Temporal consistency of each clip",
        "Training",
        "How they were made",
    ]
    made = read.text["How they were made"]
    for artifact in (*reports, model, branches):
        assert artifact.id in made
        assert artifact.manifest.environment["torch"] in made
        assert command_line(artifact) in made
    assert '"lr_head": 2.0' in made
    for word in ("loss", "mIoU (%)", "learning rate", "model", "update", "reference", "flow"):
        assert word in read.text["Training"]
    for clip in read_records(reports[0]).clips:  # type: ignore[union-attr]
        assert clip in read.text["Temporal consistency of each clip"]


def test_the_numbers_are_those_of_the_reports(read: Read, reports: list[Artifact]) -> None:
    for letter, report in zip("AB", reports, strict=True):
        tree = json.loads(report.file("report.json").read_text())
        name = f"{letter}: none 1/1 resnet18/resnet34, seed 0"
        for system, numbers in tree["systems"].items():
            assert f"{name}: {system} " in read.text["Results"]
            assert f"{100 * numbers['miou']['miou']:.2f} " in read.text["Results"]
            assert f"{100 * numbers['tc']['tc']:.2f} " in read.text["Results"]
            for iou, label in zip(numbers["miou"]["iou"], tree["classes"], strict=True):
                assert label in read.text["Classes"]
                assert ("-" if iou is None else f"{100 * iou:.2f}") in read.text["Classes"].split()
        assert f"(source: truth; consistent: {tree['flow']['consistent']})" in read.text[""]
        (first, *_) = tree["systems"]
        for value in tree["distances"]["systems"][first]["at"]:
            assert f"{100 * value:.2f}" in read.text["Distance to the key frame"].split()
        for row in tree["systems"][first]["miou"]["confusion"]:
            for value in row:
                percent = round(100 * value / max(1, sum(row)))
                assert not percent or str(percent) in read.text["Confusion"].split()


def test_ten_best_and_ten_worst_frames_of_every_model(read: Read, reports: list[Artifact]) -> None:
    frames = [uri for section, uri in read.pictures if section == "Frames"]
    assert len(frames) == len(reports) * (10 + 10 + 2)
    sizes = {Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size for uri in frames}
    assert {width / height > 4 for width, height in sizes} == {True}  # four panels in a row
    for report in reports:
        records = read_records(report)
        assert records is not None
        worst = int(records.frame_miou.argmin())
        name = records.frames[worst].replace("/", "_")
        assert f"1. {name}, mIoU of this frame {100 * records.frame_miou[worst]:.2f} %" in read.text["Frames"]
    loops = [uri for section, uri in read.pictures if section == "A clip in motion"]
    assert len(loops) == len(reports)
    for uri in loops:
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert getattr(image, "n_frames", 1) == 5
            assert image.info["loop"] == 0


def test_names_are_escaped(reports: list[Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    """Class, clip, frame and file names are the user's, and the command line is what was typed."""
    command = replace(reports[0], manifest=msgspec.structs.replace(reports[0].manifest, command=("ifrkit", HOSTILE)))
    models = gather([command])
    (hostile,) = models
    hostile.tree["classes"][0] = hostile.tree["dataset"] = hostile.tree["model"]["labeled"] = HOSTILE
    for part in (hostile.tree["systems"], hostile.tree["distances"]["systems"]):
        part |= {HOSTILE: part.pop(next(iter(part)))}
    assert hostile.records is not None
    hostile.records.clips[0] = hostile.records.frames[0] = HOSTILE
    monkeypatch.setattr(module, "gather", lambda artifacts: models)
    text = page([command])
    read = Read(text)
    assert "<script" not in text
    for section in ("", "Results", "Classes", "Confusion", "Distance to the key frame", "How they were made"):
        assert HOSTILE in read.text[section] or HOSTILE.replace("'", "'\"'\"'") in read.text[section], section


def test_commands_stand_as_somebody_else_would_type_them(branches: Artifact) -> None:
    def said(*command: str) -> str:
        return command_line(replace(branches, manifest=msgspec.structs.replace(branches.manifest, command=command)))

    assert said("/opt/some/bin/ifrkit-eval", "--from", "a b") == "ifrkit-eval --from 'a b'"
    assert said("/opt/some/ifrkit/__main__.py", "eval") == "ifrkit eval"
    assert said() == ""


def test_a_training_without_a_report(model: Artifact, branches: Artifact) -> None:
    read = Read(page([model, branches]))
    assert list(read.text) == ["", "Training", "How they were made"]
    assert "A, B: last loss" in read.text["Training"]  # the branches are part of both


def test_what_was_not_measured_is_not_shown(workspace: Path, branches: Artifact) -> None:
    config = EvalConfig.of({"metrics": "tc", "flow": "truth", "pictures": 0})
    alone = execute(evaluate.STAGE, config, Run(workspace=workspace, inputs=[branches]))
    sections = [*Read(page([alone])).text]
    assert sections == ["", "Results", "Temporal consistency of each clip", "Training", "How they were made"]


@pytest.mark.parametrize("changed", [{"key_interval": 2}, {"distance": 1}, {"frames": "annotated"}])
def test_what_was_measured_differently_is_refused(
    workspace: Path, branches: Artifact, reports: list[Artifact], changed: dict[str, Any]
) -> None:
    options = {"metrics": "miou", "frames": "all", "pictures": 0} | changed
    other = execute(evaluate.STAGE, EvalConfig.of(options), Run(workspace=workspace, inputs=[branches]))
    with pytest.raises(ConfigError, match=f"the reports differ in .*{next(iter(changed))}.*; make a page of each kind"):
        page([reports[0], other])
