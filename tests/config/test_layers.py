"""defaults < recipes < --config < flags and --set; every value knows its origin; errors begin with the dotted key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ifrkit.config import resolve as module
from ifrkit.config.cache_features import CacheFeaturesConfig
from ifrkit.config.evaluate import EvalConfig
from ifrkit.config.predict import PredictConfig
from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.resolve import resolve, rows
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.config.yamlio import parse_yaml
from ifrkit.core.errors import ConfigError
from ifrkit.core.invalid import Invalid


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    texts: dict[str, str] = {}
    monkeypatch.setattr(module, "read_recipe", lambda name: parse_yaml(texts[name], f"recipe {name}"))
    return texts


def _branches(**given: Any) -> tuple[TrainBranchesConfig, dict[str, str]]:
    return resolve(TrainBranchesConfig, "train-branches", **given)


def test_later_layers_win_and_are_remembered(recipes: dict[str, str], tmp_path: Path) -> None:
    recipes["low"] = "train-branches: {loop: {steps: 10, batch: 2}, sgd: {lr_head: 1e-3}}\nprepare: {seed: 9}"
    recipes["high"] = "train-branches: {loop: {batch: 3}}"
    file = tmp_path / "c.yaml"
    file.write_text("loop: {eval_every: 5}\nsgd: {lr_head: 2e-3}\n")
    flags = {"loop.steps": (20, "--steps"), "seed": (None, "--seed")}
    config, origins = _branches(
        recipes=["low", "high"], file=file, flags=flags, sets=["sgd.lr_head=4e-3", "ce_mean=valid"]
    )
    assert (config.loop.steps, config.loop.batch, config.loop.eval_every) == (20, 3, 5)
    assert (config.sgd.lr_head, config.ce_mean, config.seed) == (4e-3, "valid", 0)
    assert origins == {
        "loop.steps": "--steps",
        "loop.batch": "recipe high",
        "loop.eval_every": str(file),
        "sgd.lr_head": "--set",
        "ce_mean": "--set",
    }
    shown = {key: origin for _, key, _, origin in rows(config, origins)}
    assert shown["batch"] == "recipe high"
    assert shown["accumulate"] == "default"


def test_a_config_file_may_have_sections_or_not(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("train-branches: {loop: {steps: 7}}\neval: {split: test}\n")
    assert _branches(file=file)[0].loop.steps == 7
    assert resolve(EvalConfig, "eval", file=file)[0].split == "test"
    assert resolve(TrainFusionConfig, "train-fusion", file=file)[0] == TrainFusionConfig()
    file.write_text("")
    assert _branches(file=file)[0] == TrainBranchesConfig()
    file.write_text("train-branches: {}\nevall: {}\n")
    with pytest.raises(ConfigError, match=r"^evall: unknown section .* did you mean 'eval'"):
        _branches(file=file)
    file.write_text("train-branches: 3\n")
    with pytest.raises(ConfigError, match=r"^train-branches: not a mapping"):
        _branches(file=file)
    file.write_text("- 3\n")
    with pytest.raises(ConfigError, match="not a mapping"):
        _branches(file=file)


@pytest.mark.parametrize(
    ("assignment", "wanted"),
    [
        ("loop.stepz=1", "loop.stepz: unknown key (from --set); did you mean 'steps'?"),
        ("looop.steps=1", "looop: unknown key (from --set); did you mean 'loop'?"),
        ("loop.steps=0", "loop.steps: has to be a whole number, at least 1, got 0 (from --set)"),
        ("loop=5", "loop: has to be a table of keys and values, got 5 (from --set)"),
        ("crop.size=[64]", "crop.size: has to be a list of 2, each a whole number, at least 1, got [64] (from --set)"),
        ("crop.size=[64,0]", "crop.size.1: has to be a whole number, at least 1, got 0 (from --set)"),
        ("update.backbone=resnet19", "no backbone plug-in named 'resnet19'; did you mean 'resnet18'?"),
        ("update.head=pps", "no head plug-in named 'pps'; did you mean 'psp'?"),
        ("update.stride=12", "stride 12: resnet18 cannot be built for it; known: 8, 16, 32"),
        ("reference.stem=deap", "reference.stem: has to be 'deep' or 'basic', got 'deap' (from --set)"),
        ("update.stam=deep", "update.stam: unknown key (from --set); did you mean 'stem'?"),
        ("update.width=.nan", "update.width: has to be a number, above 0 and at most 4, got nan (from --set)"),
        ("sgd.momentum=.inf", "sgd.momentum: has to be a finite number, got inf (from --set)"),
        ("method.ifr.strong=.inf", "method.ifr.strong: has to be a finite number, got inf (from --set)"),
        ("update.freeze=0", "update.freeze: has to be a whole number, at least 1, got 0 (from --set)"),
        ("update.freeze=some", "update.freeze: has to be 'none' or 'all', got 'some' (from --set)"),
        ("loop.steps=true", "loop.steps: has to be a whole number, at least 1, got True (from --set)"),
        ("branches=updat", "branches.0: has to be 'update' or 'reference', got 'updat' (from --set)"),
        ("crop.scale=[2,1]", "crop: scale 2 to 1: the smaller factor comes first (from --set)"),
        ("method.ifr.temprature=1", "method.ifr.temprature: unknown key (from --set); did you mean 'temperature'?"),
        ("method.ifr.temperature=warm", "method.ifr.temperature: has to be a number, above 0, got 'warm' (from --set)"),
        ("method.none.x=1", "method.none: options of a method that --ssl does not name"),
        (
            "labeled.partition=1-2",
            "labeled.partition: has to be text, of the form ^1/[1-9][0-9]*$, got '1-2' (from",
        ),
        ("ssl=ifrr", "no method plug-in named 'ifrr'; did you mean 'ifr'?"),
        ("loop.steps", "--set loop.steps: not of the form a.b=value"),
        ("=1", "--set =1: not of the form"),
        ("a..b=1", "--set a..b=1: not of the form"),
        ("loop.steps=[", "--set loop.steps:1: "),
    ],
)
def test_errors_are_one_line_that_begins_with_the_key(assignment: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _branches(sets=[assignment])
    assert str(caught.value).startswith(wanted)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("assignment", "wanted"),
    [
        ("size=[0,0]", "size.0: has to be a whole number, at least 1, got 0 (from --set)"),
        ("size=[48]", "size: has to be a list of 2, each a whole number, at least 1, got [48] (from --set)"),
        ("size=trian", "size: has to be 'train' or 'own', got 'trian' (from --set)"),
    ],
)
def test_of_several_types_the_error_of_the_nearest_is_told(assignment: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(PredictConfig, "predict", flags={"videos": (("v.mp4",), "VIDEO")}, sets=[assignment])
    assert str(caught.value).startswith(wanted)


def test_errors_inside_optional_and_plugin_parts() -> None:
    with pytest.raises(ConfigError, match=r"^labeled\.partitio: unknown key .* did you mean 'partition'"):
        resolve(TrainFusionConfig, "train-fusion", sets=["labeled.partitio=1/2"])
    with pytest.raises(ConfigError, match=r"^options\.heigth: unknown key .* did you mean 'height'"):
        resolve(PrepareConfig, "prepare", sets=["dataset=synthetic", "options.heigth=8"])
    with pytest.raises(ConfigError, match=r"^dataset: has to be given"):
        resolve(PrepareConfig, "prepare")
    with pytest.raises(ConfigError, match=r"no metric plug-in named 'mious'"):
        resolve(EvalConfig, "eval", sets=["metrics=mious"])


@pytest.mark.parametrize("key", ["x` - at `$.loop.y", "$.loop", "` - at `$.loop[...].z", "[...]", 'a"b', "a\udcff"])
def test_keys_that_msgspec_stumbles_over(key: str) -> None:
    for tree in ({key: 1}, {"loop": {key: 1}}, {"unlabeled": key}, {"crop": {key: {key: key}}}):
        with pytest.raises(Invalid):
            TrainBranchesConfig.of(tree)


def test_a_recipe_serves_every_dataset_and_method(recipes: dict[str, str]) -> None:
    recipes["r"] = """
prepare: {dataset: synthetic, options: {train_videos: 2}}
train-branches: {method: {ifr: {ramp_up: 5}}}
"""
    assert resolve(PrepareConfig, "prepare", recipes=["r"])[0].options.tree()["train_videos"] == 2
    other, origins = resolve(PrepareConfig, "prepare", recipes=["r"], flags={"dataset": ("folders", "DATASET")})
    assert other.dataset == "folders"
    assert origins == {"dataset": "DATASET"}
    assert _branches(recipes=["r"])[0].method["ifr"].tree()["ramp_up"] == 5
    supervised, origins = _branches(recipes=["r"], flags={"ssl": ("none", "--ssl")})
    assert set(supervised.method) == {"none"}
    assert origins == {"ssl": "--ssl"}


def test_a_method_that_is_no_name_is_refused_beside_a_recipe_too() -> None:
    with pytest.raises(ConfigError, match=r"^ssl: "):
        _branches(recipes=["methods"], sets=["ssl=3"])


def test_a_plugin_is_the_same_however_its_name_is_written() -> None:
    """Another spelling may neither lose what a recipe says of it, nor make another artifact."""
    one, other = (
        _branches(recipes=["paper-equations"], flags={"ssl": (ssl, "--ssl")})[0]
        for ssl in ("ifr,self-training", "IFR,Self_Training,ifr")
    )
    assert one == other
    assert one.ssl == ("ifr", "self-training")
    assert one.method["ifr"].tree()["ramp_up"] == 0
    by_hand = _branches(flags={"ssl": ("Self_Training", "--ssl")}, sets=["method.self_training.weight=2"])[0]
    assert by_hand.method["self-training"].tree()["weight"] == 2
    assert resolve(PrepareConfig, "prepare", sets=["dataset=Synthetic"])[0].dataset == "synthetic"
    assert TrainFusionConfig(arch="Accel") == TrainFusionConfig()


def test_the_printed_rows_rebuild_the_config() -> None:
    config, origins = _branches(sets=["ssl=ifr", "method.ifr.ramp_up=7", "crop.size=[32,64]"])
    text = "\n".join("  " * d + (f"{k}:" if not o else f"{k}: {json.dumps(v)}") for d, k, v, o in rows(config, origins))
    again = TrainBranchesConfig.of(parse_yaml(text, "printed"))
    assert again == config


def test_every_recipe_that_ships_validates() -> None:
    from importlib import resources

    stages = {"prepare": PrepareConfig, "train-branches": TrainBranchesConfig, "eval": EvalConfig}
    stages |= {"train-fusion": TrainFusionConfig}
    names = [p.name.removesuffix(".yaml") for p in (resources.files("ifrkit") / "recipes").iterdir()]
    for name in [n for n in names if not n.startswith("_")]:
        for stage, cls in stages.items():
            flags = {"dataset": ("synthetic", "DATASET")} if stage == "prepare" else {}
            resolve(cls, stage, recipes=[name], flags=flags)


def test_an_id_follows_the_content_of_a_named_file_and_the_id_of_a_named_artifact(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("clip 1\n")
    second.write_text("clip 1\n")
    identity = [_branches(sets=[f"labeled.list={path}"])[0].identity() for path in (first, second)]
    assert identity[0] == identity[1] != _branches()[0].identity()
    second.write_text("clip 2\n")
    assert _branches(sets=[f"labeled.list={second}"])[0].identity() != identity[0]
    with pytest.raises(ConfigError, match=r"^pretrained: .*nowhere cannot be read"):
        _branches(sets=["update.pretrained=nowhere"])[0].identity()
    fusion = [resolve(TrainFusionConfig, "train-fusion", sets=sets)[0].identity() for sets in ([], ["flow=abc"])]
    assert fusion[0] == fusion[1]
    by_id, by_kind, dis, truth = (EvalConfig(flow=name).identity() for name in ("abcd1234", "flow", "DIS", "truth"))
    assert by_id == by_kind
    assert dis == EvalConfig().identity() != truth
    assert by_id not in (dis, truth)
    named = [_branches(sets=["ssl=[self-training]", *sets])[0] for sets in ([], ["method.self-training.labels=abc"])]
    assert named[0] != named[1]
    assert named[0].identity() == named[1].identity()


def test_an_id_does_not_depend_on_how_a_run_is_run() -> None:
    quick = _branches(sets=["runtime.workers=0", "runtime.log_every=1"])[0]
    assert quick.identity() == _branches()[0].identity()
    nested = [resolve(TrainFusionConfig, "train-fusion", sets=s)[0] for s in ([], ["pretrain.runtime.workers=0"])]
    assert nested[0].identity() == nested[1].identity()


def test_a_file_that_may_not_end_is_not_read(tmp_path: Path) -> None:
    """Its content is part of the id: of a device it would be read for ever, of a pipe waited for."""
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/zero", str(tmp_path / "pipe")):
        for key in ("labeled", "update"):
            field = "list" if key == "labeled" else "pretrained"
            config = TrainBranchesConfig.of({key: {field: place}})
            with pytest.raises(ConfigError, match=f"{field}: {place} is not a plain file"):
                config.identity()


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"dataset": "synthetic", "size": [100_000, 100_000]}
    told = r"size: more than 64 megapixels, got \[100000, 100000\]; set IFRKIT_MAX_MEGAPIXELS higher"
    with pytest.raises(ConfigError, match=told):
        PrepareConfig.of(config)
    monkeypatch.setenv("IFRKIT_MAX_MEGAPIXELS", "10000")
    assert PrepareConfig.of(config).size == (100_000, 100_000)


def test_keys_of_another_section_are_borrowed(tmp_path: Path) -> None:
    """Those of the same names, below the stage's own; the rest of that section is not for it."""
    config, origins = resolve(CacheFeaturesConfig, "cache-features", recipes=["compact"])
    assert (config.update.backbone, config.network.head) == ("efficientnet-lite0", "light")
    assert origins["update.backbone"] == "recipe compact"
    assert not any(key.startswith("loop") for key in origins)
    own = tmp_path / "own.yaml"
    own.write_text(
        "train-branches: {update: {width: 0.5, dropout: 0.2}, seed: 3}\ncache-features: {update: {width: 0.25}}\n"
    )
    config, origins = resolve(CacheFeaturesConfig, "cache-features", file=own, sets=["batch=2"])
    assert (config.update.width, config.update.dropout, config.seed, config.batch) == (0.25, 0.2, 3, 2)
    own.write_text("train-branches: 3\n")
    with pytest.raises(ConfigError, match="train-branches: not a mapping"):
        resolve(CacheFeaturesConfig, "cache-features", file=own)
