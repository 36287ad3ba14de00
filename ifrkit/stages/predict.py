"""predict: class ids of every frame of the user's videos, by networks or exported graphs, as a stream."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage

if TYPE_CHECKING:
    from ifrkit.artifacts import manifest
    from ifrkit.config.plan import PlanConfig
    from ifrkit.config.predict import PredictConfig
    from ifrkit.predict import sources
else:
    manifest = lazy("ifrkit.artifacts.manifest")
    sources = lazy("ifrkit.predict.sources")

_STARTED = time.time_ns()


def identity(config: PredictConfig | PlanConfig) -> str:
    """What the videos are, not where: a changed or new file makes another artifact. Raises DatasetError.

    A camera shows something else each time.
    """
    found = [
        [source.name, *((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in source.files())]
        + ([source.live, _STARTED] if source.live else [])
        for source in sources.find_sources(config.videos)
    ]
    return manifest.digest(found)


def label(config: PredictConfig | PlanConfig) -> str:
    """The name of the first video, and how many there are."""
    first = Path(config.videos[0])
    name = re.sub(r"[^A-Za-z0-9._-]", "-", (first if first.is_dir() else first.with_suffix("")).resolve().name)
    more = f"-and-{len(config.videos) - 1}-more" if len(config.videos) > 1 else ""
    return (name[:60].lstrip(".-") or "video") + more


STAGE = Stage(
    name="predict",
    kind="predictions",
    schema=2,
    config="ifrkit.config.predict:PredictConfig",
    run="ifrkit.stages._predict:run",
    help="Segment your own videos.",
    arguments="VIDEO",
    order=70,
    needs=("video-model", "branches"),
    payload=("predictions.json", "*/*"),
    accepts=("exported",),
    resumable=True,
    source_identity=identity,
    check="ifrkit.stages._predict_check:check",
    label=label,
)
