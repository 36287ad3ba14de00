"""Features of frames by a trained branch: needs torch, which a first choice by colours does not."""

from __future__ import annotations

import torch

from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.core.records import Frame
from ifrkit.data.store.clips import ClipStore
from ifrkit.init.selection import Vector
from ifrkit.media.resize import resize_frame
from ifrkit.predict.streaming import network_size
from ifrkit.trained import load_branch


class BranchFeatures:
    """The mean of a trained branch's feature map f over the frame, at length 1.

    The network sees frames of as many pixels as in training.
    """

    def __init__(self, branches: Artifact, branch: str | None) -> None:
        clips = branches.ancestor("clips")
        if clips is None:
            raise ArtifactError(f"{branches.path}: its clips are gone", "name other branches with --from")
        store = ClipStore(clips.path)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.trained, self.labels = store.size, store.labels
        self.network = load_branch(branches, Branches.read(branches).named(branch), "best").to(self.device)

    def __call__(self, frame: Frame) -> Vector:
        height, width, _ = frame.shape
        seen = resize_frame(frame, network_size((height, width), self.trained, "train"))
        with torch.inference_mode():
            image_b3hw = torch.from_numpy(seen.transpose(2, 0, 1)[None].copy()).to(self.device)
            mean_bc = self.network.features(self.network.normalise(image_b3hw)).float().mean((2, 3))
            vector: Vector = torch.nn.functional.normalize(mean_bc)[0].cpu().numpy()
        return vector
