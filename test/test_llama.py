"""The LLaMA written out for inference is transformers' LLaMA."""

from __future__ import annotations

import pytest
import torch
from tiny_language import TOKENS, WIDTH, tiny_model
from torch import Tensor, nn

from segpoint.network.language import PointLanguageModel
from segpoint.network.llama import Llama, Projection

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def both(model: PointLanguageModel, count: int, before: int, adapted: bool = True) -> tuple[Tensor, Tensor]:
    """The last ``count`` states of a random sequence, by transformers at once and by `Llama` in two steps."""
    words = torch.randn(before + count, 64, generator=torch.Generator().manual_seed(3))
    theirs = model._base.model(inputs_embeds=words[None], use_cache=False).last_hidden_state[0]
    llama, positions = Llama(model._base), torch.arange(before + count)
    mask = torch.ones(before + count, before + count, dtype=torch.bool).tril()
    cache = llama.cache(before)  # too small for what comes
    llama.read(words[:before], positions[:before], cache, 0, mask[:before, :before], adapted)
    return theirs[before:], llama.read(words[before:], positions[before:], cache, before, mask[before:], adapted)


@torch.no_grad()
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ALL, None])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("kind", ["smollm2", "llama2"])  # the head tied to the embeddings, and not
def test_states_and_logits_are_those_of_transformers(kind, heads, targets):
    model = tiny_model(kind, heads, **({"lora_rank": 0} if targets is None else {"lora_targets": targets}))
    for count, before in ((7, 12), (1, 12), (3, 1)):
        theirs, ours = both(model, count, before)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.reader.logits(ours), model._base.lm_head(theirs), atol=1e-4, rtol=1e-4)
    if targets:
        with model.llm.disable_adapter():
            without = both(model, 7, 12, adapted=False)
        torch.testing.assert_close(without[1], without[0], atol=1e-4, rtol=1e-4)
        assert (without[1] - both(model, 7, 12)[1]).abs().max() > 1e-3, "LoRA is something"


@torch.no_grad()
@pytest.mark.parametrize(
    "rope", [{"rope_type": "default", "rope_theta": 100000.0}, {"rope_type": "linear", "factor": 4.0}]
)
def test_other_rotations_and_biases(rope):
    model = tiny_model("llama2")
    config = model._base.config
    config.rope_parameters = {"rope_theta": 10000.0, **rope}
    config.attention_bias = config.mlp_bias = True
    torch.manual_seed(0)
    other = type(model._base)(config).eval()
    for name, parameter in other.named_parameters():
        if name.endswith("bias"):
            parameter.normal_()
    model.llm = other
    theirs, ours = both(model, 7, 12)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_it_follows_lora_as_it_is_trained():
    model = tiny_model()
    points = torch.randn(1, TOKENS, WIDTH)
    before = model.encode_points(points).point_hidden
    assert model.reader is model.reader, "made once"
    model.trained_parameters()["llm.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"].mul_(3.0)
    after = model.encode_points(points).point_hidden
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after[0], model.forward_many(points, ["a"], ["b"]).point_hidden, atol=1e-4, rtol=0)


def test_training_goes_on_after_inference():
    """Nothing that inference made of the weights stands in a gradient's way."""
    model, points = tiny_model(), torch.randn(1, TOKENS, WIDTH)
    with torch.inference_mode():
        model.answer(model.encode_points(points), "the mug")
    model.forward_many(points, ["the mug"], ["mug <SEG>."]).text_loss.backward()
    assert all(p.grad is not None for p in model.trained_parameters().values())


@torch.no_grad()
def test_layers_of_another_kind_are_called_as_they_are():
    class Quantised(nn.Linear):
        """As bitsandbytes' layers: no plain weight to join with others."""

    layers = [Quantised(8, 4), nn.Linear(8, 2)]
    x = torch.randn(3, 8)
    torch.testing.assert_close(Projection(layers)(x), torch.cat([layer(x) for layer in layers], dim=1))


@torch.no_grad()
def test_away_from_mkldnn_the_weights_are_held_once(monkeypatch):
    model = tiny_model("llama2")
    expected = both(model, 7, 12)[0]
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    torch.testing.assert_close(both(model, 7, 12)[1], expected, atol=1e-4, rtol=1e-4)
    attention = model._base.model.layers[0].self_attn
    storages = {
        getattr(attention, name).base_layer.weight.untyped_storage().data_ptr() for name in ("q_proj", "v_proj")
    }
    assert len(storages | {attention.k_proj.weight.untyped_storage().data_ptr()}) == 1
    torch.testing.assert_close(both(model, 7, 12)[0], expected, atol=1e-4, rtol=1e-4)
