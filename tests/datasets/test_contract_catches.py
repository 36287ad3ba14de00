"""The contract test of datasets fails for datasets that break the contract."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from data_prep.folders import Dataset
from ifrkit.core.records import ClipRecord, Frame, Label
from ifrkit.testing import check_dataset, check_fingerprint


class WrongType(Dataset):
    def frame(self, name: str) -> Frame:
        return super().frame(name).astype(np.float32)  # type: ignore[return-value]


class NotRepeatable(Dataset):
    made = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        NotRepeatable.made += 1
        self.mask = np.uint8(NotRepeatable.made % 256)

    def frame(self, name: str) -> Frame:
        return super().frame(name) ^ self.mask


class IdsOutside(Dataset):
    def label(self, name: str) -> Label:
        return np.full_like(super().label(name), 77)


class OtherSize(Dataset):
    def label(self, name: str) -> Label:
        return super().label(name)[::2, ::2]


class SameName(Dataset):
    def clips(self) -> list[ClipRecord]:
        return [replace(clip, name="one") for clip in super().clips()]


class Leaks(Dataset):
    def clips(self) -> list[ClipRecord]:
        first, *rest = super().clips()
        return [first, *rest, replace(first, name="again", split="test")]


class InvisibleAnnotation(Dataset):
    def clips(self) -> list[ClipRecord]:
        return [replace(clip, labeled=()) for clip in super().clips()]


class Unsteady(Dataset):
    def fingerprint(self) -> str:
        return os.urandom(4).hex()


class Blind(Dataset):
    def fingerprint(self) -> str:
        return "always"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (WrongType, "uint8"),
        (NotRepeatable, "gives the same pixels"),
        (IdsOutside, "class ids and 255 only"),
        (OtherSize, "size of its frame"),
        (SameName, "clip names are unique"),
        (Leaks, "no frame is in two splits"),
        (InvisibleAnnotation, "annotated frame's label is visible"),
        (Unsteady, "same fingerprint"),
    ],
)
def test_check_dataset_catches(broken: type[Dataset], message: str, tmp_path: Path) -> None:
    broken.make_toy(tmp_path)
    with pytest.raises(AssertionError, match=message):
        check_dataset(broken(tmp_path, broken.Config(clip_length=8)))


@pytest.mark.parametrize("broken", [Unsteady, Blind])
def test_check_fingerprint_catches(broken: Callable[..., Dataset], tmp_path: Path) -> None:
    Dataset.make_toy(tmp_path)
    with pytest.raises(AssertionError, match="fingerprint"):
        check_fingerprint(broken(tmp_path, Dataset.Config()))
