"""ONNX graphs in 8-bit integers: static quantisation by onnxruntime, calibrated on frames of the user's own clips."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from ifrkit.export.extra import extra

Feeds = Iterable[Sequence[Tensor]]
"""The inputs of a graph, in order, again and again."""

QUANTISED = ("Conv", "Clip", "Relu", "Add")
"""Convolutions, and what stands between two of them: without the bounds of an activation, a range would be that of the
values before it, many times too wide (on CamVid that cost 11 points of mIoU). All else stays in floating point."""


def quantise(graph: Path, target: Path, feeds: Feeds) -> None:
    """Write the int8 form of a graph. Weights: a scale for each channel; activations: the range that the feeds show."""
    onnxruntime, quantization = extra("onnxruntime"), extra("onnxruntime.quantization")
    folded = target.with_suffix(".folded")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # constants become plain
    options.optimized_model_filepath = str(folded)
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    try:
        with _quiet():
            quantization.quantize_static(
                str(folded),
                str(target),
                _Reader(names, feeds),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
    finally:
        folded.unlink(missing_ok=True)


class _Reader:
    """Feeds as onnxruntime asks for them (its CalibrationDataReader)."""

    def __init__(self, names: Sequence[str], feeds: Feeds) -> None:
        self.names, self.feeds = names, iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        feed = next(self.feeds, None)
        return None if feed is None else {n: x.contiguous().numpy() for n, x in zip(self.names, feed, strict=True)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice on how to call it."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
