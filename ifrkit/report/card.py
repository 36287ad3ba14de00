"""A model card in the form of Hugging Face, `README.md`: the facts of the trust report, beside the weights."""

from __future__ import annotations

from typing import Any

import yaml

from ifrkit.core.text import safe
from ifrkit.evaluation.tables import evidence
from ifrkit.report.trust import Facts

METRICS = {"miou": "mean_iou"}
"""Names that the hub knows; others keep their own."""


def card(facts: Facts) -> str:
    """Markdown with its YAML header."""
    head = yaml.safe_dump(_header(facts), sort_keys=False, allow_unicode=True, width=1000)
    sections = [_about(facts), _numbers(facts), _limits(facts), _use(facts)]
    text = f"# {_name(facts)}\n\n" + "\n".join(sections)
    return f"---\n{head}---\n\n" + "\n".join(map(_plain, text.split("\n")))


def _plain(line: str) -> str:
    """A line whose foreign names are text: no marks of HTML, nothing that turns or hides the rest."""
    return safe(line).replace("<", "&lt;")


def _name(facts: Facts) -> str:
    model = facts["model"]
    return f"{'+'.join(model['ssl'])} {model['labeled']} {'/'.join(model['backbones'].values())}"


def _header(facts: Facts) -> dict[str, Any]:
    measured = facts["measured"]
    results = [
        {"type": METRICS.get(row["metric"], row["metric"]), "name": row["title"], "value": row["value"]}
        for row in facts["headlines"]
        if row["value"] is not None
    ]
    dataset = {"type": measured["dataset"], "name": measured["dataset"], "split": measured["split"]}
    task = {"type": "image-segmentation", "name": "Video semantic segmentation"}
    return {
        "library_name": "ifrkit",
        "pipeline_tag": "image-segmentation",
        "tags": ["video", "semantic-segmentation", "semi-supervised"],
        "model-index": [{"name": _name(facts), "results": [{"task": task, "dataset": dataset, "metrics": results}]}],
    }


def _about(facts: Facts) -> str:
    labels, model = facts["labels"], facts["model"]
    text = (
        f"Semantic segmentation of video, trained by ifrkit (`{model['kind']}` {model['id'][:12]}, "
        f"{model['checkpoint']} weights, seed {model['seed']}) from {labels['labeled_frames']} labeled frames of "
        f"{labels['labeled_videos']} videos, and {labels['training_clips']} clips of "
        f"{labels['training_videos']} videos in all."
    )
    unseen = [name for name, pixels in labels["pixels"].items() if not pixels]
    classes = f"Classes: {', '.join(labels['pixels'])}."
    never = f" Training saw no label of {', '.join(unseen)}." if unseen else ""
    return f"{text}\n\n{classes}{never}\n"


def _numbers(facts: Facts) -> str:
    measured = facts["measured"]
    rows = "\n".join(
        f"| {row['title']}{' (0 is best)' if row['smaller_is_better'] else ''} | {_percent(row['value'])} "
        f"| {_between(row['interval'])} |"
        for row in facts["headlines"]
    )
    where = (
        f"{measured['dataset']}, {measured['split']}: {measured['clips']} clips, {measured['scored_frames']} scored "
        f"frames; {evidence(measured['videos'])}."
    )
    table = f"| metric | percent | interval |\n|---|---|---|\n{rows}\n"
    worst = ""
    if facts["classes"]:
        row = facts["classes"][0]
        worst += f"Worst class: {row['class']}, IoU {_percent(row['iou'])} %. "
    if facts["videos"]:
        row = facts["videos"][0]
        worst += f"Worst video: {row['video']}, mIoU {_percent(row['miou'])} %."
    judged_by = (facts["calibration"] or {}).get("judged_by")
    return f"## Evaluation\n\n{where}{f' {judged_by}.' if judged_by else ''}\n\n{table}\n{worst}\n"


def _limits(facts: Facts) -> str:
    leaks = "\n".join(f"- {line}" for line in facts["leakage"]) or "- none found"
    uses = "\n".join(f"- {line}" for line in facts["not_for"])
    return f"## What may flatter these numbers\n\n{leaks}\n\n## What it should not be used for\n\n{uses}\n"


def _use(facts: Facts) -> str:
    return (
        "## How to use it\n\n```python\nimport ifrkit\n\n"
        'for frame, ids_hw in ifrkit.load("path/to/this/directory").predict("street.mp4"):\n    ...\n```\n'
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _between(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{_percent(interval[0])} to {_percent(interval[1])}"
