"""Keyed randomness: anything random is a pure function of its key, so nothing random needs to be saved."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from ifrkit.core.lazy import np


def key_seed(*key: int | str) -> int:
    """A 63-bit seed from a key such as (seed, "crop", step, sample). The same on every machine."""
    text = "\x1f".join(f"{type(k).__name__}:{k}" for k in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def key_rng(*key: int | str) -> np.random.Generator:
    """A numpy generator for a key."""
    return np.random.Generator(np.random.Philox(key_seed(*key)))


class Key(NamedTuple):
    """Which training sample: its run's seed, the step, and its number in the step."""

    seed: int
    step: int
    sample: int

    def rng(self, *what: int | str) -> np.random.Generator:
        """The generator of one thing that is drawn for this sample."""
        return key_rng(self.seed, self.step, self.sample, *what)
