"""`segpoint benchmark` on a tiny bundle: what is measured, what is compared and how figures become judgements.

Nothing here asserts on time.
"""

from __future__ import annotations

import copy
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_readme import table
from tiny_bundle import CONFIG
from tiny_language import tiny_model

from segpoint import cli
from segpoint.bundle import WEIGHTS
from segpoint.config import LanguageConfig
from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint.network.segpoint import SegPoint
from segpoint.segmenter import WORDS_KEPT
from segpoint.turns import take_turns
from segpoint_training.benchmark import peers, pipeline, plot, report
from segpoint_training.benchmark.cases import LANGUAGE, QUICK, Case, Workplace, cases, resampled, summary
from segpoint_training.benchmark.targets import ratios, targets


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights and a random LLM, in a cache of its own, that always writes <SEG>."""
    folder = tmp_path_factory.mktemp("tiny")
    language = tiny_model(lora_rank=0)
    language.llm.save_pretrained(folder / "backbones" / "tiny")
    language.tokenizer.save_pretrained(folder / "backbones" / "tiny")
    config = replace(CONFIG, language=LanguageConfig(backbone="tiny", lora_rank=0), presence_weight=0.0)
    config.save(folder)
    network = SegPoint(config, language.hidden_size)
    with torch.no_grad():
        language.seg_bias.fill_(1e4)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    save_file({**state, **{f"language.{n}": v for n, v in language.trained_state().items()}}, folder / WEIGHTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPOINT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with a box on it, z up."""
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.uniform([0.5, -0.3], [1.0, 0.3], (4000, 2)), np.full(4000, -0.4)])
    xyz = np.concatenate([flat, rng.uniform([0.7, -0.1, -0.4], [0.8, 0.1, -0.2], (2000, 3))]).astype(np.float32)
    path = tmp_path_factory.mktemp("cloud") / "table.npz"
    write_points(path, xyz, rng.integers(0, 256, xyz.shape).astype(np.uint8))
    return path


def case(bundle: Path, cloud: Path, **changes) -> Case:
    kinds = ("new", "standing", "second")
    return replace(Case("stages", str(bundle), "torch", str(cloud), "body", kinds, 1, 3, 0), **changes)


def test_the_command_writes_what_it_measured(bundle, cloud, tmp_path):
    """Its real process, on PyTorch, which needs no export."""
    argv = ["benchmark", "--bundle", str(bundle), "--file", str(cloud), "--frame", "body", "--backend", "torch",
            "--part", "stages", "--quick", "--repeats", "2", "--threads", "1"]  # fmt: skip
    assert cli.main([*argv, "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["benchmark.json", "benchmark.md"]
    record = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    page = (tmp_path / "out" / "benchmark.md").read_text()
    assert page == report.page(record, None)
    assert [run["kind"] for run in record["runs"]] == ["new", "standing", "second"]
    assert not record["failed"] and record["settings"]["threads"] == 1
    for measured in record["runs"]:
        assert (measured["part"], measured["backend"], measured["raw"]) == ("stages", "torch", 6000)
        assert 0 < measured["voxels"] <= measured["points"] == CONFIG.cloud.points
        assert measured["found"] == 2 and 100 < measured["peak_mb"] < 10_000
        for figures in measured["milliseconds"].values():
            assert 0 < figures["least"] <= figures["p50"] <= figures["p95"]
        total, rest = (measured["milliseconds"][stage]["least"] for stage in ("total", "rest"))
        assert rest < total
    assert record["machine"]["versions"]["torch"] in page
    rows = table(page, "|  ")
    assert len(rows) == 4 and rows[0][0] == "6,000 points: a new instruction, the next cloud"
    assert {row[-1] for row in rows} == {"segpoint benchmark --part stages"}


def test_sizes_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    record = {"runs": [*measured(1.0, 2)["runs"], run("points", "new", 5.0, points=2048)]}
    assert plot.panels(record) == ["raw", "questions"]  # of N there is but one
    plot.draw(record, tmp_path / "sizes.png")
    assert (tmp_path / "sizes.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SegPointError, match="cannot write"):
        plot.draw(record, tmp_path / "nowhere" / "sizes.png")


def test_stages_make_up_the_total(bundle, cloud):
    found = pipeline.measure(asdict(case(bundle, cloud)))
    for kind, measured in found["kinds"].items():
        seconds = {stage: np.array(times) for stage, times in measured["seconds"].items()}
        call, total = seconds.pop("call", None), seconds.pop("total")
        assert all(len(times) == 3 for times in seconds.values())
        np.testing.assert_allclose(sum(seconds.values()), total)
        assert call is None or (total <= call).all(), "stages are parts of the call"
        assert measured["found"] == 3
        shared = {"cloud", "neighbourhoods", "encoder", "llm_points", "propagation"}
        assert shared & set(seconds) == ({"cloud"} if kind == "second" else shared), (
            "a cloud is found again, not encoded"
        )
        assert set(LANGUAGE) - shared <= set(seconds)
    # The words are new: one pass of the LLM more. The answer stays, so that it is read in one pass.
    assert set(found["kinds"]["standing"]["passes_unchanged"]) == {2}
    assert min(found["kinds"]["new"]["passes"]) >= 3


def test_what_is_compared_agrees_and_what_is_missing_is_told(bundle, cloud, monkeypatch):
    for name in ("open3d", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = {"bundle": str(bundle), "cloud": str(cloud), "frame": "body", "repeats": 2, "threads": 1}
    found = peers.measure(spec)
    groups = {group["id"]: group for group in found["groups"]}
    assert list(groups["engines cpu"]["seconds"]) == ["torch"]
    assert "pip install onnxruntime" in groups["engines cpu"]["missing"]["onnxruntime"]
    for name in ("fps", "knn"):
        assert "pip install open3d" in groups[name]["missing"]["Open3D"]
        assert len(groups[name]["seconds"]) == 2
    assert len(groups["draft"]["seconds"]) == 4
    assert all(note.startswith("the same text") for note in groups["draft"]["notes"].values())
    rows = found["bounds"]["rows"]
    assert len(rows) == 5 and all(row["gflop"] > 0 and row["mb"] > 0 and row["floor_ms"] > 0 for row in rows)


def test_messages_are_compared_with_what_they_should_be(cloud, monkeypatch):
    pytest.importorskip("sensor_msgs")
    from segpoint_ros import message_benchmark

    for name in ("ros2_numpy", "sensor_msgs_py"):
        monkeypatch.setitem(sys.modules, name, None)
    found = message_benchmark.measure(str(cloud), 2)
    assert list(found["seconds"]) == ["ours"] and len(found["seconds"]["ours"]) == 2
    assert "pip install" in found["missing"]["ros2-numpy"] and "ROS 2" in found["missing"]["sensor_msgs_py"]
    rng = np.random.default_rng(0)
    work = message_benchmark.Work(rng.normal(size=(600, 3)).astype(np.float32), None)
    xyz, rgb, message = message_benchmark.ours(work)
    assert work.wrong((xyz, rgb, message)) == []
    assert work.wrong((xyz[::-1], rgb, work.message)) == ["coordinates read", "label written", "score written"]
    message.data[14] ^= 1  # of the first point that is no target, after 6 that are
    assert work.wrong((xyz, rgb, message)) == []
    message.data[6 * message.point_step + 12] ^= 1
    assert work.wrong((xyz, rgb, message)) == ["rgb written"]


def test_every_configuration_is_asked_for_once(bundle, tmp_path):
    place = Workplace(tmp_path, bundle, np.zeros((500, 3), np.float32), None, 0)
    made = list(cases(place, ("stages", "points", "raw", "questions"), ["onnxruntime", "torch"], QUICK, "body", 3))
    of = {part: [one for one in made if one.part == part] for part in ("stages", "points", "raw", "questions")}
    assert [len(of[part]) for part in of] == [2, 6, 2, 2]
    assert [Path(one.bundle).name for one in of["points"][::2]] == [bundle.name, "N-2048", "N-4096"]
    assert all(one.backend == "onnxruntime" for part in ("raw", "questions") for one in of[part])
    larger = Workplace(tmp_path, Path(of["points"][-1].bundle), np.zeros((500, 3), np.float32), None, 0)
    assert larger.config.cloud.points == 4096
    assert (larger.bundle / WEIGHTS).read_bytes() == (bundle / WEIGHTS).read_bytes()


@pytest.mark.parametrize("count", [200, 1000, 2600])
def test_resampled_clouds_stay_in_order(count):
    xyz = np.column_stack([np.arange(1000.0), np.zeros(1000), np.zeros(1000)]).astype(np.float32)
    rgb = np.repeat((np.arange(1000) % 256).astype(np.uint8)[:, None], 3, axis=1)
    more, colours = resampled(xyz, rgb, count, 0)
    assert more.shape == (count, 3) and more.dtype == np.float32 and colours.dtype == np.uint8
    nearest = np.rint(more[:, 0]).astype(int)
    assert (np.diff(nearest) >= 0).all() and (colours[:, 0] == nearest % 256).all()
    assert (np.bincount(nearest, minlength=1000) >= count // 1000).all()
    assert np.abs(more[:, 1:]).max() < 0.01


def test_instructions_are_new():
    asked = list(itertools.islice(pipeline.sentences(0), 4000))
    last: dict[str, int] = {}
    for i, text in enumerate(asked):
        assert text not in last or len(set(asked[last[text] : i])) > WORDS_KEPT
        last[text] = i


def test_turns_are_taken():
    order: list[str] = []
    found = take_turns({name: lambda name=name: order.append(name) for name in "ab"}, 3, iter(range(99)).__next__)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3}


def test_ratios_are_of_medians_and_of_least_times():
    assert ratios({"seconds": {"ours": [2.0, 9.0, 1.0], "theirs": [6.0, 8.0, 4.0]}}, "theirs") == (3.0, 4.0)
    assert summary([0.003, 0.001, 0.002]) == pytest.approx({"p50": 2.0, "p95": 2.9, "least": 1.0})


def run(part: str, kind: str, milliseconds: float, **more) -> dict:
    figures = {"p50": milliseconds, "p95": milliseconds, "least": milliseconds}
    half = {name: value / 2 for name, value in figures.items()}
    row = {"part": part, "kind": kind, "backend": "torch", "device": "cpu", "raw": 307_200, "questions": 1}
    return {**row, "milliseconds": {"total": figures, "rest": half}, "peak_mb": 1000.0, **more}


def measured(scale: float, passes: int) -> dict:
    """Figures that reach every target at a scale of 1 and none at a larger one."""
    runs = [run("stages", "new", 400 * scale, peak_mb=1500 * scale), run("stages", "second", 120 * scale**2),
            run("stages", "standing", 1.0, passes_unchanged=[passes])]  # fmt: skip
    runs += [run("questions", "new", 100.0), run("questions", "new", 299 * scale, questions=20)]
    runs += [run("raw", "new", 10.0, raw=1000), run("raw", "new", 100 * scale, raw=10_000)]
    engines = {"id": "engines cpu", "seconds": {"onnxruntime": [scale], "torch": [2.0]}}
    messages = {"id": "messages", "seconds": {"ours": [0.01 * scale], "ros2-numpy": [0.05]},
                "notes": {"ros2-numpy": ""}}  # fmt: skip
    return {"runs": runs, "groups": [engines, messages], "machine": {"gpu": None}}


def test_targets_are_judged_by_the_figures():
    on_gpu = "on a data-centre GPU: ≤ 20 ms"
    for scale, passes, met in ((1.0, 2, True), (1.1, 3, False)):
        judged = {target.name: target.met for target in targets(measured(scale, passes))}
        assert judged.pop(on_gpu) is None
        assert set(judged.values()) == {met}, judged
    nothing = targets({"runs": [], "groups": [], "machine": {"gpu": None}})
    assert all(target.met is None and "not measured" in target.told for target in nothing)
    gpu = copy.deepcopy(measured(1.0, 2))
    gpu["machine"]["gpu"] = "H100"
    gpu["runs"][0] |= {"device": "cuda"}
    assert next(target for target in targets(gpu) if target.name == on_gpu).met is False


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--part", "stages,speed"], "'speed' is none of stages, points, raw, questions, peers"),
        (["--backend", "tensorflow"], "'tensorflow' is none of tensorrt, onnxruntime, torch"),
        (["--repeats", "0"], "'0' is no number from 1"),
        (["--threads", "4096"], "--threads 4096 is more than the"),
        (["--bundle", "nowhere"], "no bundle at nowhere"),
        (["--file", "nowhere.pcd"], "nowhere.pcd"),
        (["--frame", "sideways"], "invalid choice: 'sideways'"),
    ],
)
def test_bad_arguments_are_one_clear_error(argv, told, tmp_path, capsys):
    try:
        code = cli.main(["benchmark", "--out", str(tmp_path / "out"), *argv])
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    assert code == 2 and told in said.err.splitlines()[-1] and not said.out
    assert not (tmp_path / "out").exists()


def test_nothing_measured_is_an_error(tmp_path, cloud, bundle, capsys):
    """A bundle whose weights are missing: the process that measures says so."""
    (tmp_path / "config.json").write_text((bundle / "config.json").read_text())
    argv = ["--bundle", str(tmp_path), "--file", str(cloud), "--part", "stages", "--backend", "torch"]
    assert cli.main(["benchmark", *argv, "--threads", "1", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("segpoint: nothing could be measured") and "no weights at" in said


def test_a_program_that_fails_is_quoted():
    from segpoint_training.benchmark.cases import environment_of, run_program

    with pytest.raises(SegPointError, match="No module named"):
        run_program("segpoint_training.benchmark.nothing", {}, environment_of(1))


def test_the_readme_shows_a_table_that_was_measured(repository):
    readme, page = ((repository / name).read_text() for name in ("README.md", "docs/benchmark.md"))
    (section,) = readme.split("<!-- speed: begin")[1:]
    shown = "\n".join(line for line in section.split("<!-- speed: end")[0].splitlines() if line.startswith("|"))
    assert len(shown.splitlines()) > 5 and shown in page
