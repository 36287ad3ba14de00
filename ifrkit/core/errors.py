"""One exception tree; the class decides the exit code.

    IfrkitError                 1   a bug, or something nobody foresaw
      ConfigError               2   usage or configuration
      ArtifactError             3   an input artifact is missing, corrupt, of the wrong kind or too new
      DatasetError              4   the dataset on disk does not fit
      ResourceError             5   no space, memory or device
      DivergedError             6   training diverged (a loss is not finite)
      ThresholdError            7   `eval --fail-under` or `--fail-over` was missed
      LockedError              75   another run holds the output
      InterruptedRun      130/143   SIGINT / SIGTERM, after the state was saved

A message is one line. It names the file or the key, and `remedy` says what to do about it.
"""

from __future__ import annotations


class IfrkitError(Exception):
    """Root of all errors that a user should read as one line.

    message: what is wrong, naming the file or the key. remedy: what to do, as an imperative.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class ConfigError(IfrkitError):
    """Bad usage or configuration."""

    exit_code = 2


class ArtifactError(IfrkitError):
    """An input artifact is missing, corrupt, of the wrong kind, or too new."""

    exit_code = 3


class DatasetError(IfrkitError):
    """The dataset on disk does not fit its layout."""

    exit_code = 4


class ResourceError(IfrkitError):
    """No disk space, memory or device."""

    exit_code = 5


class DivergedError(IfrkitError):
    """A loss is not finite."""

    exit_code = 6


class ThresholdError(IfrkitError):
    """A result is worse than the value the caller asked for."""

    exit_code = 7


class LockedError(IfrkitError):
    """Another run writes the same output."""

    exit_code = 75


class InterruptedRun(IfrkitError):
    """The run was interrupted and has saved its state first. signum: 2 (SIGINT) or 15 (SIGTERM)."""

    def __init__(self, message: str, remedy: str = "", *, signum: int = 2) -> None:
        super().__init__(message, remedy)
        self.exit_code = 128 + signum
