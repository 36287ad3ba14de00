"""What labeling tools export, written byte for byte in their published formats, and frames to label."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_prep._toys import save
from ifrkit.labels._rle import encode
from ifrkit.labels._shapes import Part

Ids = NDArray[np.uint8]
Polygon = Sequence[tuple[float, float]]

CLASSES = {"road": (128, 64, 128), "car": (0, 0, 142), "tree": (107, 142, 35)}
BACKGROUND = 3
"""In the label images of these tests: what nobody labeled."""
SIZE = (24, 40)
YAML = "classes: {background: [0, 0, 0], road: [1, 1, 1], car: [2, 2, 2], tree: [3, 3, 3]}\n"
"""A class table whose ids and colours are none of an export's."""


def frames(root: Path, videos: Sequence[str] = ("street", "park"), count: int = 8) -> None:
    """Directories of frames below ROOT/frames."""
    for video in videos:
        for n in range(count):
            save(root / "frames" / video / f"{n:06}.png", np.full((*SIZE, 3), 20 * n % 256, np.uint8))


def labels(count: int = 4, seed: int = 0) -> dict[str, Ids]:
    """Flat frame names -> ids 0-2 of CLASSES and BACKGROUND; every pixel at random, then blocks."""
    rng, names = np.random.default_rng(seed), [f"{v}_{n:06}" for v in ("street", "park") for n in (3, 6)]
    made = {}
    for place, name in enumerate(names[:count]):
        coarse = rng.integers(0, 4, (SIZE[0] // 4, SIZE[1] // 4), np.uint8).repeat(4, 0).repeat(4, 1)
        made[name] = coarse if place % 2 else rng.integers(0, 4, SIZE, np.uint8)
    return made


def png(pixels: NDArray[Any], palette: Sequence[int] | None = None) -> bytes:
    """An image file; with a palette, an indexed one."""
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(list(palette))
    data = io.BytesIO()
    image.save(data, "png")
    return data.getvalue()


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    """A zip of these files, or a directory of them, by the suffix of path."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def cvat(ids: Mapping[str, Ids], mode: str = "rgb", classes: Mapping[str, Any] = CLASSES) -> dict[str, bytes]:
    """Segmentation mask 1.1: label map, list, class masks in colours (or indexed, or grey), instance masks."""
    table = np.array([*classes.values(), (0, 0, 0)], np.uint8)
    rows = "".join(f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in {"background": (0, 0, 0), **classes}.items())
    files = {
        "labelmap.txt": f"# label:color_rgb:parts:actions\n{rows}".encode(),
        "ImageSets/Segmentation/default.txt": "".join(f"{name}\n" for name in ids).encode(),
    }
    for name, own in ids.items():
        colors = table[own]
        palette = [0, 0, 0, *table[:-1].ravel().tolist()]
        places = ((own + 1) % len(table)).astype(np.uint8)
        masks = {"rgb": png(colors), "indexed": png(places, palette), "grey": png(places)}
        files[f"SegmentationClass/{name}.png"] = masks[mode]
        files[f"SegmentationObject/{name}.png"] = png(255 - colors)
    return files


def brush(mask_hw: NDArray[np.bool_]) -> list[int]:
    """Label Studio's brush stroke of a mask: RGBA, all four of a pixel equal, as rle-pack packs it."""
    return list(encode(np.repeat(mask_hw.ravel() * np.uint8(255), 4)))


def region(kind: str, label: str, value: Mapping[str, Any], size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """One result of a Label Studio annotation."""
    place = {"original_height": size[0], "original_width": size[1], "image_rotation": 0}
    return {
        "id": "x1",
        "type": kind,
        "from_name": "tag",
        "to_name": "image",
        **place,
        "value": {**value, kind: [label]},
    }


def strokes(own: Ids) -> list[dict[str, Any]]:
    """A label as brush strokes, one a class."""
    names = list(CLASSES)
    return [
        region("brushlabels", names[k], {"format": "rle", "rle": brush(own == k)}) for k in range(3) if (own == k).any()
    ]


def task(image: str, results: list[dict[str, Any]] | None, **more: Any) -> dict[str, Any]:
    """One task of a Label Studio export; results None: nobody annotated it."""
    done = [] if results is None else [{"id": 1, "was_cancelled": False, "ground_truth": False, "result": results}]
    return {"id": 1, "annotations": done, "predictions": [], "data": {"image": image}, **more}


def label_studio(ids: Mapping[str, Ids]) -> bytes:
    """Export "JSON": uploaded images get eight hexadecimal digits in front of their names."""
    tasks = [
        task(f"http://host:8080/data/upload/3/{n:08x}-{name}.png", strokes(own))
        for n, (name, own) in enumerate(ids.items())
    ]
    return json.dumps(tasks).encode()


def labelme(name: str, shapes: list[dict[str, Any]], size: tuple[int, int] = SIZE) -> bytes:
    """One LabelMe file."""
    tree = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"../to_label/{name}.png"}
    return json.dumps({**tree, "imageData": None, "imageHeight": size[0], "imageWidth": size[1]}, indent=2).encode()


def labelme_shape(label: str, points: Any, kind: str = "polygon", mask: Ids | None = None) -> dict[str, Any]:
    """One shape of it; a mask is a PNG in base64."""
    data = None if mask is None else base64.b64encode(png(mask)).decode()
    more = {"group_id": None, "description": "", "flags": {}, "mask": data}
    return {"label": label, "points": points, "shape_type": kind, **more}


def labelme_masks(own: Ids) -> list[dict[str, Any]]:
    """A label as LabelMe masks, one a class, each in its bounding box."""
    shapes = []
    for k, label in enumerate(CLASSES):
        rows, columns = np.nonzero(own == k)
        if rows.size:
            top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
            mask = (own == k)[top : bottom + 1, left : right + 1].astype(np.uint8)
            corners = [[float(left), float(top)], [float(right), float(bottom)]]
            shapes.append(labelme_shape(label, corners, "mask", mask))
    return shapes


def cityscapes(shapes: Sequence[tuple[str, Polygon]], size: tuple[int, int] = SIZE) -> bytes:
    """One *_gtFine_polygons.json."""
    objects = [{"label": label, "polygon": [list(point) for point in points]} for label, points in shapes]
    return json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": objects}).encode()


def whole(part: Part, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A part of a frame in its frame."""
    mask_hw = np.zeros(size, np.bool_)
    (top, left), (height, width) = part.at, part.mask_hw.shape
    mask_hw[top : top + height, left : left + width] = part.mask_hw
    return mask_hw
