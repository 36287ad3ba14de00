"""Two ends of a pipeline in threads of their own, so that decoding and encoding overlap with the networks.

OpenCV, zlib and torch release the interpreter's lock while they work. Both ends hold at most DEPTH items: memory is
constant whatever the length of the video, and whichever end is the slow one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

DEPTH = 4
"""Items that wait between two threads."""

_END = object()


@contextmanager
def ahead(items: Iterable[T], depth: int = DEPTH) -> Iterator[Iterator[T]]:
    """The same items, made in another thread up to `depth` ahead. What it raises is raised where it is consumed."""
    source = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:

        def submit() -> Future[T]:
            return pool.submit(next, source, _END)  # type: ignore[arg-type]

        def results(waiting: deque[Future[T]]) -> Iterator[T]:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(submit())
                yield item

        try:
            yield results(deque(submit() for _ in range(depth)))
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def afterwards(function: Callable[P, None], depth: int = DEPTH) -> Iterator[Callable[P, None]]:
    """The same function, run in another thread, in order; a call waits while `depth` others do.

    What it raises is raised by a later call, or at the end.
    """
    with ThreadPoolExecutor(1, "afterwards") as pool:
        waiting: deque[Future[None]] = deque()

        def call(*args: P.args, **kwargs: P.kwargs) -> None:
            if len(waiting) == depth:
                waiting.popleft().result()
            waiting.append(pool.submit(function, *args, **kwargs))

        yield call
        while waiting:
            waiting.popleft().result()
