"""The whole page: one file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError
from ifrkit.evaluation.comparison import differences
from ifrkit.report import html, parts
from ifrkit.report.gather import gather


def page(artifacts: Sequence[Artifact], more: str = "") -> str:
    """HTML of reports and trainings, side by side. Raises ConfigError where reports were measured differently.

    more: a section of its own, after the results.
    """
    models = gather(list(artifacts))
    judged = [model for model in models if model.tree]
    if different := differences([model.tree for model in judged]) if judged else []:
        raise ConfigError(f"the reports differ in {'; '.join(different)}", "make a page of each kind")
    title = f"{judged[0].tree['dataset']}, {judged[0].tree['split']}" if judged else "Training"
    sections = [
        parts.summary(judged),
        more,
        parts.per_class(judged),
        parts.pictures(judged),
        parts.loop(judged),
        parts.confusion(judged),
        parts.distances(judged),
        parts.consistency(judged),
        parts.curves(models),
        parts.lineage(models),
    ]
    said = f"<p>{html.text(_measured(judged[0].tree))}</p>\n" if judged else ""
    return html.document(title, f"<h1>{html.text(title)}</h1>\n{said}{''.join(sections)}")


def _measured(tree: dict[str, Any]) -> str:
    """How the numbers were measured, in words."""
    facts = [f"{tree['clips']} clips", f"{tree['scored_frames']} scored frames ({tree['frames']})"]
    facts.append(f"scored {tree['distance']} frames after the key frame")
    facts.append(f"in streams a key frame every {tree['key_interval']} frames")
    rules = ["mIoU is the mean over classes of one confusion matrix of the whole split, ignored pixels left out"]
    if tree["flow"]:
        flow = "; ".join(f"{key}: {value}" for key, value in tree["flow"].items())
        rule = "TC is the mIoU of each prediction with the next one, taken back along the flow to the nearest pixel"
        rules.append(f"{rule} ({flow})")
    return " ".join(f"{sentence}." for sentence in ("; ".join(facts), *rules))
