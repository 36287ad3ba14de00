"""Which training clips may show their label.

Clips are sorted by a hash of (seed, name) and the first round(n / K) are taken: the draw depends on neither file order
nor machine, and 1/16 is part of 1/8, 1/8 of 1/4. The counts are the published ones (Cityscapes 1488, 744, 372, 186;
CamVid 234, 117, 58, 29) but for 1/30, which the paper rounds by hand (100 for 99.2, 15 for 15.6): use its lists for
that. CamVid's clips at 15 Hz overlap, so an unlabeled clip there may show frames of a labeled one, as in the paper.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.config.stages import LabeledSet
from ifrkit.data.keyed import key_seed
from ifrkit.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from ifrkit.data.store import ClipStore


def labeled_clips(store: ClipStore, labeled: LabeledSet) -> list[int]:
    """Indices of the training clips whose labels may be seen, ascending. Raises ConfigError or DatasetError."""
    usable = [i for i in store.clips_of("train") if store.clips[i].annotated is not None]
    if not usable:
        raise DatasetError(f"{store.path}: no training clip has a label", "label at least one frame and prepare again")
    if labeled.list is not None:
        return _listed(store, usable, Path(labeled.list))
    parts = int(labeled.partition.split("/")[1])
    ordered = sorted(usable, key=lambda i: key_seed("partition", labeled.seed, store.clips[i].name))
    return sorted(ordered[: max(1, round(len(usable) / parts))])


def _listed(store: ClipStore, usable: list[int], path: Path) -> list[int]:
    """A published list: one annotated frame a line, by its full name or by its last part."""
    try:
        lines = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "check --labeled-list") from None
    full = {store.clips[i].frames[store.clips[i].annotated or 0]: i for i in usable}
    short = {name.rsplit("/", 1)[-1]: i for name, i in full.items()}
    found = [full.get(line, short.get(line.rsplit("/", 1)[-1])) for line in lines]
    unknown = [line for line, index in zip(lines, found, strict=True) if index is None]
    if unknown:
        raise ConfigError(
            f"{path}: {len(unknown)} of {len(lines)} lines name no annotated training frame, first {unknown[0]!r}",
            f"names look like {next(iter(full))!r}",
        )
    return sorted({index for index in found if index is not None})
