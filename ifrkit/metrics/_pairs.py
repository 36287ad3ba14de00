"""What the TC metrics share: the two maps of a pair, the second warped back onto the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ifrkit.core.lazy import np
from ifrkit.core.records import PairFlow
from ifrkit.metrics.base import ClipResult, Ids

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pairs(clip: ClipResult) -> Iterator[tuple[Ids, Ids, PairFlow]]:
    """(prediction of i, prediction of i + 1, flow i -> i + 1) for every pair that has a flow."""
    for index, flow in clip.flows.items():
        if index in clip.predictions and index + 1 in clip.predictions:
            yield clip.predictions[index], clip.predictions[index + 1], flow


def targets(flow_2hw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y, float32, of where each pixel goes; finite: NaN goes to 0, an infinity stays outside."""
    _, height, width = flow_2hw.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    return np.nan_to_num(x + flow_2hw[0]), np.nan_to_num(y + flow_2hw[1])


def nearest(flow_2hw: NDArray[np.float32]) -> NDArray[np.int32]:
    """(h, w) int32: y * w + x of the pixel nearest to where each goes (half to even), border replicated."""
    _, height, width = flow_2hw.shape
    x, y = targets(flow_2hw)
    columns = np.rint(np.clip(x, 0, width - 1)).astype(np.int32)
    rows = np.rint(np.clip(y, 0, height - 1)).astype(np.int32)
    places: NDArray[np.int32] = rows * width + columns
    return places


def warp_nearest(ids_hw: Ids, flow_2hw: NDArray[np.float32]) -> Ids:
    """The map pulled back along the flow."""
    warped: Ids = ids_hw.take(nearest(flow_2hw))
    return warped
