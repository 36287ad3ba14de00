"""The input files of a frozen record: toy trees of the datasets, label exports, videos."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

TOYS = ("camvid", "cityscapes", "cityscapes-vps", "folders")
"""Datasets whose plug-in writes a toy tree."""
HOMES = ("ifrkit.testing.camvid", "ifrkit.testing.toys.camvid", "ifrkit.datasets.toys.camvid")
"""Where the other layout of CamVid may be written by; only for new trees."""
SHAPES = [
    ("road", [(0.0, 12.0), (39.0, 9.5), (39.0, 23.0), (0.0, 23.0)]),
    ("car", [(6.2, 5.1), (20.9, 4.0), (25.5, 15.3), (9.7, 18.8)]),
    ("tree", [(18.0, 2.0), (34.5, 3.5), (30.0, 12.0)]),
]


def make_trees(root: Path) -> None:
    """Every input file, with the helpers of the code beside this script."""
    partial_root = root.with_name(f".{root.name}.partial")
    partial_root.mkdir(parents=True)
    toy = importlib.import_module("ifrkit.testing").toy
    for name in TOYS:
        toy(name, partial_root / name)
    homes = [importlib.import_module(home) for home in HOMES if _there(home)]
    homes[0].original(partial_root / "camvid-original")
    for kind, (place, files) in _label_files().items():
        exports = importlib.import_module("label_exports")
        exports.frames(partial_root / f"labels-{kind}")
        exports.packed(partial_root / f"labels-{kind}" / place, files)
        (partial_root / f"labels-{kind}" / "classes.yaml").write_text(exports.YAML)
    _make_videos(partial_root / "videos")
    partial_root.rename(root)


def _there(module: str) -> bool:
    try:
        return importlib.import_module(module) is not None
    except ModuleNotFoundError:
        return False


def _label_files() -> dict[str, tuple[str, dict[str, bytes]]]:
    """Kind -> (file or directory, what is in it)."""
    x = importlib.import_module("label_exports")
    ids = x.labels()
    percent = [(label, [(100 * a / x.SIZE[1], 100 * b / x.SIZE[0]) for a, b in points]) for label, points in SHAPES]
    drawn = [x.region("polygonlabels", label, {"points": points, "closed": True}) for label, points in percent]
    tasks = [x.task(f"http://host:8080/data/upload/1/0011aabb-{name}.png", drawn) for name in ids]
    outlines = [x.labelme_shape(label, points) for label, points in SHAPES]
    return {
        "png": ("labels", {f"{name}.png": x.png((own + 1) % 4) for name, own in ids.items()}),
        "cvat": ("labels", x.cvat(ids)),
        "cvat-indexed": ("labels.zip", x.cvat(ids, "indexed")),
        "cvat-grey": ("labels", x.cvat(ids, "grey")),
        "label-studio": ("labels", {"project-1.json": x.label_studio(ids)}),
        "label-studio-polygons": ("labels", {"project.json": json.dumps(tasks).encode()}),
        "labelme": ("labels", {f"{name}.json": x.labelme(name, x.labelme_masks(own)) for name, own in ids.items()}),
        "labelme-polygons": ("labels", {f"{name}.json": x.labelme(name, outlines) for name in ids}),
        "cityscapes-polygons": ("labels", {f"gtFine/{n}_gtFine_polygons.json": x.cityscapes(SHAPES) for n in ids}),
    }


def _make_videos(root: Path) -> None:
    """A folder of frames, and an MJPG video: coloured stripes that slide, with a cut in the middle."""
    import cv2
    import numpy as np
    from PIL import Image

    (root / "street").mkdir(parents=True)
    y, x = np.mgrid[:42, :60]
    writer = cv2.VideoWriter(str(root / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (60, 42))
    for t in range(9):
        waves = [
            np.sin((x * a + y * b + 3 * t) / 9 + c + 5 * (t > 4)) for a, b, c in ((1, 0, 0), (1, 2, 1), (-1, 1, 2))
        ]
        frame = (127 + 120 * np.stack(waves, 2)).astype(np.uint8)
        Image.fromarray(frame).save(root / "street" / f"f{t + 1}.png")
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
