"""The JSON file that says what an artifact holds, one typed class a kind: written and read here only.

`clips.json` has its class beside the store of frames (`ifrkit/data/store/clips.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from msgspec import Meta

from ifrkit.artifacts.atomic import open_atomic, write_atomic
from ifrkit.artifacts.store import REMAKE, Artifact
from ifrkit.core.bounds import Natural
from ifrkit.core.config import Config, defaults
from ifrkit.core.errors import ArtifactError
from ifrkit.core.invalid import Invalid
from ifrkit.core.plain import read_plain

Metrics = dict[str, int | float]


class Index(Config):
    """The index of one kind of artifact, in the file FILE."""

    FINITE = False
    FILE: ClassVar[str]
    INDENT: ClassVar[int | None] = 2

    @classmethod
    def read(cls, artifact: Artifact) -> Self:
        """The index of an artifact. Raises ArtifactError if it is missing or damaged."""
        path = artifact.file(cls.FILE)
        try:
            return cls.of(json.loads(read_plain(path)))
        except (Invalid, ValueError, RecursionError) as error:
            fault = error.message if isinstance(error, Invalid) else "not the JSON of an index"
            raise ArtifactError(f"{path}: the file is corrupt ({fault})", REMAKE) from None

    def write(self, directory: Path) -> None:
        """Put it into the directory of an artifact that is being made."""
        write_atomic(directory / self.FILE, (json.dumps(self.tree(), indent=self.INDENT) + "\n").encode())


def write_long(path: Path, tree: Mapping[str, Any]) -> None:
    """What `Index.write` writes with INDENT None, of values that need not be in memory at once.

    tree: values of JSON; an iterator gives one that is long, part by part: lists or mappings.
    """
    with open_atomic(path) as file:
        between = "{"
        for key, value in tree.items():
            file.write(f"{between}{json.dumps(key)}: ".encode())
            for text in _pieces(value) if isinstance(value, Iterator) else [json.dumps(value)]:
                file.write(text.encode())
            between = ", "
        file.write(b"}\n")


def _pieces(parts: Iterator[Sequence[Any] | Mapping[str, Any]]) -> Iterator[str]:
    """The JSON of all parts as one list, or one object."""
    begin, end, between = "[", "]", ""
    for part in parts:
        whole = json.dumps(part)
        begin, end = whole[0], whole[-1]
        if len(part):
            yield (between or begin) + whole[1:-1]
            between = ", "
    yield end if between else begin + end


class Branch(Config):
    """One trained network of `branches`. network: its config; best, last: what validation measured of the weights."""

    network: dict[str, Any]
    best: Metrics
    last: Metrics
    best_step: int
    temperature: dict[str, float] = {}
    """Of each checkpoint: softmax(logits / temperature) is the probability. Empty: there was no held-out label."""
    pretrained: dict[str, str] = {}
    """Package or model, file, licence and sha256 of the public weights that it started from; empty: others, or none."""


class PassCount(Config):
    """Image passes of one training step for each labeled image (`ifrkit/train/passes.py`)."""

    trained: int | float
    plain: int | float
    cost: int | float


class Branches(Index):
    """`branches`: the networks of stage one."""

    FILE = "branches.json"

    num_classes: int
    branches: dict[str, Branch]
    passes: dict[str, PassCount]
    labeled: tuple[str, ...]
    """Clips whose labels were used."""

    def named(self, branch: str | None) -> str:
        """The branch that a user means: the one named, else the reference branch if there is one."""
        return branch or ("reference" if "reference" in self.branches else next(iter(self.branches)))


def require_branch(artifact: Artifact, branch: str) -> Branches:
    """What the artifact holds. Raises ArtifactError if that branch is not in it."""
    index = Branches.read(artifact)
    if branch not in index.branches:
        known = ", ".join(index.branches)
        raise ArtifactError(f"{artifact.path}: has no {branch} branch (only {known})", "train both branches")
    return index


class Flow(Index):
    """`flow`: a FlowNetS of this width."""

    FILE = "flow.json"

    width: int | float
    best: Metrics
    last: Metrics
    best_step: int


class VideoModel(Index):
    """`video-model`: the architecture, and the networks that it joins."""

    FILE = "model.json"

    arch: str
    num_classes: int
    networks: dict[str, dict[str, Any]]
    flow_width: int | float
    key_interval: int
    labeled: tuple[str, ...]
    best: Metrics
    last: Metrics
    best_step: int
    temperature: dict[str, float] = {}
    """See Branch."""


class Pseudo(Index):
    """`pseudo-labels`: frame i of `frames` lies in file i // per_file at row i % per_file."""

    FILE = "pseudo.json"
    INDENT = None

    frames: tuple[str, ...]
    per_file: int
    size: tuple[int, int]
    num_classes: int


class FeatureMap(Config):
    """Channels and cells of one map of a frame. stride: pixels of the frame for a cell."""

    channels: Natural
    height: Natural
    width: Natural
    stride: Natural


class Features(Index):
    """`features`: maps of a frozen backbone. Frame i of the clip store: file i // per_file, row i % per_file.

    branch, network: whose config it is. pretrained: as in Branch, or file and sha256. size: of the frames. maps: those
    that the head reads, the deepest last. frames: a digest of the pixels of each.
    """

    FILE = "features.json"
    INDENT = None

    branch: str
    network: dict[str, Any]
    pretrained: dict[str, str]
    size: tuple[int, int]
    maps: Annotated[tuple[FeatureMap, ...], Meta(min_length=1)]
    per_file: Natural
    frames: tuple[str, ...]


class CarriedFrame(Config):
    """Of a frame of propagated labels: the labeled frames that reach it, how far they are, what they explain of it."""

    origins: tuple[str, ...]
    steps: tuple[int, ...]
    explained: tuple[float, ...]

    @classmethod
    def joined(cls, origins: Sequence[tuple[str, int, float]]) -> CarriedFrame:
        """From (frame, steps, explained) of each."""
        frames, steps, explained = zip(*origins, strict=True)
        return cls(origins=frames, steps=steps, explained=explained)


class Provenance(Index):
    """Of `pseudo-labels` by `propagate`: where each frame's label comes from, where one reaches it."""

    FILE = "provenance.json"
    INDENT = None

    flow: str
    frames: dict[str, CarriedFrame]


class Source(Config):
    """What exported graphs were made from."""

    kind: str
    id: str
    checkpoint: str


class Graph(Config):
    """One exported graph. dynamic: its open dimensions; checked: how far it is from torch."""

    file: str
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]
    dynamic: tuple[str, ...]
    checked: dict[str, Any]


class Exported(Index, kw_only=True):
    """`exported`: graphs, and all that a program needs to run them without ifrkit."""

    FILE = "exported.json"
    INDENT = 1

    ifrkit: str
    format: str
    source: Source
    classes: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ignore: int
    normalisation: dict[str, Any]
    temperature: dict[str, float] = {}
    """Of each model, inside its graphs: the softmax of their logits is a probability."""
    size: tuple[int, int]
    key_interval: int | None
    int8: dict[str, dict[str, int | float]] = {}
    """Of each model that is in 8-bit integers: mIoU of its `float` graphs and of these, the `drop`, and on how many
    labeled held-out `frames`. Empty: the graphs are in floating point."""
    tolerance: float
    graphs: dict[str, Graph]


class Broken(Config):
    """A frame that could not be read."""

    frame: str
    fault: str


class Video(Config, frozen=False):  # type: ignore[misc]  # it grows while its frames are predicted
    """What was predicted of one video; its files are NAME/labels/FRAME.png and NAME/overlay.mp4."""

    name: str
    source: str
    """Name of the file or folder."""
    size: tuple[int, int]
    """(height, width) of its frames and labels."""
    seen_at: tuple[int, int]
    """(height, width) at which the networks saw them."""
    frames: int = 0
    """Predicted, without the broken ones."""
    key_frames: MutableSequence[int] = []
    """Their positions, from 0; broken frames have one too."""
    broken: list[Broken] = []


class Predictions(Index):
    """`predictions`: the videos, and the classes of their ids."""

    FILE = "predictions.json"
    INDENT = None

    classes: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    videos: tuple[Video, ...]


class Choice(Config):
    """One way to predict, of a plan. kind, id: of the artifact that `predict --from` gets ("": it is not made yet).

    settings: fields of predict's config that differ from the defaults. interval: of key frames; 1: none, each frame is
    seen by itself. lacking: the commands that give what is not known yet.
    """

    name: str
    kind: str
    id: str
    settings: dict[str, Any]
    interval: int
    frames_per_second: float | None = None
    """Median over the rounds; `slowest` and `fastest` are the ends."""
    slowest: float | None = None
    fastest: float | None = None
    processor_seconds: float | None = None
    """Of all cores together, for a frame (median): other programs disturb it little."""
    memory_mib: float | None = None
    """What opening the model and one key period add to the process at their highest."""
    miou: float | None = None
    tc: float | None = None
    lacking: tuple[str, ...] = ()


class Plan(Index):
    """`plan`: how fast each way to predict is on a machine, for frames of this (height, width)."""

    FILE = "plan.json"
    INDENT = 1

    machine: dict[str, Any]
    device: str
    threads: int
    size: tuple[int, int]
    rounds: int
    choices: tuple[Choice, ...]


class Report(Index, kw_only=True):
    """`report`: what `eval` measured, and how. model: how it was trained; systems: metrics of each, the model first."""

    FILE = "report.json"
    INDENT = 1

    model: dict[str, Any]
    dataset: str
    clips_id: str
    split: str
    frames: str
    clips: int
    scored_frames: int
    key_interval: int
    distance: int
    frames_nearer_to_their_key: int
    label_size: str
    scale: float = 1.0
    """Share of the frames' height and width that the networks saw."""
    flow: dict[str, Any] | None
    classes: tuple[str, ...]
    systems: dict[str, dict[str, Any]]
    videos: int = 0
    """How many different ones the clips are of; 0: made by a version that did not count them."""
    intervals: dict[str, dict[str, tuple[float, float] | None]] = {}
    """95 % intervals of the headlines over videos, by system and metric."""
    leakage: str = ""
    """How close the judged labels are to training, in words; empty where it was not measured."""
    cross_fitted: dict[str, Any] = {}
    """Temperatures that did not see what they judge; see `ifrkit/evaluation/cross_fit.py`."""
    triage: list[dict[str, Any]] = []
    """Thresholds of a frame's mean confidence; see `ifrkit/evaluation/triage.py`."""
    corruptions: dict[str, Any] = {}
    """The model on worse frames; see `ifrkit/evaluation/corruptions.py`."""
    distances: dict[str, Any] = {}
    inner_video: dict[str, Any] = {}

    def tree(self) -> dict[str, Any]:
        """Without what was not asked for."""
        optional = defaults(Report)
        return {key: value for key, value in super().tree().items() if value or key not in optional}


class Table(Index):
    """`table`: an experiment of the paper, one entry a cell."""

    FILE = "table.json"
    INDENT = 1

    table: str
    title: str
    dataset: str
    scale: str
    cells: tuple[dict[str, Any], ...]


class FrameSize(Index, forbid_unknown_fields=False):
    """Of `clips.json` the (height, width) alone: for who does not open the store."""

    FILE = "clips.json"

    size: tuple[int, int]
