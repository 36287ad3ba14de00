"""The parts of a frozen record: which lines of `ifrkit` are run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from frozen_contents import Values, contents, graph_outputs, plain
from frozen_forks import cli, forked, root_command
from frozen_inputs import TOYS

Job = tuple[str, Callable[[], Values]]

STREET = "{train_videos: 4, val_videos: 2, clip_length: 17, height: 48, width: 64}"

RUN = "--device cpu --threads 1 --set runtime.workers=0"
_LOOP = f"{RUN} --steps 3 --set loop.batch=2 --set loop.eval_every=2 --set runtime.log_every=1"
BRANCHES = (
    f"train-branches {_LOOP} --backbone resnet18,resnet18 --set update.width=0.0625 --set reference.width=0.0625 "
    "--set crop.size=[32,48] --set sgd.lr_backbone=0.05 --set sgd.lr_head=0.05"
)
FLOW = f"train-flow {_LOOP} --set width=0.0625 --set crop=[32,48] --set lr=0.001 --set warmup_share=0.34"
FUSION = f"train-fusion {_LOOP} --set crop=[32,48] --set key_interval=3 --set lr=0.01 --set warmup_steps=2"

METHODS = {
    "none": "",
    "ifr": "ramp_up=1 labeled=0.03 unlabeled=0.03 strong=1",
    "cct": "ramp_up=1 things=[6,7]",
    "cac": "start=1 threshold=0.1 embedding=16 weight=1",
    "cps": "",
    "fixmatch": "threshold=0.1",
    "cutmix": "threshold=0.1",
    "classmix": "threshold=0.1",
    "unimatch": "threshold=0.1",
    "tdc": "ramp_up=1 weight=1",
    "advsemi": "start=1 threshold=0.4 channels=8 lr=0.001 labeled=1 unlabeled=1 semi=1",
    "s4gan": "threshold=0.3 channels=8 lr=0.001 match=1",
    "self-training": "threshold=0.5",
    "tps": "weight=1",
    "pseudoseg": "present=0.3",
    "dars": "ratio=0.5",
}
"""Each method so that all its terms count from the second step on, though the networks know nothing yet."""
_IFR = " ".join(f"--set method.ifr.{pair}" for pair in METHODS["ifr"].split())
VARIANTS = {
    "deeplab": "--ssl none --set update.head=deeplabv3plus --set update.stem=basic --set reference.head=deeplabv3plus "
    "--set reference.backbone=resnet50",
    "basic-stem": "--ssl none --set update.stem=basic --set update.backbone=resnet34 --set reference.stem=basic "
    "--set reference.backbone=resnet50 --set reference.width=0.125 --set update.dropout=0",
    "ifr-deeplab": f"--ssl ifr {_IFR} --branch update --backbone resnet18 --set update.head=deeplabv3plus",
    "ifr,fixmatch": f"--ssl ifr,fixmatch {_IFR} --set method.fixmatch.threshold=0.1",
    "ifr-joint": f"--ssl ifr {_IFR} --set method.ifr.passes=joint",
    "ifr-equations": "--ssl ifr --recipe paper-equations --set method.ifr.labeled=1 --set method.ifr.unlabeled=1",
    "ifr-passes": f"--ssl ifr {_IFR} --budget passes --steps 9",
    "ifr-no-dropout": f"--ssl ifr {_IFR} --set method.ifr.label_dropout=false --set crop.shared_flip=true",
    "annotated": "--ssl fixmatch --set method.fixmatch.threshold=0.1 --set unlabeled=annotated",
    "fixmatch-ema": "--ssl fixmatch --set method.fixmatch.threshold=0.1 --set method.fixmatch.export=ema",
    "cps-cutmix": "--ssl cps --set method.cps.cutmix=true --set method.cps.ramp_up=2 --set method.cps.mean=valid",
    "unimatch-2": "--ssl unimatch --set method.unimatch.version=2 --set method.unimatch.threshold=0.1",
    "partition": "--ssl none --partition 1/2 --partition-seed 3 --seed 5 --set loop.batch=4 --set loop.accumulate=2 "
    "--set loop.channels_last=true --set ce_mean=valid",
    "bf16": "--ssl cps --set loop.amp=bf16",
}
RECIPES = ("camvid", "cityscapes", "small", "tiny")
ARCHITECTURES = {
    "accel": "--arch accel",
    "dff": "--arch dff --set max_distance=5",
    "davss": "--arch davss --set adam.lr=0.05 --set max_distance=12 --steps 5",
    "tdnet": "--arch tdnet --set distance=uniform",
    "accel-uniform": "--arch accel --set distance=uniform --set fusion_init=average --set checkpoint=last",
    "accel-pseudo": "--arch accel --ssl pseudo --set pseudo.threshold=0.5",
    "dff-pseudo": "--arch dff --ssl pseudo --set pseudo.threshold=0.5",
}
PRETRAIN = (
    "--set pretrain.width=0.0625 --set pretrain.crop=[32,48] --set pretrain.loop.steps=2 --set pretrain.loop.batch=2"
)


class Bench:
    """A workspace, where each artifact that others start from is made once."""

    def __init__(self, work: Path, trees: Path) -> None:
        self.work, self.trees = work, trees

    def make(self, name: str, line: str) -> Path:
        """The artifact that a line of `ifrkit` makes at a place of this name."""
        target = self.work / name
        if not target.exists():
            cli(f"{line} --out {target}", self.work)
        return target

    def made(self, name: str, line: str) -> Values:
        """The contents of that artifact."""
        return contents(self.make(name, line))

    @cached_property
    def clips(self) -> Path:
        """Synthetic clips, with exact flow and every label."""
        return self.make("clips", f"prepare synthetic --set runtime.workers=0 --set 'options={STREET}'")

    @cached_property
    def branches(self) -> Path:
        """Two supervised branches of different width, trained for long enough to see more than one class."""
        line = f"{BRANCHES} --ssl none --set reference.width=0.125 --steps 30 --set loop.eval_every=10"
        return self.make("branches", f"{line} --from {self.clips}")

    @cached_property
    def pseudo(self) -> Path:
        """Pseudo labels of the branches, averaged over sizes."""
        return self.make("pseudo", f"pseudo-label {RUN} --from {self.branches} --set scales=[0.5,1]")

    @cached_property
    def flow(self) -> Path:
        """Flow learned from the video itself."""
        return self.make("flow", f"{FLOW} --set supervision=photometric --from {self.clips}")

    def video_model(self, name: str) -> Path:
        """A video model of these branches and this flow."""
        line = f"{FUSION} {ARCHITECTURES[name]} --from {self.branches} --flow {self.flow}"
        return self.make(f"video-{name}", line)


def flags(bench: Bench) -> Iterator[Job]:
    """Names, types, defaults and help of every command and option."""

    def described(command: Any, name: str, context: Any) -> Values:
        found: Values = {name: {"help": command.help, "short": command.get_short_help_str(100)}}
        for option in command.params:
            info = option.to_info_dict()
            found[f"{name} {'/'.join(info['opts'])}"] = json.loads(json.dumps(info, default=str))
        for sub in command.list_commands(context) if hasattr(command, "list_commands") else []:
            found |= described(command.get_command(context, sub), f"{name} {sub}", context)
        return found

    def all_of_them() -> Values:
        import click

        group = root_command()
        return described(group, "ifrkit", click.Context(group))

    yield "", lambda: forked(all_of_them, bench.work)


_EVERY = f"train-branches --ssl {','.join(METHODS)} --recipe"
CONFIGS = [
    *(f"prepare {name}" for name in ("synthetic", *TOYS)),
    *(f"train-branches --ssl {name}" for name in METHODS),
    *("train-branches", "pseudo-label", "train-flow", "train-fusion", "eval", "export", "predict videos"),
    *(f"train-fusion --arch {name}" for name in ("dff", "davss", "tdnet")),
    *(f"prepare synthetic --recipe {recipe}" for recipe in ("camvid", "cityscapes")),
    *(f"train-{what} --recipe {name}" for name in RECIPES for what in ("branches", "flow", "fusion")),
    *(f"{_EVERY} {recipe}" for recipe in (*RECIPES, "methods")),
    "train-branches --recipe cityscapes,paper-equations",
]


def config(bench: Bench) -> Iterator[Job]:
    """The values of --print-config for each stage, method and recipe, and the names of the plug-ins."""

    def values(line: str) -> Values:
        printed = cli(f"{line} --print-config --json", bench.trees)
        return plain(json.loads(printed)["config"])

    def known(line: str) -> Values:
        try:
            cli(line, bench.work)
        except RuntimeError as error:
            return {"": str(error).partition("known: ")[2].partition(" |")[0]}
        raise RuntimeError("an unknown name was taken")

    for line in CONFIGS:
        yield line.replace(_EVERY, "all methods"), partial(values, line)
    yield "methods", partial(known, "train-branches --ssl qqqqqqqq --print-config")
    yield "metrics", partial(known, "eval --metric qqqqqqqq --print-config")
    yield "architectures", partial(known, "train-fusion --arch qqqqqqqq --print-config")
    yield "datasets", partial(known, "prepare qqqqqqqq --print-config")


def prepare(bench: Bench) -> Iterator[Job]:
    """Clip stores of every dataset's toy tree, of the codecs, and of what labeling tools export."""
    codecs = {"png": "--set codec=png", "jpeg": "--set codec=jpeg --set full_labels=true --seed 3"}
    yield "synthetic", lambda: contents(bench.clips)
    street = "--set 'options={train_videos: 1, val_videos: 1, clip_length: 4, height: 40, width: 56}'"
    lines = {f"synthetic-{name}": f"synthetic {street} {line}" for name, line in codecs.items()}
    roots = {name: f"{name} --root {bench.trees / name}" for name in TOYS}
    lines |= roots | {f"{name}-png": f"{line} --set codec=png --set size=[24,40]" for name, line in roots.items()}
    lines["cityscapes"] += " --set size=[48,96]"
    lines["camvid-original"] = f"camvid --root {bench.trees / 'camvid-original'}"
    lines["camvid-clips"] = f"{roots['camvid']} --clip-length 4"
    lines["folders-full"] = f"{roots['folders']} --clip-length 7 --set full_labels=true --set size=[30,44]"
    for tree in sorted(bench.trees.glob("labels-*")):
        place = f"--labels {tree / 'labels.zip'}" if (tree / "labels.zip").exists() else ""
        lines[tree.name] = f"folders --root {tree} --clip-length 4 {place}"
    for name, line in lines.items():
        yield name, partial(bench.made, f"clips-{name}", f"prepare {line} --set runtime.workers=0")


def train(bench: Bench) -> Iterator[Job]:
    """Weights of both branches after three steps, of every method and of variants of branches and training."""

    def run(name: str, line: str) -> Values:
        given = [f"--set method.{own}.labels={bench.pseudo}" for own in ("self-training", "dars") if own in line]
        return bench.made(f"train-{name}", f"{BRANCHES} {line} {' '.join(given)} --from {bench.clips}")

    yield "two-widths", lambda: contents(bench.branches)
    for name, options in METHODS.items():
        pairs = " ".join(f"--set method.{name}.{pair}" for pair in options.split())
        yield name, partial(run, name, f"--ssl {name} {pairs}")
    for name, line in VARIANTS.items():
        yield name, partial(run, name, line)
    yield "two-ranks", lambda: two_ranks(bench)


def two_ranks(bench: Bench) -> Values:
    """IFR on two processes."""
    target = bench.work / "train-ranks"
    line = f"{BRANCHES} --ssl ifr {_IFR} --set loop.batch=4 --from {bench.clips} --out {target}"
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ifrkit"]
    done = subprocess.run([sys.executable, *command, *shlex.split(line)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    return contents(target)


def video(bench: Bench) -> Iterator[Job]:
    """Weights of flow networks and of the video models."""
    yield "flow", lambda: contents(bench.flow)
    truth = f"{FLOW} --set supervision=truth"
    yield "flow-truth", lambda: bench.made("flow-truth", f"{truth} --from {bench.clips}")
    for name in ARCHITECTURES:
        yield name, lambda name=name: contents(bench.video_model(name))  # type: ignore[misc]
    alone = f"{FUSION} --arch davss {PRETRAIN} --workspace {bench.work / 'empty'}"
    yield "flow-first", lambda: bench.made("video-flow-first", f"{alone} --from {bench.branches}")


def pseudo(bench: Bench) -> Iterator[Job]:
    """Pseudo labels and their confidence."""
    yield "reference", lambda: contents(bench.pseudo)
    line = f"pseudo-label {RUN} --branch update --set flip=false --set checkpoint=last"
    yield "update", lambda: bench.made("pseudo-update", f"{line} --from {bench.branches}")


def judge(bench: Bench) -> Iterator[Job]:
    """Reports: every metric, all sources of flow, distances, pictures."""
    line = f"eval {RUN} --metric miou,tc,tc-etc,tc-pair,mvc8,mvc16"
    accel = f"{line} --flow dis --distances 3 --key-interval 3 --set distance=2 --set pictures=2"
    yield "accel", lambda: bench.made("report-accel", f"{accel} --from {bench.video_model('accel')}")
    branches = f"{line} --flow truth --frames all --split train --set checkpoint=last --set pictures=0"
    yield "branches", lambda: bench.made("report-branches", f"{branches} --from {bench.branches}")
    own = f"{line} --set pictures=0"
    yield "dff", lambda: bench.made("report-dff", f"{own} --flow {bench.flow} --from {bench.video_model('dff')}")


def predict(bench: Bench) -> Iterator[Job]:
    """Label images, overlays and the index; and which frames `init` wants labeled."""
    line = f"predict {bench.trees / 'videos' / 'street'} {bench.trees / 'videos' / 'clip.avi'} {RUN}"
    fixed, adaptive = f"{line} --key-interval 3", f"{line} --key-policy adaptive --set size=own"
    yield "fixed", lambda: bench.made("predict-fixed", f"{fixed} --from {bench.video_model('accel')}")
    yield "adaptive", lambda: bench.made("predict-adaptive", f"{adaptive} --from {bench.video_model('davss')}")
    update = f"{line} --branch update --set overlay=0"
    yield "branch", lambda: bench.made("predict-branch", f"{update} --from {bench.branches}")

    def chosen() -> Values:
        cli(f"init {bench.work / 'project'} --frames {bench.trees / 'videos'} --count 3 --clip-length 3", bench.work)
        return contents(bench.work / "project" / "to_label")

    yield "init", chosen


def export(bench: Bench) -> Iterator[Job]:
    """Outputs of the exported graphs."""

    def run(name: str, line: str) -> Values:
        made = bench.make(f"export-{name}", f"export --device cpu --threads 1 {line}")
        return dict(forked(partial(graph_outputs, made), bench.work))

    yield "torch", lambda: run("torch", f"--format torch --from {bench.video_model('accel')}")
    alone = f"{BRANCHES} --ssl none --branch update --backbone resnet18 --set update.head=deeplabv3plus"
    yield "onnx", lambda: run("onnx", f"--format onnx --from {bench.make('alone', f'{alone} --from {bench.clips}')}")
    line = f"predict {bench.trees / 'videos' / 'street'} {RUN} --backend onnx --set size=[48,64]"
    yield "predict", lambda: bench.made("predict-onnx", f"{line} --from {bench.work / 'export-onnx'}")


PARTS: dict[str, Callable[[Bench], Iterator[Job]]] = {
    part.__name__: part for part in (flags, config, prepare, train, video, pseudo, judge, predict, export)
}
