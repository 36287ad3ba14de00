"""Run a stage: name the result, answer "up to date", lock, finish or resume what is there or start, store."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

import ifrkit
from ifrkit.artifacts import store
from ifrkit.artifacts.about import in_bytes, named
from ifrkit.artifacts.job import Display, Job, Silent
from ifrkit.artifacts.locks import is_locked, locked
from ifrkit.artifacts.manifest import FILE, InputRef, Manifest, make_id, plain
from ifrkit.artifacts.store import Artifact
from ifrkit.core.config import Config
from ifrkit.core.errors import ArtifactError, ConfigError, ResourceError
from ifrkit.core.faults import resource_errors
from ifrkit.core.plain import read_plain
from ifrkit.core.stage import Stage
from ifrkit.stages.ranks import Ranks

_PLACES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors that say that the user named a wrong place; others may pass."""


@dataclass(frozen=True)
class Run:
    """How a stage is run: on what, where, and who listens. Nothing here is part of an artifact's id but the inputs.

    force: make the artifact even if it exists. resume: go on with the state of an interrupted run, if there is one.
    origins: where the values of the config came from. stop: see `Job`.
    """

    workspace: Path
    inputs: list[Artifact]
    out: Path | None = None
    force: bool = False
    resume: bool = False
    display: Display = Silent()  # noqa: RUF009  (it has no state)
    device: str = "cpu"
    origins: dict[str, str] = field(default_factory=dict)
    stop: Callable[[], int] = lambda: 0


class Plan(NamedTuple):
    """What a run would make: its id, where, and from which artifacts."""

    stage: Stage
    config: Config
    id: str
    target: Path
    inputs: list[Artifact]
    existing: Artifact | None


def plan(stage: Stage, config: Config, run: Run) -> Plan:
    """Resolve id and place of the output, and whether it exists already (force: as if not). Writes nothing."""
    inputs, config = run.inputs, stage.adapted(config, run.inputs, run.origins)
    if stage.extra_inputs is not None:
        inputs = [*inputs, *stage.extra_inputs(config, inputs, run.workspace)]
    source = stage.source_identity(config) if stage.source_identity else ""
    id = make_id(stage.kind, stage.schema, config.identity(), [a.id for a in inputs], source)
    target = run.out or run.workspace / stage.kind / f"{stage.label(config)}-{id[:12]}"
    if run.out is not None:
        existing = _existing_at(run.out, id, run.force)
    else:
        existing = None if run.force else store.find(run.workspace, stage.kind, id)
    return Plan(stage, config, id, existing.path if existing else target, inputs, existing)


def require(planned: Plan, run: Run) -> None:
    """Raise what the run would refuse before its work. A dry run calls this, and the run itself."""
    if planned.existing is None:
        planned.stage.require(planned.config, planned.inputs)
        _require_place(planned.target.parent)
        _require_space(planned)
        if is_locked(planned.target):
            with locked(planned.target):  # says who writes it; what that one has not finished is not interrupted
                pass
        _require_resume(planned, run)


def _existing_at(out: Path, id: str, force: bool) -> Artifact | None:
    """The artifact at --out. Raises ConfigError where none may be made: now, not after hours of training."""
    if out.name in ("", ".."):
        raise ConfigError(f"--out {out}: an artifact cannot be made there", "name a directory that is new")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / FILE).is_file():
        raise ConfigError(f"{out} exists and is not an artifact", "name another --out; it is never overwritten")
    if force:
        return None
    artifact = store.open_artifact(out)
    if artifact.id != id:
        raise ConfigError(f"{out} holds another artifact", "name another --out, or --force to replace it")
    return artifact


def execute(stage: Stage, config: Config, run: Run) -> Artifact:
    """Make the stage's artifact, or return the one that exists. Under torchrun every rank calls this."""
    ranks = Ranks.from_environment()
    if ranks.rank > 0:
        job = Job(config, run.inputs, Path(), Path(), run.display, run.device, stop=run.stop)
        return _follow(ranks, job, stage, run)
    planned = plan(stage, config, run)
    if planned.existing:
        return _up_to_date(ranks, run.display, planned.existing)
    with resource_errors(str(planned.target)):
        require(planned, run)
        _make_place(planned.target.parent)
        with locked(planned.target):
            if done := store.settle(planned.target):
                run.display.info(f"{planned.target}: {done}")
            planned = plan(stage, config, run)  # another run may have finished it before we got the lock
            if planned.existing:
                return _up_to_date(ranks, run.display, planned.existing)
            return _make(planned, ranks, run)


def _require_place(directory: Path) -> None:
    """Whether a directory is there to write in, or can be made. Makes nothing."""
    above = next(place for place in (directory, *directory.absolute().parents) if os.path.lexists(place))
    if not above.is_dir():
        _refuse_place(directory, "not a directory")
    if os.statvfs(above).f_flag & os.ST_RDONLY:
        _refuse_place(directory, os.strerror(errno.EROFS))
    if not os.access(above, os.W_OK | os.X_OK):
        _refuse_place(directory, "permission denied")


def _require_space(planned: Plan) -> None:
    """Whether the disk has room for what a stage says that it will write; what an interrupted run wrote is there."""
    size = planned.stage.bytes_of(planned.config, planned.inputs)
    if size is None:
        return
    partial = store.partial_path(planned.target).absolute()
    above = next(place for place in (partial, *partial.parents) if place.is_dir())
    there = sum(path.stat().st_size for path in partial.glob("*") if path.is_file())
    free = shutil.disk_usage(above).free
    if size - there > free:
        fault = f"{planned.target} needs {in_bytes(size - there)}, and {in_bytes(free)} are free there"
        raise ResourceError(fault, "free some space, or name a --workspace or --out on a larger disk")


def _refuse_place(directory: Path, fault: str) -> NoReturn:
    raise ConfigError(f"cannot write in {directory} ({fault.lower()})", "name another --workspace or --out")


def _make_place(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fault = "" if os.access(directory, os.W_OK | os.X_OK) else "permission denied"
    except OSError as error:
        if error.errno not in _PLACES:
            raise
        fault = error.strerror or str(error)
    if fault:
        _refuse_place(directory, fault)


def _up_to_date(ranks: Ranks, display: Display, artifact: Artifact) -> Artifact:
    display.info(f"up to date: {named(artifact)}")
    ranks.tell("begin", json.dumps({"done": str(artifact.path)}))
    return artifact


def _make(planned: Plan, ranks: Ranks, run: Run) -> Artifact:
    stage, partial = planned.stage, store.partial_path(planned.target)
    state = store.has_state(partial) and not run.force
    _require_resume(planned, run)
    if run.resume and not state:
        _warn_of_others(partial, run.display)
    used = [str(artifact.path.resolve()) for artifact in planned.inputs]
    for artifact in planned.inputs[len(run.inputs) :]:  # what the config named or implied
        run.display.info(f"with {artifact.kind} {named(artifact)}")
    try:
        store.begin(planned.target, keep=state)
        scratch = partial / store.SCRATCH
        job = Job(planned.config, planned.inputs, partial, scratch, run.display, run.device, state, run.stop)
        ranks.tell("begin", json.dumps({"partial": str(partial.resolve()), "resumed": state, "inputs": used}))
        stage.start(job)
        ranks.wait("done")
        _warn_of_undeclared(stage, partial, run.display)
        manifest = _manifest(planned, job, run.origins, store.next_sequence(run.workspace))
        artifact = store.commit(partial, planned.target, manifest, stage.payload)
    except BaseException:
        if not store.has_state(partial) and not store.is_finished(partial):
            shutil.rmtree(partial, ignore_errors=True)
        raise
    ranks.tell("end", str(artifact.path))
    return artifact


def _require_resume(planned: Plan, run: Run) -> None:
    """An interrupted run is continued or thrown away by the user's word alone."""
    partial = store.partial_path(planned.target)
    asked = run.resume or run.force or store.unsettled(planned.target)
    if planned.stage.resumable and not asked and store.has_state(partial):
        message = f"an interrupted run of {planned.stage.name} stopped{progress(partial)}: {partial}"
        raise ConfigError(message, "--resume to continue, --force to start over")


def _warn_of_others(partial: Path, display: Display) -> None:
    """A changed config makes another id: say so, rather than start over in silence."""
    others = [p for p in partial.parent.glob(f"{store.PARTIAL}*") if p != partial and store.has_state(p)]
    if others:
        display.warn(f"nothing to resume with this config and input; {others[0]} belongs to another")


def _warn_of_undeclared(stage: Stage, partial: Path, display: Display) -> None:
    """A stage that writes more than it declares loses it: its author should know. Hidden files are temporaries."""
    for name in store.payload(partial):
        if not store.is_declared(name, stage.payload) and store.is_declared(name, ()):
            display.warn(f"{name} is not kept: stage {stage.name} does not declare it as payload")


def _follow(ranks: Ranks, job: Job, stage: Stage, run: Run) -> Artifact:
    """What every rank but the first does: the same work in the directory that the first one names."""
    begin = json.loads(ranks.hear("begin"))
    if "done" in begin:
        return store.open_artifact(Path(begin["done"]), workspace=run.workspace)
    job.inputs = [store.open_artifact(Path(path), workspace=run.workspace) for path in begin["inputs"]]
    job.config = stage.adapted(job.config, job.inputs, run.origins)
    job.directory, job.resumed = Path(begin["partial"]), begin["resumed"]
    job.scratch = job.directory / store.SCRATCH
    with resource_errors(str(job.directory)):
        stage.start(job)
    ranks.tell(f"done-{ranks.rank}", "")
    return store.open_artifact(Path(ranks.hear("end")), workspace=run.workspace)


def progress(partial: Path) -> str:
    """Where the interrupted run stood (" at step 120 of 400"), from the `progress.json` that a stage may keep."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError, ArtifactError):
        tree = json.loads(read_plain(partial / store.SCRATCH / "progress.json"))
        return f" at step {int(tree['step'])} of {int(tree['steps'])}"
    return ""


def _manifest(planned: Plan, job: Job, origins: dict[str, str], sequence: int) -> Manifest:
    seed = getattr(planned.config, "seed", None)
    # Relative to where the artifact will be, so that a workspace can be moved as a whole.
    home = planned.target.resolve()
    inputs = (InputRef(kind=a.kind, id=a.id, path=os.path.relpath(a.path.resolve(), home)) for a in planned.inputs)
    return Manifest(
        kind=planned.stage.kind,
        schema_version=planned.stage.schema,
        id=planned.id,
        stage=planned.stage.name,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        sequence=sequence,
        inputs=tuple(inputs),
        config=plain(planned.config.tree()),
        origins=origins,
        seed=seed,
        command=tuple(sys.argv),
        environment=_environment(),
        metrics=plain(job.metrics),
    )


def _environment() -> dict[str, str]:
    found = {"ifrkit": ifrkit.__version__, "python": platform.python_version(), "platform": platform.platform()}
    ranks = Ranks.from_environment().world
    found |= {"ranks": str(ranks)} if ranks > 1 else {}
    for name in ("torch", "numpy", "transformers"):
        if name in sys.modules:
            found[name] = str(sys.modules[name].__version__)
    return found
