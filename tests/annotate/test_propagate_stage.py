"""propagate as a stage: what it reads and makes, and that self-training learns from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run

from ifrkit.artifacts.indexes import Provenance, Pseudo
from ifrkit.artifacts.store import Artifact
from ifrkit.config.propagate import PropagateConfig
from ifrkit.core.errors import ArtifactError, ConfigError, InterruptedRun
from ifrkit.core.records import IGNORE
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import PseudoLabels, training_frames
from ifrkit.labels.base import open_labels
from ifrkit.media.classes import named_table
from ifrkit.stages import _propagate, propagate
from ifrkit.stages.runner import Run, execute


def run(workspace: Path, given: Artifact, **changes: Any) -> Artifact:
    return execute(propagate.STAGE, PropagateConfig.of(changes), Run(workspace=workspace, inputs=[given]))


@pytest.fixture(scope="module")
def branches(workspace: Path, clips: Artifact) -> Artifact:
    config = tiny_run.branches_config(ssl="none", labeled={"count": 1}, loop={"steps": 2, "batch": 2, "eval_every": 2})
    return tiny_run.train(workspace, config, clips)


def test_flow_alone_carries_all_labels(workspace: Path, clips: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_propagate, "PER_FILE", 3)
    done = run(workspace, clips, explained=0.0, write="png,coco", write_above=0.0)
    store = ClipStore.of(clips)
    index, origins = Pseudo.read(done), Provenance.read(done).frames
    assert sorted(index.frames) == sorted(training_frames(store)) == sorted(origins)
    assert len(list(done.path.glob("labels-*.h5"))) == 4
    reader = PseudoLabels(done, store, [])
    for clip in store.clips_of("train"):
        frames = store.clips[clip].frames
        assert np.array_equal(reader.label(clip, 4), store.label(clip, 4))
        assert [origins[name].steps for name in frames] == [(4,), (3,), (2,), (1,), (0,)]
        assert origins[frames[1]].origins == (frames[4],)
        near = reader.label(clip, 3)
        known = near != IGNORE
        assert known.mean() > 0.5
        assert (near == store.label(clip, 3, hidden=True))[known].mean() > 0.9
    assert done.manifest.metrics["carried"] == 8
    for name in ("png", "coco"):
        found = open_labels(done.path / name, name).reader
        entry = next(entry for entry in found.entries() if entry.names[-1] == "train_0000_000003")
        ids_hw = found.read(entry.key, store.size, named_table("", store.labels.names))
        assert np.array_equal(ids_hw, reader.label(store.clips_of("train")[0], 3))
        assert len(found.entries()) == 8


def test_only_labels_that_the_branches_saw(workspace: Path, branches: Artifact) -> None:
    clips = branches.ancestor("clips")
    assert clips is not None
    store = ClipStore.of(clips)
    done = run(workspace, branches, explained=0.0, reach=2)
    origins = Provenance.read(done).frames
    assert len({name.partition("/")[0] for name in origins}) == 1
    assert len(origins) == 3
    network = run(workspace, branches, explained=0.0, reach=2, beyond="network")
    reader, filled = PseudoLabels(done, store, []), PseudoLabels(network, store, [])
    for name, place in training_frames(store).items():
        assert (reader.label(*place) == IGNORE).all() == (name not in origins)
        assert (filled.label(*place) != IGNORE).all()
    again = tiny_run.branches_config(ssl="self-training", loop={"steps": 1, "batch": 2, "eval_every": 1})
    assert tiny_run.train(workspace, again, done).kind == "branches"


def test_what_it_refuses(workspace: Path, clips: Artifact, branches: Artifact) -> None:
    with pytest.raises(ConfigError, match=r"beyond=network: .* holds no network; name branches with --from"):
        run(workspace, clips, beyond="network")
    with pytest.raises(ConfigError, match="--flow truth: it knows the flow of neighbours in their order alone"):
        run(workspace, clips, flow="truth")
    with pytest.raises(ConfigError, match="read only"):
        run(workspace, clips, write="cityscapes-polygons")
    with pytest.raises(ArtifactError, match="has no reference branch"):
        run(workspace, branches, branch="reference")


def files(artifact: Artifact) -> dict[str, str]:
    return {file.path: file.sha256 for file in artifact.entries()}


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("frames", [1, 4, 6])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    workspace: Path, branches: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, killed: bool
) -> None:
    """Stopped inside a file, between two labels and at the end of a file; killed, it loses at most a file."""
    monkeypatch.setattr(_propagate, "PER_FILE", 3)
    options = {"explained": 0.0, "write": "png,coco", "write_above": 0.0, "beyond": "network"}
    whole = run(workspace, branches, **options)
    asked = iter(range(100))
    config = PropagateConfig.of(options)

    def stop() -> int:
        if next(asked) < frames:
            return 0
        if killed:
            raise KeyboardInterrupt
        return 2

    with pytest.raises(KeyboardInterrupt if killed else InterruptedRun):
        execute(propagate.STAGE, config, Run(workspace=tmp_path, inputs=[branches], stop=stop))
    with pytest.raises(ConfigError, match="an interrupted run of propagate"):
        execute(propagate.STAGE, config, Run(workspace=tmp_path, inputs=[branches]))
    made: list[str] = []
    carried = _propagate.Propagation.run

    def counted(*args: Any) -> Any:
        for frame in carried(*args):
            made.append(frame.link.name)
            yield frame

    monkeypatch.setattr(_propagate.Propagation, "run", counted)
    again = execute(propagate.STAGE, config, Run(workspace=tmp_path, inputs=[branches], resume=True))
    assert files(again) == files(whole)
    total = len(Pseudo.read(whole).frames)
    assert len(made) == total - (frames // 3 * 3 if killed else frames)


def test_what_is_damaged_of_a_stopped_run_is_made_again(
    workspace: Path, branches: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_propagate, "PER_FILE", 3)
    config = PropagateConfig.of({"explained": 0.0})
    asked = iter(range(100))
    stopping = Run(workspace=tmp_path, inputs=[branches], stop=lambda: 15 if next(asked) >= 5 else 0)
    with pytest.raises(InterruptedRun, match="propagate: stopped by signal 15, 5 of 10 frames are done"):
        execute(propagate.STAGE, config, stopping)
    file = next(tmp_path.rglob("labels-00001.h5"))
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    again = execute(propagate.STAGE, config, Run(workspace=tmp_path, inputs=[branches], resume=True))
    assert files(again) == files(run(workspace, branches, explained=0.0))
