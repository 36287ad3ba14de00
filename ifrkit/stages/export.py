"""export: branches or the two steps of a video model as graph files, each checked against the torch model."""

from __future__ import annotations

from ifrkit.core.stage import Stage

STAGE = Stage(
    name="export",
    kind="exported",
    config="ifrkit.config.export:ExportConfig",
    run="ifrkit.stages._export:run",
    help="Write a trained model as ONNX or torch.export graphs.",
    order=80,
    needs=("video-model", "branches"),
    payload=("exported.json", "*.onnx", "*.pt2"),
    check="ifrkit.stages._export_check:check",
    label=lambda config: f"{config.format}-int8" if config.int8 else config.format,
)
