"""The methods of a config, the views they show, and who teaches them. No torch here: a dry run asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.core.plugins import load
from ifrkit.data.loading.views import Frames, View, fits
from ifrkit.data.store.clips import ClipStore
from ifrkit.methods.base import Method

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes
    from ifrkit.config.train_branches import TrainBranchesConfig
else:
    indexes = lazy("ifrkit.artifacts.indexes")


def chosen_methods(config: TrainBranchesConfig) -> dict[str, Method]:
    """Those that have a weight, by name."""
    named: dict[str, Method] = {name: load("methods", name)(options) for name, options in config.method.items()}
    return {name: method for name, method in named.items() if method.on}


def merged_views(methods: Mapping[str, Method], unlabeled: Literal["all", "annotated"] = "all") -> list[View]:
    """The labeled frame and every view of the methods, each once.

    unlabeled: the frames of an unlabeled clip that are shown. Raises ConfigError if two views of one name differ, and
    if several frames of a clip are wanted where only one is shown.
    """
    views = {"v0_0": View("v0_0")}
    for name, method in methods.items():
        for view in method.views():
            if views.setdefault(view.name, view) != view:
                raise ConfigError(
                    f"--ssl {name}: wants another view {view.name} than the methods before it", "drop one"
                )
    if unlabeled == "annotated" and not fits([v for v in views.values() if v.pool == "unlabeled"], Frames([0], 0)):
        fault = f"--ssl {','.join(methods)} wants several frames of each unlabeled clip, unlabeled=annotated shows one"
        raise ConfigError(fault, "use unlabeled=all")
    return list(views.values())


def taught_methods(config: TrainBranchesConfig) -> list[str]:
    """Those that learn from trained branches where there are some, and do without them else."""
    options = {name: method.config for name, method in chosen_methods(config).items()}
    return [name for name, own in options.items() if isinstance(own, Method.Config) and "branches" in own.welcome()]


def teacher_of(artifact: Artifact, store: ClipStore) -> tuple[str, str]:
    """Which branch teaches, and which of its weights. Raises ConfigError if it tells other classes apart."""
    index, classes = indexes.Branches.read(artifact), store.labels.num_classes
    if index.num_classes != classes:
        fault = f"{artifact.path} tells {index.num_classes} classes apart, {store.name} has {classes}"
        raise ConfigError(fault, "name a teacher of the same classes")
    return index.named(None), "last"  # not the best: what is held out chooses no labels
