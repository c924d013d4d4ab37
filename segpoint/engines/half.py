"""fp16 written into an ONNX graph, as strongly typed TensorRT wants it: the large products, and nothing else.

A strongly typed network computes every operator in the type that the graph states. Products are where fp16 pays
(tensor cores, which still add up in fp32) and where it is safe; distances, norms, softmaxes and sums stay fp32. So do
products over a few channels: those are coordinates, whose differences fp16 cannot hold.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_SMALLEST = 16
"""A product over fewer channels than this stays fp32: it fills no tensor core, and it is of coordinates (3 to 6)."""


def half_products(model: ModelProto) -> ModelProto:
    """A copy of ``model`` whose MatMul and Gemm over 16 channels or more take and give fp16, between casts.

    Inputs, outputs and everything else keep their types. The shapes of all products must be static.
    """
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = model.graph
    shapes = _shapes(model)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    halves: dict[str, str] = {}  # fp32 name → the name of the same in fp16
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm") or _inner(node, shapes) < _SMALLEST:
            nodes.append(node)
            continue
        for name in filter(None, node.input):
            if name not in halves:
                halves[name] = f"{name}_fp16"
                if name in weights:
                    graph.initializer.append(_half_weight(weights[name], halves[name]))
                else:
                    nodes.append(helper.make_node("Cast", [name], [halves[name]], halves[name], to=TensorProto.FLOAT16))
        product = f"{node.output[0]}_product_fp16"
        nodes.append(
            helper.make_node(
                node.op_type,
                [halves.get(name, "") for name in node.input],
                [product],
                node.name,
                **{a.name: helper.get_attribute_value(a) for a in node.attribute},
            )
        )
        nodes.append(helper.make_node("Cast", [product], [node.output[0]], f"{product}_cast", to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(model)
    return model


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    graph = model.graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return shapes


def _inner(node: NodeProto, shapes: dict[str, list[int]]) -> int:
    """How many channels a product adds up over."""
    shape = shapes[node.input[0]]
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return shape[-2] if transposed else shape[-1]


def _half_weight(weight: TensorProto, name: str) -> TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), name)


def _drop_unused(model: ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
