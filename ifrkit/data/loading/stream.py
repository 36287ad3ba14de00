"""Items made in order by worker processes, ahead of time.

An item is a pure function of its number, so any number of workers gives the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from ifrkit.core.errors import IfrkitError, ResourceError
from ifrkit.core.keyed import Key

T = TypeVar("T")


@dataclass(frozen=True)
class Span:
    """The micro-batches of steps start..stop-1 of one rank.

    batch: samples a step over all ranks, of which each micro-batch holds an equal, consecutive part. workers: processes
    that make them (0: this one).
    """

    batch: int
    seed: int
    start: int
    stop: int
    accumulate: int = 1
    rank: int = 0
    world: int = 1
    workers: int = 0

    def __len__(self) -> int:
        return (self.stop - self.start) * self.accumulate

    def keys(self, item: int) -> list[Key]:
        """The samples of a micro-batch; micro-batches are counted from 0."""
        step, micro = divmod(item, self.accumulate)
        size = self.batch // (self.accumulate * self.world)
        first = (micro * self.world + self.rank) * size
        return [Key(self.seed, self.start + step, first + i) for i in range(size)]


class Items(Generic[T]):
    """A sequence of micro-batches; it travels to the workers. Subclass it."""

    span: Span

    def make(self, keys: list[Key]) -> T:
        """The micro-batch of these samples."""
        raise NotImplementedError


class _Caught(Dataset[object], Generic[T]):
    """Items, or the error that making one raised: torch would turn it into another, with a page of traceback."""

    def __init__(self, items: Items[T]) -> None:
        self.items = items

    def __getitem__(self, number: int) -> T | IfrkitError:
        try:
            return self.items.make(self.items.span.keys(number))
        except IfrkitError as error:
            return error


def stream(items: Items[T]) -> Iterator[T]:
    """All items in order, made by the span's worker processes, which end when the iterator does.

    The processes start now, before the caller's progress bar has a thread that a fork could catch holding a lock.
    """
    loader: DataLoader[object] = DataLoader(
        _Caught(items),
        batch_size=None,
        sampler=range(len(items.span)),
        num_workers=items.span.workers,
        worker_init_fn=_start_worker if items.span.workers else None,
        generator=torch.Generator(),  # its own: drawing the workers' seeds must not disturb the global generator
    )
    return _checked(iter(loader))


def _start_worker(number: int) -> None:
    # A signal to the whole process group is the training process's business: it saves, then ends the workers.
    os.setpgrp()
    cv2.setNumThreads(0)  # torch itself has set its own threads to one


def _checked(made: Iterator[object]) -> Iterator[T]:
    try:
        for item in made:
            if isinstance(item, IfrkitError):
                raise item
            yield cast(T, item)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        remedy = "free some memory, or read in one process with --set runtime.workers=0"
        raise ResourceError("a loader process was killed", remedy) from error
