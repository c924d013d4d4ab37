"""The exported graphs stay within what TensorRT takes: its parser's list of operators, static shapes, and, where
TensorRT-RTX is installed (it builds without a GPU), its parser and builder themselves.

TensorRT-RTX is the nearest to TensorRT that runs here, not TensorRT: it says that the graphs are well formed, typed and
built of what the common parser takes, not how fast or how exactly an engine computes.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig
from segpoint.engines.export import OPSET, to_onnx
from segpoint.engines.graphs import modules, signatures
from segpoint.engines.half import half_products
from segpoint.engines.runner import Unavailable
from segpoint.network.segpoint import SegPoint

pytestmark = pytest.mark.filterwarnings("ignore:.*no-ops in TensorRT-RTX:DeprecationWarning")  # its timing caches

# Operators that the parser's own table (onnx-tensorrt, docs/operators.md of TensorRT 10.0 and 10.1, opsets 9 to 20)
# marks as supported. Left out: those whose output's shape depends on the data, control flow, random numbers, and what
# ONNX has withdrawn; static shapes and one answer are what engines are for.
SUPPORTED = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast CastLike
    Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace
    DequantizeLinear Div Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND
    Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization GRU HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LRN LSTM LpNormalization LpPool MatMul Max
    MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not OneHot Or Pad Pow PRelu QuantizeLinear
    Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RNN RoiAlign Round ScatterElements ScatterND
    Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
    Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
    """.split()
)
TOP_K = 3840  # the table: K must be smaller

SIZES = {
    "cloud": CloudConfig(points=256, min_points=16),
    "gem": GemConfig(widths=(16, 16, 32)),
    "gfp": GfpConfig(levels=(32, 64), width=32),
}
ENCODER = {"tokens": 16, "patch": 8, "width": 32, "depth": 4, "heads": 2, "hidden": 32}
ENCODER |= {"stem_width": 32, "group_channels": 32}
CONFIGS = {
    "segpoint": BundleConfig(**SIZES, encoder=EncoderConfig(**ENCODER)),
    "vanilla": BundleConfig(  # the paper's baseline, with the blocks of Uni3D's larger sizes
        cloud=SIZES["cloud"],
        gem=GemConfig(inject=False),
        gfp=GfpConfig(enabled=False, levels=(32, 64), width=32),
        encoder=EncoderConfig(**ENCODER, block="split_swiglu_norm", adaptation="mlp"),
    ),
}
LANGUAGE_WIDTH = 64


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every graph of a small network of each kind."""
    folder = tmp_path_factory.mktemp("onnx")
    paths = {}
    for kind, config in CONFIGS.items():
        network = SegPoint(config, LANGUAGE_WIDTH).eval()
        described = signatures(config, LANGUAGE_WIDTH)
        for graph, module in modules(network, described).items():
            path = folder / f"{kind}-{graph}.onnx"
            to_onnx(module, described[graph], path)
            paths[path.stem] = path
    return paths


@pytest.fixture(scope="module")
def rtx() -> ModuleType:
    """TensorRT-RTX."""
    return pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")


@pytest.fixture(scope="module")
def tensorrt_build(rtx: ModuleType) -> Iterator[ModuleType]:
    """Our own build code, on TensorRT-RTX in TensorRT's place."""
    name = "segpoint.engines.tensorrt_build"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt", rtx)
        patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module(name)
        del sys.modules[name]


def test_operators_are_supported(graphs: dict[str, Path]) -> None:
    assert set(graphs) == {*(f"segpoint-{g}" for g in ("gem", "encoder", "gfp")), "vanilla-encoder", "vanilla-gfp"}
    for name, path in graphs.items():
        model = onnx.load(path)
        for made in (model, half_products(model)):
            assert _unsupported(made) == [], name


def test_the_list_can_fail() -> None:
    assert _unsupported(_one_node("Unique", ["y"])) == ["Unique", "dynamic shape of y"]
    assert _unsupported(_one_node("NonZero", ["y"], TensorProto.INT64)) == ["NonZero", "dynamic shape of y"]
    assert _unsupported(_one_node("Relu", ["y"], domain="somebody.else")) == ["somebody.else.Relu"]
    k = numpy_helper.from_array(np.array([TOP_K]), "k")
    chosen = helper.make_node("TopK", ["x", "k"], ["y", "i"])
    assert _unsupported(_model([chosen], ["y"], rows=5000, weights=[k])) == [f"TopK of {TOP_K}"]
    dynamic = _one_node("Relu", ["y"])
    dynamic.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    assert _unsupported(dynamic) == ["dynamic shape of x"]


def _unsupported(model: onnx.ModelProto) -> list[str]:
    """What TensorRT's table does not promise, in words."""
    assert all(opset.version <= 20 for opset in model.opset_import) and not model.functions
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    problems = []
    for node in graph.node:
        if node.domain or node.op_type not in SUPPORTED:
            problems.append(f"{node.domain}.{node.op_type}".lstrip("."))
        if node.op_type == "TopK":
            k = int(numpy_helper.to_array(constants[node.input[1]])[0])
            problems += [f"TopK of {k}"] * (k >= TOP_K)
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        if any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
            problems.append(f"dynamic shape of {value.name}")
    return problems


def test_every_tensor_has_a_static_shape(graphs: dict[str, Path]) -> None:
    for path in graphs.values():
        model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
        known = {v.name for v in (*model.graph.input, *model.graph.output, *model.graph.value_info)}
        assert {name for node in model.graph.node for name in node.output if name} <= known


def test_rtx_knows_the_same_operators(rtx: ModuleType) -> None:
    logger = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(logger)
    parser = rtx.OnnxParser(builder.create_network(0), logger)
    assert {name for name in SUPPORTED if not parser.supports_operator(name)} <= {"DeformConv"}
    assert not parser.supports_operator("SegPoint")


def test_rtx_builds_every_graph(tensorrt_build: ModuleType, graphs: dict[str, Path], tmp_path: Path) -> None:
    for name, path in graphs.items():
        half = half_products(onnx.load(path)).SerializeToString()
        for content in (path.read_bytes(), half) if name.startswith("segpoint") else (half,):
            plan = tensorrt_build.build_plan(name, content, tmp_path / "timings")
            assert len(plan) > 10_000


@pytest.mark.parametrize("operator", ["Unique", "NonZero", "Det"])
def test_rtx_refuses_what_is_unsupported(tensorrt_build: ModuleType, tmp_path: Path, operator: str) -> None:
    model = _one_node(operator, ["y"], TensorProto.INT64 if operator == "NonZero" else TensorProto.FLOAT)
    with pytest.raises(Unavailable, match=rf"cannot parse the graph odd: node 0 \({operator}\)"):
        tensorrt_build.build_plan("odd", model.SerializeToString(), tmp_path / "timings")
    assert not (tmp_path / "timings").exists()


def test_rtx_refuses_mixed_types(tensorrt_build: ModuleType, tmp_path: Path) -> None:
    """Strong typing is on: a product of fp16 and fp32 is an error, not a silent cast."""
    weight = numpy_helper.from_array(np.ones((16, 16), np.float16), "w")
    model = _model([helper.make_node("MatMul", ["x", "w"], ["y"])], ["y"], columns=16, weights=[weight])
    with pytest.raises(Unavailable, match="cannot"):
        tensorrt_build.build_plan("mixed", model.SerializeToString(), tmp_path / "timings")


def test_a_build_is_reported_and_leaves_its_timings(
    tensorrt_build: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_build, "REPORT_S", 0.02)
    caplog.set_level(logging.INFO, "segpoint.engines")
    model = _layers(6).SerializeToString()
    timings = tmp_path / "new" / "timings"
    assert tensorrt_build.build_plan("layers", model, timings)
    told = [record.message for record in caplog.records]
    assert told[0].endswith("building") and " built in " in told[-1]
    assert any("Building engine" in message for message in told[1:-1])
    assert timings.stat().st_size > 0
    for damaged in (b"", b"nonsense", timings.read_bytes()[:-5]):
        timings.write_bytes(damaged)
        assert tensorrt_build.build_plan("layers", model, timings)


def test_a_build_stops_when_it_is_interrupted(
    tensorrt_build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does: raised where the caller waits, after which TensorRT is told to stop."""

    def interrupted(self: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorrt_build, "REPORT_S", 0.02)
    monkeypatch.setattr(tensorrt_build._Monitor, "where", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tensorrt_build.build_plan("layers", _layers(30).SerializeToString(), tmp_path / "timings")
    assert not (tmp_path / "timings").exists()


def test_rtx_has_the_calls_that_an_engine_makes(rtx: ModuleType) -> None:
    """Engines cannot run here. TensorRT-RTX's interface is TensorRT 11's: no call has been renamed there."""
    calls = {
        "Runtime": ["deserialize_cuda_engine"],
        "ICudaEngine": [
            *("num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_shape", "get_tensor_dtype"),
            "create_execution_context",
        ],
        "IExecutionContext": ["set_tensor_address", "execute_async_v3"],
        "TensorIOMode": ["INPUT", "OUTPUT"],
        "DataType": ["FLOAT", "INT32", "BOOL"],
    }
    assert [(kind, call) for kind in calls for call in calls[kind] if not hasattr(getattr(rtx, kind), call)] == []


def test_half_products_rounds_products_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    wide, narrow = generator.normal(size=(16, 8)).astype(np.float32), generator.normal(size=(8, 4)).astype(np.float32)
    bias = np.full(4, 1e-3, np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "wide"], ["m"], "product"),
        helper.make_node("Add", ["m", "one"], ["a"]),
        helper.make_node("Gemm", ["a", "narrow", "bias"], ["y"], "coordinates", alpha=2.0),
        helper.make_node("Gemm", ["z", "x"], ["t"], transA=1),
    ]
    weights = {"wide": wide, "narrow": narrow, "bias": bias, "one": np.ones(8, np.float32)}
    weights["z"] = np.ones((32, 3), np.float32)
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = onnx.shape_inference.infer_shapes(_model(nodes, ["y", "t"], rows=32, columns=16, weights=tensors))
    half = half_products(model)
    onnx.checker.check_model(half, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert types["wide_fp16"] == types["z_fp16"] == TensorProto.FLOAT16 and not {"wide", "z"} & types.keys()
    assert types["narrow"] == types["bias"] == TensorProto.FLOAT
    assert [v.type.tensor_type.elem_type for v in (*half.graph.input, *half.graph.output)] == [TensorProto.FLOAT] * 3
    x = generator.normal(size=(32, 16)).astype(np.float32)
    for found, expected in zip(
        ReferenceEvaluator(half).run(None, {"x": x}), ReferenceEvaluator(model).run(None, {"x": x}), strict=True
    ):
        assert found.dtype == np.float32
        assert 0 < np.abs(found - expected).max() < 1e-2 * np.abs(expected).max()


def _one_node(operator: str, outputs: list[str], to: int = TensorProto.FLOAT, domain: str = "") -> onnx.ModelProto:
    return _model([helper.make_node(operator, ["x"], outputs, domain=domain)], outputs, to=to)


def _layers(count: int) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    nodes = []
    for i in range(count):
        nodes.append(helper.make_node("MatMul", ["x" if i == 0 else f"x{i}", "w"], [f"m{i}"]))
        nodes.append(helper.make_node("Softmax", [f"m{i}"], [f"x{i + 1}"]))
    return _model(nodes, [f"x{count}"], rows=128, columns=64, weights=[weight])


def _model(
    nodes: list[onnx.NodeProto],
    outputs: list[str],
    rows: int = 16,
    columns: int = 16,
    to: int = TensorProto.FLOAT,
    weights: list[onnx.TensorProto] | None = None,
) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, columns])
    made = [helper.make_tensor_value_info(name, to, None) for name in outputs]
    graph = helper.make_graph(nodes, "graph", [given], made, weights or [])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("somebody.else", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnx.shape_inference.infer_shapes(model)
