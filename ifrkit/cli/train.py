"""`ifrkit train`: the three training stages with one recipe, for people. Prints the line of the video model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion, say
from ifrkit.cli.common import Shared, chosen_device, running, stage_command
from ifrkit.cli.train_branches import flags_of
from ifrkit.core.errors import ConfigError, IfrkitError
from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage
from ifrkit.stages import prepare, train_branches, train_flow, train_fusion

if TYPE_CHECKING:
    from msgspec import structs

    from ifrkit.artifacts import about, indexes
    from ifrkit.artifacts.store import Artifact
    from ifrkit.core.config import Config
    from ifrkit.stages import _train_fusion_check as fusion
    from ifrkit.stages import ranks, runner
    from ifrkit.stages.runner import Run
else:
    structs = lazy("msgspec.structs")
    about, indexes = lazy("ifrkit.artifacts.about"), lazy("ifrkit.artifacts.indexes")
    fusion = lazy("ifrkit.stages._train_fusion_check")
    ranks, runner = lazy("ifrkit.stages.ranks"), lazy("ifrkit.stages.runner")

BRANCHES, FLOW, FUSION = train_branches.STAGE, train_flow.STAGE, train_fusion.STAGE
STAGES = (BRANCHES, FLOW, FUSION)


@stage_command("train")
@click.option(
    "--ssl",
    metavar="NAME,...",
    shell_complete=completion.plugins("methods"),
    help="Semi-supervised methods, added up: none, ifr, fixmatch, cps, ...",
)
@click.option("--backbone", metavar="LIGHT,HEAVY", help="Backbones of update and reference branch.")
@click.option("--labeled-count", type=click.IntRange(1), metavar="N", help="Use the labels of so many clips only.")
@click.option(
    "--arch",
    metavar="NAME",
    shell_complete=completion.plugins("architectures"),
    help="Video architecture: accel, dff, davss, tdnet.",
)
def command(shared: Shared, ssl: str | None, backbone: str | None, labeled_count: int | None, arch: str | None) -> None:
    """Train a video model from your clips, in one go: branches, flow, and what joins them.

    Reads `clips`. Makes `branches`, `flow` and a `video-model`, and prints the path of the last; `ifrkit eval` and
    `ifrkit predict` find it by themselves, ifrkit.load(PATH) opens it in Python.

    A recipe holds the settings of all three. Without --recipe it is the one that fits the frames, and is named in the
    first line. `tiny` is for a first try on a laptop, `compact` for good results without a GPU.

    Say --dry-run first: it checks everything that could fail later. Ctrl-C saves; the same command with --resume goes
    on. What is made already is not made again. It does what train-branches, train-flow and train-fusion do one by one,
    to the same artifacts; --set names the stage: --set train-branches.loop.steps=400.

    \b
    Examples:
      ifrkit prepare synthetic --recipe tiny | ifrkit train --recipe tiny
      ifrkit train --recipe compact --ssl ifr --dry-run
      ifrkit train --recipe compact --ssl ifr --resume
      ifrkit train --recipe tiny --labeled-count 4 --set train-fusion.key_interval=3
    """
    if ranks.Ranks.from_environment().world > 1:
        raise ConfigError("train runs in one process", "start the three stages under torchrun, one after the other")
    branches = flags_of(backbone, None, ssl=ssl, partition=None, labeled_count=labeled_count, labeled_list=None)
    flags = {BRANCHES.name: branches, FUSION.name: {"arch": (arch, "--arch")}}
    settings = Settings.of(shared, flags)
    if shared.print_config:
        _print_config(settings, shared.as_json)
        return
    run = running.asked(BRANCHES._replace(name="train", accepts=()), shared, {})
    if not shared.recipe_names and shared.file is None:
        fitting = prepare.STAGE.fitting(run.inputs[0])
        run.display.info(_recipe_line(run.inputs[0], fitting))
        shared = shared._replace(recipes=tuple(fitting))
        settings = Settings.of(shared, flags)
    chain = Chain(settings, run)
    if shared.dry_run:
        _print_plan(chain, shared)
        return
    artifact = chain.run_all(shared)
    others = {stage.kind: str(chain.made[stage.name].path.resolve()) for stage in STAGES if stage is not FUSION}
    running.print_line(artifact, shared, others)
    running.print_hint(artifact, shared, run.display)


@dataclass(frozen=True)
class Settings:
    """Config and origins of each stage, by its name."""

    configs: dict[str, Config]
    origins: dict[str, dict[str, str]]

    @classmethod
    def of(cls, shared: Shared, flags: dict[str, Any]) -> Settings:
        """What recipes, --config, flags and `--set STAGE.KEY=VALUE` make."""
        names = [stage.name for stage in STAGES]
        sets: dict[str, list[str]] = {name: [] for name in names}
        for text in shared.sets:
            name, dot, assignment = text.partition(".")
            if not dot or name not in sets:
                raise ConfigError(
                    f"--set {text}: names no stage", f"write {', '.join(f'{n}.KEY=VALUE' for n in names)}"
                )
            sets[name].append(assignment)
        made = cls({}, {})
        for stage in STAGES:
            own = shared._replace(sets=tuple(sets[stage.name]))
            with _told(stage):
                config, made.origins[stage.name] = running.config_of(stage, own, flags.get(stage.name, {}))
                config.identity()  # files that it names must be there
            made.configs[stage.name] = config
        return made


class Chain:
    """The three stages on the clips of a run. made: what there is of them, by the stage's name."""

    def __init__(self, settings: Settings, run: Run) -> None:
        self.settings, self.run = settings, run
        self.made: dict[str, Artifact] = {}

    def plans(self) -> Iterator[tuple[Stage, Config, Run, runner.Plan | None]]:
        """Each stage with its config, how it is run, and its plan; None while what it reads is still to be made.

        What exists is put into `made`, and what comes out of a stage has to be there before the next is asked for.
        """
        clips = self.run.inputs
        for stage in STAGES:
            config: Any = self.settings.configs[stage.name]
            run = replace(self.run, out=None, origins=self.settings.origins[stage.name])
            if stage is FUSION:
                if config.flow is None and FLOW.name in self.made:
                    config = structs.replace(config, flow=str(self.made[FLOW.name].path))
                if not {BRANCHES.name, FLOW.name} <= self.made.keys():
                    yield stage, config, run, None
                    continue
                run = replace(run, out=self.run.out, inputs=[self.made[BRANCHES.name]])
            else:
                run = replace(run, inputs=clips)
            planned = runner.plan(stage, config, run)
            if planned.existing is not None:
                self.made[stage.name] = planned.existing
            yield stage, config, run, planned

    def require(self) -> list[tuple[Stage, runner.Plan | None]]:
        """Raise all that any of the three would refuse before its work, as far as it can be known now."""
        found = []
        for stage, config, run, planned in self.plans():
            with _told(stage):
                if planned is not None:
                    runner.require(planned, run)
                else:
                    fusion.check_ahead(config, self.settings.configs[BRANCHES.name], run.inputs)  # type: ignore[arg-type]
            found.append((stage, planned))
        return found

    def run_all(self, shared: Shared) -> Artifact:
        """Make what is missing, under one progress display. Returns the video model."""
        planned = self.require()
        idle = all(plan is not None and plan.existing is not None for _, plan in planned)
        device = "cpu" if idle else chosen_device(shared.device, shared.threads)
        display: Any = self.run.display
        with running.saving(self.run.stop, True):
            for stage, config, run, _ in display.track(self.plans(), "train", total=len(STAGES)):
                display.name = stage.name
                self.made[stage.name] = runner.execute(stage, config, replace(run, device=device))
        return self.made[FUSION.name]


@contextlib.contextmanager
def _told(stage: Stage) -> Iterator[None]:
    """An error says whose it is: several stages have a crop."""
    try:
        yield
    except IfrkitError as error:
        error.message = f"{stage.name}: {error.message}"
        raise


def _recipe_line(clips: Artifact, fitting: Sequence[str]) -> str:
    height, width = indexes.FrameSize.read(clips).size
    if fitting:
        return f"recipe {fitting[0]}, for frames of {height}x{width} (--recipe names another)"
    return "no recipe: the published settings, for a GPU (--recipe tiny or compact are for a CPU)"


def _print_config(settings: Settings, as_json: bool) -> None:
    if as_json:
        trees = {name: config.tree() for name, config in settings.configs.items()}
        say.line(json.dumps({"config": trees, "origins": settings.origins}))
        return
    for name, config in settings.configs.items():
        say.line(f"{name}:")
        running.print_rows(config, settings.origins[name], 1)


def _print_plan(chain: Chain, shared: Shared) -> None:
    planned = chain.require()
    if shared.device == "cuda":
        chosen_device(shared.device, shared.threads)  # asked for by name, it has to be there
    if shared.as_json:
        say.line(json.dumps({"dry_run": True, "stages": [_entry(stage, plan) for stage, plan in planned]}))
        return
    for stage, plan in planned:
        if plan is None:
            say.line(f"{stage.name}: would make a {stage.kind} of both")
        elif plan.existing is not None:
            say.line(f"{stage.name}: up to date: {about.named(plan.existing)}")
        else:
            say.line(f"{stage.name}: would make: {plan.target}")
    say.line(f"from clips: {about.named(chain.run.inputs[0])}")


def _entry(stage: Stage, plan: runner.Plan | None) -> dict[str, Any]:
    known = (
        {"id": plan.id, "path": str(plan.target), "exists": plan.existing is not None} if plan else {"exists": False}
    )
    return {"stage": stage.name, "kind": stage.kind, **known}
