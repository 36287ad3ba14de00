"""What a plan costs: runs, steps and image passes, and hours by step times, of finished runs or of a probe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from ifrkit.artifacts import store
from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.job import Display
from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import NetworkConfig
from ifrkit.core.errors import IfrkitError
from ifrkit.core.lazy import lazy
from ifrkit.core.plugins import load
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import build_network
from ifrkit.reproduce.plan import Node
from ifrkit.train.passes import Passes

if TYPE_CHECKING:
    from ifrkit.reproduce import probe
else:
    probe = lazy("ifrkit.reproduce.probe")

Tree = dict[str, Any]

_IRRELEVANT = (
    *("seed", "runtime", "labeled", "unlabeled", "branches", "update", "reference", "sgd"),
    *("flow", "pretrain", "checkpoint"),
)
"""Keys of a config that say nothing about the time of a step (networks are named beside it)."""


@dataclass(frozen=True)
class Training:
    """One network, or one phase of a video model, that a run trains. name: of its weights and event log."""

    stage: str
    name: str
    config: Tree
    networks: dict[str, Tree] = field(default_factory=dict)
    """Config of each branch that takes part."""
    flow_width: float = 0.0

    @property
    def steps(self) -> int:
        """Of the training loop."""
        return int(self.config["loop"]["steps"])

    @property
    def label(self) -> str:
        """For a person."""
        if self.stage == "train-branches":
            (network,) = self.networks.values()
            return f"{self.name} {network['backbone']} {network['head']}, {','.join(self.config['ssl'])}"
        return self.config["arch"] + ("" if self.name == "model" else f", {self.name}") if self.networks else "flow"

    @property
    def key(self) -> str:
        """What decides the time of a step, as JSON: trainings with the same key are equally fast."""
        config = {key: value for key, value in self.config.items() if key not in _IRRELEVANT}
        config["loop"] = {k: v for k, v in self.config["loop"].items() if k not in ("steps", "eval_every")}
        return json.dumps([self.stage, self.name, config, self.networks, self.flow_width], sort_keys=True)


class Step(NamedTuple):
    """Of a training. passes: image passes for each labeled image ("" outside stage one). measured: in finished runs."""

    seconds: float
    passes: str
    measured: bool


class Cost(NamedTuple):
    """Of so many runs of trainings that are equally fast and equally long."""

    training: Training
    runs: int
    step: Step

    @property
    def hours(self) -> float:
        """Of all runs, one after the other."""
        return self.runs * self.training.steps * self.step.seconds / 3600


def trainings(stage: str, config: Tree, source: Tree, flow: Tree) -> list[Training]:
    """What a run trains. source: config of the run that it reads from; flow: of its flow run."""
    if stage == "train-branches":
        return [Training(stage, branch, config, {branch: _shape(config[branch])}) for branch in config["branches"]]
    if stage == "train-flow":
        auto = "truth" if source["dataset"] == "synthetic" else "photometric"
        told = config["supervision"]
        return [Training(stage, "flow", {**config, "supervision": auto if told == "auto" else told})]
    if stage != "train-fusion":
        return []
    architecture, width = load("architectures", config["arch"]), flow["width"]
    networks = {name: _shape(source[name]) for name in architecture.branches}
    small = build_network(NetworkConfig(width=0.0625), 2, seed=0)  # only to ask it for its phases
    model = architecture.build(*(small for _ in networks), FlowNetS(0.0625), 2)
    return [Training(stage, phase.name, config, networks, width) for phase in model.phases()]


def planned(nodes: Iterable[Node], configs: Mapping[str, Tree]) -> Iterator[tuple[Node, Training]]:
    """What each run of a plan trains. configs: of every run, by its digest."""
    for node in nodes:
        source, flow = (configs[each.digest] if each else {} for each in (node.source, dict(node.named).get("--flow")))
        for training in trainings(node.stage, configs[node.digest], source, flow):
            yield node, training


def _shape(network: Tree) -> Tree:
    return {key: value for key, value in network.items() if key not in ("pretrained", "dropout")}


def finished(nodes: Sequence[Node], configs: Mapping[str, Tree], workspace: Path) -> dict[str, str]:
    """Digest of each run that a workspace already holds -> id of its artifact (of a dataset, by its config alone)."""
    there = {(_told(a.manifest.stage, a.manifest.config), frozenset(ref.id for ref in a.manifest.inputs)): a.id
             for a in store.artifacts(workspace)}  # fmt: skip
    found: dict[str, str] = {}
    for node in nodes:
        inputs = frozenset(found.get(each.digest, "") for each in node.inputs)
        id = there.get((_told(node.stage, configs[node.digest]), inputs))
        if id:
            found[node.digest] = id
    return found


def _told(stage: str, config: Tree) -> str:
    """A stage and its config without what no id depends on."""
    hidden = ("runtime", "root", *(["flow"] if stage == "train-fusion" else []))
    return json.dumps([stage, {key: value for key, value in config.items() if key not in hidden}], sort_keys=True)


def measured(workspace: Path) -> dict[str, Step]:
    """Steps of the finished trainings of a workspace, by key: the median of their event logs."""
    times: dict[str, list[float]] = {}
    passes: dict[str, str] = {}
    for artifact in store.artifacts(workspace):
        with contextlib.suppress(IfrkitError, KeyError):  # what is damaged or of another version tells nothing
            for training in _of(artifact):
                passes[training.key] = _passes(artifact, training)
                lines = artifact.file(f"{training.name}.events.jsonl").read_text().splitlines()
                records = [json.loads(line) for line in lines]
                times.setdefault(training.key, []).extend(r["seconds"] for r in records if "seconds" in r)
    return {key: Step(median(some), passes[key], measured=True) for key, some in times.items() if some}


def _passes(artifact: Artifact, training: Training) -> str:
    if training.stage != "train-branches":
        return ""
    counts = Branches.read(artifact).passes[training.name]
    return str(Passes(counts.trained, counts.plain))


def _of(artifact: Artifact) -> list[Training]:
    configs = {other.kind: other.manifest.config for other in artifact.inputs()}
    source = configs.get("branches") or configs.get("clips") or {}
    flow = configs.get("flow") or artifact.manifest.config.get("pretrain") or {}
    return trainings(artifact.manifest.stage, artifact.manifest.config, source, flow)


def costs(
    nodes: Sequence[Node], configs: Mapping[str, Tree], workspace: Path, device: str, display: Display
) -> list[Cost]:
    """Of all trainings of these runs. Times that no finished run has are probed on the device."""
    grouped: dict[tuple[str, int], list[Training]] = {}
    for _, training in planned(nodes, configs):
        grouped.setdefault((training.key, training.steps), []).append(training)
    steps = measured(workspace)
    with probe.Probe(device) as tried:
        for (key, _), same in display.track(grouped.items(), "step times", total=len(grouped)):
            if key not in steps:
                steps[key] = tried.measure(same[0])
    return [Cost(same[0], len(same), steps[key]) for (key, _), same in grouped.items()]


def entry(cost: Cost) -> Tree:
    """A cost in JSON's types."""
    training = cost.training
    return {
        "stage": training.stage,
        "training": training.label,
        "runs": cost.runs,
        "steps": training.steps,
        "passes": cost.step.passes,
        "seconds": cost.step.seconds,
        "measured": cost.step.measured,
        "hours": cost.hours,
    }


def lines(costs: Sequence[Cost], runs: int, done: int, device: str) -> tuple[str, list[str], list[list[str]]]:
    """Title, columns and rows to print."""
    steps, hours = sum(c.runs * c.training.steps for c in costs), sum(c.hours for c in costs)
    what = f"{runs} runs, {done} of them done; what is left trains {steps:,} steps in {hours:,.2f} hours"
    rows = [
        [
            f"{cost.training.stage}: {cost.training.label}",
            str(cost.runs),
            f"{cost.training.steps:,}",
            cost.step.passes or "-",
            f"{cost.step.seconds:.3g}",
            "finished runs" if cost.step.measured else f"probe on {device}",
            f"{cost.hours:,.2f}",
        ]
        for cost in costs
    ]
    title = f"{what}, one after the other, without evaluation"
    return title, ["training", "runs", "steps", "image passes a step", "seconds a step", "by", "hours"], rows
