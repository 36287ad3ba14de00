"""What is known about one model, and what is not: the facts that the trust page, its JSON and the model card show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ifrkit.artifacts.indexes import Branches, Report, VideoModel
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.core.plugins import load
from ifrkit.data.store.class_pixels import class_pixels
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation import tables
from ifrkit.evaluation.intervals import FEW
from ifrkit.evaluation.records import Records, read_records

WEAK = 0.3
"""A class of a smaller IoU is named as one not to rely on."""
BROKEN = 0.5
"""A corruption that leaves less of the clean mIoU is named."""
MISCALIBRATED = 0.1
"""A larger calibration error is named."""

Facts = dict[str, Any]


def facts(report: Artifact) -> Facts:
    """All of it in JSON's types; what was not measured is None. Raises ArtifactError where the model is gone."""
    tree, records = Report.read(report).tree(), read_records(report)
    if records is None or "videos" not in tree:
        raise ArtifactError(f"{report.path} was made by an older version", "run `ifrkit eval --force` again")
    model, clips = (report.ancestor(kind) for kind in (tree["model"]["kind"], "clips"))
    if model is None or clips is None:
        raise ArtifactError(f"{report.path}: its model is gone", "evaluate again")
    store, system = ClipStore.of(clips), next(iter(tree["systems"]))
    numbers = tree["systems"][system]
    labeled = set((Branches if model.kind == "branches" else VideoModel).read(model).labeled)
    found: Facts = {
        "model": {"kind": model.kind, "id": model.id, "system": system, **_made(tree["model"])},
        "measured": {
            "report": report.id,
            **{key: tree[key] for key in ("dataset", "split", "clips", "videos", "scored_frames", "flow")},
        },
        "labels": _labels(store, labeled),
        "leakage": _leakage(store, labeled, tree, clips.manifest.metrics.get("leakage", {})),
        "headlines": _headlines(tree, system),
        "classes": _classes(tree, numbers),
        "videos": _videos(records, system, numbers),
        "calibration": _calibration(tree, numbers),
        "stability": _stability(report, tree, numbers),
        "corruptions": tree.get("corruptions") or None,
    }
    return {**found, "not_for": not_for(found)}


def _made(model: dict[str, Any]) -> Facts:
    return {key: model.get(key) for key in ("ssl", "labeled", "backbones", "seed", "checkpoint", "temperature")}


def _labels(store: ClipStore, labeled: set[str]) -> Facts:
    """What training saw: labeled frames, their videos, and the labeled pixels of each class."""
    train = store.clips_of("train")
    seen = [clip for clip in train if store.clips[clip].name in labeled]
    pixels = class_pixels(store, seen).sum(0).tolist()
    return {
        "labeled_frames": len(seen),
        "labeled_videos": len({store.clips[clip].video for clip in seen}),
        "training_clips": len(train),
        "training_videos": len({store.clips[clip].video for clip in train}),
        "pixels": dict(zip(store.labels.names, pixels, strict=True)),
    }


def _leakage(store: ClipStore, labeled: set[str], tree: Facts, measured: Mapping[str, Any]) -> list[str]:
    """Why the numbers may flatter, in sentences; empty: nothing was found. measured: by `prepare`, of all its clips."""
    split, said = tree["split"], []
    judged = [store.clips[clip] for clip in store.clips_of(split)]
    train = [store.clips[clip] for clip in store.clips_of("train")]
    if split == "train":
        said.append("the numbers are of training clips: they say how well these were learned by heart")
        return said
    if shared := sorted({clip.video for clip in judged} & {clip.video for clip in train}):
        with_labels = {clip.video for clip in train if clip.name in labeled} & set(shared)
        said.append(
            f"{len(shared)} of {len({clip.video for clip in judged})} judged videos were trained on as well "
            f"({len(with_labels)} of them with labels; the first is {shared[0]}): neighbouring frames are alike"
        )
    own = measured.get("splits", {}).get(split, measured)
    if own.get("near") or own.get("alike"):
        said.append(str(own["headline"]))
    if split == "val":
        chosen = ["the checkpoint was chosen"] if tree["model"]["checkpoint"] == "best" else []
        chosen += ["the temperature was fitted"] if _fitted_here(tree) else []
        if chosen:
            said.append(f"{' and '.join(chosen)} on this split: a split that nothing was chosen on is more honest")
    return said


def _headlines(tree: Facts, system: str) -> list[Facts]:
    rows = []
    for name, computed in tree["systems"][system].items():
        kind = load("metrics", name)
        interval = tree.get("intervals", {}).get(system, {}).get(name)
        value = {"title": kind.title, "value": computed[kind.headline], "interval": interval}
        rows.append({"metric": name, **value, "smaller_is_better": kind.smaller_is_better})
    return rows


def _classes(tree: Facts, numbers: Facts) -> list[Facts] | None:
    """IoU of each class of the judged labels, worst first."""
    if "miou" not in numbers:
        return None
    matrix = numbers["miou"]["confusion"]
    rows = [
        {"class": name, "iou": iou, "pixels": sum(row)}
        for name, iou, row in zip(tree["classes"], numbers["miou"]["iou"], matrix, strict=True)
        if sum(row)
    ]
    return sorted(rows, key=lambda row: float(row["iou"]))


def _videos(records: Records, system: str, numbers: Facts) -> list[Facts] | None:
    """mIoU of each video by itself, worst first."""
    if "miou" not in numbers:
        return None
    values = records.each("miou", records.by_video(system, "miou"))
    rows = [{"video": n, "miou": v} for n, v in zip(records.video_names, values, strict=True) if v is not None]
    return sorted(rows, key=lambda row: float(row["miou"] or 0))


def _calibration(tree: Facts, numbers: Facts) -> Facts | None:
    """Whether its confidences are probabilities, and what they are good for."""
    if "ece" not in numbers:
        return None
    found = numbers["ece"]
    classes = dict(zip(tree["classes"], found["per_class"], strict=True))
    return {
        **{key: found[key] for key in ("ece", "confidence", "accuracy", "curve")},
        "classes": classes,
        "aurc": numbers["aurc"]["aurc"] if "aurc" in numbers else None,
        "triage": tree.get("triage", []),
        "fitted_here": _fitted_here(tree),
        "judged_by": tables.calibration(tree),
    }


def _fitted_here(tree: Facts) -> bool:
    """Whether the confidences are judged by a temperature that was fitted on the very frames."""
    return tree["split"] == "val" and bool(tree["model"].get("temperature")) and not tree.get("cross_fitted")


def _stability(report: Artifact, tree: Facts, numbers: Facts) -> Facts | None:
    """How steady it is over time, and by whose flow."""
    if not {"tc", "flicker"} & numbers.keys():
        return None
    own = tree["model"]["kind"] == "video-model" and report.ancestor("flow")
    by_itself = bool(own) and (tree["flow"] or {}).get("id") == getattr(own, "id", None)
    flicker = numbers.get("flicker", {})
    return {
        "tc": numbers.get("tc", {}).get("tc"),
        "judged_share": numbers.get("tc", {}).get("judged_share"),
        "flicker": flicker.get("flicker"),
        "classes": dict(zip(tree["classes"], flicker.get("per_class", []), strict=False)),
        "flow": tree["flow"],
        "judges_itself": by_itself,
    }


def not_for(found: Facts) -> list[str]:
    """What the model should not be used for, as far as the facts say; each sentence has its number."""
    said = ["decisions on which safety or a person's rights depend, without a human who checks"]
    if unseen := [name for name, pixels in found["labels"]["pixels"].items() if not pixels]:
        said.append(f"finding {', '.join(unseen)}: training saw no label of it")
    weak = [f"{row['class']} ({100 * row['iou']:.0f} %)" for row in found["classes"] or [] if row["iou"] < WEAK]
    if weak:
        said.append(f"anything that rests on {', '.join(weak)}: so small is its IoU on held-out frames")
    said += _not_for_conditions(found["corruptions"])
    calibration = found["calibration"]
    if calibration is None:
        said.append("using its confidences as probabilities: their calibration was not measured")
    elif calibration["ece"] is not None and calibration["ece"] > MISCALIBRATED:
        said.append(f"using its confidences as probabilities: they are off by {100 * calibration['ece']:.0f} points")
    videos = found["measured"]["videos"]
    if videos < FEW:
        word = "one video" if videos == 1 else f"{videos} videos"
        said.append(f"other cameras, places or weather without labels to check it there: it was judged on {word}")
    if found["leakage"]:
        said.append("comparing these numbers with those of other models without reading the part on leakage")
    return said


def _not_for_conditions(corruptions: Facts | None) -> list[str]:
    if corruptions is None:
        return ["fog, night, or bad pictures of another kind: this was not measured"]
    clean, said = corruptions["clean"]["miou"], []
    for kind, strengths in corruptions["kinds"].items():
        for number, one in enumerate(strengths, 1):
            if clean and one["miou"] is not None and one["miou"] < BROKEN * clean:
                said.append(
                    f"pictures with {kind} (strength {number} of {len(strengths)} and above): "
                    f"{100 * one['miou'] / clean:.0f} % of its mIoU is left"
                )
                break
    return said
