"""What happens where TensorRT cannot run, an engine strays from PyTorch, or its file is not what it should be.

Engines themselves need a GPU; the code that builds them runs in test_onnx_operators.py.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from segpoint.cli import main
from segpoint.engines import tensorrt
from segpoint.engines.parity import Sample
from segpoint.engines.runner import Unavailable
from segpoint.engines.tensorrt_cache import EngineKey, Plan, Stale, load_or_build, read_plan, write_plan

KEY = EngineKey(
    graph="gem",
    onnx="0" * 64,
    tensorrt="10.13.0.35",
    gpu="NVIDIA Orin",
    compute_capability="8.7",
    precision="fp16",
    ports={"features": ["torch.float32", 1, 256, 7], "geometry": ["torch.float32", 1, 256, 96]},
)
PLAN = Plan(os.urandom(5000), {"precision": "fp16", "difference": 1e-4})


# --- is there a TensorRT that can be used? -------------------------------------------------------------------------


def _driver() -> bool:
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


@pytest.mark.skipif(_driver(), reason="this machine has an NVIDIA driver")
def test_without_a_driver_nothing_of_tensorrt_is_imported() -> None:
    script = """
import sys
import segpoint, segpoint.engines.runner
from segpoint.cli import main
from segpoint.engines import tensorrt
try:
    tensorrt.check("cuda")
except tensorrt.Unavailable as error:
    print(error)
assert not {"tensorrt", "onnx"} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "no driver" in done.stdout and "backend auto" in done.stdout


@pytest.mark.skipif(_driver(), reason="this machine has an NVIDIA driver")
def test_the_command_says_why_it_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--tensorrt"]) == 2
    assert "tensorrt needs an NVIDIA GPU" in capsys.readouterr().err


def test_a_driver_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(cuInit=lambda flags: 999))
    with pytest.raises(Unavailable, match=r"does not start \(CUDA error 999\)"):
        tensorrt.check("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this PyTorch sees a GPU")
def test_a_pytorch_that_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(cuInit=lambda flags: 0))
    with pytest.raises(Unavailable, match=f"PyTorch {torch.__version__.split('+')[0]}.* finds no GPU"):
        tensorrt.check("cuda")


def test_another_device_than_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(cuInit=lambda flags: 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(Unavailable, match="not on cpu: give device cuda"):
        tensorrt.check("cpu")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "cannot be imported"),
        ({"__init__.pyi": "class Builder: ..."}, "is not installed"),  # what type stubs alone leave
        ({"__init__.py": "raise OSError('libnvinfer.so.10: cannot open')"}, "libnvinfer.so.10: cannot open"),
        ({"__init__.py": "__version__ = '8.6.1'"}, "tensorrt 8.6.1 is too old, 10 or newer"),
    ],
)
def test_a_library_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], message: str
) -> None:
    (tmp_path / "tensorrt").mkdir()
    for name, text in files.items():
        (tmp_path / "tensorrt" / name).write_text(text)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    if files:
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(Unavailable, match=message) as told:
        tensorrt.library_version()
    assert "pip install" in str(told.value) and "Jetson" in str(told.value)


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0.106"])
def test_a_library_that_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=version))
    assert tensorrt.library_version() == version


# --- fp16, or fp32 where that is needed ----------------------------------------------------------------------------


def _product(path: Path, scale: float) -> Path:
    """A graph y = x w whose values are of order ``scale``."""
    weight = numpy_helper.from_array(np.eye(32, dtype=np.float32) * scale, "w")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 32])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 32])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "graph", [given], [made], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def _reference(scale: float) -> Callable[[bytes], float]:
    """How far a graph is from y = scale · x, with onnx's own evaluator as the engine."""
    x = torch.linspace(-9, 9, 128).view(4, 32)
    sample = Sample({"x": x}, {"y": x * scale})

    def differs(model: bytes) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            (y,) = ReferenceEvaluator(onnx.load_from_string(model)).run(None, {"x": x.numpy()})
        return sample.difference({"y": torch.from_numpy(y)})

    return differs


def test_fp16_is_kept_where_it_agrees(tmp_path: Path) -> None:
    plan = tensorrt.agreeing_plan(_product(tmp_path / "gem.onnx", 3.0), bytes, _reference(3.0))
    assert plan.note["precision"] == "fp16" and 0 < plan.note["difference"] < 1e-3
    assert b"w_fp16" in plan.data


def test_fp32_is_taken_where_fp16_overflows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _product(tmp_path / "gem.onnx", 60_000.0)  # 9 times that is beyond fp16
    plan = tensorrt.agreeing_plan(path, bytes, _reference(60_000.0))
    assert plan.note["precision"] == "fp32" and plan.note["difference"] < 1e-6
    assert plan.data == path.read_bytes()
    assert "gem in fp16 cannot be used: it differs from PyTorch by inf" in caplog.text


def test_fp32_is_taken_where_fp16_cannot_be_built_or_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _product(tmp_path / "gem.onnx", 1.0)

    def make(model: bytes) -> bytes:
        if b"w_fp16" in model:
            raise Unavailable("no kernel for Half")
        return model

    assert tensorrt.agreeing_plan(path, make, _reference(1.0)).note["precision"] == "fp32"
    assert "gem in fp16 cannot be used: no kernel for Half" in caplog.text


def test_an_engine_that_is_wrong_in_both_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no usable engine of gem.onnx: it differs from PyTorch by 0\.5"):
        tensorrt.agreeing_plan(_product(tmp_path / "gem.onnx", 1.0), bytes, _reference(2.0))


def test_difference_of_nothing_and_of_nan() -> None:
    sample = Sample({}, {"a": torch.tensor([0.0, -4.0]), "b": torch.zeros(2)})
    assert sample.difference(sample.outputs) == 0.0
    assert sample.difference({"a": torch.tensor([1.0, -4.0]), "b": torch.zeros(2)}) == 0.25
    assert sample.difference({"a": sample.outputs["a"], "b": torch.tensor([torch.nan, 0.0])}) == torch.inf


# --- engine files --------------------------------------------------------------------------------------------------


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    path = KEY.path(tmp_path / "new")
    write_plan(path, KEY, PLAN)
    assert read_plan(path, KEY) == PLAN
    assert path.name == "gem-fp16-sm87-tensorrt10.13.0.35.engine"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


OTHERS = {
    "onnx": ("1" * 64, "another network"),
    "ports": ({"features": ["torch.float32", 1, 512, 7]}, "another network"),
    "tensorrt": ("10.13.1.0", "for tensorrt 10.13.0.35, here it is 10.13.1.0"),
    "gpu": ("NVIDIA Thor", "for gpu NVIDIA Orin, here it is NVIDIA Thor"),
    "compute_capability": ("9.0", "for compute_capability 8.7, here it is 9.0"),
    "precision": ("fp32", "for precision fp16, here it is fp32"),
    "graph": ("gfp", "for graph gem, here it is gfp"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_plan_from_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    other, reason = OTHERS[name]
    write_plan(tmp_path / "engine", KEY, PLAN)
    with pytest.raises(Stale, match=reason):
        read_plan(tmp_path / "engine", replace(KEY, **{name: other}))


def test_every_field_of_the_key_counts() -> None:
    assert set(OTHERS) == set(EngineKey.__dataclass_fields__)


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: b"", "no engine of this version"),
        (lambda c: PLAN.data, "no engine of this version"),
        (lambda c: c.replace(b"engine 1\n", b"engine 0\n", 1), "no engine of this version"),
        (lambda c: c[:60], "header is damaged"),
        (lambda c: c.split(b"\n")[0] + b"\n[1, 2]\n" + PLAN.data, "header is damaged"),
        (lambda c: c.split(b"\n")[0] + b'\n{"key": {}}\n' + PLAN.data, "header is damaged"),
        (lambda c: c[: -len(PLAN.data)], "truncated: 0 of 5000 bytes"),
        (lambda c: c[:-1], "truncated: 4999 of 5000 bytes"),
        (lambda c: c + b"x", "truncated: 5001 of 5000 bytes"),
        (lambda c: _flip(c, len(c) - 2500), "damaged: its hash is another"),
    ],
)
def test_a_damaged_plan_is_refused_and_built_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "segpoint.engines")
    path = KEY.path(tmp_path)
    write_plan(path, KEY, PLAN)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Stale, match=reason):
        read_plan(path, KEY)
    loaded: list[bytes] = []
    load_or_build(tmp_path, KEY, lambda plan: loaded.append(plan.data), lambda: replace(PLAN, data=b"anew"))
    assert loaded == [b"anew"] and reason in caplog.text  # the damaged one was never handed to TensorRT
    assert read_plan(path, KEY).data == b"anew"


def test_a_plan_that_tensorrt_refuses_is_built_again(tmp_path: Path) -> None:
    write_plan(KEY.path(tmp_path), KEY, replace(PLAN, data=b"old"))

    def load(plan: Plan) -> bytes:
        if plan.data == b"old":
            raise Stale("TensorRT does not take it")
        return plan.data

    assert load_or_build(tmp_path, KEY, load, lambda: replace(PLAN, data=b"new")) == b"new"
    assert load_or_build(tmp_path, KEY, load, lambda: pytest.fail("it is there")) == b"new"


def test_two_at_once_build_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "segpoint.engines")
    built, begun = [], threading.Event()

    def build() -> Plan:
        built.append(1)
        begun.set()
        time.sleep(0.2)
        return PLAN

    first = threading.Thread(target=load_or_build, args=(tmp_path, KEY, lambda plan: plan, build))
    first.start()
    begun.wait(10)
    assert load_or_build(tmp_path, KEY, lambda plan: plan, build) == PLAN
    first.join()
    assert built == [1] and "being built by another process" in caplog.text


def test_a_build_that_fails_leaves_the_file_and_no_lock(tmp_path: Path) -> None:
    old = replace(KEY, gpu="another")
    write_plan(KEY.path(tmp_path), old, PLAN)
    before = KEY.path(tmp_path).read_bytes()

    def build() -> Plan:
        raise Unavailable("out of memory")

    for _ in range(2):  # the second would wait for ever on a lock that is still held
        with pytest.raises(Unavailable, match="out of memory"):
            load_or_build(tmp_path, KEY, lambda plan: plan, build)
    assert KEY.path(tmp_path).read_bytes() == before


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = KEY.path(tmp_path)
    write_plan(path, KEY, PLAN)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left on device.*SEGPOINT_CACHE"):
        write_plan(path, KEY, replace(PLAN, data=b"new"))
    assert read_plan(path, KEY) == PLAN
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="set SEGPOINT_CACHE"):
        load_or_build(tmp_path / "file" / "engines", KEY, lambda plan: plan, lambda: PLAN)


def test_the_header_can_be_read_by_eye(tmp_path: Path) -> None:
    write_plan(tmp_path / "engine", KEY, PLAN)
    _, header, _ = (tmp_path / "engine").read_bytes().split(b"\n", 2)
    assert json.loads(header)["note"] == PLAN.note and json.loads(header)["key"]["gpu"] == "NVIDIA Orin"
