"""The typed configuration of every stage.

No torch here: a stage that waits in a pipe checks its configuration first. Polymorphic parts (`options` of a dataset,
`method` of --ssl) are validated by the plug-in's own `Config`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from ifrkit.config.base import ByInput, Config, FileContent, NestedError, Runtime
from ifrkit.plugins import load, names, require

Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
"""(height, width) in pixels."""


def _split_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _are_names(value: Any) -> bool:
    """Whether plug-ins may be looked up by these; if not, the field's own type says what is wrong."""
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def _plugin_config(kind: str, name: str, value: Any, key: str) -> Config:
    """The plug-in's own Config from a mapping (or None); an instance passes through. key: its place, for errors."""
    cls: type[Config] = load(kind, name).Config
    try:
        return value if isinstance(value, cls) else cls.model_validate(value or {})
    except ValidationError as error:
        raise NestedError(key, cls, error) from None


class PrepareConfig(Config):
    """`ifrkit prepare`: read a dataset once, write the clip store."""

    dataset: str
    """Name of the dataset plug-in."""
    root: str = ""
    """Where the downloaded dataset lies (not part of the id: the files' fingerprint is)."""
    options: SerializeAsAny[Config] = Config()
    """The dataset's own options."""
    size: Size | None = None
    """Frames are stored at this (height, width); default: the dataset's."""
    codec: Literal["raw", "png", "jpeg"] = "raw"
    """Frames on disk: raw uint8 (fastest to crop), lossless png, or jpeg."""
    jpeg_quality: int = Field(95, ge=1, le=100)
    file_mib: int = Field(2048, ge=1)
    """A store file is closed and the next one begun at this size."""
    full_labels: bool = False
    """Also keep val and test labels at their own resolution, for `eval --set label_size=full`."""
    seed: int = 0
    runtime: Runtime = Runtime()

    @model_validator(mode="before")
    @classmethod
    def _options(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("dataset"), str):
            data = {**data, "options": _plugin_config("datasets", data["dataset"], data.get("options"), "options")}
        return data


class NetworkConfig(Config):
    """One segmentation branch: backbone (output stride 8) and head."""

    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = "resnet18"
    stem: Literal["deep", "basic"] = "deep"
    """deep: three 3x3 convolutions, 128 channels (released code); basic: one 7x7, 64 channels (torchvision)."""
    head: Literal["psp", "deeplabv3plus"] = "psp"
    """psp: maps at 1/8 (released code); deeplabv3plus: maps at 1/4, four times the memory of what works on them."""
    width: float = Field(1.0, gt=0, le=4)
    """Multiplies every channel count; below 1 makes nets for the CPU."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout2d in front of the classifier."""
    pretrained: Annotated[str | None, FileContent()] = None
    """Weights file to start from; a missing or unfit file is an error. None: random start."""


class LabeledSet(Config):
    """Which training clips may show their label."""

    partition: str = Field("1/1", pattern=r"^1/[1-9][0-9]*$")
    """1/2, 1/4, 1/8, 1/16, 1/30, ... of the training clips."""
    seed: int = 0
    """Which draw of that size."""
    list: Annotated[str | None, FileContent()] = None
    """A published list of labeled frames instead (a file, one annotated frame a line)."""


class CropConfig(Config):
    """Geometry of training samples (spec 3.4)."""

    size: Size = (256, 512)
    max_class_share: float = Field(0.75, gt=0, le=1)
    """A labeled crop is drawn again while one class covers more than this share of its labeled pixels ..."""
    tries: int = Field(10, ge=1)
    """... at most this often."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a horizontal flip."""
    shared_flip: bool = False
    """One flip for all frames of a clip (released code: one for each frame)."""


class SGDConfig(Config):
    """SGD of stage one (spec 4)."""

    lr_backbone: float = Field(1e-3, gt=0)
    lr_head: float = Field(1e-2, gt=0)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    """On every tensor, batch norm and biases included."""
    power: float = 0.9
    min_lr: float = Field(1e-4, ge=0)


class LoopConfig(Config):
    """The one training loop."""

    steps: int = Field(40000, ge=1)
    batch: int = Field(4, ge=1)
    """Labeled (and as many unlabeled) clips a step, over all ranks."""
    accumulate: int = Field(1, ge=1)
    """Micro-batches a step; `batch` must be divisible by it (times the number of ranks)."""
    eval_every: int = Field(1000, ge=1)
    amp: Literal["off", "bf16", "fp16"] = "off"
    channels_last: bool = False


class TrainBranchesConfig(Config):
    """`ifrkit train-branches`: stage one, reference and update branch."""

    ssl: tuple[str, ...] = Field(("ifr",), min_length=1)
    """Semi-supervised methods whose terms are added; `none` is the supervised baseline."""
    method: dict[str, SerializeAsAny[Config]] = {}
    """Options of each method, by its name."""
    branches: tuple[Literal["update", "reference"], ...] = Field(("update", "reference"), min_length=1)
    update: NetworkConfig = NetworkConfig(backbone="resnet18")
    """Light network, run on every frame."""
    reference: NetworkConfig = NetworkConfig(backbone="resnet101")
    """Heavy network, run on key frames."""
    labeled: LabeledSet = LabeledSet()
    unlabeled: Literal["all", "annotated"] = "all"
    """Frames that image methods draw from unlabeled clips: any, or (image protocol, Table 1) the annotated one."""
    crop: CropConfig = CropConfig()
    sgd: SGDConfig = SGDConfig()
    loop: LoopConfig = LoopConfig()
    budget: Literal["steps", "passes"] = "steps"
    """steps: every method takes `loop.steps`. passes: as many image passes as `none` in that many steps."""
    ce_mean: Literal["all", "valid"] = "all"
    """Mean of the supervised cross entropy over all pixels (released code) or over the labeled ones."""
    seed: int = 0
    runtime: Runtime = Runtime()

    _commas = field_validator("ssl", "branches", mode="before")(_split_commas)

    @model_validator(mode="before")
    @classmethod
    def _method(cls, data: Any) -> Any:
        if isinstance(data, dict):
            chosen = _split_commas(data.get("ssl", cls.model_fields["ssl"].default))
            given = data.get("method") or {}
            if not _are_names(chosen) or not isinstance(given, dict):
                return data
            unknown = [name for name in given if name not in chosen]
            if unknown:
                raise ValueError(
                    f"method.{unknown[0]}: options of a method that --ssl does not name ({','.join(chosen)})"
                )
            data = {**data, "method": {n: _plugin_config("methods", n, given.get(n), f"method.{n}") for n in chosen}}
        return data


class PseudoLabelConfig(Config):
    """`ifrkit pseudo-label`: hard labels and confidence of every training frame."""

    branch: Literal["update", "reference"] = "reference"
    checkpoint: Literal["best", "last"] = "best"
    flip: bool = True
    """Average the probabilities of each frame and its mirror image."""
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field((1.0,), min_length=1)
    """Average over these sizes of the frame, too; ST (CVPR 2022) takes 0.5, 0.75, 1, 1.5, 2: sixteen times the work."""
    batch: int = Field(4, ge=1)
    runtime: Runtime = Runtime()


class TrainFlowConfig(Config):
    """`ifrkit train-flow`: FlowNetS from the unlabeled video itself, or from true flow."""

    supervision: Literal["auto", "photometric", "truth"] = "auto"
    """photometric: no labels at all; truth: the dataset's exact flow; auto: truth where the dataset has it."""
    width: float = Field(0.375, gt=0, le=4)
    """Channel multiplier of FlowNetS; 3/8 is the released one."""
    max_distance: int = Field(4, ge=1)
    """Pairs at distance 1..max_distance, both orders (truth: always 1)."""
    crop: Size = (256, 512)
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = 4e-4
    """On weights, not on biases."""
    warmup_share: float = Field(0.2, ge=0, le=1)
    """Share of the steps with L1 + SSIM and the range-map mask, before census and forward-backward check."""
    smoothness: float = 4.0
    loop: LoopConfig = LoopConfig(steps=20000)
    seed: int = 0
    runtime: Runtime = Runtime()


class AdamConfig(Config):
    """Adam of DAVSS (vss_layers 1.4)."""

    lr: float = Field(1e-4, gt=0)
    """A tenth of it in the second half of the steps."""
    weight_decay: float = 0.0


class PseudoClipsConfig(Config):
    """Stage two on unlabeled clips too, with `--ssl pseudo` (not in the paper)."""

    threshold: float = Field(0.9, ge=0, le=1)
    """A pixel has the class that the reference branch of stage one sees there, if it is that sure of it."""
    weight: float = Field(1.0, ge=0)
    """Of the terms of unlabeled clips."""


class TrainFusionConfig(Config):
    """`ifrkit train-fusion`: stage two, the video model (spec 5)."""

    arch: str = "accel"
    ssl: Literal["none", "pseudo"] = "none"
    """pseudo: also as many unlabeled clips a step, with pseudo labels of the reference branch."""
    pseudo: PseudoClipsConfig = PseudoClipsConfig()
    flow: Annotated[str | None, ByInput()] = None
    """Flow artifact to start from; None: the newest of the same clips, else flow is trained here first."""
    distance: Literal["fixed", "uniform"] = "fixed"
    """Accel: distance of the key frame in training, always `key_interval - 1` (released code), or uniform from 0."""
    max_distance: int = Field(9, ge=1)
    """DFF, DAVSS: their earlier frames are drawn from so many before the labeled one."""
    key_interval: int = Field(5, ge=1)
    fusion_init: Literal["xavier", "average"] = "xavier"
    """Fusion starts random (released code), or as the mean of both branches (better when steps are few)."""
    pretrain: TrainFlowConfig = TrainFlowConfig()
    """How flow is trained first where no flow artifact is given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of each branch."""
    labeled: LabeledSet | None = None
    """Default: the labeled set of the branches."""
    crop: Size = (256, 512)
    lr: float = Field(5e-4, gt=0)
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_steps: int = Field(1000, ge=0)
    warmup_lr: float = Field(5e-5, gt=0)
    adam: AdamConfig = AdamConfig()
    """Of DAVSS; the other architectures train with SGD, the four values above."""
    loop: LoopConfig = LoopConfig()
    """Of each phase (DAVSS has two)."""
    seed: int = 0
    runtime: Runtime = Runtime()

    @field_validator("arch")
    @classmethod
    def _arch(cls, name: str) -> str:
        require("video", name)
        return name


class EvalConfig(Config):
    """`ifrkit eval`: metrics of a branch or a video model, beside the free baselines."""

    metrics: tuple[str, ...] = Field(("miou",), min_length=1)
    flow: str = "dis"
    """Flow for TC: dis (OpenCV), truth (the dataset's own), a flow artifact, or a folder of .flo files."""
    split: Literal["train", "val", "test"] = "val"
    frames: Literal["annotated", "all"] = "annotated"
    """all: score every frame with a label, hidden ones too; on train this reports the inner-video gap."""
    key_interval: int = Field(5, ge=1)
    distance: int = Field(4, ge=0)
    """Distance of the scored frame to its key frame."""
    distances: int = Field(0, ge=0)
    """N: also mIoU at each distance 0..N-1, hence of key intervals 1..N; 0: not."""
    label_size: Literal["store", "full"] = "store"
    checkpoint: Literal["best", "last"] = "best"
    pictures: int = Field(8, ge=0)
    """How many frames are drawn as frame | label | prediction."""
    runtime: Runtime = Runtime()

    _commas = field_validator("metrics", mode="before")(_split_commas)

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, named: tuple[str, ...]) -> tuple[str, ...]:
        for name in named:
            require("metrics", name)
        return tuple(dict.fromkeys(name.lower().replace("_", "-") for name in named))

    def identity(self) -> dict[str, Any]:
        """A flow artifact and a folder count by what they hold, not by how they were named."""
        flow = self.flow.lower().replace("_", "-")
        return {**super().identity(), "flow": flow if flow in names("flow") else "given"}


class PredictConfig(Config):
    """`ifrkit predict`: class ids of every frame of the user's own videos."""

    videos: Annotated[tuple[str, ...], ByInput()] = Field(min_length=1)
    """Video files and folders of frames; what is in them counts for the id, not where they lie."""
    branch: Literal["update", "reference"] | None = None
    """Which one, of a branches artifact; None: the reference branch if there is one."""
    key_policy: Literal["fixed", "adaptive"] = "fixed"
    """adaptive: a key frame where the warped picture of the last one differs by more than `key_threshold`."""
    key_interval: int | None = Field(None, ge=1)
    """Frames from one key frame to the next (adaptive: at most). None: as in training (adaptive: no limit)."""
    key_threshold: float = Field(0.5, gt=0)
    """Difference as a share of the contrast: 0 all is explained, 0.7 to 1.4 another scene (docs/predict.md)."""
    size: Literal["train", "own"] | Size = "train"
    """What the networks see: as many pixels as in training, the frame's own size, or a (height, width)."""
    overlay: float = Field(0.5, ge=0, le=1)
    """Opacity of the colours in the overlay video; 0: no such video."""
    fps: float = Field(25.0, gt=0, le=1000)
    """Frames a second of the overlay, where the source does not say."""
    checkpoint: Literal["best", "last"] = "best"
    runtime: Runtime = Runtime()


class ExportConfig(Config):
    """`ifrkit export`: graphs that run without ifrkit."""

    format: Literal["onnx", "torch"] = "onnx"
    """onnx (needs the `onnx` extra), or torch: programs of torch.export."""
    checkpoint: Literal["best", "last"] = "best"
    tolerance: float = Field(1e-3, gt=0)
    """Largest difference to torch of any output on real frames, as a share of its largest value (at least 1)."""
