"""A video to follow docs/getting-started.md with: a synthetic street as mp4, and the labels of eight of its frames.

python docs/practice_video.py [DIRECTORY]        street.mp4, painted/street_000029.png ..., classes.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data_prep._synthetic_planes import CLASSES
from data_prep._synthetic_video import Video

SIZE, FRAMES, EVERY = (96, 192), 240, 30


def main(directory: Path) -> None:
    """Write the three."""
    street = Video(11, "practice", 0, length=FRAMES, size=SIZE, noise=3.0)
    writer = cv2.VideoWriter(str(directory / "street.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, SIZE[::-1])
    for number in range(FRAMES):
        writer.write(np.ascontiguousarray(street.frame(number)[:, :, ::-1]))
    writer.release()
    colors = np.array(list(CLASSES.values()), np.uint8)
    (directory / "painted").mkdir(exist_ok=True)
    for number in range(EVERY - 1, FRAMES, EVERY):
        Image.fromarray(colors[street.label(number)]).save(directory / "painted" / f"street_{number:06}.png")
    lines = [f"  {name}: [{r}, {g}, {b}]" for name, (r, g, b) in CLASSES.items()]
    (directory / "classes.yaml").write_text("\n".join(["classes:", *lines, "ignore: [255]", ""]))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
