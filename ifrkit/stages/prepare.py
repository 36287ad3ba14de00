"""prepare: read a dataset once and write its clip store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage

if TYPE_CHECKING:
    from data_prep.base import Dataset
    from ifrkit.artifacts import indexes
    from ifrkit.artifacts.store import Artifact
    from ifrkit.config import resolve
    from ifrkit.config.prepare import PrepareConfig
    from ifrkit.core import plugins
else:
    indexes, resolve = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.config.resolve")
    plugins = lazy("ifrkit.core.plugins")

_DEFAULT_CROP = (256, 512)
"""Smaller frames need a recipe with smaller crops: tiny."""


def open_dataset(config: PrepareConfig) -> Dataset:
    """The dataset plug-in of the config, on its root."""
    root = Path(config.root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such directory", "name the dataset's directory with --root")
    dataset: Dataset = plugins.load("datasets", config.dataset)(root, config.options, config.seed)
    return dataset


def _fitting(clips: Artifact) -> list[str]:
    """The recipe of this dataset if its crops fit into the frames, none if the default's do, else the tiny one."""
    height, width = indexes.FrameSize.read(clips).size
    dataset = clips.manifest.config.get("dataset")
    if dataset in resolve.recipe_names():
        crop = resolve.read_recipe(dataset)["train-branches"]["crop"]["size"]
        if crop[0] <= height and crop[1] <= width:
            return [dataset]
    return ["tiny"] if height < _DEFAULT_CROP[0] or width < _DEFAULT_CROP[1] else []


STAGE = Stage(
    name="prepare",
    kind="clips",
    config="ifrkit.config.prepare:PrepareConfig",
    run="ifrkit.stages._prepare:run",
    help="Read a dataset once and write the clip store.",
    arguments="DATASET",
    order=10,
    payload=("clips.json", "frames-*.h5"),
    source_identity=lambda config: open_dataset(config).fingerprint(),
    check="ifrkit.stages._prepare_check:check",
    label=lambda config: config.dataset,
    after=lambda clips, workspace: ["train-branches", "--ssl", "ifr"],
    fitting=_fitting,
)
