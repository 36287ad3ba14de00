"""The base of every typed configuration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Config(BaseModel):
    """Frozen, typed, and closed: an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """What the artifact's id depends on: all but `runtime` and the place of the source data.

        Loader workers, logging and the like change how a result is computed, never what it is.
        """
        tree: dict[str, Any] = self.model_dump(mode="json")
        for key in ("runtime", "root"):
            tree.pop(key, None)
        return tree


class NestedError(ValueError):
    """A plug-in's own config did not validate. key: its dotted place below the config that holds it."""

    def __init__(self, key: str, config: type[Config], error: ValidationError) -> None:
        super().__init__(str(error))
        self.key, self.config, self.error = key, config, error


class Runtime(Config):
    """How to run, without any influence on the result (and so no part of an artifact's id)."""

    workers: int = 2
    """Loader processes; 0 reads in the training process."""
    log_every: int = 20
    """Steps between two lines of the event log."""
    save_every: int = 500
    """Steps between two saved resume states."""
    tensorboard: bool = False
    """Also write TensorBoard event files (needs the `tb` extra)."""
