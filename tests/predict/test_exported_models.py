"""`predict --backend onnx`: exported graphs give the label images that the networks give, or say why they cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import own_videos
import pytest
from chains import Chain, complaint

from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.config.export import ExportConfig
from ifrkit.config.predict import PredictConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.records import LabelSpace
from ifrkit.export.extra import require_onnx
from ifrkit.predict.segmenter import Segmenter
from ifrkit.stages import export
from ifrkit.stages.runner import Run, execute

try:
    require_onnx()
    ONNX = ""
except Exception as error:
    ONNX = str(error)

pytestmark = pytest.mark.skipif(bool(ONNX), reason=ONNX)


def _exported(source: Artifact, workspace: Path) -> Artifact:
    return execute(export.STAGE, ExportConfig(), Run(workspace=workspace, inputs=[source]))


@pytest.fixture(scope="module")
def video_graphs(model: Artifact, workspace: Path) -> Artifact:
    return _exported(model, workspace)


@pytest.fixture(scope="module")
def branch_graphs(branches: Artifact, workspace: Path) -> Artifact:
    return _exported(branches, workspace)


def _same(graphs: Artifact, networks: Artifact) -> None:
    """Every label image byte for byte, and all that is told of the videos."""
    files = [
        {entry.path: entry.sha256 for entry in made.entries() if not entry.path.endswith(".mp4")}
        for made in (graphs, networks)
    ]
    assert files[0] == files[1]
    assert len(files[0]) > 1


@pytest.mark.parametrize("interval", [None, 1, 4])
def test_a_video_model(tmp_path: Path, model: Artifact, video_graphs: Artifact, interval: int | None) -> None:
    videos = [own_videos.write_video(tmp_path / "a.mp4", own_videos.street(9))]
    videos.append(own_videos.write_video(tmp_path / "large.avi", own_videos.street(5, size=(64, 96))))
    own_videos.break_avi(videos[1], 2)
    found = [own_videos.run(tmp_path, source, *videos, key_interval=interval) for source in (video_graphs, model)]
    _same(*found)
    read = json.loads(found[0].file("predictions.json").read_text())
    assert read["videos"][0]["key_frames"] == list(range(0, 9, interval or 3))
    assert [len(own_videos.labels(found[0], name)) for name in ("a", "large")] == [9, 4]


@pytest.mark.parametrize("branch", [None, "update"])
def test_a_branch(tmp_path: Path, branches: Artifact, branch_graphs: Artifact, branch: str | None) -> None:
    folder = own_videos.write_folder(tmp_path / "v", own_videos.street(4))
    _same(*(own_videos.run(tmp_path, source, folder, branch=branch) for source in (branch_graphs, branches)))


def test_graphs_need_neither_networks_nor_clips(tmp_path: Path, model: Artifact, video_graphs: Artifact) -> None:
    alone = tmp_path / "elsewhere/exported" / video_graphs.path.name
    shutil.copytree(video_graphs.path, alone)
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(4))
    _same(own_videos.run(tmp_path, open_artifact(alone), video), own_videos.run(tmp_path, model, video))


def test_what_graphs_cannot_do(
    tmp_path: Path, model: Artifact, video_graphs: Artifact, branch_graphs: Artifact
) -> None:
    video = own_videos.write_video(tmp_path / "a.mp4", own_videos.street(2))
    wide = own_videos.write_video(tmp_path / "wide.mp4", own_videos.street(2, size=(32, 80)))

    def refused(given: Artifact, *videos: Path, **changes: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            own_videos.run(tmp_path, given, *(videos or [video]), **changes)
        assert not [*tmp_path.glob("predictions/*")]
        return str(caught.value)

    assert "do not give the flow" in refused(video_graphs, key_policy="adaptive")
    assert "which uses both" in refused(video_graphs, branch="update")
    assert "no key frames" in refused(branch_graphs, key_interval=2)
    assert "no key frames" in refused(branch_graphs, key_policy="adaptive")
    assert "holds the best weights; ifrkit export --set checkpoint=last" in refused(branch_graphs, checkpoint="last")
    # These frames are too small for graphs of open size.
    assert "take 32x48 alone; --set size=[32,48]" in refused(video_graphs, video, wide)
    done = own_videos.run(tmp_path, video_graphs, wide, size=(32, 48))
    _same(done, own_videos.run(tmp_path, model, wide, size=(32, 48)))


def test_graphs_of_open_size_have_a_smallest_one() -> None:
    labels = LabelSpace(names=("a",), colors=((0, 0, 0),))
    predictor: Any = None
    segmenter = Segmenter(predictor, labels, (96, 192), smallest=65)
    config = PredictConfig(videos=("a.mp4",))
    assert segmenter.seen_at((1080, 1920), config) == (102, 181)
    with pytest.raises(ConfigError, match=r"frames of 100x1000 at 43x429, and take no side below 65; --set size="):
        segmenter.seen_at((100, 1000), config)


def test_the_command_line(tmp_path: Path, workspace: Path, model: Artifact, video_graphs: Artifact) -> None:
    """--backend says which kind of artifact is looked for; a pipe and --from may bring either."""
    chain = Chain(tmp_path)
    own_videos.write_video(tmp_path / "a.mp4", own_videos.street(4))
    assert "no exported artifact" in complaint(chain.run("ifrkit predict a.mp4 --backend onnx -q"), 3)
    line = f"ifrkit predict a.mp4 --workspace {workspace}"
    done = chain.ok(f"{line} --backend onnx --from {video_graphs.id[:12]}")
    piped = chain.ok(f"echo {video_graphs.path} | {line}")
    assert piped.stdout == done.stdout
    assert "up to date" in piped.stderr
    _same(open_artifact(Path(done.stdout.strip())), own_videos.run(tmp_path, model, tmp_path / "a.mp4"))
    for backend, other in (("onnx", model), ("torch", video_graphs)):
        wrong = chain.run(f"{line} --backend {backend} --from {other.path} -q")
        assert f"is of kind {other.kind}" in complaint(wrong, 3)
