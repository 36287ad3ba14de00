"""The pictures of docs/gallery.md, from the newest artifacts of a workspace ($IFRKIT_WORKSPACE).

    python docs/gallery.py [DIRECTORY]        default: gallery/ in the current directory

The commands before it, as the page has them, make the artifacts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_prep.synthetic.video import Video
from ifrkit.artifacts.store import Artifact, newest
from ifrkit.data.store.clips import ClipStore
from ifrkit.flow_sources.artifact import FlowSource
from ifrkit.media.pictures import colored
from ifrkit.models.warp import warp
from ifrkit.report.curves import draw, read_runs

Rgb = NDArray[np.uint8]
SIZE = (96, 192)
STREETS = (3, 5, 8)
TIMES = (0, 40, 80, 119)


def grid(rows: list[list[Rgb]], titles: list[str], scale: int = 2) -> Image.Image:
    """Panels in rows, a title over each column."""
    height, width = (scale * side for side in rows[0][0].shape[:2])
    gap, line = 4, 20
    sheet = Image.new("RGB", (len(titles) * (width + gap) - gap, line + len(rows) * (height + gap) - gap), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, title in enumerate(titles):
        pen.text((column * (width + gap) + 2, 1), title, "black", font)
        for row, panels in enumerate(rows):
            panel = Image.fromarray(panels[column]).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(panel, (column * (width + gap), line + row * (height + gap)))
    return sheet


def weather() -> Image.Image:
    """Streets over time: the light and the haze drift inside each video."""
    rows = []
    for number in STREETS:
        street = Video(0, "gallery", number, length=max(TIMES) + 1, size=SIZE, noise=3.0)
        rows.append([street.frame(t) for t in TIMES])
    return grid(rows, [f"frame {t}" for t in TIMES])


def wheel(flow_2hw: NDArray[np.float32], longest: float) -> Rgb:
    """Direction as hue, length as saturation."""
    angle, length = np.arctan2(flow_2hw[1], flow_2hw[0]), np.hypot(*flow_2hw)
    hue = ((angle + np.pi) / (2 * np.pi) * 179).astype(np.uint8)
    full = np.full_like(hue, 255)
    saturation = (np.clip(length / longest, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(np.stack([hue, saturation, full], 2), cv2.COLOR_HSV2RGB))


def flow(store: ClipStore, trained: FlowSource) -> Image.Image:
    """Learned flow beside the exact one, and what each makes of the next frame."""
    from ifrkit.flow_sources.truth import FlowSource as Truth

    clip, index = store.clips_of("val")[0], len(store.clips[store.clips_of("val")[0]].frames) - 2
    here, there = store.frame(clip, index), store.frame(clip, index + 1)
    rows = []
    exact = Truth().pair(store, clip, index)
    longest = float(np.quantile(np.hypot(*exact.flow_2hw), 0.99))
    for pair in (exact, trained.pair(store, clip, index)):
        after = torch.from_numpy(there).permute(2, 0, 1)[None].float()
        back = warp(after, torch.from_numpy(pair.flow_2hw)[None])[0].permute(1, 2, 0).numpy().round().astype(np.uint8)
        wrong = np.clip(3 * np.abs(back.astype(int) - here).mean(2), 0, 255).astype(np.uint8)
        sure = np.where(pair.consistent_hw, 255, 60).astype(np.uint8)
        panels = [here, there, wheel(pair.flow_2hw, longest), back, wrong[..., None].repeat(3, 2)]
        rows.append([*panels, sure[..., None].repeat(3, 2)])
    titles = ["frame t", "frame t+1", "flow (exact; learned)", "t+1 warped to t", "what is left, x3", "where it counts"]
    return grid(rows, titles, scale=1)


def predictions(found: Artifact) -> Image.Image:
    """Frames of the overlay video that `predict` wrote, beside its label images."""
    labels = sorted((found.path / "street" / "labels").iterdir())
    capture, rows = cv2.VideoCapture(str(found.path / "street" / "overlay.mp4")), []
    for number in range(len(labels)):
        shown = capture.read()[1][:, :, ::-1]
        if number in {len(labels) // 4, len(labels) // 2, len(labels) - 1}:
            label = np.asarray(Image.open(labels[number]).convert("RGB"))
            rows.append([np.ascontiguousarray(shown[: label.shape[0], : label.shape[1]]), label])
    return grid(rows, ["overlay.mp4", "labels/*.png"])


def truth(store: ClipStore) -> Image.Image:
    """What training sees: of a clip all frames, of its labels one."""
    clip = store.clips_of("train")[0]
    record = store.clips[clip]
    at = record.annotated or 0
    chosen = [0, len(record.frames) // 2, at]
    blank = np.full((*store.size, 3), 235, np.uint8)
    frames = [store.frame(clip, i) for i in chosen]
    return grid([frames, [colored(store.label(clip, i), store.labels) if i == at else blank for i in chosen]],
                [f"frame {i}" for i in chosen])  # fmt: skip


def _newest(workspace: Path, kind: str) -> Artifact:
    found = newest(workspace, (kind,))
    if found is None:
        raise SystemExit(f"gallery.py: no {kind} in {workspace}; run the commands of docs/gallery.md first")
    return found


def main(directory: Path, workspace: Path) -> None:
    """Write every picture."""
    directory.mkdir(parents=True, exist_ok=True)
    clips, report = _newest(workspace, "clips"), _newest(workspace, "report")
    store = ClipStore(clips.path)
    jpeg: dict[str, Any] = {"quality": 82}
    weather().save(directory / "weather.jpg", **jpeg)
    truth(store).save(directory / "clip.jpg", **jpeg)
    flow(store, FlowSource(str(_newest(workspace, "flow").path))).save(directory / "flow.jpg", **jpeg)
    predictions(_newest(workspace, "predictions")).save(directory / "predict.jpg", **jpeg)
    for which in ("best", "worst"):
        for picture in sorted((report.path / which).glob("*"))[:1]:  # none where a single frame is scored
            Image.open(picture).convert("RGB").save(directory / f"{which}.jpg", **jpeg)
    for name in ("distances.png", "confusion.png"):
        small = Image.open(report.path / name).convert("RGB").quantize(64)
        small.save(directory / name, optimize=True)
    figure = draw(read_runs(_newest(workspace, "branches").path))
    figure.savefig(directory / "curves.png", dpi=90)


if __name__ == "__main__":
    where = os.environ.get("IFRKIT_WORKSPACE", "ifrkit_artifacts")
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "gallery"), Path(where))
