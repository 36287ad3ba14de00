"""eval: metrics of a branch or a video model on a split, beside the free baselines, with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ifrkit.artifacts.indexes import Branches, Report, VideoModel
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.config.network import branch_title
from ifrkit.config.training import LabeledSet
from ifrkit.core.text import file_name
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation import cross_fit, tables
from ifrkit.evaluation.corruptions import Robustness
from ifrkit.evaluation.intervals import intervals
from ifrkit.evaluation.judge import Judge
from ifrkit.evaluation.records import FILE, Recorder
from ifrkit.evaluation.scored import scored_frames
from ifrkit.evaluation.systems import CopyKey, PerFrame, System, Video, scaled_name
from ifrkit.evaluation.tables import headlines
from ifrkit.evaluation.triage import triage
from ifrkit.media import figures
from ifrkit.media.pictures import save_confusion, save_loop, strip
from ifrkit.report.curves import draw_distances
from ifrkit.stages._judged import clips_to_score, source_of
from ifrkit.stages.evaluate import needs
from ifrkit.train import distributed
from ifrkit.trained import load_branch, load_video_model


def run(job: Job) -> None:
    """Judge every system on the clips of the split; write report.json and its pictures."""
    config: EvalConfig = job.config
    store = ClipStore.of(job.input("clips"))
    distributed.start()
    systems = _systems(job, distributed.local_device(job.device))
    clips = clips_to_score(config, store, job.inputs[0])
    flow = source_of(config, store, job.inputs)
    scored = [(clip, index) for clip in clips for index in scored_frames(store.clips[clip], config.frames)]
    _warn_of_own_flow(job)
    crossed = _cross_fitted(job, store, systems)
    pictures = _Pictures(job, store, scored, systems[0])
    judge = Judge(store, config, systems, flow, pictures)
    pictures.recorder = recorder = Recorder(judge, clips, scored)
    with torch.inference_mode():
        for clip in job.display.track(clips[distributed.rank() :: distributed.world()], f"eval {config.split}"):
            recorder.clip(clip)
    judge.replace(distributed.summed(judge.counts()))
    recorder.arrays = distributed.summed(recorder.arrays)
    source = job.inputs[0]
    report: dict[str, Any] = {
        "model": {"kind": source.kind, "id": source.id, "checkpoint": config.checkpoint, **_training(job)},
        "dataset": store.name,
        "clips_id": job.input("clips").id,
        "split": config.split,
        "frames": config.frames,
        "clips": len(clips),
        "scored_frames": int(judge.frames[0]),
        "key_interval": config.key_interval,
        "distance": config.distance,
        "frames_nearer_to_their_key": int(judge.frames[1]),
        "label_size": config.label_size,
        "scale": config.scale,
        "flow": flow.describe() if flow else None,
        "classes": list(store.labels.names),
        "systems": judge.results(),
        "leakage": _leakage(config.split, job.input("clips").manifest.metrics.get("leakage", {})),
    }
    if crossed:
        report["cross_fitted"] = crossed
    if config.distances:
        report["distances"] = judge.distances.results()
    if config.corruptions:
        report["corruptions"] = _corruptions(job, judge, systems[0], scored)
    if config.frames == "all" and config.split == "train" and judge.frames[0]:
        report["inner_video"] = judge.inner_video()
    numbers = headlines(report["systems"])
    if distributed.rank() == 0:
        records = recorder.records()
        report["videos"] = len(records.video_names)
        report["triage"] = triage(records.frame_confidence, records.frame_accuracy)
        report["intervals"] = intervals(records, {system: list(found) for system, found in numbers.items()})
        records.save(job.directory / FILE)
    job.metrics.update({**numbers[systems[0].name], "systems": numbers})
    if distributed.rank() == 0:
        with torch.inference_mode():
            pictures.after(clips[0])
        _present(job, store, report, judge, systems[0].name)


def _leakage(split: str, measured: Mapping[str, Any]) -> str:
    """How close the judged labels are to training, as `prepare` measured it; empty where it did not."""
    if split == "train" or not measured:
        return ""
    own = measured.get("splits", {}).get(split, measured)  # older clips know all splits together alone
    flatters = own.get("near") or own.get("alike")
    return str(own["headline"]) + (", which flatters their scores" if flatters else "")


def _cross_fitted(job: Job, store: ClipStore, systems: list[System]) -> dict[str, Any]:
    """Have confidences judged by temperatures that did not see the judged clips, where the models' own did.

    Returns how the clips were cut, and the temperatures of each system; nothing where none was fitted here.
    """
    if job.config.split != "val" or not needs("confidences", job.config):
        return {}
    given = job.inputs[0]
    before = given.manifest.config["key_interval"] - 1 if given.kind == "video-model" else 0
    found = {}
    for system in systems:
        if isinstance(system, PerFrame | Video) and system.temperature not in (None, 1.0):
            system.held_out = cross_fit.temperatures_of_others(store, partial(_logits, store, system, before))
            found[system.name] = sorted(set(system.held_out.values()))
    count = len(set(cross_fit.groups(store).values()))
    videos = len({store.clips[clip].video for clip in store.clips_of("val")})
    return {"groups": count, "halves": videos == 1, "temperatures": found} if all(found.values()) and found else {}


def _logits(store: ClipStore, system: PerFrame | Video, before: int, clip: int, index: int) -> torch.Tensor:
    """Of a whole frame, its key frame so many frames before it."""
    return system.logits(store, clip, index, max(0, index - before))


def _warn_of_own_flow(job: Job) -> None:
    """A video model that carries its scores along a flow is steady along that flow, right or wrong."""
    given, flow = job.inputs[0], next((artifact for artifact in job.inputs[1:] if artifact.kind == "flow"), None)
    own = given.ancestor("flow") if given.kind == "video-model" else None
    if flow is not None and own is not None and own.id == flow.id:
        job.display.warn(
            "--flow is the one that this model uses itself, so it judges itself; --flow dis is independent"
        )


def _corruptions(job: Job, judge: Judge, system: System, scored: list[tuple[int, int]]) -> dict[str, Any]:
    """How the model goes on worse frames; over all ranks."""
    robustness = Robustness(judge.store, system, scored, job.config.distance, judge.label)
    with torch.inference_mode():
        for at in job.display.track(robustness.passes, "corruptions"):
            robustness.run(at, slice(distributed.rank(), None, distributed.world()))
    robustness.replace(distributed.summed(robustness.counts()))
    return robustness.results()


def _present(job: Job, store: ClipStore, report: dict[str, Any], judge: Judge, system: str) -> None:
    Report.of(report).write(job.directory)
    job.display.table(*tables.summary(report))
    job.display.info(tables.evidence(report["videos"]))
    for said in (report["leakage"], tables.calibration(report)):
        if said:
            job.display.info(said)
    if "miou" in judge.metrics[system]:
        job.display.table(*tables.per_class(report))
        matrix = judge.metrics[system]["miou"].counts["confusion"]
        title = f"{system}, {store.name} {report['split']}"
        save_confusion(matrix, store.labels, title, job.directory / "confusion.png")
    if "distances" in report:
        for table in tables.distances(report):
            job.display.table(*table)
        figure = draw_distances(report["distances"]["systems"])
        figure.suptitle(figures.drawn(f"{store.name} {report['split']}"))
        figures.save(figure, job.directory / "distances.png", dpi=100)
    if "corruptions" in report:
        job.display.table(*tables.corruptions(report))
    if report["triage"]:
        job.display.table(*tables.triage(report))
    if "inner_video" in report:
        job.display.table(*tables.inner_video(report))
    if judge.frames[1] and report["model"]["kind"] == "video-model":
        near = f"{judge.frames[1]} of {judge.frames[0]} scored frames have their key frame nearer than"
        job.display.info(f"{near} {report['distance']}: their clip begins there")


class _Pictures:
    """Draws some of the scored frames, spread evenly; afterwards the best and the worst, and one clip that moves."""

    def __init__(self, job: Job, store: ClipStore, scored: list[tuple[int, int]], system: System) -> None:
        self.config: EvalConfig = job.config
        count = min(self.config.pictures, len(scored))
        self.chosen = {scored[(2 * i + 1) * len(scored) // (2 * count)] for i in range(count)}
        self.directory, self.store, self.system = job.directory, store, system
        self.recorder: Recorder | None = None
        if count:
            (self.directory / "pictures").mkdir(exist_ok=True)

    def __call__(self, clip: int, index: int, label_hw: Any, predictions: Any) -> None:
        seen = predictions[self.system.name]
        if self.recorder is not None:
            self.recorder.frame(clip, index, label_hw, seen)
        if (clip, index) in self.chosen:
            self._draw(clip, index, label_hw, seen.ids_hw, f"pictures/{self._name(clip, index)}.png")

    def after(self, clip: int) -> None:
        """Predict and draw once more the frames that went best and worst; draw this whole clip as a stream."""
        if not self.config.pictures:
            return
        assert self.recorder is not None
        for title, places in zip(("best", "worst"), self.recorder.extremes(), strict=True):
            for number, (c, index) in enumerate(places, 1):
                label_hw = self.recorder.judge.label(c, index)
                key, size = max(0, index - self.config.distance), (label_hw.shape[0], label_hw.shape[1])
                ids_hw = self.system.scored(self.store, c, index, key, size).ids_hw
                (self.directory / title).mkdir(exist_ok=True)
                self._draw(c, index, label_hw, ids_hw, f"{title}/{number:02d}-{self._name(c, index)}.webp")
        frames = [self.store.frame(clip, i) for i in range(len(self.store.clips[clip].frames))]
        stream = (seen.ids_hw for seen in self.system.stream(self.store, clip, self.config.key_interval))
        save_loop(frames, stream, self.store.labels, self.directory / "clip.webp")

    def _name(self, clip: int, index: int) -> str:
        return file_name(self.store.clips[clip].frames[index])

    def _draw(self, clip: int, index: int, label_hw: Any, ids_hw: Any, name: str) -> None:
        sheet = strip(self.store.frame(clip, index), label_hw, ids_hw, self.store.labels, self.system.name)
        sheet.save(self.directory / name)


def _systems(job: Job, device: torch.device) -> list[System]:
    """What is judged; the first one is the model that was given.

    The baselines of a video model are the branches as stage one left them: what a user has without stage two.
    """
    given, branches = job.inputs[0], job.input("branches")
    own = given.kind == "branches"
    checkpoint = job.config.checkpoint if own else given.manifest.config["checkpoint"]
    names = Branches.read(branches).branches
    order = names if own else [name for name in ("reference", "update") if name in names]
    how = device, needs("confidences", job.config) or job.config.corruptions, job.config.scale
    at = scaled_name(job.config.scale)
    alone = {n: PerFrame(f"{n}, every frame{at}", load_branch(branches, n, checkpoint), *how) for n in order}
    copy = [CopyKey(alone["reference"])] if "reference" in alone else []
    if own:
        return [*alone.values(), *copy]
    model = load_video_model(given, job.config.checkpoint)
    return [Video(given.manifest.config["arch"] + at, model, *how), *alone.values(), *copy]


def _training(job: Job) -> dict[str, Any]:
    """How the model was trained: what tells the rows of `compare` apart."""
    given, branches = job.inputs[0], job.input("branches")
    config = branches.manifest.config
    own = given.kind == "branches"
    stages = () if own else tuple(kind for kind in ("flow", "video-model") if given.ancestor(kind))
    checkpoint = job.config.checkpoint if own else given.manifest.config["checkpoint"]
    labeled = LabeledSet.of({**config["labeled"], "list": config["labeled"]["list"] and "list"})
    return {
        "ssl": config["ssl"],
        "labeled": labeled.named,
        "backbones": {name: branch_title(config[name]) for name in config["branches"]},
        "seed": config["seed"],
        "temperature": _temperature(given, job.config.checkpoint),
        "passes": Branches.read(branches).tree()["passes"],
        "branches_id": branches.id,
        "settings": {
            "branches": {**_settings(config), "checkpoint": checkpoint},
            **{kind: _settings(job.input(kind).manifest.config) for kind in stages},
        },
    }


def _temperature(given: Artifact, checkpoint: str) -> float | None:
    """Of the model that was given; None where none was fitted."""
    if given.kind == "video-model":
        return VideoModel.read(given).temperature.get(checkpoint)
    index = Branches.read(given)
    return next(iter(index.branches.values())).temperature.get(checkpoint)


def _settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config by dotted keys, without what may differ between runs of one training: seeds, runtime."""
    found: dict[str, Any] = {}
    for key, value in sorted(config.items()):  # a manifest that was read is sorted, a new one is not
        if isinstance(value, dict) and key != "runtime":
            found |= _settings(value, f"{prefix}{key}.")
        elif key not in ("seed", "runtime"):
            found[prefix + key] = value
    return found
