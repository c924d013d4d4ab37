"""The training package: losses against references, data that means what it says, stages that learn and resume."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig
from segpoint.errors import SegPointError
from segpoint.network.language import point_projection
from segpoint_training.augment import augment, drop_points
from segpoint_training.batches import Batches
from segpoint_training.calibrate import answered
from segpoint_training.checkpoints import (
    Ema,
    averaged_state,
    flat_state,
    load_checkpoint,
    moving_state,
    resume,
    save_checkpoint,
    save_frozen,
)
from segpoint_training.config import DataConfig, DatasetConfig, SensorShares, StageConfig, TrainConfig
from segpoint_training.fit import schedule
from segpoint_training.losses import bce_loss, dice_loss, instance_loss, object_loss, word_loss
from segpoint_training.questions import QuestionStates
from segpoint_training.scenes.categories import TRAINED
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.shards import label_scene
from segpoint_training.sources import Source
from segpoint_training.train import main, with_folders

SMALL = BundleConfig(
    cloud=CloudConfig(points=1024),
    encoder=EncoderConfig(tokens=32, patch=16, width=48, depth=4, heads=2, hidden=64, stem_width=32, group_channels=32),
    gem=GemConfig(neighbours=8, widths=(8, 16, 24)),
    gfp=GfpConfig(levels=(64, 128), neighbours=4, width=32),
)


@pytest.fixture(scope="module")
def labelled():
    return [label_scene(generate_scene(seed, "train", "kinect", 160, 120), SMALL.cloud) for seed in range(4)]


def test_losses_against_the_published_ones(shared: Path):
    case = load_file(shared / "reference" / "losses" / "case.safetensors")
    logits, targets = case["logits"], case["targets"]
    assert torch.allclose(dice_loss(logits, targets), case["dice"][0], atol=1e-6)
    assert torch.allclose(bce_loss(logits, targets), case["bce"][0], atol=1e-6)


def test_object_loss_is_one_decision_an_object():
    instance = torch.tensor([[1, 1, 1, 1, 2, 0]])
    is_target = torch.tensor([[[False, False, True]]])
    right = torch.tensor([[[-9.0, -9, -9, -9, 9, 50]]])
    assert object_loss(right, is_target, instance) < 1e-3
    # The large object and the small one weigh alike but for the target's factor, whatever their points.
    wrong_small = torch.tensor([[[-9.0, -9, -9, -9, -9, 0]]])
    wrong_large = torch.tensor([[[9.0, 9, 9, 9, 9, 0]]])
    assert object_loss(wrong_small, is_target, instance) == pytest.approx(
        2 * float(object_loss(wrong_large, is_target, instance)), rel=1e-3
    )


def test_instance_and_word_losses_prefer_the_truth():
    instance = torch.tensor([[1, 1, 2, 2, 0]])
    apart = torch.tensor([[[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 1]]])
    assert instance_loss(apart, instance, 3) < 0.1 < instance_loss(torch.ones(1, 5, 2), instance, 3)
    words = torch.eye(3)
    assert word_loss(words[[2, 0]], words, torch.tensor([2, -1])) < 0.1
    assert word_loss(words[[1, 0]], words, torch.tensor([2, -1])) > 1


def test_augmentation_keeps_left_left_and_near_near(labelled):
    cloud, rng = labelled[0].cloud, np.random.default_rng(0)
    n = cloud.count
    for _ in range(20):
        changed = augment(cloud, rng)
        for axis in (0, 1):
            order = np.corrcoef(cloud.xyz[:n, axis], changed.xyz[:n, axis])[0, 1]
            assert order > 0.85
        assert not changed.xyz[n:].any() and 0 <= changed.rgb.min() and changed.rgb.max() <= 1
    fewer, instance = drop_points(cloud, labelled[0].instance, rng)
    assert fewer.count <= n and len(fewer.xyz) == len(cloud.xyz) and not instance[fewer.count :].any()
    kept = {tuple(row) for row in cloud.xyz[:n].tolist()}
    assert all(tuple(row) in kept for row in fewer.xyz[: fewer.count].tolist())


def test_schedule():
    stage = StageConfig(steps=1000, warmup=100)
    assert schedule(0, stage) == pytest.approx(0.01) and schedule(99, stage) == 1
    assert schedule(1000, stage) == pytest.approx(0.01)
    values = [schedule(s, stage) for s in range(100, 1000)]
    assert values == sorted(values, reverse=True)
    line = StageConfig(steps=1000, warmup=100, schedule="linear")
    assert [schedule(s, line) for s in (0, 99, 100, 550, 1000)] == pytest.approx([0.01, 1, 1, 0.5, 0])


def test_checkpoint_is_exact(tmp_path: Path):
    def build():
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
        return module, torch.optim.AdamW([{"name": "all", "params": list(module.parameters())}], lr=0.1)

    def step(module, optimizer, ema, seed):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        module(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
        ema.update(flat_state({"m": module}))

    module, optimizer = build()
    ema = Ema(flat_state({"m": module}), 0.9)
    for seed in range(3):
        step(module, optimizer, ema, seed)
    save_checkpoint(tmp_path, {"m": module}, ema, optimizer, {"step": 3})
    step(module, optimizer, ema, 9)
    other, second = build()
    held = load_checkpoint(tmp_path, {"m": other})
    restored = Ema(flat_state({"m": other}), 0.9)
    assert resume(tmp_path, held, restored, second) == 3
    step(other, second, restored, 9)
    for name, value in flat_state({"m": module}).items():
        assert torch.equal(value, flat_state({"m": other})[name]), name
        assert torch.equal(ema.state[name], restored.state[name]), name


def test_calibration_weighs_presence_against_the_llm():
    #                    IoU, the LLM's lean to "no mask", presence, has a target
    recorded = np.array([[0.8, -1.0, 2.0, 1], [0.8, 1.0, 4.0, 1], [0.0, -1.0, -2.0, 0], [0.0, 3.0, 1.0, 0]])
    assert answered(recorded, 0.0).tolist() == [0.8, 0.0, 0.0, 1.0]
    assert answered(recorded, 1.0).tolist() == [0.8, 0.8, 1.0, 1.0]
    assert answered(recorded, 8.0).tolist() == [0.8, 0.8, 1.0, 0.0]


def test_training_config(tmp_path: Path, repository: Path):
    shipped = TrainConfig.load(repository / "config" / "training" / "segpoint_tabletop.yaml")
    assert shipped.model.cloud.points == 3072 and shipped.model.gem == BundleConfig().gem
    shipped.save(tmp_path / "again.yaml")
    assert TrainConfig.load(tmp_path / "again.yaml") == shipped
    (tmp_path / "bad.yaml").write_text("stage1: {stepps: 3}")
    with pytest.raises(SegPointError, match="stepps"):
        TrainConfig.load(tmp_path / "bad.yaml")
    with pytest.raises(SegPointError, match="no training config"):
        TrainConfig.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{3: 4, seed: 1}", "called 3"),
        ("data: {1: 2, x: 3}", "a.yaml.data has a setting called 1"),
        ("seed: 2026-11-22", "seed must be int"),
        ("seed: 2026-13-45", "a.yaml cannot be read"),
        ("stage1: &a {b: *a}", "a.yaml cannot be read"),
        ("seed: -1", "config.seed must be"),
        ("model: {presence_weight: .nan}", "model.presence_weight must be a finite"),
        ("data: {table_sensors: {kinect: .inf}}", "table_sensors.kinect must be a finite"),
        ("data: {workers: -3}", "data.workers must be"),
        ("data: {train_scenes: 0}", "data.train_scenes must be"),
        *((f"stage2: {{steps: 1, {setting}}}", "must be a finite number") for setting in (
            "rate: .nan", "rate: -0.1", "points: 0", "scenes: 0", "warmup: -1", "ema: 1.5", "bce: .inf", "semantic: -1"
        )),
        ("stage2: {steps: -1}", "stage.steps must be"),
        (f"stage2: {{steps: 1{400 * '0'}}}", "stage.steps must be"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_one_error(tmp_path: Path, text: str, told: str):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SegPointError, match=told):
        TrainConfig.load(tmp_path / "a.yaml")


def test_no_setting_is_not_a_number():
    for values in ({"rate": math.nan}, {"ema": math.inf}, {"clip": -1.0}):
        with pytest.raises(SegPointError, match="stage"):
            StageConfig(steps=1, **values)
    with pytest.raises(SegPointError, match="kinect"):
        SensorShares(kinect=math.nan)


def test_what_is_frozen_is_saved_once(tmp_path: Path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    module[0].requires_grad_(False)
    optimizer = torch.optim.AdamW([{"name": "all", "params": list(module[1].parameters())}])
    ema = Ema(moving_state({"m": module}), 0.9)
    save_frozen(tmp_path, {"m": module})
    save_checkpoint(tmp_path, {"m": module}, ema, optimizer, {"step": 1})
    assert set(load_file(tmp_path / "frozen.safetensors")) == {"m.0.weight", "m.0.bias"}
    assert not any(".0." in name for name in load_file(tmp_path / "state.safetensors") if name.startswith("model"))
    other = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    load_checkpoint(tmp_path, {"m": other})
    assert torch.equal(other[0].weight, module[0].weight) and torch.equal(other[1].bias, module[1].bias)
    assert set(averaged_state(tmp_path)) == set(flat_state({"m": module}))


def test_a_damaged_checkpoint_is_told(tmp_path: Path):
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW([{"name": "all", "params": list(module.parameters())}])
    ema = Ema(flat_state({"m": module}), 0.9)
    save_checkpoint(tmp_path, {"m": module}, ema, optimizer, {"step": 3})
    with pytest.raises(SegPointError, match="go back to the config"):
        load_checkpoint(tmp_path, {"m": torch.nn.Linear(3, 2)})
    (tmp_path / "state.safetensors").write_bytes(b"{")
    with pytest.raises(SegPointError, match="begin this stage anew"):
        load_checkpoint(tmp_path, {"m": module})
    with pytest.raises(SegPointError, match="train that stage again"):
        averaged_state(tmp_path)


def test_damaged_question_states_are_told(tmp_path: Path):
    language = SimpleNamespace(text_hidden=lambda texts: [torch.ones(2, 3) for _ in texts])
    assert QuestionStates.build(["a", "b"], language, tmp_path).width == 3
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(SegPointError, match=f"{path.name} cannot be read.*delete it"):
        QuestionStates.build(["a", "b"], language, tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--minutes", "0"], "--minutes"),
        (["--validate-every", "0"], "--validate-every"),
        (["--only", "stage1", "--bundle", "b"], "leave it out"),
        (["--bundle", "file"], "is a file"),
        (["--device", "abacus"], "abacus"),
        (["--root", "scannet=x"], "no data set 'scannet'"),
        (["--scans", "scanrefer=x"], "no data set 'scanrefer'"),
        (["--scans", "scanrefer"], "--scans takes NAME=FOLDER"),
        *(([name, value], name) for name in ("--save-every", "--minutes") for value in ("-1", "nan", "inf")),
        *(([name, "-1"], name) for name in ("--log-every", "--validate-every", "--processes")),
    ],
)
def test_train_tells_before_it_works(tmp_path: Path, repository: Path, monkeypatch, words: list[str], told: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SegPointError, match=told):
        main([str(repository / "config" / "training" / "segpoint_tabletop.yaml"), "--run", "run", *words])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_on_the_command_line():
    """The root of a set and the scans that it speaks about, each by the set's name, also of those to watch."""
    said, rooms = (
        DatasetConfig(name, "there", scans=scans) for name, scans in (("scanrefer", "rooms"), ("scannet", ""))
    )
    config = TrainConfig(datasets=(said, rooms), validation=(said,))
    config = with_folders(with_folders(config, "root", ["scannet=/a=b", "scanrefer=/c"]), "scans", ["scanrefer=/d"])
    assert [(one.root, one.scans) for one in config.datasets] == [("/c", "/d"), ("/a=b", "")]
    assert config.validation == (DatasetConfig("scanrefer", "/c", scans="/d"),)


def test_stage2_points_as_the_segmenter_does(labelled, tmp_path: Path):
    """Questions with places, through a tiny LLM: what it is told, and that the place encoder learns from it."""
    from test_language import tiny_model

    from segpoint_training.stage2 import AnswerTrainer

    language = tiny_model()
    language.project = point_projection(SMALL.encoder.width, language.hidden_size, language.word_table())
    stage = StageConfig(steps=1, scenes=1, questions=5, semantic=1, pointing=3, points=128)
    batches = Batches(
        [Source("generated", labelled[:1], 1.0, TRAINED)], SMALL, scenes=1, questions=5, points=128,
        words=(TRAINED, ()), seed=0, count=1, semantic=1, pointing=3, colourless=0.0,
    )  # fmt: skip
    batch = batches[0]
    assert batch.places is not None and batch.places.mask[0].any(dim=1).tolist() == [False, False, True, True, True]
    trainer = AnswerTrainer(SMALL, language, QuestionStates.build(batch.questions[0], language, tmp_path))
    trainer.train()
    loss, parts = trainer(batch, stage)
    assert np.isfinite(list(parts.values())).all() and {"text", "bce", "dice", "objects", "presence"} == set(parts)
    loss.backward()
    assert trainer.network.place.language.weight.grad.abs().max() > 0, "through the LLM"
    assert trainer.network.place.feature.weight.grad.abs().max() > 0, "through the reader"
    with torch.no_grad():
        tokens = trainer.network.encode(batch.inputs)
        told = trainer._told(batch.places, tokens)
        projected = language.point_embeddings(tokens.f5)
        for q in range(2, 5):
            at_run_time = trainer.network.place.for_language(batch.places.question(q), projected)[0, 0]
            torch.testing.assert_close(told[q], at_run_time, atol=1e-5, rtol=1e-5)
    assert [len(some) for some in told[:2]] == [0, 0] and batch.places.question(0) is None


def test_both_stages_run_resume_and_release(tmp_path: Path):
    """The whole chain at toy size, real backbone: data, stage 1 in two stretches, stage 2, a bundle that loads."""
    from segpoint import backbone
    from segpoint.segmenter import Segmenter

    backbone.setup()
    run, bundle = tmp_path / "run", tmp_path / "bundle"

    def config(steps: int) -> str:
        stage = dict(scenes=2, questions=4, semantic=1, pointing=1, points=128, warmup=2)
        whole = TrainConfig(
            data=DataConfig(train_scenes=4, validation_scenes=2, rooms=0, validation_rooms=0, width=160, sentences=12),
            stage1=StageConfig(steps=steps, **stage),
            stage2=StageConfig(steps=2, **{**stage, "scenes": 1}),
            model=SMALL,
        )
        whole.save(tmp_path / "config.yaml")
        return str(tmp_path / "config.yaml")

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    main([config(3), "--run", str(run), "--only", "stage1", "--validate-every", "2"])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    first = load_file(run / "stage1" / "state.safetensors")
    main([config(5), "--run", str(run), "--only", "stage1"])
    main([config(5), "--run", str(run), "--only", "stage2", "--bundle", str(bundle)])
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["begins"] for line in log if "begins" in line] == [0, 3, 0]
    assert int(first["step"]) == 3 and int(load_file(run / "stage1" / "state.safetensors")["step"]) == 5
    card = (bundle / "MODEL_CARD.md").read_text()
    assert card.startswith("# bundle") and "4 generated scenes" in card
    scene = generate_scene(1, "test", "kinect", 160, 120)
    assert Segmenter.from_bundle(bundle).segment(scene.xyz, "the box", rgb=scene.rgb).mask.shape == scene.instance.shape


def test_a_run_goes_on_only_with_its_own_config(tmp_path: Path):
    from dataclasses import replace

    from segpoint_training.train import _check_begun

    run, config = tmp_path / "run", TrainConfig(stage1=StageConfig(steps=5))
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW([{"name": "all", "params": list(module.parameters())}])
    save_checkpoint(run / "stage1", {"m": module}, Ema(flat_state({"m": module}), 0.9), optimizer, {"step": 3})
    config.save(run / "config.yaml")
    _check_begun(config, run, None)
    _check_begun(replace(config, stage1=StageConfig(steps=9)), run, None)  # longer is still the same run
    with pytest.raises(SegPointError, match="stage1.rate is 0.001 there and 0.002 here"):
        _check_begun(replace(config, stage1=StageConfig(steps=5, rate=0.002)), run, None)
    with pytest.raises(SegPointError, match="3 of 5 steps"):
        _check_begun(config, run, "stage2")


def test_a_bundle_is_written_over_nothing_else(tmp_path: Path):
    from segpoint_training.release import check_bundle_folder

    (tmp_path / "model.safetensors").write_bytes(b"a language model")
    with pytest.raises(SegPointError, match="something else than a bundle"):
        check_bundle_folder(tmp_path)
    check_bundle_folder(tmp_path / "new")
