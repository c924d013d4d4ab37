"""Uni3D's encoder: published numbers layer by layer, published names at every size, and SegPoint's four blocks."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch
from safetensors.torch import save_file

from segpoint.errors import SegPointError
from segpoint.network.encoder import PUBLISHED, PointEncoder, Uni3DShape
from segpoint.network.uni3d_checkpoint import load_published

TOY = {
    kind: Uni3DShape(48, 4, 3, hidden, kind, group_channels=32, embedding=40)
    for kind, hidden in (("fused_swiglu", 128), ("split_swiglu_norm", 128), ("gelu", 192))
}
SMALL = Uni3DShape(24, 8, 3, 32, "fused_swiglu", group_channels=16, stem_width=16, embedding=0)
MILLIONS = {"tiny": 6.2, "small": 22.6, "base": 88.4, "large": 306.7, "giant": 1016.5}  # Uni3D's paper, table of sizes


def patches(batch=2, groups=6, size=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, groups, size, 3, generator=generator) * 0.1,
        torch.rand(batch, groups, size, 3, generator=generator),
        torch.randn(batch, groups, 3, generator=generator) * 0.5,
    )


def checkpoint(shape: Uni3DShape) -> dict[str, torch.Tensor]:
    """A published checkpoint's names and shapes, written down from Uni3D and timm, not from our model."""
    width, hidden, weights = shape.width, shape.hidden, {}

    def add(name: str, *sizes: int) -> None:
        weights[name] = torch.zeros(sizes)

    def linear(name: str, inputs: int, outputs: int, *kernel: int) -> None:
        add(f"{name}.weight", outputs, inputs, *kernel)
        add(f"{name}.bias", outputs)

    def norm(name: str, channels: int) -> None:
        add(f"{name}.weight", channels)
        add(f"{name}.bias", channels)

    def batch_norm(name: str, channels: int) -> None:
        norm(name, channels)
        add(f"{name}.running_mean", channels)
        add(f"{name}.running_var", channels)
        weights[f"{name}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)

    add("logit_scale")
    root = "point_encoder"
    add(f"{root}.cls_token", 1, 1, width)
    add(f"{root}.cls_pos", 1, 1, width)
    linear(f"{root}.encoder.first_conv.0", 6, 128, 1)
    batch_norm(f"{root}.encoder.first_conv.1", 128)
    linear(f"{root}.encoder.first_conv.3", 128, 256, 1)
    linear(f"{root}.encoder.second_conv.0", 512, 512, 1)
    batch_norm(f"{root}.encoder.second_conv.1", 512)
    linear(f"{root}.encoder.second_conv.3", 512, shape.group_channels, 1)
    linear(f"{root}.encoder2trans", shape.group_channels, width)
    linear(f"{root}.trans2embed", width, shape.embedding)
    linear(f"{root}.pos_embed.0", 3, 128)
    linear(f"{root}.pos_embed.2", 128, width)
    visual = f"{root}.visual"
    add(f"{visual}.cls_token", 1, 1, width)
    add(f"{visual}.pos_embed", 1, 1025, width)
    linear(f"{visual}.patch_embed.proj", 3, width, 14, 14)
    for layer in (f"{visual}.blocks.{n}" for n in range(shape.depth)):
        norm(f"{layer}.norm1", width)
        norm(f"{layer}.norm2", width)
        linear(f"{layer}.attn.proj", width, width)
        linear(f"{layer}.mlp.fc2", hidden, width)
        if shape.kind == "split_swiglu_norm":
            linear(f"{layer}.attn.q_proj", width, width)
            add(f"{layer}.attn.k_proj.weight", width, width)
            linear(f"{layer}.attn.v_proj", width, width)
            linear(f"{layer}.mlp.fc1_g", width, hidden)
            linear(f"{layer}.mlp.fc1_x", width, hidden)
            norm(f"{layer}.mlp.norm", hidden)
        else:
            add(f"{layer}.attn.qkv.weight", 3 * width, width)
            add(f"{layer}.attn.q_bias", width)
            add(f"{layer}.attn.v_bias", width)
            linear(f"{layer}.mlp.fc1", width, 2 * hidden if shape.kind == "fused_swiglu" else hidden)
    norm(f"{visual}.fc_norm", width)
    linear(f"{visual}.head", width, 1000)
    return weights


def published_on_meta(size: str) -> tuple[PointEncoder, dict[str, torch.Tensor]]:
    with torch.device("meta"):
        return PointEncoder(PUBLISHED[size]), checkpoint(PUBLISHED[size])


@pytest.mark.parametrize("kind", TOY)
def test_every_layer_matches_the_published_encoder(shared, kind):
    from safetensors.torch import load_file

    folder = shared / "reference" / "uni3d"
    case = load_file(folder / f"{kind}.case.safetensors")
    encoder = PointEncoder(TOY[kind]).eval()
    load_published(encoder, folder / f"{kind}.weights.safetensors")

    points, centres = case["points"][0], case["points"][0, case["center_index"][0]]
    nearest = torch.cdist(centres, points).topk(16, largest=False).indices  # (24, 16)
    inputs = ((points[nearest] - centres[:, None])[None], case["colors"][0, nearest][None], centres[None])
    with torch.no_grad():
        layers, levels, embedding = encoder.layer_tokens(*inputs), encoder(*inputs), encoder.embedding(*inputs)

    # Tighter than the 1e-5 asked for: here a wrong number of heads shows as little as 1.3e-5.
    wanted = [case["input_tokens"], *(case[f"block_{n}"] for n in range(4))]
    for result, tokens in zip(layers, wanted, strict=True):
        torch.testing.assert_close(result, tokens, atol=2e-6, rtol=0)
    for result, tokens in zip(levels, wanted, strict=True):  # four layers: each is a block
        torch.testing.assert_close(result, tokens[:, 1:], atol=2e-6, rtol=0)
    torch.testing.assert_close(embedding, case["embedding"], atol=2e-6, rtol=0)


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_names_and_shapes_load_unchanged(size):
    encoder, weights = published_on_meta(size)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(MILLIONS[size], rel=0.025)
    load_published(encoder, weights)  # meta: names and shapes, no numbers
    assert encoder.visual.blocks[-1].mlp.fc2.weight is not None


def test_numbers_land_where_their_names_say():
    shape = dataclasses.replace(PUBLISHED["tiny"], depth=4)
    weights = {
        name: torch.full(t.shape, float(n)) if t.is_floating_point() else t + n
        for n, (name, t) in enumerate(checkpoint(shape).items())
    }
    encoder = PointEncoder(shape, adaptation="mlp")
    load_published(encoder, weights)
    for name, tensor in encoder.state_dict().items():
        if not name.startswith("adapters."):
            assert torch.equal(tensor, weights[f"point_encoder.{name}"]), name


def test_half_precision_checkpoints_and_encoders_without_the_embedding_head():
    shape = dataclasses.replace(PUBLISHED["tiny"], depth=4)
    encoder = PointEncoder(dataclasses.replace(shape, embedding=0))
    load_published(encoder, {k: t.half() if t.is_floating_point() else t for k, t in checkpoint(shape).items()})
    assert encoder.cls_pos.dtype == torch.float32 and torch.count_nonzero(encoder.cls_pos) == 0


def test_what_does_not_fit_is_listed_and_nothing_is_loaded():
    encoder, weights = published_on_meta("tiny")
    del weights["point_encoder.visual.blocks.3.attn.q_bias"]
    weights["point_encoder.visual.blocks.12.norm1.weight"] = torch.zeros(192)
    weights["text_encoder.weight"] = torch.zeros(1)
    weights["point_encoder.encoder2trans.weight"] = torch.zeros(192, 256)
    with pytest.raises(SegPointError) as error:
        load_published(encoder, weights)
    message = str(error.value)
    assert "1 missing: visual.blocks.3.attn.q_bias" in message
    assert "2 unexpected: visual.blocks.12.norm1.weight, text_encoder.weight" in message
    assert "encoder2trans.weight (192, 256) for (192, 512)" in message and "\n" not in message
    assert encoder.cls_pos.is_meta
    with pytest.raises(SegPointError, match="and .* more"):
        load_published(encoder, checkpoint(dataclasses.replace(PUBLISHED["small"], depth=4)))


@pytest.mark.parametrize("nest", [None, "module", "state_dict"])
def test_files_as_published(tmp_path, nest):
    shape = dataclasses.replace(PUBLISHED["tiny"], depth=4)
    weights = checkpoint(shape)
    weights["point_encoder.cls_pos"] += 3.0
    if nest == "state_dict":  # saved from a distributed wrapper
        weights = {f"module.{name}": tensor for name, tensor in weights.items()}
    path = tmp_path / ("model.safetensors" if nest is None else "model.pt")
    if nest is None:
        save_file(weights, path)
    else:
        torch.save({"epoch": 3, nest: weights}, path)
    encoder = PointEncoder(shape)
    load_published(encoder, path)
    assert torch.equal(encoder.cls_pos, torch.full((1, 1, 192), 3.0))


class Exploit:
    def __reduce__(self):
        return (print, ("code from a checkpoint ran",))


def test_unreadable_files_raise_one_line(tmp_path, capsys):
    encoder = PointEncoder(SMALL)
    (tmp_path / "broken.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all!")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "exploit.pt").write_bytes(pickle.dumps(Exploit(), protocol=2))
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("broken.safetensors", "empty.pt", "exploit.pt", "list.pt", "absent.pt"):
        with pytest.raises(SegPointError, match=name) as error:
            load_published(encoder, tmp_path / name)
        assert "\n" not in str(error.value)
    assert "ran" not in capsys.readouterr().out


def test_blocks_are_l_consecutive_layers_and_levels_leave_out_cls():
    torch.manual_seed(0)
    encoder = PointEncoder(SMALL).eval()
    layers, levels = encoder.layer_tokens(*patches()), encoder(*patches())
    assert len(layers) == 9 and len(levels) == 5
    for level, layer in zip(levels, layers[::2], strict=True):
        assert level.shape == (2, 6, 24)
        assert torch.equal(level, layer[:, 1:])


def test_injection_comes_before_each_block_and_levels_are_what_it_was_given():
    torch.manual_seed(0)
    encoder, plain, seen = PointEncoder(SMALL).eval(), [], []

    def inject(block: int, tokens: torch.Tensor) -> torch.Tensor:
        seen.append((block, tokens))
        return tokens + block

    with torch.no_grad():
        plain, levels = encoder(*patches()), encoder(*patches(), inject)
        # By hand, CLS left alone.
        tokens = encoder.layer_tokens(*patches())[0]
        for block in range(4):
            assert torch.equal(levels[block], tokens[:, 1:])
            tokens = torch.cat([tokens[:, :1], tokens[:, 1:] + (block + 1)], dim=1)
            for layer in encoder.visual.blocks[2 * block : 2 * block + 2]:
                tokens = layer(tokens)
    assert torch.equal(levels[4], tokens[:, 1:])
    assert [block for block, _ in seen] == [1, 2, 3, 4]
    assert all(torch.equal(given, level) for (_, given), level in zip(seen, levels, strict=False))
    assert torch.equal(levels[0], plain[0]) and not torch.allclose(levels[1], plain[1], atol=1e-3)
    with torch.no_grad():
        same = encoder(*patches(), lambda block, tokens: tokens)
    assert all(torch.equal(a, b) for a, b in zip(same, plain, strict=True))


def test_a_patch_is_a_set_of_points():
    encoder = PointEncoder(SMALL).eval()
    points, rgb, centres = patches()
    with torch.no_grad():
        torch.testing.assert_close(encoder(points.flip(2), rgb.flip(2), centres), encoder(points, rgb, centres))


def test_mlp_adapters_start_as_nothing_and_learn():
    torch.manual_seed(0)
    plain, adapted = PointEncoder(SMALL).eval(), PointEncoder(SMALL, adaptation="mlp").eval()
    adapted.load_state_dict(plain.state_dict(), strict=False)
    result, wanted = adapted(*patches()), plain(*patches())
    assert all(torch.equal(a, b) for a, b in zip(result, wanted, strict=True))
    result[-1].square().sum().backward()
    assert all(adapter.up.weight.grad.abs().max() > 0 for adapter in adapted.adapters)


@pytest.mark.parametrize("kind", TOY)
def test_attention_runs_through_its_linear_modules(kind):
    """peft replaces these modules by their LoRA form; a product with their bare weights would pass it by."""
    encoder, called = PointEncoder(TOY[kind]).eval(), set()
    for name, module in encoder.visual.blocks[0].named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda *_, name=name: called.add(name))
    encoder(*patches())
    wanted = {n for n, m in encoder.visual.blocks[0].named_modules() if isinstance(m, torch.nn.Linear)}
    assert called == wanted


@pytest.mark.parametrize(
    "change, name",
    [({"depth": 6}, "depth"), ({"heads": 5}, "heads"), ({"stem_width": 30}, "stem_width"), ({"kind": "relu"}, "kind")],
)
def test_impossible_shapes_are_refused(change, name):
    with pytest.raises(SegPointError, match=name):
        dataclasses.replace(SMALL, **change)


def test_unknown_adaptation_is_refused():
    with pytest.raises(SegPointError, match="adaptation"):
        PointEncoder(SMALL, adaptation="prompt")
