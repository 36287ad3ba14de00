"""What an artifact holds: hashes of tensors, pixels and arrays, and plain numbers, without ids, paths and times."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

Values = dict[str, Any]


def sha(data: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()


def weights(path: Path) -> str:
    """sha256 of the names, types, shapes and bytes of a .safetensors file; not of its metadata."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    digest, body = hashlib.sha256(), memoryview(data)[8 + length :]
    entries = {name: entry for name, entry in json.loads(data[8 : 8 + length]).items() if name != "__metadata__"}
    for name, entry in sorted(entries.items()):
        begin, end = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        digest.update(body[begin:end])
    return digest.hexdigest()


def array(value: Any) -> str:
    """Type, shape and sha256 of an array."""
    import numpy as np

    return f"{value.dtype}{list(value.shape)} {sha(np.ascontiguousarray(value).tobytes())}"


def plain(tree: Any, prefix: str = "") -> Values:
    """The leaves of a JSON tree by their dotted keys, without ids, paths and times. Lists are leaves."""
    if not isinstance(tree, dict):
        text = json.dumps(tree, sort_keys=True)
        return {prefix: tree if len(text) < 100 else sha(text.encode())}
    left_out = {"id", "path", "created", "seconds", "model", "network", "networks", "ifrkit"}
    kept = {key: value for key, value in tree.items() if key not in left_out and not key.endswith("_id")}
    found = [plain(value, f"{prefix}.{key}" if prefix else key) for key, value in kept.items()]
    return {key: value for part in found for key, value in part.items()}


def hdf5(path: Path) -> Values:
    """The arrays of an HDF5 file."""
    import h5py

    found: Values = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: array(item[()])}) if hasattr(item, "dtype") else None)
    return found


def contents(directory: Path) -> Values:
    """What an artifact holds, file by file, by their content and not their bytes where the format is known."""
    found: Values = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and p.name != "manifest.json"):
        name = path.relative_to(directory).as_posix()
        found |= {f"{name}{':' * bool(key)}{key}": value for key, value in _content(path).items()}
    return found


def _content(path: Path) -> Values:
    import numpy as np
    from PIL import Image

    if path.suffix == ".safetensors":
        return {"": weights(path)}
    if path.suffix == ".h5":
        return hdf5(path)
    if path.suffix == ".npz":
        return {key: array(value) for key, value in np.load(path).items()}
    if path.suffix == ".json":
        return plain(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return {"": sha(json.dumps([plain(json.loads(line)) for line in path.read_text().splitlines()]).encode())}
    if path.suffix in {".png", ".jpg", ".webp"}:
        with Image.open(path) as image:
            palette = sha(bytes(image.getpalette() or []))[:8] if image.mode == "P" else ""
            return {"": f"{image.mode}{palette} {array(np.asarray(image))}"}
    return {"": _video(path) if path.suffix == ".mp4" else sha(path.read_bytes())}


def _video(path: Path) -> str:
    import cv2

    capture, digest = cv2.VideoCapture(str(path)), hashlib.sha256()
    while (read := capture.read())[0]:
        digest.update(read[1].tobytes())
    return digest.hexdigest()


def graph_outputs(directory: Path) -> Values:
    """The outputs of exported graphs on fixed frames; an update step goes on from the state of its key step."""
    import numpy as np

    index = json.loads((directory / "exported.json").read_text())
    frame = np.random.default_rng(0).integers(0, 256, (1, 3, *index["size"]), np.uint8)
    found = plain(index)
    state: list[Any] = []
    for name, graph in index["graphs"].items():
        inputs = [frame, *state][: len(graph["inputs"])]
        outputs = _run_graph(directory / graph["file"], [entry["name"] for entry in graph["inputs"]], inputs)
        state = outputs[1:]
        found |= {f"{name}:{n}": array(o) for n, o in zip((e["name"] for e in graph["outputs"]), outputs, strict=True)}
    return found


def _run_graph(path: Path, names: list[str], inputs: list[Any]) -> list[Any]:
    if path.suffix == ".onnx":
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, dict(zip(names, inputs, strict=True))))
    import torch

    torch.set_num_threads(1)
    results = torch.export.load(path).module()(*(torch.from_numpy(value) for value in inputs))
    return [value.detach().numpy() for value in (results if isinstance(results, tuple | list) else [results])]
