"""A plan: stage runs as nodes of a graph, each an argv of the command line that a user could have typed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import nearest
from ifrkit.core.stage import sections

THINGS = {"synthetic": "[6,7]"}
"""cct.things where no recipe of the dataset names them: car and person."""

PUBLISHED = {
    "cps": ("method.cps.cutmix=true", "method.cps.weight=1.0"),
    "cac": ("method.cac.scale=[0.8,2.0]",),
}
"""What the paper keeps of each method's own augmentation of unlabeled images: `--set` of train-branches."""

TRAINING = ("train-branches", "train-flow", "train-fusion")
"""Stages that run under torchrun when there are several GPUs."""


@dataclass(frozen=True)
class Node:
    """One run of a stage. flags: argv after the stage's name; source: what goes to --from; named: what goes to flags.

    label: how a person tells it from its siblings.
    """

    stage: str
    label: str
    flags: tuple[str, ...] = ()
    source: Node | None = None
    named: tuple[tuple[str, Node], ...] = ()

    @cached_property
    def digest(self) -> str:
        """Of everything that determines what is run: hexadecimal."""
        inputs = [self.source.digest if self.source else "", *((flag, node.digest) for flag, node in self.named)]
        return hashlib.sha256(json.dumps([self.stage, self.flags, inputs]).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Unique within a plan, and fit for a file and a line of a script, whatever its label holds."""
        label = re.sub(r"[^\w.+=-]", "_", self.label, flags=re.ASCII)
        return f"{self.stage}-{label}-{self.digest[:8]}"

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes whose artifacts it reads."""
        return (*([self.source] if self.source else []), *(node for _, node in self.named))

    def argv(self, reference: Callable[[Node], str]) -> list[str]:
        """The command, `reference` naming the artifact of each input."""
        words = [self.stage, *self.flags]
        if self.source:
            words += ["--from", reference(self.source)]
        for flag, node in self.named:
            words += [flag, reference(node)]
        return words


def ordered(wanted: Iterable[Node]) -> list[Node]:
    """These nodes and all they need, each once, inputs before what reads them."""
    found: dict[str, Node] = {}

    def visit(node: Node) -> None:
        if node.digest not in found:
            for each in node.inputs:
                visit(each)
            found[node.digest] = node

    for node in wanted:
        visit(node)
    return list(found.values())


class Builder:
    """Makes the nodes of one dataset at one scale (full, small or tiny).

    sets: the user's `STAGE.KEY=VALUE`. Raises ConfigError if one names no stage.
    """

    def __init__(self, dataset: str, root: str | None, scale: str, sets: Iterable[str] = ()) -> None:
        self.dataset, self.root, self.scale = dataset, root, scale
        self.sets: dict[str, list[str]] = {}
        for text in sets:
            stage, dot, assignment = text.partition(".")
            if not dot or stage not in sections():
                raise ConfigError(f"--set {text}: {stage!r} is not a stage", nearest(stage, sections()))
            self.sets.setdefault(stage, []).append(assignment)

    def clips(self) -> Node:
        """The dataset, prepared."""
        flags = [self.dataset, *(["--root", self.root] if self.root else [])]
        if self.dataset == "synthetic" and self.scale == "small":  # its crop does not fit the default street
            flags += ["--set", "options.height=192", "--set", "options.width=384"]
        return self._node("prepare", self.dataset, flags)

    def branches(self, ssl: str, partition: str, seed: int, *, label: str = "", flags: Iterable[str] = ()) -> Node:
        """Stage one; flags: further ones, in front of the user's own."""
        words = ["--ssl", ssl, "--partition", partition, "--seed", str(seed), *flags]
        words += [word for setting in PUBLISHED.get(ssl, ()) for word in ("--set", setting)]
        if ssl == "cct" and self.dataset in THINGS:
            words += ["--set", f"method.cct.things={THINGS[self.dataset]}"]
        return self._node("train-branches", _label(label or ssl, partition, seed), words, self.clips())

    def flow(self, seed: int) -> Node:
        """The flow network of these clips."""
        return self._node("train-flow", _label(seed), ["--seed", str(seed)], self.clips())

    def fusion(self, arch: str, branches: Node, seed: int) -> Node:
        """Stage two on these branches, with the flow of the seed."""
        words, flow = ["--arch", arch, "--seed", str(seed)], (("--flow", self.flow(seed)),)
        return self._node("train-fusion", f"{arch}-{branches.label}", words, branches, flow)

    def report(self, model: Node, metric: str = "mIoU", split: str = "val", frames: str = "annotated") -> Node:
        """What `eval` measures of a model."""
        words = ["--metric", metric, "--split", split, "--frames", frames]
        return self._node("eval", f"{metric.replace(',', '+')}-{split}-{model.label}", words, model)

    def _node(
        self,
        stage: str,
        label: str,
        flags: Iterable[str],
        source: Node | None = None,
        named: tuple[tuple[str, Node], ...] = (),
    ) -> Node:
        recipes = ["--recipe", ",".join(self._recipes())] if self._recipes() else []
        own = [word for assignment in self.sets.get(stage, ()) for word in ("--set", assignment)]
        return Node(stage, label, (*flags, *recipes, *own), source, named)

    def _recipes(self) -> list[str]:
        if self.scale == "tiny":
            return ["tiny"]
        found = [n for n in (self.dataset, self.dataset.removesuffix("-vps")) if _is_recipe(n)][:1]
        return found + (["small"] if self.scale == "small" else [])


def _is_recipe(name: str) -> bool:
    return (resources.files("ifrkit") / "recipes" / f"{name}.yaml").is_file()


def _label(*parts: object) -> str:
    *front, seed = parts
    return "-".join([*(str(part).replace("/", "_") for part in front), f"s{seed}"])
