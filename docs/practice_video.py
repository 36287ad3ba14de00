"""A video to follow docs/getting-started.md with: a synthetic street, and the labels that a person would paint.

python docs/practice_video.py               writes street.mp4
python docs/practice_video.py my-project    labels the frames in my-project/to_label, in the colours of its classes
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data_prep.synthetic.classes import CLASSES
from data_prep.synthetic.video import Video
from ifrkit.media.classes import read_table

SIZE, FRAMES, RATE = (96, 192), 240, 10


def main(project: Path | None) -> None:
    """Write the video, or the labels of a project."""
    street = Video(11, "practice", 0, length=FRAMES, size=SIZE, noise=3.0)
    if project is None:
        writer = cv2.VideoWriter("street.mp4", cv2.VideoWriter.fourcc(*"mp4v"), RATE, SIZE[::-1])
        for number in range(FRAMES):
            writer.write(np.ascontiguousarray(street.frame(number)[:, :, ::-1]))
        writer.release()
        return
    space = read_table(project / "classes.yaml").space
    colors = np.array([space.colors[space.names.index(name)] for name in CLASSES], np.uint8)
    for frame in (project / "to_label").glob("street_*.png"):
        number = int(frame.stem.removeprefix("street_"))
        Image.fromarray(colors[street.label(number)]).save(project / "labels" / frame.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
