"""A tiny tree with the real names and formats of Cityscapes-VPS, beside the Cityscapes files that it needs."""

from __future__ import annotations

from pathlib import Path

from data_prep._toys import save
from data_prep.cityscapes.files import Anchor
from data_prep.cityscapes.toys import colors, make_frames, make_label, moment

VIDEOS = {
    "train": {
        1: Anchor("frankfurt_000000", 294),
        2: Anchor("frankfurt_000000", 576),
        3: Anchor("frankfurt_000001", 7973),
        6: Anchor("lindau_000001", 19),
    },
    "val": {4: Anchor("munster_000000", 19)},
    "test": {5: Anchor("lindau_000000", 19)},
}
"""Their split -> number of a video -> its place. Test labels are not published."""


def make_tree(root: Path, seed: int = 0) -> None:
    """Six videos of the validation split of Cityscapes, five of them with labels on every fifth frame."""
    for split, videos in VIDEOS.items():
        for video, anchor in videos.items():
            make_frames(root, "val", anchor, seed)
            make_label(root, "val", anchor, seed)
            for place, number in enumerate(anchor.numbers[4::5], start=6 * (video - 1) + 1):
                if number != anchor.number and split != "test":
                    name = f"{video:04}_{place:04}_{anchor.video}_{number:06}_final_mask.png"
                    ids = moment(anchor.video, number, seed)[1]
                    save(root / "cityscapes_vps" / split / "cls" / name, colors(ids)[..., :3])
