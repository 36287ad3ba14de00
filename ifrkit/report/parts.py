"""The sections of the page, each made of the models; one that has nothing to show is empty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ifrkit.core.text import file_name
from ifrkit.evaluation.records import EXTREMES
from ifrkit.evaluation.tables import calibration, evidence, headlines, measured, percent, titles
from ifrkit.report import html
from ifrkit.report.curves import INK, draw, draw_distances, svg
from ifrkit.report.gather import Model, command_line, trainings
from ifrkit.report.html import Cell

LONGEST = 40
"""Rows of a table over clips; of more clips those that flicker most."""


def _bar(value: float | None) -> Cell:
    return percent(value) if value is None else (percent(value), min(1.0, max(0.0, value)))


def _with_interval(model: Model, system: str, metric: str, value: float | None) -> Cell:
    said = measured(value, model.tree.get("intervals", {}).get(system, {}).get(metric))
    return said if value is None else (said, min(1.0, max(0.0, value)))


def summary(judged: Sequence[Model]) -> str:
    """Every system of every model, beside each other."""
    numbers = [headlines(model.tree["systems"]) for model in judged]
    metrics = list(dict.fromkeys(metric for found in numbers for row in found.values() for metric in row))
    rows: list[list[Cell]] = [
        [f"{model.name}: {system}", *(_with_interval(model, system, m, row.get(m)) for m in metrics)]
        for model, found in zip(judged, numbers, strict=True)
        for system, row in found.items()
    ]
    note = (
        "The first row of a model is what was judged; the others are what its branches, or a copied key frame, reach."
    )
    if not rows:
        return ""
    videos = min(model.tree.get("videos", 0) for model in judged)
    leak = judged[0].tree.get("leakage", "")  # of the clips, which all models share
    calibrated = dict.fromkeys(calibration(model.tree) for model in judged)
    caption = "; ".join(filter(None, ("Percent", evidence(videos) if videos else "", leak, *calibrated)))
    return html.section("Results", html.table(["model", *titles(metrics)], rows, caption), note)


def per_class(judged: Sequence[Model]) -> str:
    """IoU of each class: a bar for each model, then all systems as numbers."""
    measured = [model for model in judged if "miou" in model.tree["systems"][model.system]]
    if not measured:
        return ""
    classes = measured[0].tree["classes"]
    own = [(model.letter, model.tree["systems"][model.system]["miou"]["iou"]) for model in measured]
    every = [
        (f"{model.letter}: {system}", found["miou"]["iou"])
        for model in measured
        for system, found in model.tree["systems"].items()
    ]

    def drawn(columns: list[tuple[str, list[float | None]]], caption: str) -> str:
        rows: list[list[Cell]] = [[name, *(_bar(ious[i]) for _, ious in columns)] for i, name in enumerate(classes)]
        return html.table(["class", *(column for column, _ in columns)], rows, caption)

    legend = "; ".join(f"{model.name}, {model.system}" for model in measured)
    inner = drawn(own, "IoU in percent; a dash where the class does not occur")
    if len(every) > len(own):
        inner += html.details("Every system", drawn(every, "IoU in percent of every system"))
    return html.section("Classes", inner, legend)


def confusion(judged: Sequence[Model]) -> str:
    """The confusion matrix of each model."""
    inner = ""
    for number, model in enumerate(m for m in judged if "miou" in m.tree["systems"][m.system]):
        drawn = _matrix(model.tree["systems"][model.system]["miou"]["confusion"], model.tree["classes"], model.name)
        inner += html.details(f"{model.name}, {model.system}", drawn, shown=number == 0)
    note = "Rows are the truth: how many percent of the pixels of a class were called the class of the column."
    return html.section("Confusion", inner, note)


def _matrix(matrix: list[list[int]], classes: list[str], name: str) -> str:
    head = "".join(f'<th scope="col">{html.text(c)}</th>' for c in classes)
    body = ""
    for row, label in zip(matrix, classes, strict=True):
        total = sum(row)
        cells = "".join(_shade(value / total if total else None) for value in row)
        body += f'<tr><th scope="row">{html.text(label)}</th>{cells}</tr>\n'
    first = '<th scope="col">truth</th>'
    inner = f"<thead><tr>{first}{head}</tr></thead>\n<tbody>{body}</tbody>"
    return html.scroller(f'<table class="confusion">{inner}</table>', f"Confusion matrix of {name}")


def _shade(share: float | None) -> str:
    """A cell from white to deep blue, the same in a light and a dark page."""
    if share is None:
        return "<td>-</td>"
    r, g, b = (round(255 + share * (end - 255)) for end in (8, 48, 107))
    ink = "#fff" if share > 0.45 else "#14171a"
    text = f"{100 * share:.0f}" if round(100 * share) else ""
    return f'<td style="background:rgb({r},{g},{b});color:{ink}">{text}</td>'


def curves(models: Sequence[Model]) -> str:
    """Loss, metric and learning rate of every training, the networks of one kind in one picture."""
    inner = ""
    for name, runs in trainings(models).items():
        drawn = svg(draw(runs, INK), f"Curves of {name}: loss, validation metric and learning rate over the steps")
        last = "; ".join(f"{run.name}: last loss {run.loss[-1][1]:.4g}" for run in runs if run.loss)
        inner += f'<h3>{html.text(name)}</h3><div class="curves">{html.scroller(drawn, f"Curves of {name}")}</div>\n'
        inner += f"<p>{html.text(last)}</p>\n"
    return html.section("Training", inner, "A ring marks the best step; checkpoint=best means its weights.")


def distances(judged: Sequence[Model]) -> str:
    """Accuracy over the distance to the key frame: of one model every system, of several what was judged."""
    measured = [model for model in judged if "distances" in model.tree]
    if not measured:
        return ""
    lines = {
        f"{model.letter}: {system}": found
        for model in measured
        for system, found in model.tree["distances"]["systems"].items()
        if system == model.system or len(measured) == 1
    }
    drawn = svg(draw_distances(lines, INK), "mIoU over the distance to the key frame, and over the key interval")
    inner = f'<div class="curves">{html.scroller(drawn, "Curves over the distance to the key frame")}</div>\n'
    longest = max(len(found["at"]) for found in lines.values())
    rows: list[list[Cell]] = [
        [str(d), *(_bar(found["at"][d]) if d < len(found["at"]) else "-" for found in lines.values())]
        for d in range(longest)
    ]
    inner += html.table(["distance", *lines], rows, "mIoU in percent, so many frames after the key frame")
    note = "The same frames at every distance, only their key frame moves; a key interval is the mean of its distances."
    return html.section("Distance to the key frame", inner, note)


def consistency(judged: Sequence[Model]) -> str:
    """TC of each clip by itself, where it was measured and recorded."""
    found = [
        (model, model.records.each("tc", model.records.of(model.system, "tc")))
        for model in judged
        if model.records is not None and "tc" in model.tree["systems"][model.system]
    ]
    if not found or found[0][0].records is None:
        return ""
    names = found[0][0].records.clips
    order = sorted(range(len(names)), key=lambda i: min((x for _, v in found if (x := v[i]) is not None), default=2.0))
    rows: list[list[Cell]] = [[names[i], *(_bar(values[i]) for _, values in found)] for i in order[:LONGEST]]
    caption = f"TC in percent of {len(rows)} of {len(names)} clips, those that flicker most first"
    inner = html.table(["clip", *(model.letter for model, _ in found)], rows, caption)
    note = "Each clip by itself: its classes are fewer, so these values do not average to the TC of the split."
    return html.section("Temporal consistency of each clip", inner, note)


def pictures(judged: Sequence[Model]) -> str:
    """The best and the worst frames, and some that are spread over the split."""
    inner = ""
    for title, what in (("worst", "went worst"), ("best", "went best"), ("pictures", "are spread over the split")):
        for model in judged:
            paths = model.pictures(title)[:EXTREMES]
            scores = _scores(model)
            drawn = ""
            for number, path in enumerate(paths, 1):
                frame = path.stem if title == "pictures" else path.stem.split("-", 1)[1]
                said = f", mIoU of this frame {percent(scores[frame])} %" if frame in scores else ""
                alt = f"Frame, label, prediction and errors of {frame}, {model.name}"
                drawn += html.figure(html.photo(path), alt, f"{number}. {frame}{said}")
            shown = title == "worst" and model is judged[0]
            inner += html.details(f"Frames that {what}: {model.name}", drawn, shown=shown) if drawn else ""
    note = "Frame, label, prediction, and errors in red; ignored pixels are black."
    return html.section("Frames", inner, note)


def _scores(model: Model) -> dict[str, float]:
    if model.records is None:
        return {}
    values = zip(model.records.frames, model.records.frame_miou.tolist(), strict=True)
    return {file_name(name): value for name, value in values}


def loop(judged: Sequence[Model]) -> str:
    """A clip that moves, closed until it is wanted and still for readers who asked for less motion."""
    inner = ""
    for model in judged:
        if not model.artifact.has("clip.webp"):
            continue
        moving, still = html.animation(model.artifact.file("clip.webp"))
        quiet = f'<source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
        image = f'<img src="{moving}" alt="Frames of a clip beside the predictions of {html.text(model.name)}, moving">'
        drawn = f'<figure class="loop"><picture>{quiet}{image}</picture></figure>'
        inner += html.details(f"Play: {model.name}, {model.system}", drawn)
    return html.section("A clip in motion", inner, "The first clip of the split: frame and prediction.")


def lineage(models: Sequence[Model]) -> str:
    """What each model was made of, the commands in the order to say them, and every setting."""
    inner = ""
    for model in models:
        made = model.lineage[::-1]
        lines = [line for line in dict.fromkeys(command_line(artifact) for artifact in made) if line]
        inner += f"<h3>{html.text(model.name)}</h3>\n" + html.preformatted(lines)
        inner += "".join(f"<p>{html.text(line)}</p>\n" for line in model.gone)
        for artifact in made:
            manifest = artifact.manifest
            facts: dict[str, Any] = {"id": artifact.id, "created": manifest.created, "seed": manifest.seed}
            facts["from"] = [f"{ref.kind} {ref.id[:12]}" for ref in manifest.inputs]
            facts |= {"config": manifest.config, "environment": manifest.environment}
            shown = html.preformatted(json.dumps(facts, indent=1).splitlines())
            inner += html.details(f"{artifact.kind} {artifact.path.name}", shown)
    return html.section("How they were made", inner, "The commands, first to last; below them every setting.")
