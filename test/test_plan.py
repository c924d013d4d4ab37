"""The plan of a run: parameters counted on shapes, and activations calculated, against a real step that is measured."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch
from tiny_bundle import cloud_inputs
from tiny_language import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from segpoint import backbone
from segpoint.cli import main
from segpoint.config import (
    BundleConfig,
    CloudConfig,
    EncoderConfig,
    GemConfig,
    GfpConfig,
    LanguageConfig,
    ReaderConfig,
)
from segpoint.errors import SegPointError
from segpoint.network.encoder import PUBLISHED
from segpoint.network.language import PointLanguageModel
from segpoint.prompts import answer, instruction_question
from segpoint_training.activations import Packed, activations, rounded_weights
from segpoint_training.batches import Batch
from segpoint_training.config import DataConfig, DatasetConfig, StageConfig, TrainConfig
from segpoint_training.parameters import count_parts
from segpoint_training.plan import STRATEGIES, plan, print_plan
from segpoint_training.questions import QuestionStates
from segpoint_training.stage1 import MaskTrainer, Words
from segpoint_training.stage2 import AnswerTrainer

OBJECTS = 6
SMALL = BundleConfig(
    cloud=CloudConfig(points=1024),
    encoder=EncoderConfig(
        tokens=64, patch=16, width=64, depth=4, heads=2, hidden=176, block="split_swiglu_norm", stem_width=32,
        group_channels=32,
    ),
    gem=GemConfig(widths=(16, 24, 32)),
    gfp=GfpConfig(levels=(128, 256), width=48),
    language=LanguageConfig(backbone="tiny"),
    reader=ReaderConfig(layers=0),
)  # fmt: skip
LARGER = dataclasses.replace(
    SMALL,
    cloud=CloudConfig(points=2048),
    encoder=dataclasses.replace(SMALL.encoder, tokens=128, width=96, depth=8, block="fused_swiglu"),
    gfp=GfpConfig(levels=(256, 512), width=64),
)
READER = dataclasses.replace(SMALL, reader=ReaderConfig(layers=2))
PAPER = StageConfig(steps=1, scenes=1, questions=4, semantic=1, pointing=0, points=512, geometry=True)


class Saved:
    """Counts the bytes that autograd keeps while it is entered, each storage once, what was there before not at all."""

    def __init__(self, before: list[torch.Tensor]) -> None:
        self.before = {tensor.untyped_storage().data_ptr() for tensor in before}
        self.kept: dict[int, torch.Tensor] = {}

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in self.before:
            self.kept[address] = tensor  # held, so that nothing else comes to lie there
        return tensor

    def enters(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.keep(inputs[0])

    def __enter__(self) -> Saved:
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.keep, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.hooks.__exit__(*error)

    @property
    def bytes(self) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in self.kept.values())


def tiny_llm(settings: LanguageConfig, kv_heads: int = 4, layers: int = 3) -> tuple[LlamaForCausalLM, object]:
    tokenizer = tiny_tokenizer("llama2")
    shape = LlamaConfig(
        vocab_size=1000, hidden_size=96, intermediate_size=256, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=kv_heads, attn_implementation="sdpa",
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(shape), tokenizer


def language_of(config: BundleConfig, stage: StageConfig, **llm) -> PointLanguageModel:
    settings = config.language
    model, tokenizer = tiny_llm(settings, **llm)
    return PointLanguageModel(
        model.to(torch.bfloat16 if stage.precision == "bf16" else torch.float32),
        tokenizer,
        token_width=config.encoder.width,
        lora_rank=settings.lora_rank,
        lora_dropout=settings.lora_dropout,
        lora_targets=settings.lora_targets,
    )


def batch_of(config: BundleConfig, stage: StageConfig) -> Batch:
    """A cloud with questions of different lengths, one of them without a target."""
    questions, objects = stage.questions, torch.zeros(1, OBJECTS, dtype=torch.int64)
    is_target = torch.zeros(1, questions, OBJECTS, dtype=torch.bool)
    is_target[:, 1:, 1] = True
    return Batch(
        inputs=cloud_inputs(config),
        questions=[[instruction_question("pick up the red mug on the left" + " now" * i) for i in range(questions)]],
        answers=[[answer(["mug"] if i else []) for i in range(questions)]],
        rows=torch.randint(config.cloud.points, (1, stage.points)),
        instance=torch.randint(OBJECTS, (1, stage.points)),
        at_token=torch.randint(OBJECTS, (1, config.encoder.tokens)),
        is_target=is_target,
        seg_targets=is_target[0, 1:],
        seg_counts=is_target.any(dim=2).long(),
        category=objects,
        colour=objects,
        centre=torch.zeros(1, OBJECTS, 3),
        places=None,
    )


def packed_of(config: BundleConfig, language: PointLanguageModel, batch: Batch) -> Packed:
    """What the plan only expects, as it is."""
    asked = [len(language.question_ids(question)) for question in batch.questions[0]]
    said = [len(language._answer_ids(text)) for text in batch.answers[0]]
    tokens = len(language._before) + config.encoder.tokens + sum(asked) + sum(said) - len(said)
    return Packed(tokens, sum(said), len(batch.seg_targets), max(asked))


def tensors_of(batch: Batch) -> list[torch.Tensor]:
    members = [*vars(batch).values(), *vars(batch.inputs).values(), *batch.inputs.tables.values()]
    return [member for member in members if isinstance(member, torch.Tensor)]


def calculated(config: BundleConfig, stage: StageConfig, name: str, shape, packed: Packed) -> int:
    run = TrainConfig(stage1=stage, stage2=stage, model=config)
    parts = count_parts(run, name)
    kept = activations(config, stage, parts, shape, packed, "cpu")
    return sum(kept.values()) + rounded_weights(stage, parts, kept)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache that holds the tiny model's config.json, and no weights."""
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))
    tiny_llm(SMALL.language)[0].config.save_pretrained(tmp_path / "backbones" / "tiny")
    return tmp_path


@pytest.mark.parametrize(
    "config, change, llm",
    [
        (SMALL, {}, {}),
        (LARGER, {"points": 2048}, {}),
        (LARGER, {"precision": "fp32", "questions": 6}, {}),
        (SMALL, {"geometry": False}, {"kv_heads": 2}),
        (READER, {"geometry": False, "questions": 8}, {}),
        (SMALL, {"checkpointing": True}, {}),
    ],
    ids=["paper's", "larger", "float32", "geometry frozen", "reader", "checkpointing"],
)
def test_stage2_keeps_what_was_calculated(config, change, llm, tmp_path):
    stage = dataclasses.replace(PAPER, **change)
    language, batch = language_of(config, stage, **llm), batch_of(config, stage)
    states = None
    if config.reader.layers:
        states = QuestionStates.build(batch.questions[0], language.eval(), tmp_path)
    trainer = AnswerTrainer(config, language, states, stage.geometry)
    trainer.freeze()
    trainer.train()
    saved = Saved([*trainer.parameters(), *trainer.buffers(), *tensors_of(batch)])
    if stage.checkpointing:  # what enters a layer is then kept beside autograd's own
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # transformers has a new name for it
            language.checkpoint_layers()
        for layer in language._base.model.layers:
            layer.register_forward_pre_hook(saved.enters)
    with saved, torch.autocast("cpu", torch.bfloat16, enabled=stage.precision == "bf16"):
        trainer(batch, stage)
    expected = calculated(config, stage, "stage2", language._base.config, packed_of(config, language, batch))
    assert expected == pytest.approx(saved.bytes, rel=0.12)


@pytest.mark.parametrize("config", [SMALL, READER], ids=["paper's", "reader"])
def test_stage1_keeps_what_was_calculated(config, tmp_path):
    stage = dataclasses.replace(PAPER, questions=8)
    language, batch = language_of(config, PAPER), batch_of(config, stage)
    states = QuestionStates.build(batch.questions[0], language.eval(), tmp_path)
    table = torch.randn(20, language.hidden_size)
    trainer = MaskTrainer(config, states, Words(("mug",), ("red",), table, table)).train()
    saved = Saved([*trainer.parameters(), *trainer.buffers(), *tensors_of(batch)])
    with saved, torch.autocast("cpu", torch.bfloat16):
        trainer(batch, stage)
    expected = calculated(config, stage, "stage1", language._base.config, packed_of(config, language, batch))
    assert expected == pytest.approx(saved.bytes, rel=0.12)


@pytest.mark.parametrize("rank, targets", [(4, ("q_proj", "down_proj")), (0, ("q_proj",))])
@pytest.mark.parametrize("geometry, adaptation", [(False, "frozen"), (True, "lora")])
def test_parts_are_those_of_the_real_trainer(rank, targets, geometry, adaptation):
    settings = LanguageConfig(backbone="tiny", lora_rank=rank, lora_targets=targets)
    encoder = dataclasses.replace(SMALL.encoder, adaptation=adaptation)
    config = dataclasses.replace(READER, language=settings, encoder=encoder)
    trainer = AnswerTrainer(config, language_of(config, PAPER), None, geometry)
    trainer.freeze()
    stage = dataclasses.replace(PAPER, geometry=geometry)
    parts = count_parts(TrainConfig(stage1=None, stage2=stage, model=config), "stage2")
    assert sum(p.trained for p in parts) == sum(p.numel() for p in trainer.parameters() if p.requires_grad)
    assert sum(p.frozen for p in parts) == sum(p.numel() for p in trainer.parameters() if not p.requires_grad)
    assert sum(p.bytes for p in parts) == sum(p.numel() * p.element_size() for p in trainer.parameters())


def paper(**language) -> TrainConfig:
    large = {"block" if k == "kind" else k: v for k, v in vars(PUBLISHED["large"]).items() if k != "embedding"}
    model = dataclasses.replace(
        LARGER,
        cloud=CloudConfig(points=16384, find_support=False, unit_m=None),
        encoder=EncoderConfig(tokens=512, patch=64, **large),
        gfp=GfpConfig(levels=(1024, 4096), width=256),
        language=LanguageConfig(backbone="llama2-7b", **language),
    )
    stage = dataclasses.replace(PAPER, steps=5000, scenes=16, points=16384, schedule="linear")
    sets = (DatasetConfig("scannet200", "nowhere", weight=3.0),)
    return TrainConfig(stage1=None, stage2=stage, model=model, data=DataConfig(train_scenes=1000), datasets=sets)


def test_llama2_7b_is_counted_without_its_weights():
    parts = {part.name: part for part in count_parts(paper(), "stage2")}
    base = parts["LLM base"]
    assert (base.trained, base.frozen, base.bytes) == (0, 6_738_415_616, 2 * 6_738_415_616)
    assert parts["LoRA"].trained == 32 * 2 * 8 * (4096 + 4096)
    assert parts["γ"].trained == 4096 * 4096 + 4096 + 4096 * 256 + 256
    assert parts["encoder"].trained == 0 and 300e6 < parts["encoder"].frozen < 310e6
    narrow = next(part for part in count_parts(paper(quantization="nf4"), "stage2") if part.name == "LLM base")
    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert narrow.frozen == base.frozen
    assert narrow.bytes == matrices // 2 + matrices // 64 * 4 + 2 * (base.frozen - matrices)


def test_sharing_saves_what_it_shares():
    memory = {name: plan(paper(), 4, name, "cuda").stages[0].memory for name in STRATEGIES}
    ddp, fsdp, zero2 = (memory[name] for name in ("ddp", "fsdp", "zero2"))
    assert fsdp.weights == ddp.weights // 4 and zero2.weights == ddp.weights
    assert ddp.gradients == 2 * ddp.average and zero2.gradients == fsdp.gradients == ddp.average // 4
    assert zero2.optimizer == fsdp.optimizer == ddp.optimizer // 4 and ddp.optimizer == 2 * ddp.average
    assert ddp.gathered == zero2.gathered == 0 < fsdp.gathered < ddp.weights
    assert fsdp.total < zero2.total < ddp.total
    assert len({tuple(one.activations.items()) for one in memory.values()}) == 1
    alone = plan(paper(), 1, "fsdp", "cuda").stages[0].memory
    assert alone.gathered == 0 and alone.gradients == alone.average
    assert sum(alone.activations.values()) == 4 * sum(ddp.activations.values())


def test_a_plan_says_what_is_seen_and_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr("segpoint_training.plan.machine_memory", lambda: ("cuda", 20 << 30))
    made = plan(paper(), 4)
    (stage,) = made.stages
    generated, scannet = stage.seen
    assert (generated.drawn, generated.held, scannet.drawn, scannet.held) == (20_000, 1000, 60_000, None)
    assert stage.clouds == 4 and stage.memory.total > made.available == 20 << 30
    (memory,) = made.warnings
    assert "checkpointing" in memory and "20.0 GiB" in memory and not made.unread, "a folder that is not there"
    print_plan(made)
    said = capsys.readouterr().out
    for words in ("6,738,415,616", "5,000 steps of 16 clouds", "warm-up", "not known", "20.0", "activations: LLM"):
        assert words in said
    monkeypatch.setattr("segpoint_training.plan.machine_memory", lambda: ("cpu", 64 << 30))
    assert plan(paper(), 4, device="cuda").available is None, "no GPU here to compare with"
    assert plan(paper(), 4).available == 16 << 30, "processes on a CPU share its memory"


def test_what_cannot_be_planned_is_told():
    unknown = dataclasses.replace(SMALL, language=LanguageConfig(backbone="mystery-3b"))
    with pytest.raises(SegPointError, match="mystery-3b.*llama2-7b"):
        plan(TrainConfig(stage1=None, stage2=PAPER, model=unknown))
    with pytest.raises(SegPointError, match="16 clouds a step cannot be shared by 3 processes"):
        plan(paper(), 3)
    with pytest.raises(SegPointError, match="one of ddp, fsdp, zero2"):
        plan(paper(), 4, "zero9")
    with pytest.raises(SegPointError, match="auto, cpu or cuda, got 'abacus'"):
        plan(paper(), 4, device="abacus")
    with pytest.raises(SegPointError, match="needs GPUs"):
        plan(paper(), 4, "fsdp", "cpu")
    (backbone.cache_folder() / "backbones" / "tiny" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(SegPointError, match="not of a LLaMA"):
        plan(TrainConfig(stage1=None, stage2=PAPER, model=SMALL))


def test_what_a_data_set_lacks_is_told_once(tmp_path):
    """For all sets that lack it, those to watch the run on among them."""
    names = ("scannet", "scannet200", "scanrefer")
    sets = tuple(DatasetConfig(name, str(tmp_path), scans=str(tmp_path)) for name in names)
    config = dataclasses.replace(paper(), datasets=sets, validation=(dataclasses.replace(sets[2], split="val"),))
    (told,) = plan(config, 4, device="cuda").unread
    assert told.startswith("scannet-train, scannet200-train, scanrefer-train, scanrefer-val: no scannetv2-labels")


def test_a_dry_run_lists_each_thing_that_is_missing(tmp_path, capsys):
    """Once, with what to do about it; parameters and memory do not need it."""
    sets = tuple(DatasetConfig(name, root, scans=scans) for name, root, scans in (
        ("scannet", "rooms", ""), ("scanrefer", "said", "rooms"), ("nr3d", str(tmp_path), "rooms")))  # fmt: skip
    config = dataclasses.replace(paper(), datasets=sets, validation=sets[1:2], uni3d="none.pt")
    config.save(tmp_path / "run.yaml")
    words = ["train", str(tmp_path / "run.yaml"), "--dry-run", "--device", "cuda", "--from", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().out
    lacking = [line.removeprefix("missing: ") for line in said.splitlines() if line.startswith("missing")]
    begins = ("the language model 'llama2-7b' is not in", "uni3d: there is no none.pt", "--from: nothing to start from",
              "'rooms': there is no", "'said': there is no")  # fmt: skip
    assert len(lacking) == len(begins) and all(map(str.startswith, lacking, begins))
    assert "ln -s FOLDER" in lacking[0] and lacking[3].endswith(
        "--root scannet=FOLDER --scans scanrefer=FOLDER --scans nr3d=FOLDER"
    )
    assert "6,738,415,616" in said and "5,000 steps" in said
    assert main([*words[:2], "--run", str(tmp_path / "run"), "--from", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert all(line in told for line in lacking) and not (tmp_path / "run").exists()
    mystery = dataclasses.replace(config, model=dataclasses.replace(SMALL, language=LanguageConfig("mystery-3b")))
    mystery.save(tmp_path / "run.yaml")
    assert main(words) == 2
    told = capsys.readouterr()
    assert "mystery-3b" in told.err and told.out.count("missing: ") == len(begins), "also where nothing can be counted"
