"""Labels of a few frames in all frames around them: carried from both sides, joined with a network's prediction.

Memory is constant for any length: what comes from one side waits in files until the other side has come as far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifrkit.annotate.carry import Carried, Carrier, Map
from ifrkit.annotate.chains import Link
from ifrkit.annotate.fuse import fused
from ifrkit.core.records import IGNORE, Frame, Label, PairFlow
from ifrkit.data.store.clips import ClipStore

Between = Callable[[Frame, Frame], PairFlow]
"""Flow of the first frame to the second."""
Probabilities = Callable[[Link], NDArray[np.float32]]
"""(classes, h, w) of a frame by a network."""


class Origin(NamedTuple):
    """Where a frame's label comes from. steps: frames on the way; explained: what is left of the frame after it."""

    frame: str
    steps: int
    explained: float


class Propagated(NamedTuple):
    """One frame. ids_hw: 255 where nothing is known. origins: of nothing where no label reaches it."""

    link: Link
    ids_hw: Label
    confidence_hw: Map
    origins: tuple[Origin, ...]
    own: bool = False
    """Whether it is a labeled frame itself."""


@dataclass(frozen=True)
class Limits:
    """How far a label goes: at most `reach` frames, and while at least a share `explained` of the frame is."""

    reach: int = 60
    explained: float = 0.5


class Propagation:
    """Carries the labels of one store. scratch: a directory for what waits."""

    def __init__(self, store: ClipStore, between: Between, network: Probabilities | None, scratch: Path) -> None:
        self.store, self.between, self.network, self.scratch = store, between, network, scratch

    def run(
        self, chain: Sequence[Link], labels: dict[str, tuple[int, int]], limits: Limits, begin: int = 0
    ) -> Iterator[Propagated]:
        """Every frame of a chain from place `begin` on. labels: name -> clip and position whose label may be seen.

        begin: where a run that was stopped goes on. Labels come all the way to it, so the result is the same.
        """
        marks = [place for place, link in enumerate(chain) if link.name in labels]
        for before, after in zip([-1, *marks], [*marks, len(chain)], strict=True):
            if after <= begin:
                continue
            if before >= begin:
                yield self._labeled(chain[before], labels)
            inner = range(before + 1, after)
            sides = []
            if before >= 0:
                sides.append(self._carry(chain, before, inner, labels, limits))
            if after < len(chain):
                sides.append(self._carry(chain, after, inner[::-1], labels, limits))
            for place in inner[max(0, begin - inner.start) :]:
                yield self._joined(chain[place], [side[place] for side in sides if place in side])

    def _labeled(self, link: Link, labels: dict[str, tuple[int, int]]) -> Propagated:
        ids_hw = self.store.label(*labels[link.name])
        return Propagated(link, ids_hw, (ids_hw != IGNORE).astype(np.float32), (Origin(link.name, 0, 1.0),), True)

    def _carry(
        self, chain: Sequence[Link], source: int, way: range, labels: dict[str, tuple[int, int]], limits: Limits
    ) -> dict[int, tuple[Path, Origin]]:
        """Carry one label along `way`. Place -> the file in which it waits, and where it comes from."""
        link = chain[source]
        last = self.store.frame(link.clip, link.place)
        carrier = Carrier(self.store.label(*labels[link.name]), last)
        waiting: dict[int, tuple[Path, Origin]] = {}
        for place in way[: limits.reach]:
            frame = self.store.frame(chain[place].clip, chain[place].place)
            carried = carrier.step(frame, self.between(frame, last))
            if carried.explained < limits.explained:
                break
            path = self.scratch / f"{source}-{place}.npz"
            np.savez(path, ids=carried.ids_hw, confidence=(255 * carried.confidence_hw).astype(np.uint8))
            waiting[place] = path, Origin(link.name, carrier.steps, round(carried.explained, 4))
            last = frame
        return waiting

    def _joined(self, link: Link, waiting: Sequence[tuple[Path, Origin]]) -> Propagated:
        carried = [_taken(path, origin) for path, origin in waiting]
        origins = tuple(origin for _, origin in waiting)
        if not carried:
            nothing = np.full(self.store.size, IGNORE, np.uint8)
            return Propagated(link, nothing, np.zeros(self.store.size, np.float32), ())
        network_khw = None if self.network is None else self.network(link)
        return Propagated(link, *fused(carried, network_khw, self.store.labels.num_classes), origins)


def _taken(path: Path, origin: Origin) -> Carried:
    with np.load(path) as file:
        carried = Carried(file["ids"], file["confidence"].astype(np.float32) / 255, origin.explained)
    path.unlink()
    return carried
