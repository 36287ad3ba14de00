"""Cached features: what a frozen backbone makes of frames and their mirror images, and heads that train on it."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run
import torch
import torch.nn.functional as F
from flips import told

from ifrkit.artifacts import store as artifacts
from ifrkit.artifacts.indexes import Branches, FeatureMap, Features
from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.store import Artifact
from ifrkit.config.cache_features import CacheFeaturesConfig
from ifrkit.config.training import CropConfig
from ifrkit.core.errors import ArtifactError, ConfigError, InterruptedRun, ResourceError
from ifrkit.core.records import Window
from ifrkit.data.loading import feature_crops, loader
from ifrkit.data.loading.pools import Clips
from ifrkit.data.loading.stream import Span
from ifrkit.data.loading.views import View
from ifrkit.data.store import features
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.features import CachedFeatures
from ifrkit.models.network import build_network
from ifrkit.models.weights import load_weights, save_weights
from ifrkit.stages import _cache_features, cache_features, train_branches
from ifrkit.stages._cache_features_check import built, frame_bytes
from ifrkit.stages.runner import Run, execute, plan
from ifrkit.train.validation import annotated, predict_frames, val_miou
from ifrkit.trained import load_branch, load_into

SIZE = (40, 56)
"""Not of whole cells of 16 pixels."""
NET = {"backbone": "resnet18", "width": 0.25, "stride": 16, "head": "light"}
"""Two maps: at 1/4 and 1/16."""


class Told(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(message)


def config_of(**changes: Any) -> CacheFeaturesConfig:
    return CacheFeaturesConfig.of({"update": NET, "batch": 4, **changes})


def cache(workspace: Path, clips: Artifact, *, display: Any = None, changes: Any = None, **how: Any) -> Artifact:
    """cache-features of these clips. how: options of a run."""
    run = Run(workspace=workspace, inputs=[clips], display=display or Silent(), **how)
    return execute(cache_features.STAGE, config_of(**changes or {}), run)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cached")


@pytest.fixture(scope="module")
def clips(place: Path) -> Artifact:
    return tiny_run.make_clips(place, height=SIZE[0], width=SIZE[1])


@pytest.fixture(scope="module")
def store(clips: Artifact) -> ClipStore:
    return ClipStore.of(clips)


@pytest.fixture(scope="module")
def cached(place: Path, clips: Artifact) -> Artifact:
    return cache(place, clips)


def images_of(store: ClipStore, rows: list[int], mirrored: bool) -> torch.Tensor:
    places = features.stored_places(store)
    frames = torch.from_numpy(np.stack([store.frame(*places[row]) for row in rows])).permute(0, 3, 1, 2)
    return frames.flip(3) if mirrored else frames


@pytest.mark.parametrize("mirrored", [False, True])
def test_maps_are_those_of_the_backbone(cached: Artifact, store: ClipStore, mirrored: bool) -> None:
    network = built(config_of(), store).eval()
    reader = CachedFeatures(cached)
    rows = list(range(store.stored_frames))
    assert len(rows) == len(reader.index.frames) == 15
    with torch.no_grad():
        wanted = network.backbone(network.normalise(images_of(store, rows, mirrored)))
    for number, map_bchw in enumerate(wanted):
        found = np.stack([reader.maps(row, mirrored)[number] for row in rows])
        assert found.dtype == np.float16
        np.testing.assert_allclose(found, map_bchw.numpy(), rtol=1e-3, atol=1e-5)
        assert found.std() > 0.01
    stored = load_weights(cached.file(features.WEIGHTS))
    assert all(torch.equal(value, stored[name]) for name, value in network.backbone.state_dict().items())


def test_a_mirror_image_is_not_the_mirror_of_the_map(cached: Artifact) -> None:
    plain, mirrored = (CachedFeatures(cached).maps(0, flip)[-1] for flip in (False, True))
    assert not np.allclose(plain[..., ::-1], mirrored, rtol=0.05, atol=0.05)


def test_crops_have_whole_cells_or_the_whole_frame() -> None:
    maps = [FeatureMap(channels=1, height=1, width=1, stride=stride) for stride in (4, 16)]

    def extent(*size: int) -> tuple[int, int]:
        return feature_crops.on_cells(CropConfig(size=size, jitter=0.4, scale=(0.5, 2)), SIZE, maps).size

    assert extent(24, 30) == (32, 32)
    assert extent(1, 7) == (16, 16)
    assert extent(39, 55) == (32, 48)
    assert extent(40, 56) == (40, 56)
    assert extent(40, 20) == (40, 16)
    made = feature_crops.on_cells(CropConfig(size=(16, 16), jitter=0.4, scale=(0.5, 2)), SIZE, maps)
    assert (made.scale, made.jitter) == ((1, 1), 0)


@pytest.mark.parametrize("size", [(16, 32), (40, 32), (40, 56)])
def test_a_crop_of_a_map_belongs_to_its_label(cached: Artifact, store: ClipStore, size: tuple[int, int]) -> None:
    """Whole cells from where the label begins, from the maps of the mirror image where it is mirrored."""
    reader, views, crop = CachedFeatures(cached), [View("v0_0")], CropConfig(size=size)
    clips = Clips(store, store.clips_of("train"), store.clips_of("train"))
    crop = feature_crops.on_cells(crop, SIZE, reader.index.maps)
    assert crop.size == size
    batches = list(feature_crops.feature_batches(clips, views, crop, Span(4, 0, 0, 8), reader))
    plain = list(loader.view_batches(clips, views, crop, Span(4, 0, 0, 8)))
    seen = set()
    for batch, other in zip(batches, plain, strict=True):
        assert batch.clips == other.clips
        for i, (place, drawn) in enumerate(zip(batch.places["v0_0"], other.places["v0_0"], strict=True)):
            assert (place.frame, place.mirrored) == (drawn.frame, drawn.mirrored)
            assert abs(place.y - drawn.y) <= 16
            assert abs(place.x - drawn.x) <= 16
            label = store.label(batch.clips["labeled"][i], place.frame, Window(place.y, place.x, *size))
            left = SIZE[1] - size[1] - place.x if place.mirrored else place.x
            assert np.array_equal(batch.labels["v0_0"][i], label[:, ::-1] if place.mirrored else label)
            maps = reader.maps(store.rows(batch.clips["labeled"][i])[place.frame], place.mirrored)
            for number, stride in enumerate((4, 16)):
                assert place.y % stride == left % stride == 0
                h, w = (-(-side // stride) for side in size)
                part = maps[number][:, place.y // stride :, left // stride :][:, :h, :w]
                assert np.array_equal(batch.extras[f"map{number}"][i], part)
                assert part.shape[1:] == (h, w)
            seen.add((place.mirrored, place.y, left))
    assert len(seen) == {16: 8, 40: 4 if size != SIZE else 2}[size[0]]


def train(workspace: Path, given: Artifact, *, origins: dict[str, str] | None = None, **changes: Any) -> Artifact:
    """The supervised branch, on clips or features."""
    config = tiny_run.branches_config(**{"ssl": "none", "update": NET, **changes})
    return execute(train_branches.STAGE, config, Run(workspace=workspace, inputs=[given], origins=origins or {}))


def losses(made: Artifact) -> list[float]:
    lines = map(json.loads, made.file("update.events.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def test_steps_are_those_of_a_frozen_backbone(place: Path, cached: Artifact, clips: Artifact) -> None:
    """With whole frames, which lie on the cells of the map: the same draws, the same losses but for 16 bits."""
    options: dict[str, Any] = {
        "crop": {"size": SIZE},
        "ema": 0.5,
        "sgd": {"lr_head": 0.3},
        "balance": {"by": "power"},
    }
    options["loop"] = {"steps": 6, "batch": 2, "eval_every": 3}
    slow = train(place, clips, **options, update={**NET, "freeze": "all"})
    fast = train(place, cached, **options)
    assert losses(fast) == pytest.approx(losses(slow), rel=2e-3)
    assert losses(fast)[-1] < 0.9 * losses(fast)[0]
    states = [load_weights(made.file("update.last.safetensors")) for made in (slow, fast)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        if "num_batches" not in name:
            torch.testing.assert_close(states[1][name], value, rtol=0.05, atol=0.01)
        if name.startswith("backbone."):
            assert torch.equal(states[1][name], value), name


def test_a_trained_head_says_of_a_frame_what_it_says_of_its_map(
    place: Path, cached: Artifact, store: ClipStore
) -> None:
    made = train(place, cached, crop={"size": (32, 32)}, sgd={"lr_head": 0.5})
    network, reader = load_branch(made, "update", "last"), CachedFeatures(cached)
    for clip, index in annotated(store):
        row = store.rows(clip)[index]
        with torch.no_grad():
            whole = network(network.normalise(images_of(store, [row], False)))
            maps = [torch.tensor(m)[None].float() for m in reader.maps(row, False)]
            f_bchw = network.decode_head.features(maps)
            logits = F.interpolate(network.classify(f_bchw), SIZE, mode="bilinear", align_corners=False)
        torch.testing.assert_close(logits, whole, rtol=1e-2, atol=1e-2)
        assert whole.std() > 0.1
    index = Branches.read(made)
    assert index.passes["update"].cost == 0
    assert index.branches["update"].network == config_of().network.tree()
    assert made.manifest.metrics["update"]["last"]["miou"] == pytest.approx(miou(network, store), abs=0.01)


def miou(network: Any, store: ClipStore) -> float:
    def predict(frames: Any) -> Any:
        return list(predict_frames(network, store, frames, torch.device("cpu"))[0])

    return val_miou(store, store.labels.num_classes, predict)["miou"]


def test_a_resumed_training_equals_one_that_was_never_stopped(place: Path, cached: Artifact, tmp_path: Path) -> None:
    config = tiny_run.branches_config(ssl="none", ema=0.9)
    calls = iter(range(1, 100))
    stopping = Run(tmp_path, [cached], stop=lambda: signal.SIGTERM if next(calls) == 2 else 0)
    with pytest.raises(InterruptedRun, match="after step 2"):
        execute(train_branches.STAGE, config, stopping)
    resumed = execute(train_branches.STAGE, config, Run(tmp_path, [cached], resume=True))
    whole = execute(train_branches.STAGE, config, Run(tmp_path / "whole", [cached]))
    files = [made.file("update.last.safetensors").read_bytes() for made in (resumed, whole)]
    assert files[0] == files[1]


def test_what_features_say_stands_above_defaults_and_recipes(place: Path, cached: Artifact) -> None:
    config = tiny_run.branches_config(ssl="none", update={"backbone": "resnet34", "dropout": 0.5})
    recipe = {"update.backbone": "recipe compact", "update.dropout": "recipe compact"}
    planned = plan(train_branches.STAGE, config, Run(place, [cached], origins=recipe))
    assert planned.config.update.tree() == {**config_of().network.tree(), "pretrained": None}  # type: ignore[attr-defined]
    chosen = plan(train_branches.STAGE, config, Run(place, [cached], origins={"update.dropout": "--set"}))
    assert chosen.config.update.dropout == 0.5  # type: ignore[attr-defined]
    assert chosen.id != planned.id


@pytest.mark.parametrize(
    ("changes", "origin", "words"),
    [
        ({"update": {**NET, "freeze": 2}}, "update.freeze", r"update.freeze=2 \(--set\): .* was made with freeze=all"),
        ({"update": {**NET, "stride": 8}}, "update.stride", "was made with stride=16"),
        ({"update": {"backbone": "resnet34"}}, "update.backbone", "was made with backbone=resnet18"),
        ({"update": {**NET, "head": "psp"}}, "update.head", "head=psp reads other maps"),
        ({"branches": "update,reference"}, "branches", "for the update branch alone; add --branch update"),
        ({"ssl": "ifr"}, "ssl", "--ssl ifr needs images"),
    ],
)
def test_what_contradicts_features(
    place: Path, cached: Artifact, changes: dict[str, Any], origin: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        train(place, cached, origins={origin: "--set"}, **changes)


def test_an_interrupted_run_keeps_its_complete_files(
    clips: Artifact, cached: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = frame_bytes(Features.read(cached).maps)
    monkeypatch.setattr(features, "FILE_BYTES", 4 * one + 1)
    whole = cache(tmp_path / "whole", clips)
    assert len(list(whole.files("*.h5"))) == 4
    calls = iter(range(1, 100))
    with pytest.raises(InterruptedRun, match="2 of 4 files are complete"):
        cache(tmp_path, clips, stop=lambda: signal.SIGINT if next(calls) == 3 else 0)
    (partial,) = (tmp_path / "features").glob(".partial*")
    kept = {path.name: path.stat().st_mtime_ns for path in partial.glob("*.h5")}
    assert len(kept) == 2
    with pytest.raises(ConfigError, match="--resume"):
        cache(tmp_path, clips)
    made = cache(tmp_path, clips, resume=True)
    assert {name: (made.path / name).stat().st_mtime_ns for name in kept} == kept
    for path in whole.files("*"):
        assert path.read_bytes() == made.file(path.name).read_bytes()


def test_frames_that_the_backbone_has_seen_are_copied(
    place: Path, cached: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More labels make new clips. Another backbone, or damaged features, have seen nothing."""
    rows: list[int] = []
    compute = _cache_features._Maker._computed

    def counted(maker: Any, fresh: list[int]) -> Any:
        rows.extend(fresh)
        return compute(maker, fresh)

    monkeypatch.setattr(_cache_features._Maker, "_computed", counted)
    workspace = tmp_path / "ws"
    shutil.copytree(place / "features", workspace / "features")
    shutil.copytree(place / "clips", workspace / "clips")
    more = tiny_run.make_clips(workspace, height=SIZE[0], width=SIZE[1], train_videos=3)
    given, told = replace(more, workspace=workspace), Told()
    made, fresh = cache(workspace, given, display=told), list(rows)
    assert any("10 of them are copied" in line or "15 of them are copied" in line for line in told.lines), told.lines
    other = cache(tmp_path / "other", more)
    assert 0 < len(fresh) < len(rows) - len(fresh) == 20
    readers = CachedFeatures(made), CachedFeatures(other)
    for row in range(20):
        for mirrored in (False, True):
            for one, two in zip(*(reader.maps(row, mirrored) for reader in readers), strict=True):
                np.testing.assert_allclose(one, two, rtol=2e-3, atol=1e-4)
    rows.clear()
    cache(workspace, given, changes={"seed": 1})
    assert len(rows) == 20
    rows.clear()
    for path in (workspace / "features").glob("*/*.h5"):
        size = path.stat().st_size
        path.unlink()  # HDF5 answers for an open file out of its memory
        path.write_bytes(bytes(size))
    cache(workspace, given, out=tmp_path / "out")
    assert len(rows) == 20


def test_the_network_that_is_not_chosen_does_not_count() -> None:
    ids = [config_of(reference={"backbone": name}).identity() for name in ("resnet18", "resnet50")]
    assert ids[0] == ids[1]
    assert config_of(update={**NET, "freeze": "all"}).identity() == ids[0]
    assert config_of(update={**NET, "stride": 8}).identity() != ids[0]
    with pytest.raises(ValueError, match=r"update\.freeze=2"):
        config_of(update={**NET, "freeze": 2})


def test_features_of_other_clips_are_refused(cached: Artifact, tmp_path: Path) -> None:
    other = ClipStore(tiny_run.make_clips(tmp_path, train_videos=3).path)
    with pytest.raises(ArtifactError, match="was not made from these clips"):
        CachedFeatures(cached).require(other)


def test_the_reader_travels_to_other_processes(cached: Artifact) -> None:
    reader = CachedFeatures(cached)
    before = reader.maps(3, True)
    assert all(map(np.array_equal, pickle.loads(pickle.dumps(reader)).maps(3, True), before))


@pytest.mark.parametrize("name", ["features-00000.h5", "features.json"])
def test_one_flipped_bit_is_found_or_changes_nothing(cached: Artifact, tmp_path: Path, name: str) -> None:
    def read(artifact: Artifact) -> list[Any]:
        reader = CachedFeatures(artifact)
        return [m for row in range(15) for flip in (False, True) for m in reader.maps(row, flip)]

    copy = replace(cached, path=tmp_path / "copy")
    shutil.copytree(cached.path, copy.path)
    faults = told(copy.path / name, lambda: read(copy))
    assert len(faults) > 20
    assert all(str(copy.path / name) in fault for fault in faults)


def test_a_page_of_zeros_is_found(cached: Artifact, tmp_path: Path) -> None:
    """As a disk leaves it that lost a write."""
    copy = replace(cached, path=tmp_path / "copy")
    shutil.copytree(cached.path, copy.path)
    path = copy.path / "features-00000.h5"
    data = path.read_bytes()
    begin = data.index(CachedFeatures(cached).maps(2, True)[0].tobytes())
    path.write_bytes(data[:begin] + bytes(4096) + data[begin + 4096 :])
    with pytest.raises(ArtifactError, match="are not those that were written"):
        CachedFeatures(copy).maps(2, True)


def spoiled(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("name", ["features-00000.h5", "backbone.safetensors"])
@pytest.mark.parametrize("how", [spoiled, cut])
def test_a_missing_or_short_file(
    place: Path, cached: Artifact, tmp_path: Path, name: str, how: Callable[[Path], None]
) -> None:
    shutil.copytree(place, tmp_path / "ws", ignore=shutil.ignore_patterns("branches"))
    path = tmp_path / "ws/features" / cached.path.name
    how(path / name)
    with pytest.raises(ArtifactError, match=name):
        artifacts.open_artifact(path)


def test_numbers_that_16_bits_do_not_hold(clips: Artifact, store: ClipStore, tmp_path: Path) -> None:
    network = build_network(config_of().network, store.labels.num_classes, 0)
    for name, value in network.backbone.state_dict().items():
        value *= 1e9 if name.endswith("bn2.weight") else 1
    save_weights(tmp_path / "big.safetensors", network.backbone.state_dict())
    update = {**NET, "pretrained": str(tmp_path / "big.safetensors")}
    with pytest.raises(ConfigError, match="do not fit into 16 bits"):
        cache(tmp_path, clips, changes={"update": update})


def test_weights_of_a_file_are_named_and_no_longer_needed(clips: Artifact, store: ClipStore, tmp_path: Path) -> None:
    network = build_network(config_of().network, store.labels.num_classes, 7)
    path = tmp_path / "own.safetensors"
    save_weights(path, network.backbone.state_dict())
    cached = cache(tmp_path, clips, changes={"update": {**NET, "pretrained": str(path)}})
    assert Features.read(cached).pretrained["file"] == "own.safetensors"
    assert len(Features.read(cached).pretrained["sha256"]) == 64
    path.unlink()
    made = train(tmp_path, cached)
    load_into(network, made.file("update.last.safetensors"))
    assert Branches.read(made).branches["update"].pretrained["file"] == "own.safetensors"


def test_a_disk_that_is_too_small(clips: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    needed = cache_features.STAGE.bytes_of(config_of(), [clips])
    assert needed is not None
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(ResourceError, match="are free there; free some space, or name a --workspace or --out"):
        cache(tmp_path, clips)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    made = cache(tmp_path, clips)
    assert made.manifest.size == pytest.approx(needed, rel=0.1)
