"""Which frames of a clip are scored."""

from __future__ import annotations

from ifrkit.core.records import ClipRecord


def scored_frames(record: ClipRecord, frames: str) -> list[int]:
    """Positions that are scored: the annotated one, or all that have a label, hidden or not."""
    if frames == "all":
        return sorted({*record.labeled, *record.hidden})
    return [] if record.annotated is None else [record.annotated]
