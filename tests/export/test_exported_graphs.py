"""Graphs in both formats against the torch model: any batch, odd sizes, state that is fed back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_video import moving_clip, video_model
from torch import nn
from toy_video import OPEN, ToyVideo, exported

from ifrkit.config.network import network_config
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import names
from ifrkit.export import extra
from ifrkit.export.check import Difference, compare
from ifrkit.export.extra import extra as package
from ifrkit.export.extra import require_onnx
from ifrkit.export.formats import SUFFIX, write
from ifrkit.export.graphs import Branch, Pool, graphs, without_adaptive_pooling
from ifrkit.export.runtime import ExportedModel, open_graph
from ifrkit.models.network import build_network

FORMATS = ["torch"]
try:
    require_onnx()
    FORMATS.append("onnx")
except Exception:  # the extra is not there, or broken
    pass


@pytest.fixture(scope="module", params=FORMATS)
def toy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    """Format, directory and the model that was opened from its files."""
    place = tmp_path_factory.mktemp(request.param)
    return request.param, place, exported(place, request.param)


@pytest.mark.parametrize("size", [(72, 96), (81, 70), (67, 133)])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_batch_and_any_size(toy: tuple[str, Path, Any], size: tuple[int, int], batch: int) -> None:
    format, _, model = toy
    found = compare(ToyVideo().eval(), model, [moving_clip(size, 4, batch)])
    for difference in found.values():
        assert difference.sizes == [[batch, *size]]
        assert difference.relative <= (0 if format == "torch" else 1e-5)
    assert (found["start"].frames, found["step"].frames) == (batch, 3 * batch)


@pytest.mark.parametrize(
    ("format", "stride"),
    [
        ("torch", 8),
        ("onnx", 16),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("torch", 16), ("onnx", 8))),
    ],
)
def test_a_light_branch_of_any_size(format: str, stride: int, tmp_path: Path) -> None:
    """It fills images up to whole cells, and cuts its maps."""
    config = network_config({"backbone": "efficientnet-lite0", "stages": 3, "head": "light", "stride": 8})
    if stride == 16:
        config = network_config({"backbone": "efficientnet-lite0", "stages": 4, "head": "light"})
    model = Branch(build_network(config, 3, seed=0)).eval().requires_grad_(False)
    sizes = [(72, 96), (81, 70), (100, 68), (90, 120)]
    (graph,) = graphs("update", model, (72, 96), OPEN)
    write(graph, path := tmp_path / f"update{SUFFIX[format]}", {})
    found = compare(model, ExportedModel(open_graph(path), None), [moving_clip(size, 1, 2) for size in sizes])
    assert len(found["start"].sizes) == len(sizes)
    assert found["start"].relative <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("arch", [name for name in names("architectures") if name != "tdnet"])  # it is refused
@pytest.mark.parametrize("format", FORMATS)
def test_both_steps_of_every_architecture(format: str, arch: str, tmp_path: Path) -> None:
    """Key step and update step, any size and batch; each feeds on its own state for three frames."""
    model = video_model(arch).requires_grad_(False)
    runs = []
    for graph in graphs(arch, without_adaptive_pooling(model) if format == "onnx" else model, (72, 96), OPEN):
        write(graph, path := tmp_path / f"{graph.name}{SUFFIX[format]}", {})
        runs.append(open_graph(path))
    found = compare(model, ExportedModel(*runs), [moving_clip((72, 96), 4, 1), moving_clip((81, 70), 4, 2)])
    for step, frames in (("start", 3), ("step", 9)):
        assert (found[step].frames, found[step].sizes) == (frames, [[1, 72, 96], [2, 81, 70]])
        assert found[step].relative <= (1e-6 if format == "torch" else 1e-4)


@pytest.mark.parametrize(("format", "dynamic"), [("torch", ()), *((format, ("batch",)) for format in FORMATS)], ids=str)
def test_fixed_dimensions(format: str, dynamic: tuple[str, ...], tmp_path: Path) -> None:
    model = exported(tmp_path, format, dynamic)
    batch = 3 if dynamic else 1
    found = compare(ToyVideo().eval(), model, [moving_clip((45, 61), 3, batch)])
    assert max(d.relative for d in found.values()) < 1e-5
    with pytest.raises(Exception, match=r"(?i)guard|dimension|shape|equal"):
        model.start(moving_clip((47, 61), 1, batch)[:, 0])


def test_the_state_is_really_fed_back(toy: tuple[str, Path, Any]) -> None:
    frames = moving_clip((72, 96), 3, 1)
    model = toy[2]
    _, state = model.start(frames[:, 0])
    once = model.step(frames[:, 1], state)
    twice = model.step(frames[:, 1], once[1])
    assert not torch.allclose(once[0], twice[0], atol=1e-3)


def test_files_hold_metadata_and_no_place_of_this_machine(toy: tuple[str, Path, Any]) -> None:
    format, place, _ = toy
    for name in ("key-step", "update-step"):
        if format == "onnx":
            loaded = package("onnx").load(place / f"{name}.onnx")
            found = {p.key: json.loads(p.value) for p in loaded.metadata_props}
            dims = loaded.graph.input[0].type.tensor_type.shape.dim
            assert [d.dim_param for d in dims] == ["batch", "", "height", "width"]
        else:
            files = {"metadata.json": ""}
            torch.export.load(place / f"{name}.pt2", extra_files=files)
            found = json.loads(files["metadata.json"])
        assert found == {"classes": ["a", "b"], "graph": name}
    for file in place.iterdir():
        assert str(Path(__file__).parents[2]).encode() not in file.read_bytes()


def test_a_step_holds_its_own_weights_only(toy: tuple[str, Path, Any]) -> None:
    format, place, _ = toy
    for name, parts in (("key", {"heavy"}), ("update", {"light", "motion"})):
        if format == "onnx":
            weights = [w.name for w in package("onnx").load(place / f"{name}-step.onnx").graph.initializer]
        else:
            weights = [*torch.export.load(place / f"{name}-step.pt2").state_dict]
        assert {part for part in ("heavy", "light", "motion") if any(part in w for w in weights)} == parts


def test_inputs_and_outputs_are_described() -> None:
    model: Any = ToyVideo()
    key, update = graphs("toy", model, (45, 61), OPEN)
    assert key.outputs == ("logits", "scores_bkhw", "key_b3hw")
    assert update.inputs == ("frame", "scores_bkhw", "key_b3hw")
    assert update.outputs == ("logits", "next_scores_bkhw", "next_key_b3hw")
    assert [update.shape(x) for x in update.example] == [
        ["batch", 3, "height", "width"],
        ["batch", 5, "ceil(height/4)", "ceil(width/4)"],
        ["batch", 3, "height", "width"],
    ]
    fixed, _ = graphs("toy", model, (45, 61), ())
    assert fixed.shape(fixed.example[0]) == [1, 3, 45, 61]


@settings(max_examples=60, deadline=None)
@given(cells=st.sampled_from([1, 2, 3, 6]), h=st.integers(1, 40), w=st.integers(1, 40))
def test_pooling_by_matrices_is_adaptive_pooling(cells: int, h: int, w: int) -> None:
    x = torch.rand(2, 3, h, w, generator=torch.Generator().manual_seed(h * 41 + w))
    torch.testing.assert_close(Pool(cells)(x), nn.AdaptiveAvgPool2d(cells)(x), rtol=1e-5, atol=1e-6)


def test_what_differs_is_counted() -> None:
    wanted, other = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    wanted[0, 0] = 4.0
    other[0, 0] = 4.0
    other[0, 1, 0, 0] = 5.0
    found = Difference()
    found.add([wanted], [other])
    assert (found.absolute, found.relative, found.changed_pixels, found.pixels) == (5.0, 1.25, 1, 4)
    found.add([wanted], [wanted * float("nan")])
    assert found.relative == float("inf")
    with pytest.raises(ValueError, match="gives"):
        found.add([wanted], [wanted[..., :1]])


def test_a_missing_extra_is_one_line_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"onnxscript .*; pip install 'ifrkit\[onnx\]', or --format torch"):
        package("onnxscript")
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"not installed.*ifrkit\[onnx\]"):
        extra.require_installed()


def test_a_state_that_is_no_named_tuple_is_refused() -> None:
    class Loose(ToyVideo):
        def start(self, key_b3hw: torch.Tensor) -> Any:
            return super().start(key_b3hw)[0], {"scores": key_b3hw}

    with pytest.raises(ConfigError, match="NamedTuple"):
        list(graphs("toy", Loose(), (45, 61), ()))  # type: ignore[arg-type]
