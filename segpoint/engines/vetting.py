"""Graphs that a bundle brings may come from anywhere: what they may hold, looked at before anything runs them.

Those of an export are plain: standard operators on tensors whose shapes are known beforehand, the weights in the file
itself. Whatever else ONNX allows is refused: files elsewhere, libraries of operators, loops, tensors of any size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from segpoint.config import LARGEST_TENSOR
from segpoint.engines.exported import Exported
from segpoint.errors import SegPointError
from segpoint.files import reading

if TYPE_CHECKING:
    from onnx import ModelProto


def check_graphs(exported: Exported) -> None:
    """Raise `SegPointError` where a graph is not plain."""
    import onnx

    for path in map(exported.onnx, exported.graphs):
        with reading(path, "export the bundle again"):
            model = onnx.load(path, load_external_data=False)
            onnx.checker.check_model(model)
            if odd := _oddity(model) or _size(model):
                raise SegPointError(f"{path} is no graph of an export, {odd}: export the bundle again")


def _oddity(model: ModelProto) -> str:
    """What a model holds that no export has, in words; "" where it is plain."""
    import onnx

    nodes = model.graph.node
    attributes = [attribute for node in nodes for attribute in node.attribute]
    tensors = [*model.graph.initializer, *(a.t for a in attributes), *(t for a in attributes for t in a.tensors)]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        return "its weights lie in other files"
    if foreign := {node.domain for node in nodes} - {"", "ai.onnx"}:
        return f"it has operators of {sorted(foreign)!s:.80}"
    if model.functions or any(attribute.HasField("g") or attribute.graphs for attribute in attributes):
        return "it has graphs within the graph"
    return ""


def _size(model: ModelProto) -> str:
    """What is wrong with the sizes of a model's tensors, in words; "" where nothing is."""
    import onnx

    del model.graph.value_info[:]  # what the file says of them
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*inferred.value_info, *inferred.output)}
    for node in model.graph.node:
        for name in filter(None, node.output):
            if name not in shapes or not all(dim.HasField("dim_value") for dim in shapes[name]):
                return f"what {node.op_type} gives, {name!r:.40}, has no size"
            if math.prod(dim.dim_value for dim in shapes[name]) > LARGEST_TENSOR:
                return f"what {node.op_type} gives, {name!r:.40}, is too large"
    return ""
