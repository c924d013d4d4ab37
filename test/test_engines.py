"""The engines against the network itself: every switch, every runner that runs here, padding, and a whole answer."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import CONFIG, LANGUAGE_WIDTH, cloud_inputs, random_network, write_bundle

from segpoint import backbone
from segpoint.bundle import load_network, read_weights
from segpoint.cloud import prepare
from segpoint.engines.export import TOLERANCE
from segpoint.engines.graphs import cloud_tensors
from segpoint.engines.parity import Sample, sample_inputs
from segpoint.engines.runner import BACKENDS, Engines, choose
from segpoint.errors import SegPointError
from segpoint.files import read_points
from segpoint.network.inputs import collate
from segpoint.segmenter import Segmenter
from segpoint_training.scenes.generate import generate_scene

CLOSE = 1e-5  # of an output's largest value; rounding in float32 gives 1e-6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def network(bundle: Path):
    return load_network(bundle, CONFIG, read_weights(bundle))


@pytest.fixture(scope="module")
def engines(bundle: Path, network, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    """On ONNX Runtime."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPOINT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return choose("onnxruntime", bundle, CONFIG, network, "cpu")


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    return float((found - expected).abs().max() / expected.abs().max())


def whole(engines, inputs):
    """All that engines (or a SegPoint) make of a cloud, by name."""
    hidden = torch.randn(1, CONFIG.encoder.tokens, LANGUAGE_WIDTH, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        tokens = engines.encode(inputs)
        features = engines.propagate(tokens, hidden, inputs)
    return {name: value for name, value in {**vars(tokens), **vars(features)}.items() if value is not None}


@pytest.mark.parametrize(
    ("gem", "gfp", "adaptation"),
    [
        (True, True, "frozen"),
        (True, True, "lora"),
        (True, False, "mlp"),
        (False, True, "full"),
        (False, False, "frozen"),
    ],
)
def test_the_graphs_are_the_network_under_every_switch(gem, gfp, adaptation):
    config = replace(
        CONFIG,
        gem=replace(CONFIG.gem, inject=gem),
        gfp=replace(CONFIG.gfp, enabled=gfp),
        encoder=replace(CONFIG.encoder, adaptation=adaptation),
    )
    network = random_network(config)
    network.adapt()
    engines = Engines.torch(network)
    assert ("gem" in engines.graphs) == config.uses_geometry
    found, expected = (whole(part, cloud_inputs(config)) for part in (engines, network))
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert value is found[name] is None or torch.equal(found[name], value), name


@pytest.mark.parametrize("points", [4000, 100])
@torch.inference_mode()
def test_onnxruntime_gives_what_pytorch_gives(engines, network, points):
    inputs = cloud_inputs(points=points)
    assert (inputs.valid.float().mean() > 0.6) == (points == 4000)  # the other is mostly padding
    found, expected = whole(engines, inputs), whole(network, inputs)
    for name, value in expected.items():
        if value.is_floating_point():
            assert difference(found[name], value) < CLOSE, name
        else:
            assert torch.equal(found[name], value), name
    hidden = torch.ones(1, CONFIG.encoder.tokens, LANGUAGE_WIDTH)
    given = {**cloud_tensors(inputs), **expected, "point_hidden": hidden}
    reference = Engines.torch(network).runner
    for graph, signature in engines.graphs.items():  # one by one, from the same inputs
        taken = {port.name: given[port.name] for port in signature.inputs}
        for name, value in reference.run(graph, taken).items():
            assert difference(engines.runner.run(graph, taken)[name], value) < CLOSE, (graph, name)


def test_padding_reaches_no_valid_point(engines):
    inputs = cloud_inputs(points=100)
    padding = ~inputs.valid[0]
    changed = inputs.to("cpu")
    for name in ("features", "rgb", "points", "local"):
        tensor = getattr(changed, name).clone()
        tensor[0, padding] = 50.0
        changed = replace(changed, **{name: tensor})
    before, after = whole(engines, inputs), whole(engines, changed)
    for name in ("f3", "f4", "f5", "scene"):
        assert torch.equal(before[name], after[name]), name
    for name in ("geometry", "dense"):
        assert torch.equal(before[name][0, ~padding], after[name][0, ~padding]), name
    assert not before["geometry"][0, padding].any()


def test_results_outlive_the_next_cloud(engines):
    first = whole(engines, cloud_inputs(seed=1))
    kept = {name: value.clone() for name, value in first.items()}
    whole(engines, cloud_inputs(seed=2))
    assert all(torch.equal(first[name], value) for name, value in kept.items())


def test_a_cloud_of_another_size_is_an_error(engines):
    larger = replace(CONFIG, cloud=replace(CONFIG.cloud, points=640))
    with pytest.raises(ValueError, match="takes features as"):
        engines.encode(cloud_inputs(larger))


def test_unknown_backends_are_named(bundle, network):
    with pytest.raises(SegPointError, match=", ".join(BACKENDS)):
        choose("tensorflow", bundle, CONFIG, network, "cpu")


def test_onnxruntime_is_for_the_cpu(bundle, network):
    with pytest.raises(SegPointError, match="cuda"):
        choose("onnxruntime", bundle, CONFIG, network, "cuda")


def test_without_onnxruntime_pytorch_runs(bundle, network, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with caplog.at_level(logging.INFO, "segpoint.engines"):
        assert choose("auto", bundle, CONFIG, network, "cpu").runner.name == "torch"
    assert "pip install onnxruntime" in caplog.text and "run on torch" in caplog.text
    with pytest.raises(SegPointError, match="pip install onnxruntime"):
        choose("onnxruntime", bundle, CONFIG, network, "cpu")


@pytest.fixture(scope="module")
def segmenters() -> list[Segmenter]:
    """The bundle that ships, on PyTorch and on ONNX Runtime."""
    backbone.setup()
    return [Segmenter.from_bundle(backend=backend, device="cpu") for backend in ("torch", "onnxruntime")]


def test_the_whole_answer_is_the_same(segmenters):
    scene = generate_scene(5, "test", "kinect", 320, 240)
    same_answers(segmenters, scene.xyz, scene.rgb, [instruction.text for instruction in scene.instructions[:3]])


def test_the_whole_answer_is_the_same_on_a_real_scene(segmenters, shared):
    row = json.loads((shared / "real" / "instructions.json").read_text())[0]
    points = read_points(shared / "real" / row["file"])
    same_answers(segmenters, points.xyz, points.rgb, [row["instruction"]])


@pytest.mark.parametrize("sensor", ["kinect", "realsense", "stereo", "lidar"])
def test_each_graph_is_within_the_exports_tolerance(segmenters, sensor):
    scene = generate_scene(7, "test", sensor, 320, 240)
    differences = compared(segmenters, scene.xyz, scene.rgb)
    assert set(differences) == {"gem", "encoder", "gfp"} and max(differences.values()) <= TOLERANCE, differences


def test_each_graph_is_within_the_exports_tolerance_on_real_scenes(segmenters, shared):
    files = sorted({row["file"] for row in json.loads((shared / "real" / "instructions.json").read_text())})
    for file in files[:3]:
        points = read_points(shared / "real" / file)
        differences = compared(segmenters, points.xyz, points.rgb)
        assert max(differences.values()) <= TOLERANCE, (file, differences)


@torch.inference_mode()
def compared(segmenters: list[Segmenter], xyz: np.ndarray, rgb: np.ndarray | None) -> dict[str, float]:
    """How far each graph is from PyTorch (see `Sample.difference`), both given what PyTorch's graphs before it gave."""
    reference, checked = (segmenter.engines.runner for segmenter in segmenters)
    differences = {}

    class Both:
        name = "both"

        def run(self, graph: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            expected = reference.run(graph, inputs)
            differences[graph] = Sample(dict(inputs), expected).difference(checked.run(graph, inputs))
            return expected

    config, language = segmenters[0].config, segmenters[0].language
    inputs = collate([prepare(xyz, rgb, "optical", config.cloud)], config)
    engines = Engines(Both(), segmenters[0].engines.graphs)
    tokens = engines.encode(inputs)
    engines.propagate(tokens, language.encode_points(tokens.f5).point_hidden, inputs)
    return differences


def same_answers(segmenters: list[Segmenter], xyz: np.ndarray, rgb: np.ndarray | None, texts: list[str]) -> None:
    torch_answers, onnx_answers = (segmenter.segment_many(xyz, texts, rgb=rgb) for segmenter in segmenters)
    assert segmenters[1].engines.runner.name.startswith("onnxruntime")
    assert any(answer.mask.any() for answer in torch_answers)
    for theirs, ours in zip(torch_answers, onnx_answers, strict=True):
        assert ours.answer == theirs.answer
        assert np.abs(ours.score - theirs.score).max() < 1e-2  # the LLM computes in bfloat16 where the CPU does
        either, both = (ours.mask | theirs.mask).sum(), (ours.mask & theirs.mask).sum()
        assert both >= 0.995 * either


@pytest.mark.parametrize("cloud", [{"range_m": (3.0, 100.0)}, {"range_m": (0.05, 0.5)}, {"min_voxel_m": 0.2}])
def test_engines_are_checked_whatever_clouds_the_bundle_is_for(cloud):
    config = replace(CONFIG, cloud=replace(CONFIG.cloud, **cloud))
    for inputs in sample_inputs(config):
        assert inputs.points.shape == (1, config.cloud.points, 3) and inputs.valid.any()
