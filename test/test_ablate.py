"""The ablation: its command end to end at toy size, what its runs start from, what its report says of known numbers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig
from segpoint.errors import SegPointError
from segpoint_training import ablate
from segpoint_training.ablation_config import (
    ADAPTATIONS,
    BOTH,
    COMPARED,
    FULL,
    GEM,
    GFP,
    LORA,
    MLP,
    MODULES,
    PRETRAINING,
    VANILLA,
    AblationConfig,
    run_name,
)
from segpoint_training.ablation_report import BEGIN, END, noise, section, spread, table, verdict, write_report
from segpoint_training.config import DataConfig, SensorShares, StageConfig
from segpoint_training.markdown import with_section
from segpoint_training.questions import QuestionStates
from segpoint_training.stage1 import Words

SMALL = BundleConfig(
    cloud=CloudConfig(points=1024),
    encoder=EncoderConfig(tokens=32, patch=16, width=48, depth=4, heads=2, hidden=64, stem_width=32, group_channels=32),
    gem=GemConfig(neighbours=8, widths=(8, 16, 24)),
    gfp=GfpConfig(levels=(64, 128), neighbours=4, width=32),
)
STAGE = StageConfig(steps=2, scenes=2, questions=6, points=128, warmup=1)
CONFIG = AblationConfig(
    pretraining=STAGE,
    training=STAGE,
    seeds=1,
    adaptation_seeds=0,
    data=DataConfig(
        train_scenes=4,
        validation_scenes=2,
        rooms=0.0,
        validation_rooms=0.0,
        table_sensors=SensorShares(kinect=1.0),
        width=160,
        sentences=60,
    ),
    model=SMALL,
)


def save(config: AblationConfig, path: Path) -> str:
    path.write_text(yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(config)))))
    return str(path)


# ---- the runs --------------------------------------------------------------------------------------------------------


def test_the_command_trains_resumes_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two variants, one seed, two steps, real backbone: a stopped ablation goes on, and what is done is not redone."""
    from segpoint import backbone

    backbone.setup()
    monkeypatch.setattr("segpoint_training.stage1.TRAINED", ())  # each further category costs a dozen questions
    monkeypatch.setattr(AblationConfig, "runs", lambda self: [(VANILLA, 0), (BOTH, 0)])
    reported: list[list[str]] = []
    monkeypatch.setattr(ablate, "write_report", lambda config, results, path: reported.append(list(results)))
    run = tmp_path / "run"
    command = [save(CONFIG, tmp_path / "a.yaml"), "--run", str(run), "--report", str(tmp_path / "results.md")]

    whole = ablate.fit
    calls: list[str] = []

    def stopped_in_the_last(stage, batches, watch):
        calls.append(stage.name)
        if stage.name == "both-0" and calls.count("both-0") == 1:
            watch = dataclasses.replace(watch, minutes=1e-6)  # as a signal would: after one step, with a checkpoint
        return whole(stage, batches, watch)

    monkeypatch.setattr(ablate, "fit", stopped_in_the_last)
    assert ablate.main(command) == 1 and not reported
    assert ablate.main(command) == 0
    assert calls == [PRETRAINING, "vanilla-0", "both-0", "both-0"]
    assert reported == [[PRETRAINING, "vanilla-0", "both-0"]]
    log = [json.loads(line) for line in (run / "stages" / "log.jsonl").read_text().splitlines()]
    assert [line["begins"] for line in log if "begins" in line] == [0, 0, 0, 1]
    result = json.loads((run / "results" / "both-0.json").read_text())
    assert {COMPARED, "with target", "gate", "gates shut"} <= set(result["figures"])
    assert result["tuned"] > json.loads((run / "results" / "vanilla-0.json").read_text())["tuned"]
    assert 0 <= json.loads((run / "results" / f"{PRETRAINING}.json").read_text())["figures"]["tokens named"] <= 100

    other = dataclasses.replace(CONFIG, training=dataclasses.replace(STAGE, steps=3))
    with pytest.raises(SegPointError, match="other settings"):
        ablate.main([save(other, tmp_path / "b.yaml"), *command[1:]])


@pytest.fixture(scope="module")
def words() -> Words:
    return Words(["mug", "box"], ["red"], torch.eye(24)[:2], torch.eye(24)[2:3])


@pytest.mark.parametrize("variant", dict.fromkeys((*MODULES, *ADAPTATIONS)), ids=lambda v: v.name)
def test_a_variant_starts_from_the_pretrained_encoder_and_trains_its_own(variant, words: Words):
    torch.manual_seed(1)
    pretrained = ablate.WordAlignment(SMALL, words).network.encoder.state_dict()
    states = QuestionStates(torch.zeros(1, 24), torch.tensor([0, 1]), {"q": 0})
    trainer = ablate.VariantTrainer(variant.config(SMALL), states, words, pretrained)
    trainer.train()
    held = {name.replace(".base_layer", ""): value for name, value in trainer.network.encoder.state_dict().items()}
    assert all(torch.equal(held[name], value) for name, value in pretrained.items())

    trained = {id(p) for group in trainer.groups(STAGE) for p in group["params"]}
    assert trained == {id(p) for p in trainer.parameters() if p.requires_grad}
    of_encoder = [name for name, p in trainer.network.encoder.named_parameters() if p.requires_grad]
    assert {
        "frozen": not of_encoder,
        "full": len(of_encoder) == len(pretrained) - sum("running" in n or "tracked" in n for n in pretrained),
        "lora": of_encoder and all("lora_" in name for name in of_encoder),
        "mlp": of_encoder and all(name.startswith("adapters.") for name in of_encoder),
    }[variant.adaptation]
    rates = {group["name"]: group["lr"] for group in trainer.groups(STAGE)}
    assert rates.get("encoder") == (STAGE.rate * STAGE.slower if variant is FULL else None)
    assert ("gates" in rates) == variant.gem == bool(trainer.gates())
    assert trainer.network.encoder.encoder.training == (variant is FULL), "frozen BatchNorm must not drift"


def test_runs_and_settings(repository: Path, tmp_path: Path):
    shipped = AblationConfig.load(repository / "config" / "training" / "ablation.yaml")
    assert shipped.model == BundleConfig() and shipped.seeds == 3
    names = [run_name(*run) for run in shipped.runs()]
    assert len(set(names)) == len(names) == 4 * 3 + 3 * shipped.adaptation_seeds
    assert names[:7] == [f"{v.name}-0" for v in (*MODULES, FULL, LORA, MLP)]
    (tmp_path / "bad.yaml").write_text("pretraining: {steps: 1}\ntraining: {steps: 1}\nseedz: 2")
    with pytest.raises(SegPointError, match="seedz"):
        AblationConfig.load(tmp_path / "bad.yaml")
    with pytest.raises(SegPointError, match="adaptation_seeds=2"):
        dataclasses.replace(CONFIG, seeds=1, adaptation_seeds=2)
    with pytest.raises(SegPointError, match="no training config"):
        AblationConfig.load(tmp_path / "none.yaml")


# ---- the report ------------------------------------------------------------------------------------------------------

MIOU = {
    VANILLA: [20, 21, 22],
    GEM: [20, 22, 21],
    GFP: [30, 31, 32],
    BOTH: [35, 36, 37],
    FULL: [50],
    LORA: [34],
    MLP: [2],
}


@pytest.fixture
def results() -> dict:
    """Made so that GEM alone is noise, GFP helps, and full tuning beats GEM, against the paper."""
    made: dict = {PRETRAINING: {"figures": {"tokens named": 61.0}, "seconds": 60}}
    for variant, values in MIOU.items():
        for seed, value in enumerate(values):
            figures = {COMPARED: value, "with target": value - 1, "category": 40.0, "zero-target": 9.0}
            if variant.gem:
                figures |= {"gate": 0.25, "gates shut": value - 4}
            made[run_name(variant, seed)] = {"figures": figures, "seconds": 60, "tuned": 1_500_000}
    return made


def test_mean_and_deviation():
    assert spread([1.0, 2.0, 3.0]) == "2.0 ± 1.0" and spread([4.0]) == "4.0"


def test_a_table_stands_beside_the_paper(results: dict):
    lines = table(results, MODULES, range(3)).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("|  | **mIoU** | gated | category | zero-target | trained |")
    assert lines[2] == "| vanilla | 21.0 ± 1.0 | 20.0 ± 1.0 | 40.0 ± 0.0 | 9.0 ± 0.0 | 1.50 M | 16.1 | 30.3 |"
    for run in results.values():
        run["figures"]["with target"] = run["figures"].get(COMPARED)
    assert "gated" not in table(results, MODULES, range(3)), "a column that repeats another"
    assert table(results, ADAPTATIONS, range(1)).splitlines()[3].startswith("| full tuning | 50.0 | 40.0 |")


def test_orderings_are_judged_by_the_noise(results: dict):
    assert noise(results) == pytest.approx(1.0)
    assert verdict([10.0, 9.0, 11.0], 1.0) == "agrees" and verdict([-10.0], 1.0) == "differs"
    assert verdict([2.0], 1.0) == "undecided" and verdict([2.0, 2.0, 2.0], 1.0) == "agrees"
    assert verdict([99.0], None) == "undecided"
    text = section(dataclasses.replace(CONFIG, seeds=3, adaptation_seeds=1), results)
    assert "- + GEM over vanilla: +0.0 points, ahead in 1 of 3 seeds (the paper: +5.3, +5.5): **undecided**." in text
    assert "- + GFP over vanilla: +10.0 points, ahead in 3 of 3 seeds (the paper: +7.1, +7.8): **agrees**." in text
    assert "over full tuning: -15.0 points, ahead in 0 of 1 seed (the paper: +1.3, +2.6): **differs**" in text
    assert "Better here than GEM: full tuning (beyond the noise). This" in text and "names 61 %" in text
    assert "Shut after training, the mIoU falls by 4.0 ± 0.0 points" in text


def test_the_report_leaves_the_rest_of_the_file_alone(results: dict, tmp_path: Path):
    path = tmp_path / "docs" / "results.md"
    path.parent.mkdir()
    path.write_text("# Results\n\n## Targets\n\nmine\n\n<!-- ablation -->\nobsolete\n<!-- /ablation -->\n\n## After\n")
    config = dataclasses.replace(CONFIG, seeds=3, adaptation_seeds=1)
    write_report(config, results, path)
    once = path.read_text()
    write_report(config, results, path)
    assert path.read_text() == once and "obsolete" not in once and once.endswith("<!-- /ablation -->\n\n## After\n")
    assert once.startswith("# Results\n\n## Targets\n\nmine\n\n<!-- ablation -->\n## Ablation\n")
    assert (path.parent / "results" / "ablation.png").stat().st_size > 1000
    assert with_section("# Results\n", BEGIN, END, "new") == "# Results\n\n<!-- ablation -->\nnew\n<!-- /ablation -->\n"
    with pytest.raises(SegPointError, match="only one of its markers"):
        with_section("<!-- ablation -->", BEGIN, END, "new")
