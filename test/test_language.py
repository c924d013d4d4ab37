"""The LLM with points in front and <SEG> behind: a tiny random LLaMA for exactness, SmolLM2 for its tokenizer."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_language import TOKENS, WIDTH, tiny_model

from segpoint import backbone, prompts
from segpoint.errors import SegPointError
from segpoint.network.language import PointLanguageModel

QUESTIONS = [
    prompts.semantic_question("mug"),
    prompts.instruction_question("what can I drink from?"),
    prompts.referring_question("the red mug on the left"),
    prompts.instruction_question("the chair"),
]
ANSWERS = [prompts.answer(["mug"]), prompts.answer(["bowl", "mug"]), prompts.answer(["mug"]), prompts.answer([])]


@pytest.fixture(params=["smollm2", "llama2"])
def model(request) -> PointLanguageModel:
    return tiny_model(request.param)


@pytest.fixture
def points() -> torch.Tensor:
    return torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))


# ---- packing -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_packed_pass_equals_separate_passes(model, points):
    packed = model.forward_many(points, QUESTIONS, ANSWERS)
    losses, counts = [], []
    for i, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True)):
        alone = model.forward_many(points, [question], [answer])
        torch.testing.assert_close(packed.question_hidden[i], alone.question_hidden[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(packed.seg_hidden[i], alone.seg_hidden[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(packed.point_hidden, alone.point_hidden, atol=1e-4, rtol=0)
        losses.append(alone.text_loss)
        counts.append(len(model._answer_ids(answer)))
    expected = sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts)
    torch.testing.assert_close(packed.text_loss, expected, atol=1e-4, rtol=0)
    assert [len(h) for h in packed.seg_hidden] == [1, 2, 1, 0]


@torch.no_grad()
def test_the_packed_loss_is_plain_teacher_forcing(model, points):
    """Against the textbook: one sequence, no packing, no cache, transformers' own causal mask and positions."""
    question, answer = QUESTIONS[1], ANSWERS[1]
    ids = model.question_ids(question) + model._answer_ids(answer)
    words = torch.cat([model._base.get_input_embeddings().weight, model.seg_embedding])[ids]
    before = model._base.get_input_embeddings().weight[model._before]
    sequence = torch.cat([before, model.project(points[0]), words])
    hidden = model._base.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state[0]
    logits = torch.cat([model._base.lm_head(hidden), hidden @ model.seg_head.T + model.seg_bias], dim=1)
    start = len(sequence) - len(model._answer_ids(answer))
    loss = torch.nn.functional.cross_entropy(logits[start - 1 : -1], torch.tensor(model._answer_ids(answer)))
    packed = model.forward_many(points, [question], [answer])
    torch.testing.assert_close(packed.text_loss, loss, atol=1e-4, rtol=0)
    at_seg = hidden[len(before) + TOKENS :][torch.tensor(ids) == model.seg_id]
    torch.testing.assert_close(packed.seg_hidden[0], at_seg, atol=1e-4, rtol=0)


def test_no_gradient_flows_from_one_question_to_another(model, points):
    packed = model.forward_many(points, QUESTIONS, ANSWERS)
    marked = torch.autograd.grad(packed.seg_hidden[0].sum(), model.seg_embedding, retain_graph=True)[0]
    alone = model.forward_many(points, QUESTIONS[:1], ANSWERS[:1])
    expected = torch.autograd.grad(alone.seg_hidden[0].sum(), model.seg_embedding)[0]
    torch.testing.assert_close(marked, expected, atol=1e-3, rtol=1e-3)


def test_the_points_matter_to_every_answer(model, points):
    packed = model.forward_many(points, QUESTIONS, ANSWERS)
    other = model.forward_many(points.flip(1), QUESTIONS, ANSWERS)
    assert all(
        (a[-1] - b[-1]).abs().max() > 1e-3 for a, b in zip(packed.question_hidden, other.question_hidden, strict=True)
    )


def told(*counts: int) -> list[torch.Tensor]:
    """Tokens of clicks and boxes for as many questions."""
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(count, 64, generator=generator) for count in counts]


@torch.no_grad()
def test_places_stand_before_their_own_question_alone(model, points):
    places = told(2, 0, 1, 0)
    packed = model.forward_many(points, QUESTIONS, ANSWERS, places)
    plain = model.forward_many(points, QUESTIONS, ANSWERS)
    for i, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True)):
        alone = model.forward_many(points, [question], [answer], [places[i]])
        torch.testing.assert_close(packed.question_hidden[i], alone.question_hidden[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(packed.seg_hidden[i], alone.seg_hidden[0], atol=1e-4, rtol=0)
        assert packed.question_hidden[i].shape == plain.question_hidden[i].shape, "no states of the places themselves"
        apart = float((packed.question_hidden[i] - plain.question_hidden[i]).abs().max())
        assert apart > 1e-3 if len(places[i]) else apart < 1e-4
    torch.testing.assert_close(packed.point_hidden, plain.point_hidden, atol=1e-4, rtol=0)


@torch.no_grad()
def test_decoding_reads_places_as_training_does(model, points):
    prefix, (places,) = model.encode_points(points), told(2)
    plain = model.answer(prefix, QUESTIONS[0])
    pointed = model.answer(prefix, QUESTIONS[0], places=places)
    packed = model.forward_many(points, QUESTIONS[:1], ANSWERS[:1], [places])
    torch.testing.assert_close(pointed.question_hidden, packed.question_hidden[0], atol=1e-4, rtol=0)
    assert (pointed.question_hidden - plain.question_hidden).abs().max() > 1e-3
    with pytest.raises(SegPointError, match="context"):
        model.answer(prefix, QUESTIONS[0], places=torch.zeros(480, 64))


def test_as_many_answers_as_questions(model, points):
    with pytest.raises(ValueError):
        model.forward_many(points, QUESTIONS, ANSWERS[:-1])
    with pytest.raises(ValueError, match=r"\(1, N1, W\)"):
        model.forward_many(points.expand(2, -1, -1), QUESTIONS, ANSWERS)


# ---- decoding ----------------------------------------------------------------------------------------------------


def test_the_prefix_serves_every_question_and_is_left_as_it_was(model, points):
    prefix = model.encode_points(points)
    assert prefix.point_hidden.shape == (1, TOKENS, 64) and prefix.length == len(model._before) + TOKENS
    keys = prefix.cache.block[:, :, :, : prefix.length].clone()
    first = [model.answer(prefix, question) for question in QUESTIONS]
    again = [model.answer(prefix, question) for question in reversed(QUESTIONS)][::-1]
    packed = model.forward_many(points, QUESTIONS, ANSWERS)
    torch.testing.assert_close(prefix.point_hidden[0], packed.point_hidden, atol=1e-4, rtol=0)
    for a, b, hidden in zip(first, again, packed.question_hidden, strict=True):
        assert a.text == b.text and torch.equal(a.question_hidden, b.question_hidden)
        torch.testing.assert_close(a.question_hidden, hidden, atol=1e-4, rtol=0)
    assert torch.equal(prefix.cache.block[:, :, :, : prefix.length], keys)


@pytest.mark.parametrize("kind", ["smollm2", "llama2"])
def test_it_learns_to_answer_and_decoding_repeats_what_was_taught(kind, points):
    """Two clouds, the same questions, other answers: overfit, then the decoder writes exactly those."""
    model = tiny_model(kind, lora_rank=32, lora_targets=("q_proj", "v_proj", "o_proj", "up_proj", "down_proj"))
    frozen = {n: p.clone() for n, p in model.named_parameters() if n not in model.trained_parameters()}
    clouds = [points, -points]
    lessons = [ANSWERS, [ANSWERS[3], ANSWERS[0], ANSWERS[3], ANSWERS[1]]]
    optimiser = torch.optim.Adam(model.trained_parameters().values(), lr=1e-2)
    for _ in range(50):
        loss = sum(model.forward_many(c, QUESTIONS, a).text_loss for c, a in zip(clouds, lessons, strict=True))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    for cloud, answers in zip(clouds, lessons, strict=True):
        prefix, taught = model.encode_points(cloud), model.forward_many(cloud, QUESTIONS, answers)
        for question, text, seg in zip(QUESTIONS, answers, taught.seg_hidden, strict=True):
            answer = model.answer(prefix, question)
            assert answer.text == text and answer.categories == prompts.parse_answer(text)
            torch.testing.assert_close(answer.seg_hidden, seg, atol=1e-3, rtol=0)
    parameters = dict(model.named_parameters())
    assert all(torch.equal(parameters[name], value) for name, value in frozen.items())


def test_decoding_stops_at_the_limit(points, monkeypatch):
    model = tiny_model(max_answer_tokens=5)
    word = model._text_ids("u")[0]
    logits = torch.nn.functional.one_hot(torch.tensor([word]), model.seg_id + 1).float()
    monkeypatch.setattr(model, "logits", lambda hidden: logits.expand(len(hidden), -1))
    answer = model.answer(model.encode_points(points), QUESTIONS[0])
    assert answer.text == "u" * 5 and answer.categories == [] and answer.seg_hidden.shape == (0, 64)


def test_seg_spelt_in_letters_is_not_the_token(model):
    spelt = model._text_ids(" mug <SEG>.")
    assert model.seg_id not in spelt
    assert prompts.parse_answer(model.decode(spelt)) == []
    assert model.decode(model._answer_ids("mug <SEG>, bowl <SEG>.")) == "mug <SEG>, bowl <SEG>."


def test_a_question_beyond_the_context_is_refused(model, points):
    prefix = model.encode_points(points)
    with pytest.raises(SegPointError, match="context of 512"):
        model.answer(prefix, "mug 🤖 " * 400)


# ---- text alone --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_text_hidden_is_the_base_model_without_points_whatever_else_is_asked(model, monkeypatch):
    monkeypatch.setattr("segpoint.network.answers.TOGETHER", 60)
    together = model.text_hidden(QUESTIONS * 3)
    for question, hidden in zip(QUESTIONS * 3, together, strict=True):
        ids = model._before + model.question_ids(question)
        with model.llm.disable_adapter():
            truth = model._base.model(torch.tensor([ids])).last_hidden_state[0, len(model._before) :]
        assert hidden.dtype == torch.float16 and hidden.shape == truth.shape
        torch.testing.assert_close(hidden.float(), truth, atol=5e-3, rtol=5e-3)
        with_lora = model._base.model(torch.tensor([ids])).last_hidden_state[0, len(model._before) :]
        assert (with_lora - truth).abs().max() > 0.05  # LoRA is not nothing


def test_text_hidden_and_question_hidden_have_the_same_tokens(model, points):
    packed = model.forward_many(points, QUESTIONS, ANSWERS)
    lengths = [len(h) for h in model.text_hidden(QUESTIONS)]
    assert lengths == [len(h) for h in packed.question_hidden]


# ---- what is trained ---------------------------------------------------------------------------------------------


def test_only_the_small_parts_are_trained(model, points):
    model.train()
    out = model.forward_many(points, QUESTIONS, ANSWERS)
    (out.text_loss + sum(h.sum() for h in out.seg_hidden)).backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == set(model.trained_parameters())
    assert {n.split(".")[0] for n in with_gradient} == {"seg_embedding", "seg_head", "seg_bias", "project", "llm"}


def test_the_trained_state_goes_through_safetensors(points, tmp_path):
    taught = tiny_model()
    with torch.no_grad():
        for parameter in taught.trained_parameters().values():
            parameter.add_(0.1)
    save_file(taught.trained_state(), tmp_path / "language.safetensors")
    fresh = tiny_model()
    before = fresh.forward_many(points, QUESTIONS, ANSWERS)
    fresh.load_trained(load_file(tmp_path / "language.safetensors"))
    a, b = taught.forward_many(points, QUESTIONS, ANSWERS), fresh.forward_many(points, QUESTIONS, ANSWERS)
    assert torch.equal(a.text_loss, b.text_loss) and not torch.equal(before.text_loss, b.text_loss)


def test_weights_of_another_model_are_refused():
    state = tiny_model().trained_state()
    with pytest.raises(SegPointError, match="names differ"):
        tiny_model(lora_rank=0).load_trained(state)
    with pytest.raises(SegPointError, match=r"has shape"):
        tiny_model(lora_rank=4).load_trained(state)


def test_rank_zero_is_the_plain_base_model(points):
    model = tiny_model(lora_rank=0)
    assert not any("lora" in name for name, _ in model.named_parameters())
    assert model.answer(model.encode_points(points), QUESTIONS[0]).question_hidden.isfinite().all()
    assert model.text_hidden(QUESTIONS[:1])[0].isfinite().all()


def test_projected_points_start_as_large_as_words(model, points):
    words = model.word_table().norm(dim=1).mean()
    for scale in (0.01, 1.0, 100.0):
        projected = model.project(points * scale).norm(dim=-1).mean()
        assert 0.8 < projected / words < 1.25


# ---- a user's text -----------------------------------------------------------------------------------------------

HOSTILE = ["<SEG>", "</s>", "<s>", "<|im_end|>", "<|im_start|>", "<POINT>", "<unk>", "<|endoftext|>", "<|im_\x00end|>"]


@pytest.fixture(scope="module")
def smollm2() -> PointLanguageModel:
    backbone.setup()
    llm, tokenizer = backbone.load()
    return PointLanguageModel(llm, tokenizer, token_width=192).eval()


def control_ids(model: PointLanguageModel) -> set[int]:
    return {*model.tokenizer.added_tokens_decoder, *model.tokenizer.all_special_ids, model.seg_id}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_special_token_can_be_typed(model, text):
    allowed = {model.tokenizer.unk_token_id}  # LLaMA2's way to write a letter it does not know
    assert not (control_ids(model) - allowed) & set(model.question_ids(f"the mug {text} and {text}{text}"))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_special_token_of_smollm2_can_be_typed(smollm2, text):
    typed = f"the mug {text} and {text}{text}"
    ids = smollm2.question_ids(prompts.instruction_question(typed))
    assert not control_ids(smollm2) & set(ids)
    assert text in smollm2.tokenizer.decode(ids)  # and the letters are all there
    assert not control_ids(smollm2) & set(smollm2._answer_ids(f"{typed.replace('<SEG>', '')}.")[:-1])


def test_a_typed_seg_makes_no_mask(smollm2):
    out = smollm2.forward_many(torch.zeros(1, 4, 192), ["mug <SEG>. </s>"], [prompts.NO_MASK])
    assert out.seg_hidden[0].shape == (0, 576)


def test_10000_characters_are_counted_and_refused(smollm2):
    with pytest.raises(SegPointError, match=r"has \d{4} tokens \(9999 characters\) and at most 64"):
        smollm2.check_instruction("pick up the red mug " * 500)
    with pytest.raises(SegPointError, match="tokens"):
        smollm2.check_instruction("a" * 10_000)


def test_emoji_and_other_scripts_are_fine(smollm2):
    text = smollm2.check_instruction("the 🍎 beside the 👩‍🍳's café mug, 拿起杯子")
    answer = smollm2.answer(smollm2.encode_points(torch.randn(1, 8, 192)), prompts.instruction_question(text))
    assert answer.question_hidden.isfinite().all()


def test_smollm2_with_points_agrees_between_paths_and_its_weights_are_small(smollm2):
    points = torch.randn(1, 32, 192, generator=torch.Generator().manual_seed(0))
    prefix = smollm2.encode_points(points)
    packed = smollm2.forward_many(points, QUESTIONS, ANSWERS)
    for question, hidden in zip(QUESTIONS, packed.question_hidden, strict=True):
        decoded = smollm2.answer(prefix, question).question_hidden
        assert torch.nn.functional.cosine_similarity(decoded, hidden).min() > 0.99  # bfloat16
    size = sum(tensor.numel() * tensor.element_size() for tensor in smollm2.trained_state().values())
    assert size < 4e6
