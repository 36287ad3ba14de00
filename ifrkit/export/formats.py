"""The two file formats. Each writer gets a traced graph and leaves one file without external data."""

from __future__ import annotations

import json
import logging
import operator
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from ifrkit.export.extra import extra
from ifrkit.export.graphs import Graph

Metadata = Mapping[str, Any]
"""Names and JSON values; in ONNX each is one of the model's metadata_props, as JSON text."""

SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}


def write(graph: Graph, path: Path, metadata: Metadata) -> None:
    """Trace a graph and write it in the format of the path's suffix. Raises what torch.export raises."""
    with _quiet(), torch.no_grad():
        program = _trace(graph)
        if path.suffix == SUFFIX["onnx"]:
            _write_onnx(program, graph, path, metadata)
        else:
            torch.export.save(program, path, extra_files={"metadata.json": json.dumps(dict(metadata))})


def _trace(graph: Graph) -> ExportedProgram:
    dims = [dict.fromkeys(graph.open(x), torch.export.Dim.DYNAMIC) for x in graph.example]
    shapes = (dims[0], tuple(dims[1:])) if len(dims) > 1 else (dims[0],)  # all but the frame arrive as *carried
    program = torch.export.export(graph.module, graph.example, dynamic_shapes=shapes, strict=False)
    _drop_unused(program)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names directories of this machine
    return program


def _drop_unused(program: ExportedProgram) -> None:
    """Take out weights that this step does not read: a step would hold all networks of the model otherwise."""
    unused = {n.name: n for n in program.graph.nodes if n.op == "placeholder" and not n.users}
    kept = []
    for spec in program.graph_signature.input_specs:
        node = unused.get(getattr(spec.arg, "name", ""))
        if node is None or spec.kind not in (InputKind.PARAMETER, InputKind.BUFFER):
            kept.append(spec)
            continue
        program.graph.erase_node(node)
        program.state_dict.pop(spec.target or "", None)
        program.constants.pop(spec.target or "", None)  # buffers that are not saved
    program.graph_signature.input_specs = kept
    program.graph_module.recompile()


def _write_onnx(program: ExportedProgram, graph: Graph, path: Path, metadata: Metadata) -> None:
    op = extra("onnxscript").opset18

    def floor_divide(a: Any, b: Any) -> Any:
        """Sizes are rounded up as -(-h // 4), but ONNX divides towards zero; its Mod has the sign of the divisor."""
        return op.Div(op.Sub(a, op.Mod(a, b)), b)

    names = [graph.open(x) for x in graph.example]
    result = torch.onnx.export(
        program,
        graph.example,
        dynamo=True,
        verbose=False,
        external_data=False,
        optimize=False,  # onnxscript 0.7 loses a bound of two clamps of one value; onnxruntime optimises when it loads
        input_names=list(graph.inputs),
        output_names=list(graph.outputs),
        dynamic_shapes=(names[0], tuple(names[1:])) if len(names) > 1 else (names[0],),
        custom_translation_table={operator.floordiv: floor_divide},
    )
    assert result is not None
    for node in result.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces again
    result.model.metadata_props.clear()
    result.model.metadata_props.update({name: json.dumps(value) for name, value in metadata.items()})
    result.save(str(path), external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings to its developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
