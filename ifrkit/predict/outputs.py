"""What `predict` writes for a video: palette PNGs, and grey ones of the confidence with their means."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.artifacts.listing import walk
from ifrkit.core.errors import ArtifactError
from ifrkit.media.images import png_bytes
from ifrkit.metrics.base import Ids


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


def list_confidences(place: Path) -> None:
    """Write PLACE.csv: of each PNG in the directory its name and its mean, from 0 to 1; `eval` has thresholds."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["frame", "confidence"])
    for name in walk(place):
        if (path := place / name).suffix == ".png":
            rows.writerow([path.stem, f"{load_label(path).mean(dtype=np.float64) / 255:.4f}"])
    write_atomic(place.with_suffix(".csv"), text.getvalue().encode(errors="surrogateescape"), durable=False)
