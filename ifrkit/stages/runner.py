"""Run a stage: its id, "up to date", the lock, the partial directory, resume, and the commit.

Under torchrun all ranks compute the same paths; rank 0 alone creates, locks and commits.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ifrkit import __version__
from ifrkit.artifacts.atomic import disk_errors
from ifrkit.artifacts.locks import output_lock
from ifrkit.artifacts.manifest import NAME, InputRef, Manifest, content_id
from ifrkit.artifacts.store import SCRATCH, Artifact, commit, open_artifact, payload
from ifrkit.config.base import Config
from ifrkit.errors import ArtifactError, ConfigError, InterruptedRun
from ifrkit.stages.base import Job, Reporter, Silent, Stage


def rank() -> int:
    """This process's rank under torchrun, 0 otherwise."""
    return int(os.environ.get("RANK", "0"))


def plan(stage: Stage, config: Config, inputs: list[Artifact], workspace: Path, out: Path | None) -> tuple[str, Path]:
    """The id of what would be made, and its final directory."""
    source = stage.source_identity(config) if stage.source_identity else ""
    name = content_id(stage.kind, stage.schema, config.identity(), [a.id for a in inputs], source)
    return name, out or workspace / stage.kind / f"{stage.label(config)}-{name[:12]}"


def execute(
    stage: Stage,
    config: Config,
    *,
    workspace: Path,
    inputs: list[Artifact],
    out: Path | None = None,
    force: bool = False,
    resume: bool = False,
    report: Reporter | None = None,
    device: str = "cpu",
    origins: dict[str, str] | None = None,
    stop: Callable[[], int] = lambda: 0,
) -> Artifact:
    """Make the artifact of (stage, config, inputs), or answer with the one that exists."""
    report = report or Silent()
    if stage.extra_inputs:
        inputs = [*inputs, *stage.extra_inputs(config, inputs, workspace)]
    identity, final = plan(stage, config, inputs, workspace, out)
    if not force and (existing := _existing(final, identity)):
        report.info(f"up to date: {final}")
        return existing
    partial = final.with_name(f".{final.name}.partial")
    job = Job(config, inputs, partial, partial / SCRATCH, report, device, stop=stop)
    lock = output_lock(final.with_name(f".{final.name}.lock")) if rank() == 0 else nullcontext()
    with lock, disk_errors(final):
        if rank() == 0:
            job.resumed = _begin(stage, partial, force, resume)
            _ready(partial).touch()
        else:
            _wait(_ready(partial))
            job.resumed = resume and any(job.scratch.iterdir())
        with _keep_or_clean(job, stage):
            stage.run(job)
        if rank() != 0:
            return Artifact(partial, _manifest(stage, job, identity, final, origins or {}, ()))
        _ready(partial).unlink(missing_ok=True)
        files = payload(partial)
        return commit(partial, final, _manifest(stage, job, identity, final, origins or {}, files))


def _existing(final: Path, identity: str) -> Artifact | None:
    if not (final / NAME).is_file():
        if final.exists() and any(final.iterdir()):
            raise ConfigError(f"{final}: exists and is no artifact", "choose another --out")
        return None
    found = open_artifact(final)
    if found.id != identity:
        raise ConfigError(f"{final}: holds another {found.kind} artifact ({found.id[:12]})", "choose another --out or add --force")
    try:
        for entry in found.manifest.files:
            found._sized(entry)
    except ArtifactError:
        return None
    return found


def _begin(stage: Stage, partial: Path, force: bool, resume: bool) -> bool:
    """Create or clean the partial directory. True: it holds the state of an interrupted run, to go on from."""
    scratch = partial / SCRATCH
    state = stage.resumable and scratch.is_dir() and any(scratch.iterdir())
    if state and not (resume or force):
        raise ConfigError(
            f"{partial}: holds the state of an interrupted run", "--resume to continue, --force to start over"
        )
    if partial.exists() and (force or (stage.resumable and not state)):
        shutil.rmtree(partial)
    scratch.mkdir(parents=True, exist_ok=True)
    return bool(state) and not force


@contextmanager
def _keep_or_clean(job: Job, stage: Stage) -> Iterator[None]:
    """After an error, keep a partial directory only if a later run can go on from it."""
    try:
        yield
    except InterruptedRun:
        raise
    except BaseException:
        if rank() == 0 and not any(job.scratch.iterdir()):
            shutil.rmtree(job.directory, ignore_errors=True)
        raise


def _ready(partial: Path) -> Path:
    return partial / f".ready-{os.environ.get('TORCHELASTIC_RUN_ID', 'single')}"


def _wait(marker: Path, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not marker.exists():
        if time.monotonic() > end:
            raise ArtifactError(f"{marker.parent}: rank 0 did not begin within {seconds:.0f} s", "see its error above")
        time.sleep(0.05)


def _manifest(stage: Stage, job: Job, identity: str, final: Path, origins: dict[str, str], files: Any) -> Manifest:
    home = final.resolve()
    return Manifest(
        kind=stage.kind,
        schema_version=stage.schema,
        id=identity,
        stage=stage.name,
        label=stage.label(job.config),
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        inputs=tuple(InputRef(kind=a.kind, id=a.id, path=os.path.relpath(a.path, home)) for a in job.inputs),
        config=job.config.model_dump(mode="json"),
        origins=origins,
        command=tuple([Path(sys.argv[0]).name, *sys.argv[1:]]),
        environment=_environment(),
        metrics=job.metrics,
        files=files,
    )


def _environment() -> dict[str, str]:
    versions = {"ifrkit": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in ("torch", "numpy", "cv2", "h5py"):
        if name in sys.modules:
            versions[name] = str(sys.modules[name].__version__)
    return versions
