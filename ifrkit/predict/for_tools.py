"""Predictions as a labeling tool imports them, written frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ifrkit.core.records import LabelSpace
from ifrkit.labels.base import writer_of
from ifrkit.media.names import IMAGES
from ifrkit.metrics.base import Ids
from ifrkit.predict.sources import Item, Source


def tool_writer(
    stack: ExitStack, name: str, place: Path, labels: LabelSpace, source: Source
) -> Callable[[Item, Any, Any], None]:
    """What writes a frame's ids (None: the frame is broken) in the format `name`; the files are closed by the stack."""
    writer = stack.enter_context(writer_of(name)(place, labels))
    images = {path.stem: path.name for path in source.files() if path.suffix.lower() in IMAGES}

    def write(item: Item, ids_hw: Ids | None, _: object) -> None:
        if ids_hw is not None:  # a frame of a video file is called as `init` calls the image that it makes of it
            writer.write(images.get(item.name, f"{source.name}_{item.name}.png"), ids_hw)

    return write
