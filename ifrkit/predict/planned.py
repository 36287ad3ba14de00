"""Which way to predict a plan chooses. Light: `predict --plan` asks before anything is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ifrkit.artifacts import store
from ifrkit.artifacts.indexes import Choice, Plan
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.machine import machine

_FORMS = "write --plan fastest, --plan best or --plan fps=25"


def wanted_rate(wanted: str) -> float | None:
    """N of "fps=N", None of "fastest" and "best". Raises ConfigError for other words."""
    if wanted in ("fastest", "best"):
        return None
    found = re.fullmatch(r"fps=(\d+(?:\.\d+)?)", wanted)
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"--plan {wanted}: not a choice", _FORMS)
    return float(found[1])


def newest_plan(workspace: Path, model: Artifact, threads: int | None) -> tuple[Artifact, Plan]:
    """The last plan of this model that was made on this machine. threads: only one for so many (None: any).

    Raises ArtifactError, with the command that makes one.
    """
    for made in reversed(list(store.artifacts(workspace, "plan"))):
        if made.manifest.inputs and made.manifest.inputs[0].id == model.id:
            artifact = store.open_artifact(made.path, workspace=workspace)
            plan = Plan.read(artifact)
            if plan.machine == machine() and threads in (None, plan.threads):
                return artifact, plan
    more = f" --threads {threads}" if threads else ""
    here = f" with {threads} threads" if threads else ""
    raise ArtifactError(
        f"no plan of {model.path} on this machine{here}", f"ifrkit plan VIDEO_OR_SIZE --from {model.path}{more}"
    )


def frontier(choices: Sequence[Choice]) -> list[Choice]:
    """The choices that no other one beats, the most accurate and slowest first."""
    found: list[Choice] = []
    for choice in sorted(filter(_is_known, choices), key=lambda c: (-(c.miou or 0), -(c.frames_per_second or 0))):
        if not found or rate(choice) > rate(found[-1]):
            found.append(choice)
    return found


def rate(choice: Choice) -> float:
    """Its frames a second; 0 where it was not measured."""
    return choice.frames_per_second or 0.0


def _is_known(choice: Choice) -> bool:
    return choice.frames_per_second is not None and choice.miou is not None


def pick(plan: Plan, wanted: str) -> Choice:
    """The choice for "fastest", "best" or "fps=N". Raises ConfigError where none is known to be it.

    fps=N: the most accurate one that is as fast.
    """
    least = wanted_rate(wanted)
    measured = [choice for choice in plan.choices if choice.frames_per_second is not None]
    if not measured:
        raise ConfigError("--plan: no way to predict could be measured", "see what `ifrkit plan` says")
    fastest = max(measured, key=rate)
    if wanted == "fastest":
        return fastest
    if least is not None and rate(fastest) < least:
        fault = f"--plan {wanted}: nothing is as fast here; {fastest.name} reaches {rate(fastest):.1f} frames a second"
        raise ConfigError(fault, "--plan fastest takes that")
    enough = [choice for choice in measured if rate(choice) >= (least or 0)]
    if best := frontier(enough):
        return best[0]
    lacking = next((command for choice in enough for command in choice.lacking if " eval " in command), "")
    fault = f"--plan {wanted}: the mIoU of {enough[0].name} is not known"
    raise ConfigError(fault, f"{lacking or 'ifrkit eval --metric mIoU'}, then ifrkit plan again")


def source(plan: Artifact, choice: Choice) -> Artifact:
    """What `predict --from` gets for a choice. Raises ArtifactError if it is gone."""
    return plan.input(next(ref for ref in plan.manifest.inputs if ref.id == choice.id))
