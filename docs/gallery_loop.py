"""The pictures of the annotator's loop in docs/gallery.md, from its project and the newest artifacts of a workspace.

    python docs/gallery_loop.py PROJECT [DIRECTORY]        default: gallery/ in the current directory

The commands of docs/annotate.md make both; $IFRKIT_WORKSPACE is the workspace.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gallery import Rgb, grid
from PIL import Image

from ifrkit.artifacts.indexes import Provenance
from ifrkit.artifacts.store import Artifact, artifacts, newest
from ifrkit.core.records import IGNORE
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import PseudoLabels, training_frames
from ifrkit.media import figures
from ifrkit.media.lists import read_list
from ifrkit.media.pictures import colored
from ifrkit.report.curves import line, one_plot
from ifrkit.report.rounds import SCORES, rounds

FIRST = 4
"""Frames of the first round."""
STEPS = (1, 2, 4, 6)
"""Frames away from a label."""


def picture(path: Path) -> Rgb:
    """An image as it is."""
    return np.asarray(Image.open(path).convert("RGB"))


def file_of(project: Path, directory: str, name: str) -> Path:
    """Where the picture of a frame lies in a directory of the project."""
    found = [path for path in (project / directory).glob("*.png") if name.replace("/", "_").endswith(path.stem)]
    if not found:
        raise SystemExit(f"gallery_loop.py: no {name} in {project / directory}; run the commands of docs/annotate.md")
    return found[0]


def begin(project: Path) -> Image.Image:
    """The first round: frames that differ, and the labels that somebody painted."""
    names = [line for line in read_list(project / "to_label.txt") if line][:FIRST]
    rows = [[picture(file_of(project, directory, name)) for name in names] for directory in ("to_label", "labels")]
    return grid(rows, [name.rpartition("/")[2] for name in names], scale=1)


def unsure(project: Path) -> Image.Image:
    """Frames that come next with their scores, what the model is unsure about in red, and its pre-labels."""
    chosen: list[dict[str, Any]] = json.loads((project / SCORES).read_text())
    places = ("to_label", "unsure", "pre_labels/cvat/SegmentationClass")
    rows = [[picture(file_of(project, where, one["name"])) for one in chosen] for where in places]
    return grid(rows, [f"{one['name'].rpartition('/')[2]}, score {one['score']:.2f}" for one in chosen])


def carried(found: Artifact) -> Image.Image:
    """Frames ever farther from a label: what was carried there, and how sure it is."""
    clips = found.ancestor("clips")
    assert clips is not None
    store, origins = ClipStore.of(clips), Provenance.read(found).frames
    reader, places = PseudoLabels(found, store, []), training_frames(store)
    source = next(name for name, frame in origins.items() if frame.steps == (0,) and _reach(origins, name) >= STEPS[-1])
    shown = [source, *(_away(origins, source, steps) for steps in STEPS)]
    rows: list[list[Rgb]] = [[], [], []]
    for name in shown:
        place = places[name]
        ids_hw, levels_hw = reader.scored(*place)
        assert levels_hw is not None
        sure_hw = np.where(ids_hw == IGNORE, 0, levels_hw).astype(np.uint8)
        panels = store.frame(*place), colored(ids_hw, store.labels), sure_hw[..., None].repeat(3, 2)
        for row, panel in zip(rows, panels, strict=True):
            row.append(panel)
    return grid(rows, ["labeled", *(f"{steps} frame{'s' * (steps > 1)} away" for steps in STEPS)], scale=1)


def curve(project: Path, workspace: Path) -> Image.Image:
    """mIoU of each round, by its number, over its labels: what `report --project` draws."""
    found = [one for one in rounds(project, workspace) if one.miou is not None]
    figure = figures.new_figure(5, 3)
    axes = one_plot(figure, "labels", "black")
    axes.plot([one.labels for one in found], [100 * (one.miou or 0) for one in found], marker="o", **line(0))
    for number, one in enumerate(found, 1):
        axes.annotate(f" {number}", (one.labels, 100 * (one.miou or 0)))
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("held-out mIoU (%)")
    with io.BytesIO() as file:
        figures.save(figure, file, dpi=110, format="png")
        return Image.open(file).convert("RGB")


def _reach(origins: dict[str, Any], source: str) -> int:
    return max(frame.steps[0] for frame in origins.values() if frame.origins[0] == source)


def _away(origins: dict[str, Any], source: str, steps: int) -> str:
    return next(
        name for name, frame in origins.items() if (source, steps) in zip(frame.origins, frame.steps, strict=True)
    )


def main(project: Path, directory: Path, workspace: Path) -> None:
    """Write every picture."""
    directory.mkdir(parents=True, exist_ok=True)
    made = next((one for one in reversed([*artifacts(workspace, "pseudo-labels")]) if one.has(Provenance.FILE)), None)
    report = newest(workspace, ("report",))
    if made is None or report is None:
        raise SystemExit(f"gallery_loop.py: {workspace} lacks artifacts; run the commands of docs/annotate.md first")
    pictures = {"begin": begin(project), "unsure": unsure(project), "carried": carried(made)}
    pictures["curve"] = curve(project, workspace)
    pictures["result"] = Image.open(sorted((report.path / "pictures").iterdir())[0]).convert("RGB")
    for name, drawn in pictures.items():
        drawn.save(directory / f"loop-{name}.jpg", quality=82)


if __name__ == "__main__":
    place = Path(sys.argv[2] if len(sys.argv) > 2 else "gallery")
    main(Path(sys.argv[1]), place, Path(os.environ.get("IFRKIT_WORKSPACE", "ifrkit_artifacts")))
