"""Ways that need a process each, measured in turns, so that other work on the machine slows all of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any


def in_turns(ways: Mapping[str, Callable[[], Iterator[Any]]], rounds: int) -> dict[str, list[Any]]:
    """What each way yields, `rounds` of it. A way is called in a new process, which has to be able to import it."""
    context, pipes = multiprocessing.get_context("spawn"), {}
    for name, way in ways.items():
        pipes[name], other = context.Pipe()
        context.Process(target=_serve, args=(other, way), daemon=True).start()
    found: dict[str, list[Any]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=number % 2 == 0):
            pipes[name].send(number)
            found[name].append(pipes[name].recv())
    for pipe in pipes.values():
        pipe.send(None)
    return found


def _serve(pipe: Connection, way: Callable[[], Iterator[Any]]) -> None:
    results = way()
    while pipe.recv() is not None:
        pipe.send(next(results))
