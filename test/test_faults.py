"""Full disks, caches that may only be read, killed exports, no memory, a lost GPU: the next one that can work does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tiny_bundle import CONFIG, LANGUAGE_WIDTH, cloud_inputs, write_bundle

from segpoint.bundle import load_network, read_weights
from segpoint.config import default_bundle
from segpoint.devices import device_errors
from segpoint.engines import export
from segpoint.engines.exported import MANIFEST, Exported, find_exported, read_exported, source_hash
from segpoint.engines.graphs import Signature, signatures
from segpoint.engines.onnxruntime import OnnxRuntimeRunner
from segpoint.engines.runner import Engines, TorchRunner
from segpoint.errors import DeviceLost, SegPointError

GRAPHS = signatures(CONFIG, LANGUAGE_WIDTH)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def network(bundle: Path):
    return load_network(bundle, CONFIG, read_weights(bundle))


@pytest.fixture(scope="module")
def made(bundle: Path, network, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The one export by the real exporter, which takes seconds."""
    return export.export(bundle, CONFIG, network, tmp_path_factory.mktemp("made"))


def python(script: str, *words: object, alone: bool = False) -> subprocess.Popen[str]:
    """A process of its own; ``alone`` with mounts of its own, which are gone with it."""
    command = [sys.executable, "-u", "-c", script, *map(str, words)]
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}
    pipe = subprocess.PIPE
    prefix = ["unshare", "-rm"] if alone else []
    return subprocess.Popen([*prefix, *command], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)


def said(process: subprocess.Popen[str]) -> dict:
    """The last line that a process printed, JSON."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


# --- the disk ---------------------------------------------------------------------------------------------------------

CHOOSE = """
import json, logging, os, shutil, signal, subprocess, sys
from pathlib import Path
from segpoint.bundle import load_network, read_weights
from segpoint.config import BundleConfig
from segpoint.engines import export
from segpoint.engines.runner import choose
from segpoint.engines.tensorrt_cache import EngineKey, Plan, load_or_build

kind, bundle, made, cache = sys.argv[1], *map(Path, sys.argv[2:5])
os.environ["SEGPOINT_CACHE"] = str(cache)
config = BundleConfig.load(bundle)
network = load_network(bundle, config, read_weights(bundle))
warnings = []

class Told(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())

logging.getLogger("segpoint").addHandler(Told(logging.WARNING))

def taken():
    warnings.clear()
    return choose("auto", bundle, config, network, "cpu").runner.name.split()[0], list(warnings)

def copied(module, signature, path):
    shutil.copy(made / path.name, path)

def left():
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name not in (".lock", "filler"))

def mount(*words):
    subprocess.run(["mount", *words, str(cache)], check=True)
"""

FULL = """
import resource
if kind == "mount":
    mount("-t", "tmpfs", "-o", "size=5M", "tmpfs")
    (cache / "filler").write_bytes(bytes((5 << 20) - (32 << 10)))
    (cache / "engines").mkdir()
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, resource.RLIM_INFINITY))
full = [taken(), left()]

key = EngineKey("gem", "0", "10.13", "none", "8.7", "fp16", {})
warnings.clear()
plan = load_or_build(cache / "plans", key, lambda plan: len(plan.data), lambda: Plan(bytes(100_000)))
engine = [plan, list(warnings), left()]

resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
(cache / "filler").unlink(missing_ok=True)
export.to_onnx = copied
room = [taken(), left()]
if kind == "mount":
    mount("-o", "remount,ro")
    kept = taken()
    mount("-t", "tmpfs", "-o", "ro", "tmpfs")
    read_only = [kept, taken()]
print(json.dumps({"full": full, "engine": engine, "room": room, "read only": read_only if kind == "mount" else None}))
"""


def unshared() -> bool:
    """Whether this machine lets us mount something for ourselves."""
    try:
        return (
            subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode
            == 0
        )
    except OSError:
        return False


def test_a_full_disk_and_one_that_may_only_be_read(bundle: Path, made: Exported, tmp_path: Path) -> None:
    """While it is full PyTorch computes, said once; nothing half written stays; with room the next start makes all.

    A file system of 5 MB; where none can be mounted a limit on the size of files stands for it.
    """
    (tmp_path / "cache").mkdir()
    kind = "mount" if unshared() else "limit"
    told = said(python(CHOOSE + FULL, kind, bundle, made.folder, tmp_path / "cache", alone=kind == "mount"))
    (runner, warnings), left = told["full"]
    assert runner == "torch" and not left
    assert len(warnings) == 1 and "cannot write engines" in warnings[0] and "SEGPOINT_CACHE" in warnings[0]
    size, warnings, left = told["engine"]  # TensorRT's took minutes: it is used all the same
    assert size == 100_000 and not [name for name in left if "engine" in name and not name.endswith(".lock")]
    assert len(warnings) == 1 and "built again at the next start" in warnings[0]
    (runner, warnings), left = told["room"]
    assert runner == "onnxruntime" and not warnings
    assert set(left) >= {"encoder.onnx", MANIFEST, "gem.onnx", "gfp.onnx"} and not [n for n in left if n[0] == "."]

    if told["read only"] is not None:
        kept, empty = told["read only"]
        assert kept == ["onnxruntime", []]
        assert empty[0] == "torch" and len(empty[1]) == 1 and "Read-only file system" in empty[1][0]


# --- kill -9 in the middle of an export into a bundle (into the cache: test_export.py) --------------------------------

EXPORT = """
import shutil, sys
from pathlib import Path
from segpoint.bundle import load_network, read_weights
from segpoint.config import BundleConfig
from segpoint.engines import export

def wait(what):
    print(what, flush=True)
    sys.stdin.readline()

def slowly(module, signature, path):
    shutil.copy(made / path.name, path)
    wait(path)

export.to_onnx = slowly
bundle, made, out = map(Path, sys.argv[1:4])
config = BundleConfig.load(bundle)
network = load_network(bundle, config, read_weights(bundle))
wait("ready")
export.export(bundle, config, network, out)
"""


def step(process: subprocess.Popen[str]) -> None:
    """Let it go on until it waits again."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline()


def test_a_killed_export_into_a_bundle_is_cleared_by_the_next(bundle, network, made, tmp_path, monkeypatch):
    def copied(module: object, signature: Signature, path: Path) -> None:
        shutil.copy(made.onnx(path.stem), path)

    out = tmp_path / "out"
    with python(EXPORT, bundle, made.folder, out) as killed, python(EXPORT, bundle, made.folder, out) as lives:
        try:
            for process in (killed, lives):
                assert process.stdout is not None and process.stdout.readline() == "ready\n"
            step(killed)
            killed.kill()
            killed.wait()
            (half,) = out.glob(".engines-*")
            step(lives)
            (other,) = out.glob(".engines-*")
            assert other != half, "what was left is gone"
            monkeypatch.setattr(export, "to_onnx", copied)
            export.export(bundle, CONFIG, network, out)  # a third at the same time
            assert list(out.glob(".engines-*")) == [other], "what is being written is not"
            assert lives.communicate("\n\n\n", timeout=120) and lives.returncode == 0
        finally:
            killed.kill()
            lives.kill()
    assert read_exported(out, source_hash(bundle), GRAPHS)
    assert sorted(path.name for path in out.iterdir()) == ["encoder.onnx", MANIFEST, "gem.onnx", "gfp.onnx"]


# --- memory and the GPU -----------------------------------------------------------------------------------------------


class Failing:
    """A runner that raises what it is told to, until it is told no more."""

    name = "tensorrt 10.13 on a GPU"

    def __init__(self, runner: TorchRunner, error: Exception) -> None:
        self.runner, self.error, self.runs = runner, error, 0

    def run(self, graph: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.runs += 1
        if self.error:
            raise self.error
        return self.runner.run(graph, inputs)


def failing(network, error: Exception) -> tuple[Engines, Failing]:
    reference = TorchRunner(network, GRAPHS)
    runner = Failing(reference, error)
    return Engines(runner, GRAPHS, reference), runner


@torch.inference_mode()
def tokens(engines: Engines) -> torch.Tensor:
    return engines.encode(cloud_inputs()).f5


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity of 7.43 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: str(error)[:25])
def test_no_memory_costs_a_cloud_and_not_the_runner(network, error, caplog) -> None:
    engines, runner = failing(network, error)
    for _ in range(2):
        with pytest.raises(SegPointError, match="too little memory") as told:
            tokens(engines)
        assert not isinstance(told.value, DeviceLost) and "\n" not in str(told.value)
    runner.error = None
    assert torch.equal(tokens(engines), tokens(Engines.torch(network)))
    assert engines.runner is runner and not caplog.records


def test_a_lost_gpu_is_no_fault_of_the_runner(network, caplog) -> None:
    """PyTorch on the same GPU would fare no better, and nothing but a new process has a GPU again."""
    kind = getattr(torch, "AcceleratorError", RuntimeError)  # since 2.8
    engines, _ = failing(network, kind("CUDA error: unspecified launch failure\nCUDA kernel errors might be"))
    for _ in range(2):
        with pytest.raises(DeviceLost, match="unspecified launch failure.*start this process again"):
            tokens(engines)
    assert not caplog.records


def test_a_runner_that_fails_gives_way_to_pytorch(network, caplog) -> None:
    engines, runner = failing(network, RuntimeError("TensorRT could not run: enqueueV3: Error Code 1"))
    found = [tokens(engines) for _ in range(3)]
    assert all(torch.equal(one, tokens(Engines.torch(network))) for one in found)
    assert runner.runs == 1 and engines.runner.name == "torch"
    (warning,) = caplog.messages
    assert (
        warning.startswith("tensorrt 10.13 on a GPU failed (TensorRT could not run") and "on torch from now" in warning
    )


def test_pytorch_has_nothing_to_fall_back_to(network) -> None:
    runner = Failing(TorchRunner(network, GRAPHS), RuntimeError("what it never does"))
    with pytest.raises(RuntimeError, match="never does"):
        tokens(Engines(runner, GRAPHS))


def test_an_onnxruntime_that_fails_at_work_gives_way(network, made, tmp_path, caplog) -> None:
    """The real one, with a graph that loads and cannot be run: it looks for a row that is not there."""
    graphs = {"encoder": GRAPHS["encoder"]}
    inputs = [helper.make_tensor_value_info(p.name, _ONNX[p.dtype], list(p.shape)) for p in graphs["encoder"].inputs]
    outputs = [helper.make_tensor_value_info(p.name, _ONNX[p.dtype], list(p.shape)) for p in graphs["encoder"].outputs]
    nodes = [helper.make_node("Gather", ["points", "far"], ["row"], axis=1)]
    for name, value in {"far": np.array([10**6]), "all": np.array(graphs["encoder"].outputs[0].shape)}.items():
        nodes.insert(0, helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name)))
    nodes.append(helper.make_node("ReduceMax", ["row"], ["number"], keepdims=0))
    nodes += [helper.make_node("Expand", ["number", "all"], [port.name]) for port in graphs["encoder"].outputs]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), ir_version=10,
                              opset_imports=[helper.make_opsetid("", 18)])  # fmt: skip
    for path in made.folder.iterdir():
        shutil.copy(path, tmp_path)
    onnx.save(model, tmp_path / "encoder.onnx")
    broken = OnnxRuntimeRunner(Exported(tmp_path, made.source, GRAPHS, made.sha256), 1)
    engines = Engines(broken, GRAPHS, TorchRunner(network, GRAPHS))
    expected = tokens(Engines.torch(network))
    assert (tokens(engines) - expected).abs().max() <= 1e-4 * expected.abs().max()  # GEM was still ONNX Runtime's
    assert torch.equal(tokens(engines), expected)
    assert len(caplog.messages) == 1 and "onnxruntime" in caplog.messages[0] and "on torch from now" in caplog.text


_ONNX = {torch.float32: TensorProto.FLOAT, torch.int32: TensorProto.INT32, torch.bool: TensorProto.BOOL}


def test_what_is_no_fault_of_a_device_stays_as_it_is() -> None:
    for error in (KeyError("a"), ValueError("b"), RuntimeError("c"), SegPointError("out of memory")):
        with pytest.raises(type(error)) as told, device_errors():
            raise error
        assert told.value is error


SHORT = """
import json, resource
import torch
from pathlib import Path
from segpoint.bundle import load_network, read_weights
from segpoint.config import BundleConfig, default_bundle
from segpoint.engines.parity import sample_inputs
from segpoint.engines.runner import choose
from segpoint.errors import DeviceLost, SegPointError

folder = default_bundle()
config = BundleConfig.load(folder)
network = load_network(folder, config, read_weights(folder))
inputs, _ = sample_inputs(config)

def limit(more):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = resource.RLIM_INFINITY if more is None else pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

def encoded(engines):
    try:
        return bool(engines.encode(inputs).f5.isfinite().all())
    except SegPointError as error:
        return str(error)

told = {}
for backend in ("torch", "onnxruntime"):
    engines = choose(backend, folder, config, network, "cpu")
    with torch.inference_mode():
        limit(1 << 20)
        short = [encoded(engines) for _ in range(2)]
        limit(None)
        told[engines.runner.name.split()[0]] = [*short, encoded(engines)]
print(json.dumps(told))
"""


def test_memory_that_really_runs_out() -> None:
    """No more address space than the process has: clouds fail, and once there is memory again they do not."""
    if find_exported(default_bundle()) is None:
        pytest.skip("the engines of the bundle that ships are not there: segpoint setup")
    told = said(python(SHORT))
    assert set(told) == {"torch", "onnxruntime"}
    for *short, after in told.values():
        assert all("too little memory" in str(text) for text in short) and after is True, told
