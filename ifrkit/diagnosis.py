"""What `ifrkit doctor` finds out: versions, device, threads, disk, plug-ins, and how fast this machine is."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import ifrkit
from ifrkit.config.network import NetworkConfig
from ifrkit.core import plugins
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.machine import cores
from ifrkit.models.network import build_network
from ifrkit.models.public import PublicWeights

PROBE = (256, 512)
"""(height, width) of the frames of the throughput probe."""
_VARIABLES = ("IFRKIT_WORKSPACE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HDF5_USE_FILE_LOCKING", "NO_COLOR")
_GIB = 1 << 30
MISSING = "not installed"


def examine(workspace: Path, seconds: float) -> dict[str, Any]:
    """All findings, in JSON's types. seconds: length of the throughput probe (0: none).

    `problems` holds a sentence for each thing that does not work, with what to do about it.
    """
    findings: dict[str, Any] = {
        "ifrkit": ifrkit.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "packages": packages(),
        "devices": _devices(),
        "threads": {"cores": cores(), "torch": torch.get_num_threads()},
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB, 1),
        "workspace": _disk(workspace),
        "writes_mp4": _writes_mp4(),
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "plugins": found_plugins(),
        "weights": found_weights(),
        "probe": probe(seconds) if seconds > 0 else None,
    }
    return {**findings, "problems": problems(findings)}


def packages() -> dict[str, str]:
    """Version of everything that ifrkit requires or has an extra for, or that it is not installed."""
    found = {}
    for line in metadata.requires("ifrkit") or []:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        extra = re.search(r"extra == .(\w+)", line)
        if extra is None or extra[1] != "test":
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = f"{MISSING} (extra {extra[1]})" if extra else MISSING
    return found


def found_plugins() -> dict[str, dict[str, str | None]]:
    """Kind -> name -> why it cannot be loaded (None: it can). A stranger's plug-in may raise anything."""
    found: dict[str, dict[str, str | None]] = {}
    for kind in plugins.KINDS:
        found[kind] = {}
        for name in plugins.names(kind):
            try:
                plugins.load(kind, name)
                found[kind][name] = None
            except Exception as error:
                found[kind][name] = " ".join(f"{type(error).__name__}: {error}".split())
    return found


def found_weights() -> dict[str, str]:
    """Backbone -> what `pretrained=auto` would find: its installed package, or how to get it."""
    found: dict[str, str] = {}
    for name in plugins.names("backbones"):
        with contextlib.suppress(Exception):  # a stranger's plug-in may raise anything; `found_plugins` says what
            public = plugins.load("backbones", name).public
            if public is not None:
                found[name] = _state(public)
    return found


def _state(public: PublicWeights) -> str:
    try:
        public.path()
    except ConfigError:
        return f"missing; {public.remedy}"
    except ArtifactError:
        return f"damaged; {public.remedy}"
    return f"found ({public.package}, {public.licence}, sha256 {public.sha256[:12]})"


def probe(seconds: float) -> dict[str, Any]:
    """Frames a second of the default update branch (ResNet-18, random weights), one frame at a time."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build_network(NetworkConfig(), 19, seed=0).to(device).eval()
    frame_b3hw = torch.zeros(1, 3, *PROBE, device=device)
    times: list[float] = []
    with torch.inference_mode():
        while not times or sum(times) < seconds:
            begun = time.perf_counter()
            network(frame_b3hw).sum().item()  # waits for the device
            times.append(time.perf_counter() - begun)
    steady = times[1:] or times  # the first one prepares
    what = f"resnet18 on frames of {PROBE[0]}x{PROBE[1]}"
    return {"device": device.type, "network": what, "frames_per_second": round(len(steady) / sum(steady), 2)}


def problems(findings: dict[str, Any]) -> list[str]:
    """What does not work, each with its remedy."""
    found = [
        f"{kind} plug-in {name} does not load ({error}); repair or uninstall its package"
        for kind, names in findings["plugins"].items()
        for name, error in names.items()
        if error
    ]
    lacking = [name for name, version in findings["packages"].items() if version == MISSING]
    found += [f"{name} is missing; run pip install {name}" for name in lacking]
    disk, threads = findings["workspace"], findings["threads"]
    if not disk["writable"]:
        found.append(f"{disk['path']} cannot be written; name another --workspace")
    if disk["free_gib"] < 1:
        found.append(f"{disk['path']} has less than 1 GiB left; free some space, or name another --workspace")
    if disk["file_system"].startswith(("nfs", "lustre")):
        advice = "if HDF5 files cannot be opened, set HDF5_USE_FILE_LOCKING=FALSE"
        found.append(f"{disk['path']} is on a network ({disk['file_system']}): locks may not hold there; {advice}")
    if threads["torch"] > threads["cores"]:
        fault = f"torch uses {threads['torch']} threads on {threads['cores']} cores"
        found.append(f"{fault}; set OMP_NUM_THREADS, or --threads of a stage")
    if not findings["writes_mp4"]:
        found.append("OpenCV cannot write mp4 here; use `ifrkit predict --set overlay=0`")
    return found


def _devices() -> list[str]:
    gpus = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    named = [f"cuda {i}: {gpu.name}, {gpu.total_memory / _GIB:.0f} GiB" for i, gpu in enumerate(gpus)]
    return [*named, f"cpu: {platform.processor() or platform.machine()}"]


def _disk(workspace: Path) -> dict[str, Any]:
    """The workspace, or where it would be made."""
    place = workspace.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / _GIB
    writable = os.access(place, os.W_OK)
    return {"path": str(workspace), "free_gib": round(free, 1), "writable": writable, "file_system": _mounted(place)}


def _mounted(place: Path) -> str:
    """Type of the file system that holds a place; empty where the system does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    above = [(len(where), kind) for _, where, kind, *_ in mounts if place.is_relative_to(where)]
    return max(above, default=(0, ""))[1]


def _writes_mp4() -> bool:
    with tempfile.TemporaryDirectory() as place:
        video = cv2.VideoWriter(f"{place}/probe.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 25, (32, 32))
        works = bool(video.isOpened())
        video.write(np.zeros((32, 32, 3), np.uint8))
        video.release()
        return works
