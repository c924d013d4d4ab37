"""The language model that sees points: LLaMA ℱ with LoRA, ``<POINT>`` first, ``<SEG>`` last (paper, Sec. 3.2).

The points stand before the question and the model is causal, so one pass over ``USER: <POINT>…`` serves every question
about a cloud::

    f_5 (1, N1, W) ─ project ─▶ "USER: " p_1 … p_N1 │ " {question} ASSISTANT:" │ " mug" <SEG> "."
                                     ▼              │        ▼                 │      ▼
                                  ĥ_point (N1, H)   │  question_hidden (T, H)  │  ŷ_[seg] (n, H)
                                  + KV cache

``<SEG>`` is one token more than the base vocabulary. Its input vector and its output row are parameters of their own,
so neither the embedding table nor ``lm_head`` is resized, copied or trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.network.answers import TOGETHER, Answer, Grammar, Prefix, Question, chunks, write
from segpoint.network.llama import KeyValues, Llama
from segpoint.prompts import NO_MASK, SEG, check_instruction, last_words, split_prompt

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase


@dataclass(frozen=True)
class ManyOutput:
    """Teacher-forced states of several questions about one cloud."""

    text_loss: Tensor  # () float32, cross-entropy averaged over all answer tokens, end tokens included
    point_hidden: Tensor  # (N1, H) float32
    question_hidden: list[Tensor]  # per question (T_i, H) float32
    seg_hidden: list[Tensor]  # per question (n_i, H) float32


class PointLanguageModel(nn.Module):
    """A LLaMA-family model that reads point tokens and writes ``<SEG>``.

    The LLM is frozen. Trained are LoRA, ``project``, ``seg_embedding``, ``seg_head`` and ``seg_bias``: exactly what
    :meth:`trained_state` returns.

    Args:
        llm: the base model; changed in place (LoRA is put into it) unless ``lora_rank`` is 0.
        tokenizer: its tokenizer, left as it is.
        token_width: W, the width of the point tokens f_5.
        lora_rank, lora_alpha, lora_dropout, lora_targets: LISA's values by default (the paper states none).
        max_instruction_tokens: what :meth:`check_instruction` lets through.
        max_answer_tokens: decoding stops there at the latest.
    """

    llm: Any  # LlamaForCausalLM, or peft's PeftModel around it
    project: nn.Sequential
    tokenizer: PreTrainedTokenizerBase

    def __init__(
        self,
        llm: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerBase,
        *,
        token_width: int,
        lora_rank: int = 8,
        lora_alpha: int = 16,
        lora_dropout: float = 0.05,
        lora_targets: Sequence[str] = ("q_proj", "v_proj"),
        max_instruction_tokens: int = 64,
        max_answer_tokens: int = 24,
    ) -> None:
        super().__init__()
        width = llm.config.hidden_size
        self.hidden_size = width
        self.seg_id = llm.config.vocab_size  # the first id no tokenizer of this model can produce
        self.context = llm.config.max_position_embeddings
        self.max_instruction_tokens = max_instruction_tokens
        self.tokenizer = tokenizer
        self._bos = list(tokenizer("").input_ids)  # [<s>] for LLaMA2, nothing for SmolLM2: as each was trained
        self._before = self._bos + self._text_ids(split_prompt("")[0])
        llm.requires_grad_(False)
        table = _word_table(llm).float()
        # <SEG> starts where the model keeps "mask" (we chose): a vector and a row of natural size, both near its use.
        start = self._text_ids(" mask")
        self.seg_embedding = nn.Parameter(table[start].mean(0, keepdim=True))  # (1, H)
        self.seg_head = nn.Parameter(llm.lm_head.weight.detach().float()[start].mean(0, keepdim=True))  # (1, H)
        self.seg_bias = nn.Parameter(torch.zeros(1))
        self.project = point_projection(token_width, width, table)
        self.llm = with_lora(llm, lora_rank, lora_alpha, lora_dropout, lora_targets) if lora_rank else llm
        self.grammar = self._grammar(max_answer_tokens)
        self._lora = [p for name, p in self.llm.named_parameters() if ".lora_" in name]
        self._reader: tuple[object, Llama] | None = None
        self._before_cache: tuple[Llama, KeyValues] | None = None

    # ---- inference ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_points(self, tokens: Tensor) -> Prefix:
        """Read the cloud once: f_5 ``tokens (1, N1, W)`` → ĥ_point and the KV cache every question continues from."""
        embeddings = self._prefix_embeddings(tokens)
        length = len(embeddings)
        cache = self.reader.cache(length + 128)  # a question and its answer
        hidden = self._read_from_start(embeddings, cache)
        return Prefix(hidden[None, len(self._before) :], cache, length)

    def answer(
        self,
        prefix: Prefix,
        question: str,
        doubt: float = 0.0,
        places: Tensor | None = None,
        draft: tuple[int, ...] | None = None,
    ) -> Answer:
        """What the LLM writes to one question about a cloud; see `Question`."""
        return self.answers(prefix, [Question(question, doubt, places, draft)])[0]

    def answers(self, prefix: Prefix, questions: Sequence[Question]) -> list[Answer]:
        """What the LLM writes to many questions about one cloud, read together: as many answers, as if asked alone."""
        return write(self, prefix, questions)

    @torch.no_grad()
    def text_hidden(self, questions: Sequence[str]) -> list[Tensor]:
        """What the frozen base model makes of questions alone: no points, LoRA off. The mask reader's words.

        Per question (T_i, H) float16 on the CPU, at the same tokens as ``question_hidden``.
        """
        ids = [self.question_ids(question) for question in questions]
        hidden: list[Tensor] = []
        start, cache = len(self._before), self._before_words()
        for some in chunks([len(question) for question in ids]):
            lengths = [len(question) for question in ids[some]]
            mask, positions = _packed(start, lengths, self.device)
            words = self.embed([token for question in ids[some] for token in question])
            states = self.reader.read(words, positions[start:], cache, start, mask[0, 0, start:], adapted=False)
            hidden += states.to(torch.float16).cpu().split(lengths)
        return [states.clone() for states in hidden]

    def check_instruction(self, text: str) -> str:
        """The user's text, normalised; SegPointError if empty or above ``max_instruction_tokens``."""
        return check_instruction(text, self.max_instruction_tokens, lambda clean: len(self._text_ids(clean)))

    # ---- training ----------------------------------------------------------------------------------------------

    def forward_many(
        self, tokens: Tensor, questions: Sequence[str], answers: Sequence[str], places: Sequence[Tensor] | None = None
    ) -> ManyOutput:
        """All questions about one cloud in one packed sequence, teacher-forced.

        ``[prefix | p_1 q_1 a_1 | p_2 q_2 a_2 | …]``: every block sees the prefix and itself, and its positions start
        right after the prefix, so each block's states equal those of a sequence of its own.

        Args:
            tokens: f_5, (1, N1, W).
            questions: the question parts of the prompts.
            answers: what should be written (:func:`segpoint.prompts.answer`), one per question.
            places: p_i, the tokens of clicks and boxes (P_i, H) with each question; P_i may be 0.
        """
        prefix = self._prefix_embeddings(tokens)
        blocks = [(self.question_ids(q), self._answer_ids(a)) for q, a in zip(questions, answers, strict=True)]
        # The last answer token is only ever predicted, never read.
        ids = [i for q, a in blocks for i in q + a[:-1]]
        texts = [len(q) + len(a) - 1 for q, a in blocks]
        pointed = [0] * len(blocks) if places is None else [len(p) for p in places]
        embedded = list(self.embed(ids).split(texts))
        if places is not None:
            embedded = [torch.cat([p.to(e.dtype), e]) for p, e in zip(places, embedded, strict=True)]
        lengths = [len(e) for e in embedded]
        mask, positions = _packed(prefix.shape[0], lengths, prefix.device)
        hidden = self._base.model(
            inputs_embeds=torch.cat([prefix, *embedded])[None],
            attention_mask=mask,
            position_ids=positions[None],
            use_cache=False,
        ).last_hidden_state[0]
        point_hidden = hidden[len(self._before) : prefix.shape[0]].float()
        states = [h[n:] for h, n in zip(hidden[prefix.shape[0] :].split(lengths), pointed, strict=True)]
        question_hidden = [h[: len(q)].float() for h, (q, _) in zip(states, blocks, strict=True)]
        is_seg = (torch.tensor(ids, device=prefix.device) == self.seg_id).split(texts)
        seg_hidden = [h[s].float() for h, s in zip(states, is_seg, strict=True)]
        predicting = torch.cat([h[len(q) - 1 :] for h, (q, _) in zip(states, blocks, strict=True)])
        truth = torch.tensor([i for _, a in blocks for i in a], device=prefix.device)
        words = self._base.lm_head(predicting.to(self._base.lm_head.weight.dtype))
        loss = F.cross_entropy(self._with_seg(words, predicting), truth)
        return ManyOutput(loss, point_hidden, question_hidden, seg_hidden)

    def checkpoint_layers(self) -> None:
        """While training, keep only what enters each layer and compute the rest again on the way back."""
        # Transformers 5.23 has renamed it, and would warn of the old name.
        enable = getattr(self._base, "activation_checkpointing_enable", self._base.gradient_checkpointing_enable)
        enable({"use_reentrant": False})

    def point_embeddings(self, tokens: Tensor) -> Tensor:
        """f_5 (1, N1, W) as the LLM gets it, (1, N1, H)."""
        return self.project(tokens.to(self.seg_embedding.dtype))

    def word_table(self) -> Tensor:
        """(V, H) the base model's input embeddings, detached."""
        return _word_table(self._base)

    # ---- the trained part --------------------------------------------------------------------------------------

    def trained_state(self) -> dict[str, Tensor]:
        """Copies of LoRA, ``project`` and the ``seg_`` parameters on the CPU, for safetensors; no base weights."""
        return {name: p.detach().cpu().clone().contiguous() for name, p in self.trained_parameters().items()}

    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Load :meth:`trained_state`. SegPointError unless names and shapes are exactly this model's."""
        parameters = self.trained_parameters()
        if odd := sorted(parameters.keys() ^ state.keys()):
            raise SegPointError(
                f"language weights do not fit this model: {len(odd)} names differ, first {odd[0]!r} "
                "(another LoRA rank, other targets, or another backbone?)"
            )
        for name, parameter in parameters.items():
            if parameter.shape != state[name].shape:
                shapes = f"{tuple(parameter.shape)}, got {tuple(state[name].shape)}"
                raise SegPointError(f"language weight {name} has shape {shapes}: it was trained with another backbone")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(state[name])

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Name → parameter of everything that is trained here."""
        return {n: p for n, p in self.named_parameters() if not n.startswith("llm.") or ".lora_" in n}

    # ---- tokens and states -------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        return self.seg_embedding.device

    @property
    def reader(self) -> Llama:
        """The LLM for inference. Made anew where LoRA has changed since, or everything has moved."""
        # Tensors made in inference mode count no changes; nobody trains them.
        state = (self.device, sum(p._version for p in self._lora if not p.is_inference()))
        if self._reader is None or self._reader[0] != state:
            self.forget()  # or both would be held
            self._reader = (state, Llama(self._base))
        return self._reader[1]

    def forget(self) -> None:
        """Let go of what `reader` keeps: a copy of the weights for inference."""
        self._reader = self._before_cache = None

    def _before_words(self) -> KeyValues:
        """What the base model alone makes of "USER: ", with room for questions behind it; read once."""
        reader = self.reader
        if self._before_cache is None or self._before_cache[0] is not reader:
            cache = reader.cache(len(self._before) + TOGETHER)
            self._read_from_start(self.embed(self._before), cache, adapted=False)
            self._before_cache = (reader, cache)
        return self._before_cache[1]

    @property
    def _base(self) -> LlamaForCausalLM:
        return cast("LlamaForCausalLM", self.llm.get_base_model() if hasattr(self.llm, "get_base_model") else self.llm)

    def _text_ids(self, text: str) -> list[int]:
        """Plain text only: ``</s>`` or ``<|im_end|>`` in it become the letters they are written with."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)

    def question_ids(self, question: str) -> list[int]:
        return self._text_ids(split_prompt(question)[1])

    def guesses(self, question: str) -> list[tuple[int, ...]]:
        """Answers that name the target as the question does, one for each of its last words."""
        return [(*self._text_ids(f" {word}"), self.seg_id) for word in last_words(question)]

    def _grammar(self, limit: int) -> Grammar:
        nothing = self._text_ids(f" {NO_MASK}")
        # LLaMA2's tokenizer begins every answer with the same space: the choice falls at the first token that differs.
        pairs = zip(nothing, self._text_ids(f" {SEG}"), strict=False)
        choice = next(i for i, (one, other) in enumerate(pairs) if one != other)
        stops = frozenset(self._text_ids(text)[-1] for text in (".", " mask."))
        return Grammar(self.seg_id, self.tokenizer.eos_token_id, stops, tuple(nothing), choice, limit)

    def _answer_ids(self, answer: str) -> list[int]:
        """``"mug <SEG>."`` → ``" mug"`` <SEG> ``"."`` end; the space before ``<SEG>`` belongs to it, a step saved."""
        pieces = [self._text_ids(piece.rstrip(" ")) for piece in f" {answer}".split(SEG)]
        ids = pieces[0]
        for piece in pieces[1:]:
            ids = [*ids, self.seg_id, *piece]
        return [*ids, self.tokenizer.eos_token_id]

    def decode(self, ids: list[int]) -> str:
        """Ids → text in which ``<SEG>`` stands only for the token, never for letters the model spelt out."""
        text, run = "", list[int]()
        for token in [*ids, None]:
            if token is None or token == self.seg_id:
                text += str(self.tokenizer.decode(run, skip_special_tokens=True)).replace(SEG, "")
                text += "" if token is None else f" {SEG}"
                run = []
            else:
                run.append(token)
        return text.strip()

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """T ids, ``<SEG>`` among them → (T, H) in the LLM's dtype."""
        ids = torch.tensor(tokens, dtype=torch.int64, device=self.device)
        words = self._base.get_input_embeddings()(ids.clamp(max=self.seg_id - 1))
        return torch.where((ids == self.seg_id)[:, None], self.seg_embedding.to(words.dtype), words)

    def _prefix_embeddings(self, tokens: Tensor) -> Tensor:
        """(1, N1, W) point tokens → (P, H) embeddings of "USER: " and the points."""
        if tokens.ndim != 3 or tokens.shape[0] != 1:
            raise ValueError(f"point tokens are (1, N1, W), got {tuple(tokens.shape)}")
        before = self.embed(self._before)
        return torch.cat([before, self.point_embeddings(tokens)[0].to(before.dtype)])

    def logits(self, hidden: Tensor) -> Tensor:
        """Of the next token after last hidden states (T, H) float32, for inference: (T, V + 1) float32, <SEG> last."""
        return self._with_seg(self.reader.logits(hidden), hidden)

    def _with_seg(self, words: Tensor, hidden: Tensor) -> Tensor:
        """The words' logits (T, V) and ``<SEG>``'s behind them, (T, V + 1) float32."""
        seg = hidden.to(self.seg_head.dtype) @ self.seg_head.T + self.seg_bias
        return torch.cat([words.float(), seg.float()], dim=-1)

    def _read_from_start(self, embeddings: Tensor, cache: KeyValues, adapted: bool = True) -> Tensor:
        """The last hidden states (T, H) float32 of a sequence (T, H)."""
        count = len(embeddings)
        causal = torch.ones(count, count, dtype=torch.bool, device=self.device).tril()
        return self.reader.read(embeddings, torch.arange(count, device=self.device), cache, 0, causal, adapted)


def load_language(config: BundleConfig, dtype: str = "float32", training: bool = False) -> PointLanguageModel:
    """The bundle's backbone from disk with fresh LoRA and projections. SegPointError where it is not set up.

    training: whether it is to be trained; see `segpoint.backbone.load`.
    """
    from segpoint.backbone import load

    settings = config.language
    return PointLanguageModel(
        *load(settings.backbone, dtype, settings.quantization, training),
        token_width=config.encoder.width,
        lora_rank=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        lora_targets=settings.lora_targets,
        max_instruction_tokens=settings.max_instruction_tokens,
        max_answer_tokens=settings.max_answer_tokens,
    )


def point_projection(token_width: int, width: int, table: Tensor) -> nn.Sequential:
    """The map of f_5 (…, token_width) to the LLM's space (…, width).

    Its last scale starts at the size of the model's own embeddings ``table`` (V, width), as if points were words.
    """
    project = nn.Sequential(
        nn.Linear(token_width, width), nn.GELU(), nn.Linear(width, width), nn.RMSNorm(width, eps=1e-6)
    )
    nn.init.constant_(cast(nn.RMSNorm, project[3]).weight, float(table.float().square().mean().sqrt()))
    return project


def _word_table(llm: LlamaForCausalLM) -> Tensor:
    return cast(nn.Embedding, llm.get_input_embeddings()).weight.detach()


def with_lora(llm: LlamaForCausalLM, rank: int, alpha: int, dropout: float, targets: Sequence[str]) -> nn.Module:
    """The model with fresh LoRA in its layers, by peft, in place."""
    from peft import LoraConfig, get_peft_model

    # Adapters stay float32 also over a bfloat16 base (peft's default): their updates are too small for bfloat16.
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # peft 0.21 reads a name transformers 5.23 retires
        return get_peft_model(llm, config)


def _packed(prefix: int, lengths: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Attention mask (1, 1, L, L), True = may look, and positions (L,) of a prefix and the blocks that follow it."""
    blocks = torch.arange(1, len(lengths) + 1, device=device)
    block = torch.cat([blocks.new_zeros(prefix), blocks.repeat_interleave(torch.tensor(lengths, device=device))])
    ahead = torch.ones(len(block), len(block), dtype=torch.bool, device=device).tril()
    mask = ahead & ((block[None, :] == 0) | (block[None, :] == block[:, None]))
    positions = [torch.arange(prefix), *(prefix + torch.arange(length) for length in lengths)]
    return mask[None, None], torch.cat(positions).to(device)
