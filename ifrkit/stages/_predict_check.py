"""What `predict` refuses before it reads a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.artifacts.store import Artifact
from ifrkit.config.predict import PredictConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.predict.options import require_fit
from ifrkit.predict.sources import survey
from ifrkit.stages.ranks import Ranks

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes
    from ifrkit.labels import base as labels
    from ifrkit.predict import overlay, segmenter
else:
    indexes, labels = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.labels.base")
    overlay = lazy("ifrkit.predict.overlay")
    segmenter = lazy("ifrkit.predict.segmenter")


def check(config: PredictConfig, inputs: list[Artifact]) -> None:
    """The videos can be opened, and the model takes their size and the options. Networks need no torch for that."""
    found = [fact for _, fact in survey(config.videos).videos]
    for name in config.tools:
        labels.writer_of(name)
    if Ranks.from_environment().world > 1:
        raise ConfigError("predict runs in one process", "start it without torchrun")
    if config.overlay and config.codec != "auto":  # `auto`: the run tries them, it writes a video for each
        overlay.encoder(config.codec)
    given = inputs[0]
    if given.kind == "exported":
        graphs = segmenter.open_graphs(given, config)
        for fact in found:
            graphs.seen_at(fact.size, config)
        return
    require_fit(given, config)
    if given.kind == "branches" and config.branch:
        indexes.require_branch(given, config.branch)
