"""Language models, graphs, clouds and settings from strangers: no code that they bring is run.

Real files, loaded as the node loads them. What is wrong with each is one `SegPointError` of one line.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hostile import Trap, change, load, refused, write_whole
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file

from segpoint import backbone
from segpoint.bundle import load_network, read_weights
from segpoint.config import BundleConfig
from segpoint.engines import export
from segpoint.engines.exported import MANIFEST, Exported, source_hash
from segpoint.engines.graphs import signatures
from segpoint.engines.runner import Unavailable, choose
from segpoint.engines.vetting import check_graphs
from segpoint.errors import SegPointError
from segpoint.files import read_points
from segpoint.segmenter import Segmenter
from segpoint_training.config import TrainConfig


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    trap = Trap(tmp_path / "sprung")
    yield trap
    trap.check()


# --- the language model -----------------------------------------------------------------------------------------------


def test_code_that_comes_with_a_model_is_not_run(bundle: Path, trap: Trap, capfd: pytest.CaptureFixture[str]) -> None:
    (bundle / "llm/evil.py").write_text(f"import os; os.mkdir({str(trap.sprung)!r})\nclass Evil: pass\n")
    change(bundle / "llm/config.json", auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"})
    assert load(bundle)
    auto_map = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    change(bundle / "llm/tokenizer_config.json", auto_map=auto_map, tokenizer_class="Evil")
    refused(bundle, "contains custom code")
    assert "[y/N]" not in capfd.readouterr().out, "nobody sits at a robot's terminal"


def test_pickled_weights_are_not_read(bundle: Path, trap: Trap) -> None:
    names = list(load_file(bundle / "llm/model.safetensors"))
    shutil.move(bundle / "llm/model.safetensors", bundle / "outside.safetensors")
    (bundle / "llm/pytorch_model.bin").write_bytes(pickle.dumps(trap))
    refused(bundle, "pickles are not read")
    for file in ("pytorch_model.bin", "../outside.safetensors", str(bundle / "outside.safetensors")):
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, file)}
        (bundle / "llm/model.safetensors.index.json").write_text(json.dumps(index))
        refused(bundle, "expected safetensors files beside it")


def test_an_adapter_does_not_lead_to_another_model(bundle: Path, whole: Path, trap: Trap) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(whole / "llm"), "target_modules": ["q_proj"]}
    (bundle / "llm/adapter_config.json").write_text(json.dumps(adapter))
    (bundle / "llm/adapter_model.bin").write_bytes(pickle.dumps(trap))
    refused(bundle, "holds an adapter")


MODELS: dict[str, Any] = {
    "hidden_size": 10**9,
    "intermediate_size": 10**12,
    "vocab_size": 10**13,
    "num_hidden_layers": 3000,
    "max_position_embeddings": 10**13,
    "num_attention_heads": 0,
    "head_dim": 10**9,
    "hidden_act": "evil",
    "rope_parameters": "evil",
    "dtype": "evil",
    "model_type": "gpt2",
    "quantization_config": {"quant_method": "gptq", "bits": 4},
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_be(bundle: Path, name: str) -> None:
    change(bundle / "llm/config.json", **{name: MODELS[name]})
    refused(bundle, "give a folder|expected model_type")


def test_a_tokenizer_of_another_model(bundle: Path) -> None:
    tokenizer = json.loads((bundle / "llm/tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {word: 10**6 + number for word, number in tokenizer["model"]["vocab"].items()}
    (bundle / "llm/tokenizer.json").write_text(json.dumps(tokenizer))
    refused(bundle, "is not of its model")
    (bundle / "llm/tokenizer.json").unlink()
    refused(bundle, "give a folder")


@pytest.mark.parametrize("damage", ["half", "zeros"])
def test_a_language_model_that_was_set_up_and_then_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """The one that ships: its files are links to those of this machine, but for the weights."""
    theirs = backbone.setup()
    ours = tmp_path / "backbones" / backbone.DEFAULT
    ours.mkdir(parents=True)
    for path in theirs.iterdir():
        (ours / path.name).symlink_to(path)
    weights = ours / "model.safetensors"
    weights.unlink()
    size = (theirs / weights.name).stat().st_size
    with weights.open("wb") as file:
        if damage == "half":
            file.write((theirs / weights.name).read_bytes()[: size // 2])
        else:
            file.truncate(size)
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))
    with pytest.raises(SegPointError, match="model.safetensors .*run `segpoint setup --force`"):
        Segmenter.from_bundle()


# --- engines ----------------------------------------------------------------------------------------------------------


def external(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(nodes: list, tensors: list = [], domain: str = "") -> onnx.ModelProto:  # noqa: B006
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
    versions = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=versions, ir_version=10)


def loop() -> onnx.ModelProto:
    """For ever."""
    ports = [helper.make_tensor_value_info(n, k, s) for n, k, s in
             (("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("a", TensorProto.FLOAT, [1, 4]))]  # fmt: skip
    again = [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["a"], ["b"])]
    outs = [helper.make_tensor_value_info(n, k, s) for n, k, s in
            (("d", TensorProto.BOOL, []), ("b", TensorProto.FLOAT, [1, 4]))]  # fmt: skip
    body = helper.make_graph(again, "body", ports, outs)
    times = numpy_helper.from_array(np.array(2**62), "times")
    yes = numpy_helper.from_array(np.array(True), "yes")
    return model([helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)], [times, yes])


def huge() -> onnx.ModelProto:
    size = numpy_helper.from_array(np.array([10**12]), "size")
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["z"]), helper.make_node("ReduceMax", ["z"], ["m"]),
             helper.make_node("Add", ["x", "m"], ["y"])]  # fmt: skip
    return model(nodes, [size])


def unknown() -> onnx.ModelProto:
    """As large as what x holds says."""
    nodes = [helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64), helper.make_node("Squeeze", ["i"], ["s"]),
             helper.make_node("ConstantOfShape", ["s"], ["z"]), helper.make_node("ReduceMax", ["z"], ["m"], keepdims=0),
             helper.make_node("Add", ["x", "m"], ["y"])]  # fmt: skip
    return model(nodes)


ADD = helper.make_node("Add", ["x", "w"], ["y"])
GRAPHS: dict[str, tuple[onnx.ModelProto, str]] = {
    "absolute": (model([ADD], [external("/etc/passwd")]), "other files|cannot be read"),
    "outside": (model([ADD], [external("../../../../../etc/passwd")]), "other files|cannot be read"),
    "beside": (model([ADD], [external("model.safetensors")]), "other files|cannot be read"),
    "operators": (model([helper.make_node("Evil", ["x"], ["y"], domain="evil")], domain="evil"), "operators of"),
    "python": (model([helper.make_node("PyOp", ["x"], ["y"], domain="ai.onnx.contrib")], domain="ai.onnx.contrib"),
               "operators of"),  # onnxruntime-extensions runs Python
    "loop": (loop(), "graphs within the graph"),
    "huge": (huge(), "ConstantOfShape gives, 'z', is too large"),
    "unknown": (unknown(), "has no size"),
}  # fmt: skip


def with_graphs(bundle: Path, content: bytes) -> Exported:
    """Lay the same file into the bundle as all of its engines, with a manifest that is right about them."""
    config = BundleConfig.load(bundle)
    graphs = signatures(config, 64)
    for graph in graphs:
        (bundle / f"{graph}.onnx").write_bytes(content)
    files = {f"{graph}.onnx": backbone.file_hash(bundle / f"{graph}.onnx") for graph in graphs}
    (bundle / MANIFEST).write_text(json.dumps({"source": source_hash(bundle), "files": files}))
    return Exported(bundle, source_hash(bundle), graphs, files)


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_no_export_writes(bundle: Path, name: str) -> None:
    content, says = GRAPHS[name]
    with pytest.raises(SegPointError, match=says) as error:
        check_graphs(with_graphs(bundle, content.SerializeToString()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\x08\x0a", os.urandom(1000), model([ADD]).SerializeToString()[:40]])
def test_files_that_are_no_graphs(bundle: Path, content: bytes) -> None:
    with pytest.raises(SegPointError, match="export the bundle again"):
        check_graphs(with_graphs(bundle, content))


def test_engines_that_cannot_be_trusted_are_told_and_not_used(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise Unavailable("no exporter here")

    with_graphs(bundle, loop().SerializeToString())
    monkeypatch.setattr(export, "to_onnx", fails)
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))
    config = BundleConfig.load(bundle)
    network = load_network(bundle, config, read_weights(bundle))
    assert choose("auto", bundle, config, network, "cpu").runner.name == "torch"
    assert "graphs within the graph: export the bundle again: not used" in caplog.text


def test_a_pipe_among_the_engines_is_not_waited_for(bundle: Path) -> None:
    with_graphs(bundle, loop().SerializeToString())
    (bundle / "gem.onnx").unlink()
    os.mkfifo(bundle / "gem.onnx")
    config = BundleConfig.load(bundle)
    with pytest.raises(SegPointError, match="gem.onnx is missing, cut short or changed"):
        export.read_exported(bundle, source_hash(bundle), signatures(config, 64))


# --- clouds and YAML --------------------------------------------------------------------------------------------------


def test_pickles_in_clouds_are_not_unpickled(tmp_path: Path, trap: Trap) -> None:
    np.savez(tmp_path / "a.npz", xyz=np.array([trap], dtype=object), allow_pickle=True)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(trap))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(SegPointError, match="cannot be read"):
            read_points(tmp_path / name)


def test_yaml_makes_no_objects(tmp_path: Path, trap: Trap) -> None:
    evil = f"seed: !!python/object/apply:os.mkdir ['{trap.sprung}']\n"
    (tmp_path / "training.yaml").write_text(evil)
    with pytest.raises(SegPointError, match="it is not YAML"):
        TrainConfig.load(tmp_path / "training.yaml")


def test_a_parameter_file_makes_no_objects(tmp_path: Path, trap: Trap) -> None:
    pytest.importorskip("rclpy")
    evil = f"instruction: !!python/object/apply:os.mkdir ['{trap.sprung}']"
    (tmp_path / "robot.yaml").write_text(f"/**:\n  ros__parameters:\n    {evil}\n    autostart: false\n")
    command = [sys.executable, "-m", "segpoint_ros", "--ros-args", "--params-file", str(tmp_path / "robot.yaml")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
