"""What the two formats of Ultralytics share: class names, and names of frames below `labels/` or `masks/`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ifrkit.config.yamlio import parse_yaml
from ifrkit.core.encoding import lines
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.labels._files import LabelFiles

NAME_LISTS = ("classes.txt", "obj.names", "labels.txt")
"""Class names, one a line, as other tools write them for YOLO."""
_SPLITS = ("train", "val", "test")


def dataset_files(files: LabelFiles) -> list[tuple[str, dict[str, Any]]]:
    """The YAML files that describe a dataset: those with `names` in them."""
    found = []
    for name in [*files.ending(".yaml"), *files.ending(".yml")]:
        try:
            tree = parse_yaml(files.text(name), files.where(name))
        except ConfigError as error:
            raise DatasetError(error.message, "correct or remove it") from error
        if isinstance(tree, dict) and isinstance(tree.get("names"), list | dict):
            found.append((name, tree))
    return found


def class_names(files: LabelFiles) -> dict[int, str]:
    """Id -> name, as the export says; empty where it does not."""
    for name, tree in dataset_files(files):
        names = tree["names"]
        numbered = names if isinstance(names, dict) else dict(enumerate(names))
        try:
            return {int(index): str(written) for index, written in sorted(numbered.items())}
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{files.where(name)}: names: ids are numbers ({error})", "correct it") from error
    for name in files.names:
        if PurePosixPath(name).name in NAME_LISTS:
            return dict(enumerate(line.strip() for line in lines(files.text(name)) if line.strip()))
    return {}


def frame_names(file: str, directory: str) -> tuple[str, ...]:
    """What the frame of DIRECTORY/SPLIT/VIDEO/STEM.txt may be called, the most telling first."""
    parts = PurePosixPath(file).with_suffix("").parts
    if directory in parts[:-1]:
        parts = parts[parts.index(directory) + 1 :]
    inner = parts[1:] if len(parts) > 1 and parts[0] in _SPLITS else parts
    return tuple(dict.fromkeys(("/".join(inner), "/".join(parts), parts[-1])))
