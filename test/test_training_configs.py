"""Every config that ships trains: as it is but for its sizes, two steps of each stage, on miniature data sets."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mini_sets import SCANS_OF, write_sets
from test_encoder import checkpoint
from tiny_run import BACKBONE, write_backbone
from torch import Tensor

from segpoint.cli import main
from segpoint.config import BundleConfig
from segpoint.network.encoder import Uni3DShape
from segpoint_training import ablate, prepared, stage1, stage2, train
from segpoint_training.ablation_config import BOTH, FULL, AblationConfig, run_name
from segpoint_training.batches import Batches
from segpoint_training.config import DataConfig, DatasetConfig, StageConfig, TrainConfig
from segpoint_training.fit import Stage, Watch, fit
from segpoint_training.shards import LabelledCloud
from segpoint_training.sources import Source, load_sources
from segpoint_training.warm_start import initial_state

FOLDER = Path(__file__).resolve().parents[1] / "config" / "training"
CONFIGS = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "ablation")
BEGINS_WITH = {"finetune_own_bag": "segpoint_tabletop", "segpoint_llama2_7b_finetune": "segpoint_llama2_7b"}

LOSSES = ("text", "bce", "dice", "objects", "presence", "instances", "words", "names", "centres")

# What does not change in a stage, beside the language model's own weights.
ENCODER = ("network.encoder.",)  # with the statistics of its BatchNorm
GEOMETRY = (*ENCODER, "network.gem.", "network.injections.")
KERNEL = "network.gem.kernel_points"  # where KPConv's are, the same ever
NO_LANGUAGE = ("network.gamma.", "network.place.language.", "network.propagation.fuse5.points.")  # for what an LLM says

Weights = dict[str, Tensor]


# --- a config at tiny sizes ---------------------------------------------------------------------------------------


def tiny_model(model: BundleConfig) -> BundleConfig:
    """Its sizes made tiny, ℰ's stem as it is; what it is made of and how it is trained stays."""
    return replace(
        model,
        cloud=replace(model.cloud, points=512),
        encoder=replace(model.encoder, tokens=16, patch=8, width=24, depth=4, heads=2, hidden=32, group_channels=16),
        gem=replace(model.gem, neighbours=8, widths=(8, 8, 12)),
        gfp=replace(model.gfp, levels=(32, 64), neighbours=4, width=16),
        # 200 words, so many tokens; few bits need a GPU.
        language=replace(model.language, backbone=BACKBONE, max_instruction_tokens=400, max_answer_tokens=8,
                         quantization="none"),
    )  # fmt: skip


def tiny_data(data: DataConfig) -> DataConfig:
    return replace(data, train_scenes=4, validation_scenes=1, width=96, workers=1)


def tiny_stage(stage: StageConfig) -> StageConfig:
    return replace(stage, steps=2, points=64)


def tiny_run(config: TrainConfig, sets: dict[str, Path], uni3d: Path) -> TrainConfig:
    """The config with tiny sizes, few scenes and the miniature sets; its tasks, losses, schedules and mixture stay."""
    return replace(
        config,
        data=config.data and tiny_data(config.data),
        datasets=tuple(placed(one, sets) for one in config.datasets),
        validation=tuple(placed(one, sets) for one in config.validation),
        uni3d=str(write_checkpoint(uni3d, config.model.encoder.block)) if config.uni3d else "",
        stage1=config.stage1 and tiny_stage(config.stage1),
        stage2=tiny_stage(config.stage2),
        model=tiny_model(config.model),
    )


def placed(settings: DatasetConfig, sets: dict[str, Path]) -> DatasetConfig:
    """A data set in its miniature folder. A set of sentences has to say where its scans are."""
    scans = SCANS_OF.get(settings.name)
    assert bool(settings.scans) == (scans is not None), f"{settings.name}: scans is {settings.scans!r}"
    return replace(settings, root=str(sets[settings.name]), scans=str(sets[scans]) if scans else "")


def write_checkpoint(path: Path, block: Any) -> Path:
    """A random ℰ of the tiny shape, under the names that Uni3D's authors publish theirs with."""
    torch.manual_seed(1)
    weights = checkpoint(Uni3DShape(24, 4, 2, 32, block, group_channels=16, embedding=20))
    for name, value in weights.items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if name.endswith("running_var") else value.normal_(std=0.2)
    path.parent.mkdir(exist_ok=True)
    torch.save({"module": weights}, path)
    return path


# --- a run, watched ---------------------------------------------------------------------------------------------------


class Watched(Sequence[LabelledCloud]):
    """A source's clouds; one that is drawn leaves a mark, also from a loader's process."""

    def __init__(self, clouds: Sequence[LabelledCloud], mark: Path) -> None:
        self.clouds, self.mark = clouds, mark

    def __len__(self) -> int:
        return len(self.clouds)

    def __iter__(self):
        return iter(self.clouds)

    def __getitem__(self, number):
        self.mark.touch()
        return self.clouds[number]


@dataclass
class Record:
    """What came of a run: the weights before and after each stage, its log, and the sources that were drawn from."""

    config: TrainConfig
    before: dict[str, Weights] = field(default_factory=dict)
    after: dict[str, Weights] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    drawn: set[str] = field(default_factory=set)

    def fit(self, stage: Stage, batches: Batches, watch: Watch) -> bool:
        """As the real one, with the weights kept."""
        self.before[stage.name] = weights_of(stage)
        done = fit(stage, batches, watch)
        self.after[stage.name] = weights_of(stage)
        return done

    def stages(self) -> dict[str, StageConfig]:
        found = {"stage1": self.config.stage1, "stage2": self.config.stage2}
        return {name: stage for name, stage in found.items() if stage is not None}


def weights_of(stage: Stage) -> Weights:
    """All of them, also what is frozen and the language model's own."""
    return {name: value.detach().clone() for name, value in stage.trainer.state_dict().items()}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backbone, shared by all runs; each puts its own beside it."""
    folder = tmp_path_factory.mktemp("workshop")
    write_backbone(folder / "cache")
    return folder


@pytest.fixture(scope="module")
def sets(workshop: Path) -> dict[str, Path]:
    return write_sets(workshop / "sets")


@pytest.fixture(scope="module", autouse=True)
def _tiny_world(workshop: Path) -> Iterator[None]:
    """The backbone is found, and scans are prepared in this process: pools take longer to start than these to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPOINT_CACHE", str(workshop / "cache"))
        patch.setattr(prepared, "in_order", lambda one, scans, **_: (one(scan) for scan in scans))
        yield


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    """The runs so far, by config: one may begin with another's weights."""
    return {}


@pytest.fixture(scope="module", params=CONFIGS)
def record(request: pytest.FixtureRequest, workshop: Path, sets: dict[str, Path], records: dict[str, Record]) -> Record:
    name = request.param
    for one in filter(None, (BEGINS_WITH.get(name), name)):
        if one not in records:
            records[one] = carry_out(one, workshop, sets)
    return records[name]


def carry_out(name: str, workshop: Path, sets: dict[str, Path]) -> Record:
    """The run of one config, by the command line, in this process."""
    found = Record(tiny_run(TrainConfig.load(FOLDER / f"{name}.yaml"), sets, workshop / f"{name}.pt"))
    run, marks, path = (workshop / f"{name}{what}" for what in ("-run", "-drawn", ".yaml"))
    marks.mkdir()
    found.config.save(path)
    begin = ["--from", str(workshop / f"{BEGINS_WITH[name]}-run")] if name in BEGINS_WITH else []

    def watched(config: TrainConfig, run: Path) -> tuple[list[Source], list[LabelledCloud]]:
        sources, held_out = load_sources(config, run)
        return [replace(one, clouds=Watched(one.clouds, marks / one.name)) for one in sources], held_out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "load_sources", watched)
        patch.setattr(stage1, "fit", found.fit)
        patch.setattr(stage2, "fit", found.fit)
        assert main(["train", str(path), "--run", str(run), "--log-every", "1", "--device", "cpu", *begin]) == 0
    found.log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    found.drawn = {mark.name for mark in marks.iterdir()}
    return found


def test_the_loss_is_the_weighted_sum_of_its_parts(record: Record):
    for name, stage in record.stages().items():
        lines = [line for line in record.log if line.get("stage") == name and "loss" in line]
        assert [line["step"] for line in lines] == [1, 2]
        for line in lines:
            parts = {part: value for part, value in line.items() if part in LOSSES}
            assert {"bce", "dice"} | ({"text"} if name == "stage2" else set()) <= parts.keys()
            assert all(map(math.isfinite, parts.values()))
            total = sum(getattr(stage, part) * value for part, value in parts.items())
            assert line["loss"] == pytest.approx(total, abs=2e-3)
        (figures,) = [line["validation"] for line in record.log if line.get("stage") == name and line.get("done")]
        assert all(0 <= value <= 100 for value in figures.values()) and "with target" in figures


def test_every_source_is_drawn_from(record: Record):
    expected = {f"{one.name}-{one.split}" for one in record.config.datasets}
    assert record.drawn == expected | ({"generated"} if record.config.data else set())


def test_what_is_frozen_stays_and_the_rest_learns(record: Record):
    for name, stage in record.stages().items():
        before, after = record.before[name], record.after[name]
        frozen = NO_LANGUAGE if name == "stage1" else ENCODER if stage.geometry else GEOMETRY
        stays = {n for n in before if n.startswith(frozen) or (n.startswith("language.llm.") and "lora_" not in n)}
        changed = {n for n, value in before.items() if not torch.equal(value, after[n])}
        assert changed == before.keys() - stays - {KERNEL}


def test_every_run_has_an_encoder_that_has_learnt(request: pytest.FixtureRequest, record: Record, workshop: Path):
    """From a stage 1, a published checkpoint or an earlier run; otherwise ℰ would stay frozen as chance has made it."""
    name = request.node.callspec.params["record"]
    first = next(iter(record.before.values()))
    encoder = {n: value for n, value in first.items() if n.startswith(ENCODER)}
    if name in BEGINS_WITH:
        (start, *_) = [line["start"] for line in record.log if "start" in line]
        own = {
            n.replace("project.", "language.project.") if n.startswith("project.") else n: v for n, v in first.items()
        }
        given = {n: v for n, v in initial_state(workshop / f"{BEGINS_WITH[name]}-run").items() if n in own}
        assert start["loaded"] == len(given) and {n for n in own if n.startswith("network.")} <= given.keys()
        assert all(torch.equal(own[n].float(), v.float()) for n, v in given.items()), "in place before the first step"
    elif record.config.uni3d:
        published = torch.load(record.config.uni3d, weights_only=True)["module"]
        names = {n: n.replace("network.encoder.", "point_encoder.") for n in encoder}
        assert len(encoder) > 60 and all(torch.equal(value, published[names[n]]) for n, value in encoder.items())
    else:
        assert record.config.stage1 is not None


@pytest.mark.parametrize("name", BEGINS_WITH)
def test_fine_tuning_is_of_the_model_that_it_begins_with(name: str):
    tuned, begun = (TrainConfig.load(FOLDER / f"{one}.yaml").model for one in (name, BEGINS_WITH[name]))
    assert tuned.language.backbone == begun.language.backbone
    assert (tuned.encoder, tuned.gem, tuned.gfp, tuned.reader) == (begun.encoder, begun.gem, begun.gfp, begun.reader)


def test_the_ablation_trains(workshop: Path, monkeypatch: pytest.MonkeyPatch):
    """ℰ's pretraining and one run of both tables: the paper's way, and full tuning beside it."""
    config = AblationConfig.load(FOLDER / "ablation.yaml")
    tiny = replace(
        config,
        data=tiny_data(config.data),
        pretraining=tiny_stage(config.pretraining),
        training=tiny_stage(config.training),
        model=tiny_model(config.model),
    )
    path, run = workshop / "ablation.yaml", workshop / "ablation-run"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(tiny)))))
    found = Record(TrainConfig())
    monkeypatch.setattr(ablate, "fit", found.fit)
    monkeypatch.setattr(AblationConfig, "runs", lambda self: [(BOTH, 0), (FULL, 0)])
    monkeypatch.setattr(ablate, "write_report", lambda config, results, path: None)
    assert main(["ablate", str(path), "--run", str(run), "--report", str(workshop / "report.md")]) == 0
    for variant in (BOTH, FULL):
        before, after = (one[run_name(variant, 0)] for one in (found.before, found.after))
        changed = {n for n, value in before.items() if n.startswith("network.") and not torch.equal(value, after[n])}
        frozen = NO_LANGUAGE if variant is FULL else (*ENCODER, *NO_LANGUAGE)
        assert changed == {n for n in before if n.startswith("network.") and not n.startswith(frozen)} - {KERNEL}
