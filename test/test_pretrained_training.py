"""What a training begins with: a LLaMA2-like folder, whole or in 4 and 8 bits, and Uni3D's checkpoints, all random."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from test_encoder import checkpoint
from tiny_bundle import cloud_inputs
from tiny_language import CORPUS
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig, LanguageConfig, ReaderConfig
from segpoint.errors import SegPointError
from segpoint.network.encoder import PUBLISHED, Uni3DShape
from segpoint.network.language import PointLanguageModel, load_language
from segpoint.network.segpoint import SegPoint
from segpoint.prompts import answer, instruction_question
from segpoint_training.backbones import check_backbone
from segpoint_training.config import StageConfig, TrainConfig
from segpoint_training.uni3d import begin_encoder, encoder_settings

POINTS = 8
QUESTIONS = [instruction_question("pick up the red mug"), instruction_question("what can I drink from?")]
ANSWERS = [answer(["mug"]), answer([])]


def write_tokenizer(folder: Path) -> int:
    """tokenizer.json and tokenizer_config.json as LLaMA2's folders have them: sentencepiece's BPE with single bytes, a
    mark for every space and one in front, <s> first. Returns the vocabulary's size."""
    special = [{"content": token, "special": True} for token in ("<unk>", "<s>", "</s>")]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # for training alone: merges within words
    names = [token["content"] for token in special] + [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][: len(special)]  # bytes are ordinary tokens
    tokenizer = Tokenizer.from_str(json.dumps({**content, "pre_tokenizer": None}))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "legacy": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()


@pytest.fixture
def llama2(tmp_path, monkeypatch) -> Path:
    """A random LLaMA2 in three files with an index, linked into the cache as "llama2-tiny"."""
    folder = tmp_path / "downloads" / "Llama-2-tiny-hf"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=write_tokenizer(folder), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=512, tie_word_embeddings=False, initializer_range=0.1,
    )  # fmt: skip
    LlamaForCausalLM(shape).to(torch.float16).save_pretrained(folder, max_shard_size="100KB")
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "backbones").mkdir(parents=True)
    (tmp_path / "cache" / "backbones" / "llama2-tiny").symlink_to(folder)
    return folder


def config_of(backbone: str = "llama2-tiny", quantization: str = "none") -> TrainConfig:
    language = LanguageConfig(backbone=backbone, quantization=quantization, lora_dropout=0.0)
    model = BundleConfig(language=language, reader=ReaderConfig(layers=0))
    return TrainConfig(model=model, stage1=None, stage2=StageConfig(steps=1))


def losses_of_training(language: PointLanguageModel, steps: int) -> list[float]:
    """Teaches the language model two answers about one random cloud."""
    torch.manual_seed(1)
    tokens = torch.randn(1, POINTS, config_of().model.encoder.width)
    optimizer = torch.optim.AdamW(language.trained_parameters().values(), lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = language.forward_many(tokens, QUESTIONS, ANSWERS).text_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_a_sharded_llama2_folder_is_found_by_its_links_name(llama2):
    assert len(list(llama2.glob("model-*-of-*.safetensors"))) > 2 and (llama2 / "model.safetensors.index.json").exists()
    config = config_of()
    check_backbone(config)
    language = load_language(config.model, "bfloat16", training=True)
    tokenizer = language.tokenizer
    assert tokenizer("mug").input_ids[0] == 1, "<s> stands in front"
    ids = tokenizer("pick up the red mug").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "pick up the red mug"
    assert len(tokenizer("é", add_special_tokens=False).input_ids) == 3, "a space's mark, and two bytes"
    base = language._base
    assert base.dtype == torch.bfloat16 and base.config.num_key_value_heads == 4
    own = LlamaForCausalLM.from_pretrained(llama2, dtype=torch.bfloat16)
    torch.testing.assert_close(base.model.layers[1].mlp.up_proj.weight, own.model.layers[1].mlp.up_proj.weight)
    before = language.llm.state_dict()["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"].clone()
    losses = losses_of_training(language.train(), 12)
    assert losses[-1] < 0.5 * losses[0]
    after = language.llm.state_dict()["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"]
    assert torch.equal(before, after)


@pytest.mark.parametrize("kind, stored", [("nf4", torch.uint8), ("int8", torch.int8)])
def test_lora_learns_on_few_bits(llama2, kind, stored):
    """QLoRA in miniature: bitsandbytes computes 4 and 8 bits on a CPU, too."""
    pytest.importorskip("bitsandbytes")
    config = config_of(quantization=kind)
    check_backbone(config)
    with pytest.raises(SegPointError, match="needs an NVIDIA GPU"):
        load_language(config.model, "bfloat16")  # to run, not to train
    language = load_language(config.model, "bfloat16", training=True).train()
    layer = language._base.model.layers[0]
    base = {name: p for name, p in language.llm.named_parameters() if ".lora_" not in name}
    assert layer.self_attn.q_proj.base_layer.weight.dtype == layer.mlp.down_proj.weight.dtype == stored
    assert language._base.lm_head.weight.dtype == torch.bfloat16, "the head stays whole"
    before = {name: p.detach().clone() for name, p in base.items()}

    whole = load_language(config_of().model, "bfloat16", training=True)
    tokens = torch.randn(1, POINTS, config.model.encoder.width)
    whole.load_trained(language.trained_state())
    near, exact = (model.eval().forward_many(tokens, QUESTIONS, ANSWERS).text_loss for model in (language, whole))
    assert abs(near - exact) < 0.05 * exact, "few bits are nearly the same model"

    losses = losses_of_training(language.train(), 12)
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is None for p in base.values())
    assert all(torch.equal(before[name], p) for name, p in base.items())
    adapters = {name: p for name, p in language.trained_parameters().items() if ".lora_" in name}
    assert len(adapters) == 2 * 2 * 2 and all(p.grad.abs().max() > 0 for p in adapters.values())

    said = language.eval().encode_points(tokens)
    assert language.answer(said, QUESTIONS[0]).text is not None, "validation decodes with few bits"


def test_checkpointed_layers_give_the_same_gradients_on_four_bits(llama2):
    pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    tokens, gradients = torch.randn(1, POINTS, config_of().model.encoder.width), []
    language = load_language(config_of(quantization="nf4").model, "bfloat16", training=True).train()
    for _ in range(2):
        language.zero_grad()
        language.forward_many(tokens, QUESTIONS, ANSWERS).text_loss.backward()
        trained = language.trained_parameters().values()
        gradients.append(torch.cat([p.grad.flatten() for p in trained if p.grad is not None]))
        language.checkpoint_layers()
    torch.testing.assert_close(*gradients)


def test_a_backbone_that_cannot_be_is_told_early(llama2, monkeypatch):
    with pytest.raises(SegPointError, match=r"ln -s FOLDER .*/backbones/NAME`, and write backbone: NAME"):
        check_backbone(config_of(str(llama2)))
    with pytest.raises(SegPointError, match="llama2-70b.* is not in .*ln -s FOLDER .*/backbones/llama2-70b"):
        check_backbone(config_of("llama2-70b"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SegPointError, match="pip install bitsandbytes"):
        check_backbone(config_of(quantization="nf4"))


# Uni3D ------------------------------------------------------------------------------------------------------------


def network_of(shape: Uni3DShape, **cloud) -> SegPoint:
    settings = {"block" if name == "kind" else name: value for name, value in vars(shape).items()}
    del settings["embedding"]
    config = BundleConfig(
        cloud=CloudConfig(points=256, **{"unit_m": None, **cloud}),
        encoder=EncoderConfig(tokens=16, patch=8, **settings),
        gem=GemConfig(neighbours=8, widths=(8, 8, 12)),
        gfp=GfpConfig(levels=(32, 64), neighbours=4, width=16),
        reader=ReaderConfig(layers=0),
    )
    return SegPoint(config, 24)


def random_checkpoint(shape: Uni3DShape) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        name: torch.randn(tensor.shape) * 0.02 if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint(shape).items()
    }


@pytest.mark.parametrize("size, suffix", [("tiny", ".safetensors"), *((size, ".pt") for size in PUBLISHED)])
def test_an_encoder_begins_with_published_weights(size, suffix, tmp_path):
    """At every published width and kind of layer, of which the larger ones have fewer here."""
    shape = PUBLISHED[size] if size == "tiny" else dataclasses.replace(PUBLISHED[size], depth=4)
    weights, path = random_checkpoint(shape), tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save({"module": weights}, path)
    else:
        save_file(weights, path)
    network = network_of(shape)
    begin_encoder(network, path)
    for name, tensor in network.encoder.state_dict().items():
        assert torch.equal(tensor, weights[f"point_encoder.{name}"]), name


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_checkpoint_tells_its_shape(size):
    with torch.device("meta"):
        weights = {name.removeprefix("point_encoder."): tensor for name, tensor in checkpoint(PUBLISHED[size]).items()}
    told = encoder_settings(weights, Path("model.pt"))
    shape = PUBLISHED[size]
    assert {**told, "kind": told["block"], "embedding": 1024} == {**vars(shape), "block": shape.kind}


def test_another_shape_is_told_with_the_line_to_write(tmp_path):
    shape = PUBLISHED["tiny"]
    save_file(random_checkpoint(shape), tmp_path / "model.safetensors")
    network = network_of(dataclasses.replace(shape, heads=6, depth=8))
    before = network.encoder.cls_pos.clone()
    with pytest.raises(SegPointError, match="depth 8 in the config, 12 in the file, heads 6 in the config, 3") as error:
        begin_encoder(network, tmp_path / "model.safetensors")
    assert torch.equal(network.encoder.cls_pos, before)
    found = re.search(r"encoder: (\{.*\})", str(error.value))
    encoder = EncoderConfig(**yaml.safe_load(found[1]))
    assert (encoder.depth, encoder.heads, encoder.tokens, encoder.patch) == (12, 3, 512, 64)
    right = SegPoint(dataclasses.replace(network.config, encoder=dataclasses.replace(encoder, tokens=16)), 24)
    begin_encoder(right, tmp_path / "model.safetensors")


def test_published_weights_want_the_unit_sphere(tmp_path):
    shape = dataclasses.replace(PUBLISHED["tiny"], depth=4)
    save_file(random_checkpoint(shape), tmp_path / "model.safetensors")
    with pytest.raises(SegPointError, match="model.cloud.unit_m is 0.2: set it to null"):
        begin_encoder(network_of(shape, unit_m=0.2), tmp_path / "model.safetensors")


def test_what_is_no_uni3d_is_told(tmp_path):
    network = network_of(dataclasses.replace(PUBLISHED["tiny"], depth=4))
    save_file({"model.layers.0.weight": torch.zeros(2)}, tmp_path / "llama.safetensors")
    with pytest.raises(SegPointError, match="llama.safetensors holds no Uni3D encoder"):
        begin_encoder(network, tmp_path / "llama.safetensors")
    with pytest.raises(SegPointError, match="no Uni3D checkpoint at"):
        begin_encoder(network, tmp_path / "absent.pt")


def test_a_begun_encoder_sees_a_cloud(tmp_path):
    """The tokens depend on the checkpoint: not only its names have come over."""
    shape = dataclasses.replace(PUBLISHED["tiny"], depth=4)
    network = network_of(shape).eval()
    inputs = cloud_inputs(network.config)
    seen = []
    for scale in (1.0, 2.0):
        weights = {n: t * scale if t.is_floating_point() else t for n, t in random_checkpoint(shape).items()}
        weights = {n: t.abs() + 0.1 if "running_var" in n else t for n, t in weights.items()}
        torch.save(weights, tmp_path / "model.pt")
        begin_encoder(network, tmp_path / "model.pt")
        with torch.no_grad():
            seen.append(network.encode(inputs).f5)
    assert torch.isfinite(seen[0]).all() and not torch.allclose(seen[0], seen[1], atol=1e-3)
