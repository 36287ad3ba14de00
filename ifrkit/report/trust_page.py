"""The trust report as a page: one model, what it was trained on, how far its numbers carry, and where they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ifrkit.core.lazy import lazy
from ifrkit.evaluation import tables
from ifrkit.evaluation.tables import evidence, percent
from ifrkit.report import html
from ifrkit.report.curves import INK, line, one_plot, svg
from ifrkit.report.html import Cell
from ifrkit.report.trust import Facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ifrkit.media import figures
else:
    figures = lazy("ifrkit.media.figures")

MISSING = "Not measured. `ifrkit eval --recipe trust` measures all of this page."
WORST = 20
"""Rows of the table of videos."""


def page(facts: Facts) -> str:
    """HTML of the facts; it needs nothing else."""
    model, measured = facts["model"], facts["measured"]
    title = f"{'+'.join(model['ssl'])} {model['labeled']}, {measured['dataset']}: can it be trusted?"
    sections = [
        _uses(facts),
        _headlines(facts),
        _trained_on(facts),
        _worst(facts),
        _calibration(facts["calibration"]),
        _stability(facts["stability"]),
        _corruptions(facts["corruptions"]),
    ]
    about = (
        f"{model['kind']} {model['id'][:12]}, {model['system']}, {'/'.join(model['backbones'].values())}, "
        f"{model['checkpoint']} weights, seed {model['seed']}."
    )
    return html.document(title, f"<h1>{html.text(title)}</h1>\n<p>{html.text(about)}</p>\n{''.join(sections)}")


def _items(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.text(said)}</li>' for said in lines)}</ul>\n"


def _uses(facts: Facts) -> str:
    return html.section("Do not use it for", _items(facts["not_for"]))


def _headlines(facts: Facts) -> str:
    rows: list[list[Cell]] = [
        [
            f"{row['title']} (0 is best)" if row["smaller_is_better"] else row["title"],
            percent(row["value"]),
            "-" if row["interval"] is None else f"{percent(row['interval'][0])} to {percent(row['interval'][1])}",
        ]
        for row in facts["headlines"]
    ]
    measured = facts["measured"]
    caption = (
        f"Percent; {measured['split']}, {measured['clips']} clips, {measured['scored_frames']} scored frames; "
        f"{evidence(measured['videos'])}"
    )
    return html.section("Headlines", html.table(["metric", "value", "interval"], rows, caption))


def _trained_on(facts: Facts) -> str:
    labels = facts["labels"]
    total = sum(labels["pixels"].values()) or 1
    rows: list[list[Cell]] = [
        [name, (percent(pixels / total), pixels / total)] for name, pixels in labels["pixels"].items()
    ]
    said = (
        f"{labels['labeled_frames']} labeled frames of {labels['labeled_videos']} videos; unlabeled and labeled, "
        f"{labels['training_clips']} clips of {labels['training_videos']} videos."
    )
    inner = html.details("Labeled pixels of each class", html.table(["class", "share"], rows, "Percent of its labels"))
    leaks = _items(facts["leakage"]) if facts["leakage"] else "<p>No leakage was found.</p>\n"
    return html.section("What it was trained on", f"{inner}<h3>What may flatter the numbers</h3>\n{leaks}", said)


def _worst(facts: Facts) -> str:
    if facts["classes"] is None:
        return html.section("Worst class, worst video", f"<p>{html.text(MISSING)}</p>\n")
    classes: list[list[Cell]] = [
        [row["class"], (percent(row["iou"]), row["iou"]), str(row["pixels"])] for row in facts["classes"]
    ]
    videos: list[list[Cell]] = [
        [row["video"], (percent(row["miou"]), row["miou"])] for row in (facts["videos"] or [])[:WORST]
    ]
    inner = html.table(["class", "IoU", "pixels"], classes, "IoU in percent, the worst class first")
    inner += html.table(["video", "mIoU"], videos, "mIoU in percent of each video by itself, the worst first")
    return html.section("Worst class, worst video", inner)


def _calibration(found: Facts | None) -> str:
    title = "Does it know when it is wrong?"
    if found is None or found["ece"] is None:
        return html.section(title, f"<p>{html.text(MISSING)}</p>\n")
    drawn = svg(draw_reliability(found["curve"], INK), "Share of right pixels over their confidence")
    inner = f'<div class="curves">{html.scroller(drawn, "Reliability curve")}</div>\n'
    rows: list[list[Cell]] = [[name, percent(value)] for name, value in found["classes"].items()]
    inner += html.details("Each class", html.table(["predicted class", "error"], rows, "Calibration error, percent"))
    if found["triage"]:
        title_of, columns, cells = tables.triage(found)
        inner += html.table(columns, cells, title_of)
    said = (
        f"Mean confidence {percent(found['confidence'])} %, right {percent(found['accuracy'])} %; calibration error "
        f"{percent(found['ece'])} %."
    )
    said += f" {found['judged_by']}." if found["judged_by"] else ""
    return html.section(title, inner, said)


def _stability(found: Facts | None) -> str:
    title = "Is it steady over time?"
    if found is None:
        return html.section(title, f"<p>{html.text(MISSING)}</p>\n")
    flow = "; ".join(f"{key}: {value}" for key, value in (found["flow"] or {}).items())
    rows: list[list[Cell]] = [
        ["TC", percent(found["tc"])],
        ["Flicker (0 is best)", percent(found["flicker"])],
        ["pixels that TC judges", percent(found["judged_share"])],
    ]
    inner = html.table(["metric", "value"], rows, f"Percent ({flow})")
    classes: list[list[Cell]] = [[name, percent(value)] for name, value in found["classes"].items()]
    if classes:
        inner += html.details("Flicker of each class", html.table(["class", "flicker"], classes, "Percent"))
    own = "The flow is the one that the model itself uses: it judges itself. --flow dis is independent."
    return html.section(title, inner, own if found["judges_itself"] else "")


def _corruptions(found: Facts | None) -> str:
    title = "How does it degrade?"
    if found is None:
        return html.section(title, f"<p>{html.text(MISSING)}</p>\n")
    drawn = svg(draw_corruptions(found, INK), "mIoU over the strength of each corruption")
    inner = f'<div class="curves">{html.scroller(drawn, "mIoU over the strength")}</div>\n'
    rows: list[list[Cell]] = []
    for kind, strengths in {"none": [found["clean"]], **found["kinds"]}.items():
        for number, one in enumerate(strengths, 1):
            name = kind if kind == "none" else f"{kind} {number}"
            rows.append([name, *(percent(one[key]) for key in ("miou", "accuracy", "confidence"))])
    columns = ["corruption", "mIoU", "right pixels", "mean confidence"]
    inner += html.details("Numbers", html.table(columns, rows, "Percent; confidence should fall with what is right"))
    return html.section(title, inner, f"{found['frames']} held-out frames made worse, in four strengths.")


def draw_reliability(bins: Sequence[Mapping[str, float]], ink: str = "black") -> Figure:
    """Share of right pixels over the mean confidence of each bin, beside the diagonal where both are equal."""
    figure = figures.new_figure(4.5, 4.2)
    axes = one_plot(figure, "confidence (%)", ink)
    axes.plot([0, 100], [0, 100], color=ink, linestyle="dotted", linewidth=1)
    axes.plot([100 * one["confidence"] for one in bins], [100 * one["accuracy"] for one in bins], marker="o", **line(0))
    axes.set_ylabel("right (%)", color=ink)
    return figure


def draw_corruptions(found: Mapping[str, Any], ink: str = "black") -> Figure:
    """mIoU over the strength, a line for each kind."""
    figure = figures.new_figure(7, 4.2)
    axes = one_plot(figure, "strength", ink)
    for number, (kind, strengths) in enumerate(found["kinds"].items()):
        values = [float("nan") if one["miou"] is None else 100 * one["miou"] for one in (found["clean"], *strengths)]
        axes.plot(range(len(values)), values, marker=".", label=kind, **line(number))
    axes.set_ylabel("mIoU (%)", color=ink)
    axes.set_xticks(range(1 + max(len(strengths) for strengths in found["kinds"].values())))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=6, frameon=False, labelcolor=ink)
    return figure
