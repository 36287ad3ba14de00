"""What `predict` writes for a video: palette PNGs, and grey ones of the confidence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.core.errors import ArtifactError
from ifrkit.core.records import LabelSpace
from ifrkit.media.images import png_bytes
from ifrkit.metrics.base import Ids


def palette(labels: LabelSpace) -> NDArray[np.uint8]:
    """RGB of every id, (256, 3); ids without a class are black."""
    colors = np.zeros((256, 3), np.uint8)
    colors[: labels.num_classes] = labels.colors
    return colors


def save_label(path: Path, ids_hw: Ids, colors: NDArray[np.uint8]) -> None:
    """An indexed PNG: its pixels are the class ids, its palette their colours."""
    image = Image.fromarray(ids_hw)
    image.putpalette(colors.tobytes())
    data = io.BytesIO()
    image.save(data, "png", compress_level=1)
    write_atomic(path, data.getvalue(), durable=False)  # the commit makes all of them durable


def load_label(path: Path) -> Ids:
    """The ids of a PNG that `save_label` wrote. Raises ArtifactError if it is gone or damaged."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # the checksums, which decoding does not look at
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise ArtifactError(f"{path} is damaged", "predict the video again") from error


def save_confidence(path: Path, confidence_hw: NDArray[np.uint8]) -> None:
    """A grey PNG: 255 is certain."""
    write_atomic(path, png_bytes(confidence_hw), durable=False)
