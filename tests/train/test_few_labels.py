"""What training from few labels adds: class weights, AdamW, warm-up, clipping, averages, rare classes, scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toy_task as toys
from hypothesis import given
from hypothesis import strategies as st

from ifrkit.artifacts.store import Artifact
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import Key
from ifrkit.data.loading import sampler
from ifrkit.data.loading.loader import resized
from ifrkit.data.store.class_pixels import class_pixels
from ifrkit.data.store.clips import ClipStore
from ifrkit.models.balance import class_weights
from ifrkit.testing.methods import toy_clips, toy_task, train
from ifrkit.train.optim import warm


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return toy_clips(tmp_path_factory.mktemp("workspace"), videos=4)


def test_weights_come_from_the_labeled_clips_alone(clips: Artifact) -> None:
    task = toy_task("none", clips, balance={"by": "power"}, labeled={"count": 1})
    store, labeled = ClipStore(clips.path), task.clips.labeled
    assert len(labeled) == 1
    label = store.label(labeled[0], store.clips[labeled[0]].annotated or 0)
    pixels = np.bincount(label.ravel(), minlength=256)[: store.labels.num_classes]
    np.testing.assert_array_equal(class_pixels(store, labeled), pixels[None])
    assert task.class_weights is not None
    expected = class_weights(pixels.tolist(), task.config.balance)
    np.testing.assert_array_equal(task.class_weights.numpy(), expected)


@pytest.mark.parametrize("pseudo", [0.0, 1.0])
def test_methods_see_the_weights_and_on_labels_of_a_network_only_as_asked(clips: Artifact, pseudo: float) -> None:
    # blend pastes true labels into its views; the labeled terms of ifr rebuild a frame whose label is true.
    true = {"sup", "cps.second", "blend.blend", "ifr.labeled", "ifr.labeled_strong"}
    for ssl in ("fixmatch", "ifr", "cps", "tps", "blend"):
        options = {"method": {ssl: {"threshold": 0.0} if ssl == "fixmatch" else {}}, "ce_mean": "all"}
        plain = train(toy_task(ssl, clips, **options), late=1000)[0]
        balance = {"by": "power", "power": 1.0, "pseudo": pseudo}
        heavy = train(toy_task(ssl, clips, balance=balance, **options), late=1000)[0]
        for term in plain:
            assert (plain[term] != heavy[term]) == (term in true or pseudo > 0), (ssl, term)


def test_adamw_takes_its_rates_and_warms_up(clips: Artifact) -> None:
    task = toy_task("none", clips, adamw={"lr_backbone": 2e-4, "lr_head": 8e-4, "power": 1.0}, warmup=2)
    (optimizer,) = task.optimizers
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.01]
    assert task.lrs(0) == pytest.approx([1e-4, 4e-4])
    assert task.lrs(1) == pytest.approx([2e-4 * 0.75, 8e-4 * 0.75])
    assert task.lrs(3) == pytest.approx([2e-4 * 0.25, 8e-4 * 0.25])
    assert [warm(step, 0) for step in (0, 5)] == [1.0, 1.0]


def test_the_average_is_saved_and_resumed(clips: Artifact) -> None:
    task = toy_task("none", clips, ema=0.5)
    average = {name: value.clone() for name, value in task.network.state_dict().items()}
    for step, decay in enumerate((0.0, 0.5, 0.5)):
        train(task, step, step + 1)
        for name, value in task.network.state_dict().items():
            if value.is_floating_point():
                average[name] = decay * average[name] + (1 - decay) * value
    saved, resumed = task.state(), task.module.state_dict()
    for name, value in saved.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, average[name])
        assert torch.equal(resumed[f"average.network.{name}"], value)
    assert not torch.equal(saved["decode_head.conv_seg.weight"], task.network.decode_head.conv_seg.weight)


def test_an_average_does_not_change_how_the_network_trains(clips: Artifact) -> None:
    one, two = toy_task("none", clips, ema=0.9), toy_task("none", clips)
    assert train(one) == train(two)
    assert all(map(torch.equal, one.network.state_dict().values(), two.network.state_dict().values()))


@given(st.data())
def test_a_wanted_class_is_in_the_window(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
    size = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    label = np.zeros((height, width), np.uint8)
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    label[y, x] = 1
    scale = data.draw(st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
    crop, key = CropConfig(size=size, scale=scale), Key(0, data.draw(st.integers(0, 999)), 0)
    window = sampler.crop_window((height, width), crop, key, "labeled", label, wanted=1)
    assert 0 <= window.y <= y < window.y + window.height <= height
    assert 0 <= window.x <= x < window.x + window.width <= width


def test_every_window_with_a_lone_pixel_is_as_likely() -> None:
    label = np.zeros((1, 9), np.uint8)
    label[0, 4] = 1
    starts = [
        sampler.crop_window((1, 9), CropConfig(size=(1, 3)), Key(0, step, 0), "labeled", label, wanted=1).x
        for step in range(3000)
    ]
    np.testing.assert_allclose(np.bincount(starts, minlength=7) / 3000, [0, 0, 1 / 3, 1 / 3, 1 / 3, 0, 0], atol=0.03)


def test_rare_classes_are_wanted_by_the_root_of_their_frequency() -> None:
    pixels = np.array([[64, 0, 0], [0, 4, 0]])
    wanted = [sampler.rare_class(pixels, 0.5, Key(0, step, 0)) for step in range(6000)]
    assert wanted.count(None) / 6000 == pytest.approx(0.5, abs=0.03)
    assert wanted.count(1) / wanted.count(0) == pytest.approx(4.0, rel=0.12)
    assert 2 not in wanted
    assert {sampler.clip_with([7, 9], pixels, 1, Key(0, step, 0)) for step in range(20)} == {9}


def test_windows_have_the_sizes_of_the_scales_and_become_crops() -> None:
    crop = CropConfig(size=(10, 20), scale=(0.5, 2.0))
    windows = [sampler.crop_window((18, 30), crop, Key(0, step, 0), "unlabeled") for step in range(2000)]
    heights = [window.height for window in windows]
    assert min(heights) == 5
    assert max(heights) == 15  # 20 of them would be 40 wide: more than the frame
    assert np.mean([window.height < 10 for window in windows]) == pytest.approx(0.5, abs=0.04)  # log-uniform
    assert all(window.y + window.height <= 18 and window.x + window.width <= 30 for window in windows)
    frame = np.arange(5 * 10 * 3, dtype=np.uint8).reshape(5, 10, 3)
    assert resized(frame, (10, 20)).shape == (10, 20, 3)
    label = np.array([[0, 255], [3, 1]], np.uint8)
    np.testing.assert_array_equal(resized(label, (4, 4)), label.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(resized(np.full((4, 4, 3), 7, np.uint8), (2, 2)), np.full((2, 2, 3), 7))


def test_views_of_a_pool_share_the_scale_and_a_method_that_cannot_keeps_pixels(clips: Artifact) -> None:
    crop = {"size": (24, 32), "scale": (1.2, 1.3)}
    assert train(toy_task("ifr,tps", clips, crop=crop))
    task = toy_task("cac", clips, crop=crop)  # its offsets are counted in pixels of the frame
    raw = next(iter(task.batches(0, 1)))
    store = ClipStore(clips.path)
    place = raw.places["v1_0"][0]
    frame = store.frame(raw.clips["unlabeled"][0], place.frame)[place.y : place.y + 24, place.x : place.x + 32]
    frame = frame[:, ::-1] if place.mirrored else frame
    np.testing.assert_array_equal(raw.images["v1_0"][0].permute(1, 2, 0).numpy(), frame)


def test_a_crop_that_fits_shrinks_to_the_frames(clips: Artifact) -> None:
    task = toy_task("none", clips, crop={"size": (64, 40), "fit": True})
    assert task.crop.size == (32, 40)
    with pytest.raises(Exception, match="larger"):
        toy_task("none", clips, crop={"size": (64, 40)})


def test_jitter_changes_the_labeled_frame_alone(clips: Artifact) -> None:
    plain, jittered = (toy_task("ifr", clips, crop={"size": (24, 32), "jitter": j}) for j in (0.0, 0.4))
    one, two = (task.to_device(next(iter(task.batches(3, 4)))) for task in (plain, jittered))
    assert {name for name in one.views if not torch.equal(one.views[name], two.views[name])} == {"v0_0"}


def test_scales_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller factor comes first"):
        TrainBranchesConfig.of({"crop": {"scale": (2.0, 0.5)}})


def test_a_long_gradient_is_shortened_and_a_short_one_is_not(tmp_path: Path) -> None:
    def trained(name: str, **loop: float) -> list[torch.Tensor]:
        task = toys.ToyTask(norm=False)
        toys.train(tmp_path / name, task, steps=1, **loop)
        return [p.detach() for p in task.module.parameters()]

    start = list(toys.ToyTask(norm=False).module.parameters())
    for before, after in zip(start, trained("held", clip_norm=1e-9), strict=True):
        torch.testing.assert_close(
            after, (1 - 0.1 * 1e-3) * before.detach()
        )  # weight decay does not belong to the gradient
    assert all(map(torch.equal, trained("free"), trained("loose", clip_norm=1e9)))
