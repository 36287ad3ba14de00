"""SIGINT and SIGTERM: a resumable stage is asked to save its state and stop; everything else stops at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from ifrkit.cli.guard import Stopped

_GRACE = 10
"""Seconds that a loader worker lives on after a SIGTERM to the whole group, while its parent finishes the step."""


_AGAIN = 0.02
"""Seconds until a signal is raised again whose exception was dropped."""


class Stop:
    """The stop flag that a job polls. Call it: 0, or the number of the signal that came.

    saving: whether a signal sets the flag (a stage that saves first is running) or raises Stopped.
    """

    def __init__(self) -> None:
        self.signum = 0
        self.saving = False
        self._pid = os.getpid()

    def __call__(self) -> int:
        return self.signum

    def install(self) -> None:
        """Take over both signals of this process; forked workers leave the decision to it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        self._others, sys.unraisablehook = sys.unraisablehook, self._lost

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised in a finalizer or a weak reference's callback, a signal's too: raise it again."""
        stopped = unraisable.exc_value
        if not isinstance(stopped, Stopped):
            self._others(unraisable)
            return
        number = stopped.signum
        signal.signal(signal.SIGALRM, lambda _, frame: self._handle(number, frame))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)  # not at once: it would be dropped in this hook

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            self._handle_in_worker(number)
        elif not self.saving:
            raise Stopped(number)
        elif self.signum:
            os.write(2, b"\x1b[?25h\nstopped at once; --resume goes on from the last saved state\n")
            os._exit(128 + number)
        else:
            self.signum = number
            os.write(2, b"\nsaving the state, then stopping; once more to stop at once\n")

    def _handle_in_worker(self, number: int) -> None:
        if number != signal.SIGTERM:
            return  # Ctrl-C reaches the whole group: the parent decides
        if not self.saving:
            os._exit(128 + number)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_GRACE)
