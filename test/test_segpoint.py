"""The network as a whole: shapes, the paper's switches, padding, and what must not depend on what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from segpoint.cloud import prepare
from segpoint.config import BundleConfig, CloudConfig, EncoderConfig, GemConfig, GfpConfig, ReaderConfig
from segpoint.errors import SegPointError
from segpoint.network.attention import attend
from segpoint.network.gfp import AttentivePropagation, interpolate
from segpoint.network.inputs import collate
from segpoint.network.place import BOX, CLICK, Places
from segpoint.network.reader import MaskReader, Presence
from segpoint.network.segpoint import SegPoint

WIDTH = 24  # of a small language model
SMALL = BundleConfig(
    cloud=CloudConfig(points=512),
    encoder=EncoderConfig(tokens=16, patch=8, width=24, depth=4, heads=2, hidden=32, stem_width=16, group_channels=16),
    gem=GemConfig(neighbours=8, widths=(8, 8, 12)),
    gfp=GfpConfig(levels=(32, 64), neighbours=4, width=16),
    reader=ReaderConfig(layers=2, heads=2),
)


def make_cloud(seed: int, points: int = 4000, config: BundleConfig = SMALL):
    rng = np.random.default_rng(seed)
    table = np.column_stack([rng.uniform(0.5, 1.0, points), rng.uniform(-0.3, 0.3, points), np.full(points, -0.4)])
    box = rng.uniform([0.7, -0.1, -0.4], [0.8, 0.1, -0.2], (points // 2, 3))
    xyz = np.concatenate([table, box])
    return prepare(xyz, rng.integers(0, 255, xyz.shape).astype(np.uint8), "body", config.cloud)


@pytest.fixture(scope="module")
def inputs():
    return collate([make_cloud(0), make_cloud(1, points=200)], SMALL)


def run(network, inputs, hidden=True):
    torch.manual_seed(5)
    tokens = network.encode(inputs)
    point_hidden = torch.randn(*tokens.f5.shape[:2], WIDTH) if hidden else None
    features = network.propagate(tokens, point_hidden, inputs)
    words = torch.randn(len(inputs.points), 3, 5, WIDTH)
    return network.read(features, torch.randn(len(inputs.points), 3, WIDTH), words, torch.ones(words.shape[:3]) > 0)


@pytest.mark.parametrize("gem", [True, False])
@pytest.mark.parametrize("gfp", [True, False])
@pytest.mark.parametrize("layers", [0, 2])
def test_every_switch_gives_a_mask_and_gradients(inputs, gem, gfp, layers):
    config = replace(
        SMALL, gem=replace(SMALL.gem, inject=gem), gfp=replace(SMALL.gfp, enabled=gfp), reader=ReaderConfig(layers, 2)
    )
    network = SegPoint(config, WIDTH)
    logits, presence = run(network, inputs)
    assert logits.shape == (2, 3, 512) and torch.isfinite(logits).all()
    assert (presence is None) == (layers == 0)
    loss = logits.square().mean() + (0 if presence is None else presence.square().mean())
    loss.backward()
    without = [n for n, p in network.named_parameters() if p.grad is None]
    assert not [n for n in without if "cls" not in n and not n.startswith("place.")], without  # nobody points
    assert (network.gem is None) == (not gem and not gfp), "g_f is made only where somebody uses it"


@pytest.mark.parametrize("adaptation", ["frozen", "full", "lora", "mlp"])
def test_encoder_adaptations_train_what_they_say(inputs, adaptation):
    network = SegPoint(replace(SMALL, encoder=replace(SMALL.encoder, adaptation=adaptation)), WIDTH)
    network.adapt()
    trained = {n for n, p in network.encoder.named_parameters() if p.requires_grad}
    base = {n for n in trained if "lora_" not in n and not n.startswith("adapters.")}
    if adaptation == "full":
        assert len(base) == len(list(network.encoder.parameters()))
    else:
        assert not base
    assert any("lora_" in n for n in trained) == (adaptation == "lora")
    assert any(n.startswith("adapters.") for n in trained) == (adaptation == "mlp")
    assert all(p.requires_grad for p in network.gem.parameters())
    before = run(SegPoint(SMALL, WIDTH).eval(), inputs)[0]
    assert before.shape == run(network.eval(), inputs)[0].shape


def test_gates_start_at_zero_so_gem_changes_nothing_at_first(inputs):
    torch.manual_seed(0)
    network = SegPoint(SMALL, WIDTH).eval()
    with_gem = network.encode(inputs)
    injections, network.injections = network.injections, None
    without = network.encode(inputs)
    assert torch.equal(with_gem.f5, without.f5)
    network.injections = injections
    with torch.no_grad():
        injections[0].gate.fill_(1.0)
    assert not torch.allclose(network.encode(inputs).f5, without.f5)


def test_padding_changes_nothing():
    """The same cloud padded to 512 and to 640 points has the same mask on its own points."""
    torch.manual_seed(0)
    network = SegPoint(SMALL, WIDTH).eval()
    with torch.no_grad():
        for injection in network.injections:
            injection.gate.fill_(0.5)
    cloud = make_cloud(2, points=150)
    longer = replace(SMALL, cloud=replace(SMALL.cloud, points=640))
    pad = 640 - 512
    wide = replace(
        cloud,
        xyz=np.pad(cloud.xyz, [(0, pad), (0, 0)]),
        rgb=np.pad(cloud.rgb, [(0, pad), (0, 0)]),
        focus=np.pad(cloud.focus, (0, pad)),
    )
    short = run(network, collate([cloud], SMALL))[0][..., : cloud.count]
    assert cloud.count < 512
    assert torch.allclose(short, run(network, collate([wide], longer))[0][..., : cloud.count], atol=1e-5)


def test_a_batch_equals_its_clouds_one_by_one(inputs):
    network = SegPoint(SMALL, WIDTH).eval()
    tokens = network.encode(inputs)
    for b in range(2):
        assert torch.allclose(network.encode(inputs.scene(b)).f5, tokens.scene(b).f5, atol=1e-5)


def test_rows_are_the_rows_of_the_whole(inputs):
    for enabled in (True, False):
        network = SegPoint(replace(SMALL, gfp=replace(SMALL.gfp, enabled=enabled)), WIDTH).eval()
        tokens = network.encode(inputs)
        rows = torch.randint(0, 100, (2, 37))
        whole = network.propagate(tokens, None, inputs).dense
        part = network.propagate(tokens, None, inputs, rows).dense
        assert torch.allclose(part, whole.gather(1, rows[..., None].expand(-1, -1, whole.shape[-1])), atol=1e-6)


def test_interpolation_at_a_source_is_that_source():
    features = torch.randn(1, 4, 3)
    weights = torch.tensor([[[1.0, 0, 0]]])
    assert torch.equal(interpolate(features, torch.tensor([[[2, 0, 1]]]), weights)[0, 0], features[0, 2])


def test_attention_reads_only_the_neighbours_named():
    torch.manual_seed(0)
    step = AttentivePropagation(8)
    target, source, index = torch.randn(1, 5, 8), torch.randn(1, 6, 8), torch.randint(0, 3, (1, 5, 2))
    out = step(target, source, index)
    changed = source.clone()
    changed[:, 3:] += 1
    assert torch.equal(out, step(target, changed, index))
    changed[:, :3] += 1
    assert not torch.allclose(out, step(target, changed, index))


def test_attentive_step_is_the_papers_equation():
    torch.manual_seed(0)
    step = AttentivePropagation(8).double()
    target, source, index = torch.randn(1, 5, 8).double(), torch.randn(1, 6, 8).double(), torch.randint(0, 6, (1, 5, 3))
    out = step(target, source, index)
    for m in range(5):
        nearest = source[0, index[0, m]]
        scores = (step.query(target[0, m]) * step.key(nearest)).sum(-1) / 2**0.5  # keys are D / 4 = 2 wide
        attended = target[0, m] + scores.softmax(0) @ step.value(nearest)
        assert torch.allclose(out[0, m], attended + step.mix(step.norm(attended)))


def test_questions_do_not_see_each_other_and_padding_words_do_not_count():
    torch.manual_seed(0)
    reader = MaskReader(WIDTH, 16, 2, 2).eval()
    seg, words, scene = torch.randn(1, 3, 16), torch.randn(1, 3, 5, WIDTH), torch.randn(1, 7, 16)
    mask, where, valid = torch.ones(1, 3, 5) > 0, torch.randn(1, 7, 3), torch.ones(1, 7) > 0
    seen = reader.look(scene, where)
    together, presence = reader(seg, words, mask, seen, valid)
    alone, one = reader(seg[:, 1:2], words[:, 1:2], mask[:, 1:2], seen, valid)
    assert torch.allclose(together[:, 1:2], alone, atol=1e-6) and torch.allclose(presence[:, 1:2], one, atol=1e-6)
    padded = torch.cat([words, torch.full((1, 3, 2, WIDTH), 9.0)], dim=2)
    longer = torch.cat([mask, torch.zeros(1, 3, 2) > 0], dim=2)
    assert torch.allclose(reader(seg, padded, longer, seen, valid)[0], together, atol=1e-6)


def test_presence_looks_at_the_mask_but_neither_at_padding_nor_back():
    torch.manual_seed(0)
    presence = Presence(16).eval()
    read, dense, valid = torch.randn(1, 2, 16), torch.randn(1, 7, 16), torch.ones(1, 7) > 0
    logits = torch.randn(1, 2, 7, requires_grad=True)
    said = presence(read, logits, dense, valid)
    assert said.shape == (1, 2)
    said.sum().backward()
    assert logits.grad is None  # no mask learns to look convincing
    padded = [torch.cat([t, torch.full_like(t[..., :2, :], 9.0)], dim=-2) for t in (logits.mT, dense)]
    longer = torch.cat([valid, torch.zeros(1, 2) > 0], dim=1)
    assert torch.allclose(presence(read, padded[0].mT, padded[1], longer), said, atol=1e-6)
    other = logits.detach().flip(2)
    assert not torch.allclose(presence(read, other, dense, valid), said, atol=1e-3)
    nothing = presence(read, logits, dense, torch.zeros(1, 7) > 0)
    assert nothing.isfinite().all()


def test_a_place_reaches_its_own_question_and_padding_places_do_not_count(inputs):
    torch.manual_seed(0)
    network = SegPoint(SMALL, WIDTH).eval()
    with torch.no_grad():
        features = network.propagate(network.encode(inputs), None, inputs)
    words = torch.randn(2, 3, 5, WIDTH)
    mask = torch.ones(2, 3, 5) > 0
    inside = torch.zeros(2, 3, 2, 512)
    inside[..., 40:44] = 0.25
    corners = inputs.points[:, None, None, 40:42].expand(2, 3, 2, 2, 3).clone()
    kind = torch.tensor([[-1, -1], [CLICK, -1], [BOX, CLICK]]).expand(2, 3, 2).clone()
    places = Places(kind, corners, inside, torch.zeros(2, 3, 2, dtype=torch.int64))
    plain = network.read(features, None, words, mask)
    pointed = network.read(features, None, words, mask, places)
    for before, after in zip(plain, pointed, strict=True):
        apart = (before - after).abs().reshape(2, 3, -1).amax(dim=(0, 2))
        assert apart[0] < 1e-5 and (apart[1:] > 1e-4).all()
    corners[:, 1, 1] = 9.0  # of a place that is none
    torch.testing.assert_close(network.read(features, None, words, mask, places)[0], pointed[0])
    chosen = network.read(features, None, words[:, [2]], mask[:, [2]], places.questions(torch.tensor([2])))
    torch.testing.assert_close(chosen[0], pointed[0][:, [2]], atol=1e-5, rtol=1e-5)


def test_attention_written_out_is_the_fused_one():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 8)
    mask = torch.rand(2, 1, 5, 5) > 0.4
    mask |= torch.eye(5) > 0
    for may_look in (None, mask):
        fused = attend(query, key, value, may_look)
        trained = attend(query.clone().requires_grad_(), key, value, may_look)
        torch.testing.assert_close(trained, fused, atol=1e-5, rtol=1e-5)


def test_config_round_trip_and_errors(tmp_path):
    SMALL.save(tmp_path)
    assert BundleConfig.load(tmp_path) == SMALL
    values = SMALL.to_dict()
    for change, message in (
        ({"typo": 1}, "unknown settings"),
        ({"gem": {"neighbors": 8}}, "unknown settings"),
        ({"encoder": {"depth": 6}}, "multiple of 4"),
        ({"gfp": {"levels": [8, 4]}}, "increase"),
        ({"mask_threshold": "high"}, "float"),
        ({"mask_threshold": 5}, "between 0 and 1"),
        ({"mask_threshold": float("nan")}, "between 0 and 1"),
        ({"reader": {"heads": 7}}, "must divide"),
        ({"gem": {"widths": [1, 2]}}, "3 values"),
    ):
        with pytest.raises(SegPointError, match=message):
            BundleConfig.from_dict({**values, **change})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SegPointError, match="not JSON"):
        BundleConfig.load(tmp_path)
