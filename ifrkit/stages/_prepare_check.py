"""What `prepare` refuses before it reads pixels."""

from __future__ import annotations

from ifrkit.artifacts.store import Artifact
from ifrkit.config.prepare import PrepareConfig
from ifrkit.data.store.reading import require_size
from ifrkit.stages import _prepare
from ifrkit.stages.prepare import open_dataset


def check(config: PrepareConfig, inputs: list[Artifact]) -> None:
    """Clips, classes and splits fit together, and by their headers all frames have one size."""
    dataset = open_dataset(config)
    clips = dataset.clips()
    _prepare.check_clips(clips)
    index, recipe = _prepare.plan(config, dataset, clips)
    if recipe.own_size is None:
        return
    for file in index.files:
        for name in file.frames:
            size = dataset.frame_size(name)
            if size is not None:
                require_size(name, size, recipe.own_size)
