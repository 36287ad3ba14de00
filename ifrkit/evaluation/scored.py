"""Which frames are scored. No torch here: a dry run asks it."""

from __future__ import annotations

from ifrkit.core.records import ClipRecord
from ifrkit.data.store.clips import ClipStore


def scored_frames(record: ClipRecord, frames: str) -> list[int]:
    """Positions that are scored: the annotated one, or all that have a label, hidden or not."""
    if frames == "all":
        return sorted({*record.labeled, *record.hidden})
    return [] if record.annotated is None else [record.annotated]


def held_out(store: ClipStore) -> list[tuple[int, int]]:
    """(clip, frame) of every annotated frame of val, else of test; empty where no such clip has a label."""
    for split in ("val", "test"):
        places = [(c, i) for c in store.clips_of(split) for i in scored_frames(store.clips[c], "annotated")]
        if places:
            return places
    return []
