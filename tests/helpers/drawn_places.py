"""Where views of one clip lie, drawn without reading anything."""

from __future__ import annotations

from collections.abc import Sequence

from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import Key
from ifrkit.core.records import ClipRecord, Window
from ifrkit.data.loading import views as loading
from ifrkit.data.loading.views import Copy, Draw, Frames, Place, View

SIZE = (40, 56)
WINDOW = Window(3, 5, 24, 32)


def shown(record: ClipRecord) -> Frames:
    """All frames of a clip."""
    return Frames(range(len(record.frames)), record.annotated)


def places(views: Sequence[View], record: ClipRecord, key: Key, **crop: object) -> dict[str, Place]:
    """The place of each view. crop: fields of CropConfig."""
    given = CropConfig.of({"size": WINDOW[2:], **crop})
    return Draw(key, shown(record), SIZE, WINDOW, given).draw(views)


def frames_of(views: Sequence[View], record: ClipRecord, key: Key) -> dict[str, int]:
    """The frame of each view but copies."""
    found = places(views, record, key)
    return {view.name: found[view.name].frame for view in views if not isinstance(view.placement, Copy)}


def fits(views: Sequence[View], record: ClipRecord) -> bool:
    """Whether the clip serves these views."""
    return loading.fits(views, shown(record))
