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
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint.prompts import NO_MASK, SEG, check_instruction, parse_answer, split_prompt

if TYPE_CHECKING:
    from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerBase


@dataclass
class Prefix:
    """One cloud as the LLM read it; :meth:`PointLanguageModel.answer` uses it again and again, one call at a time."""

    point_hidden: Tensor  # ĥ_point, (1, N1, H) float32
    cache: DynamicCache  # keys and values of the prefix's ``length`` tokens
    length: int


@dataclass(frozen=True)
class Answer:
    """What the LLM wrote and the states the mask decoder reads."""

    text: str  # "mug <SEG>."
    categories: list[str]  # ["mug"], one per <SEG>; empty: there is no mask
    question_hidden: Tensor  # (T, H) float32, at the tokens of " {question} ASSISTANT:"
    seg_hidden: Tensor  # ŷ_[seg], (n, H) float32, at the positions whose input is <SEG>
    margin: float  # logit of "There is no mask." over the best other beginning, before any doubt


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
        self.max_instruction_tokens, self.max_answer_tokens = max_instruction_tokens, max_answer_tokens
        self.tokenizer = tokenizer
        self._bos = list(tokenizer("").input_ids)  # [<s>] for LLaMA2, nothing for SmolLM2: as each was trained
        self._before = self._bos + self._text_ids(split_prompt("")[0])
        self._no_mask = self._text_ids(f" {NO_MASK}")
        # LLaMA2's tokenizer begins every answer with the same space: the choice falls at the first token that differs.
        pairs = zip(self._no_mask, self._text_ids(f" {SEG}"), strict=False)
        self._choice = next(i for i, (one, other) in enumerate(pairs) if one != other)
        self._ends = {self._text_ids(text)[-1] for text in (".", " mask.")}

        llm.requires_grad_(False)
        table = _word_table(llm).float()
        # <SEG> starts where the model keeps "mask" (we chose): a vector and a row of natural size, both near its use.
        start = self._text_ids(" mask")
        self.seg_embedding = nn.Parameter(table[start].mean(0, keepdim=True))  # (1, H)
        self.seg_head = nn.Parameter(llm.lm_head.weight.detach().float()[start].mean(0, keepdim=True))  # (1, H)
        self.seg_bias = nn.Parameter(torch.zeros(1))
        self.project = point_projection(token_width, width, table)
        self.llm = _with_lora(llm, lora_rank, lora_alpha, lora_dropout, lora_targets) if lora_rank else llm

    # ---- inference ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_points(self, tokens: Tensor) -> Prefix:
        """Read the cloud once: f_5 ``tokens (1, N1, W)`` → ĥ_point and the KV cache every question continues from."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self._base.config)
        embeddings = self._prefix_embeddings(tokens)
        hidden = self._base.model(inputs_embeds=embeddings[None], past_key_values=cache, use_cache=True)
        length = embeddings.shape[0]
        return Prefix(hidden.last_hidden_state[:, len(self._before) :].float(), cache, length)

    @torch.no_grad()
    def answer(self, prefix: Prefix, question: str, doubt: float = 0.0, places: Tensor | None = None) -> Answer:
        """Write the answer greedily, up to its full stop, the end token, or ``max_answer_tokens``.

        ``places`` (P, H) are the tokens of clicks and boxes, read between the points and the question.
        ``doubt`` (log-odds) is added where it chooses to write "There is no mask.": what somebody else, the mask
        reader, knows about whether there is a target.

        ŷ_[seg] is the state at the position whose *input* is ``<SEG>``, as PAPER.md says ("at <SEG>"). (LISA's code
        takes the position before, whose output is ``<SEG>``.) ``prefix`` is as before on return, also after an error.
        Raises SegPointError where the question does not fit into the model's context.
        """
        ids = self._question_ids(question)
        context = self._base.config.max_position_embeddings
        extra = 0 if places is None else len(places)
        if prefix.length + extra + len(ids) + self.max_answer_tokens > context:
            raise SegPointError(
                f"a question of {len(ids)} tokens does not fit into the LLM's context of {context}: shorten it"
            )
        written: list[int] = []
        margin = 0.0
        seg_hidden: list[Tensor] = []
        try:
            question_hidden = self._continue(prefix.cache, ids, places)[extra:]
            last = question_hidden[-1:]
            for step in range(self.max_answer_tokens):
                logits = self._logits(last)[0]
                choosing = step == self._choice and written == self._no_mask[:step]
                if choosing:
                    nothing = float(logits[self._no_mask[step]])
                    logits[self._no_mask[step]] = -torch.inf
                    margin = nothing - float(logits.max())
                    if margin + doubt > 0:  # no category begins so: the rest is known
                        written = list(self._no_mask)
                        break
                token = int(logits.argmax())
                if token == self.tokenizer.eos_token_id:
                    break
                written.append(token)
                if token in self._ends:
                    break
                last = self._continue(prefix.cache, [token])
                if token == self.seg_id:
                    seg_hidden.append(last)
        finally:
            prefix.cache.crop(prefix.length - prefix.cache.get_seq_length())  # ≤ 0: remove that many
        text = self._decode(written)
        seg = torch.cat(seg_hidden) if seg_hidden else question_hidden.new_empty(0, self.hidden_size)
        return Answer(text, parse_answer(text), question_hidden, seg, margin)

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
        blocks = [(self._question_ids(q), self._answer_ids(a)) for q, a in zip(questions, answers, strict=True)]
        # The last answer token is only ever predicted, never read.
        ids = torch.tensor([i for q, a in blocks for i in q + a[:-1]], device=prefix.device)
        texts = [len(q) + len(a) - 1 for q, a in blocks]
        pointed = [0] * len(blocks) if places is None else [len(p) for p in places]
        embedded = list(self._embed(ids).split(texts))
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
        seg = [block == self.seg_id for block in ids.split(texts)]
        seg_hidden = [h[s].float() for h, s in zip(states, seg, strict=True)]
        predicting = torch.cat([h[len(q) - 1 :] for h, (q, _) in zip(states, blocks, strict=True)])
        truth = torch.tensor([i for _, a in blocks for i in a], device=prefix.device)
        return ManyOutput(F.cross_entropy(self._logits(predicting), truth), point_hidden, question_hidden, seg_hidden)

    @torch.no_grad()
    def text_hidden(self, questions: Sequence[str], batch: int = 32) -> list[Tensor]:
        """What the frozen base model makes of questions alone: no points, LoRA off. The reader's words.

        Per question (T_i, H) float16 on the CPU, at the same tokens as ``question_hidden``.
        """
        ids = [self._question_ids(question) for question in questions]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # neighbours in a batch are of a length
        hidden: list[Tensor] = [torch.empty(0)] * len(ids)
        with self._lora_off():
            for first in range(0, len(order), batch):
                chosen = order[first : first + batch]
                longest = len(ids[chosen[-1]])
                # Padding stands to the right, where a causal model never looks back from: no mask is needed.
                rows = [self._before + ids[i] + [0] * (longest - len(ids[i])) for i in chosen]
                table = torch.tensor(rows, device=self.seg_embedding.device)
                states = self._base.model(input_ids=table, use_cache=False).last_hidden_state.to(torch.float16).cpu()
                for row, i in enumerate(chosen):
                    hidden[i] = states[row, len(self._before) :][: len(ids[i])].clone()
        return hidden

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
    def _base(self) -> LlamaForCausalLM:
        return cast("LlamaForCausalLM", self.llm.get_base_model() if hasattr(self.llm, "get_base_model") else self.llm)

    def _lora_off(self) -> AbstractContextManager[None]:
        return self.llm.disable_adapter() if hasattr(self.llm, "get_base_model") else nullcontext()

    def _text_ids(self, text: str) -> list[int]:
        """Plain text only: ``</s>`` or ``<|im_end|>`` in it become the letters they are written with."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)

    def _question_ids(self, question: str) -> list[int]:
        return self._text_ids(split_prompt(question)[1])

    def _answer_ids(self, answer: str) -> list[int]:
        """``"mug <SEG>."`` → ``" mug"`` <SEG> ``"."`` end; the space before ``<SEG>`` belongs to it, a step saved."""
        pieces = [self._text_ids(piece.rstrip(" ")) for piece in f" {answer}".split(SEG)]
        ids = pieces[0]
        for piece in pieces[1:]:
            ids = [*ids, self.seg_id, *piece]
        return [*ids, self.tokenizer.eos_token_id]

    def _decode(self, ids: list[int]) -> str:
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

    def _embed(self, ids: Tensor) -> Tensor:
        """(T,) ids, ``<SEG>`` among them → (T, H) in the LLM's dtype."""
        words = self._base.get_input_embeddings()(ids.clamp(max=self.seg_id - 1))
        return torch.where((ids == self.seg_id)[:, None], self.seg_embedding.to(words.dtype), words)

    def _prefix_embeddings(self, tokens: Tensor) -> Tensor:
        """(1, N1, W) point tokens → (P, H) embeddings of "USER: " and the points."""
        if tokens.ndim != 3 or tokens.shape[0] != 1:
            raise ValueError(f"point tokens are (1, N1, W), got {tuple(tokens.shape)}")
        before = self._embed(torch.tensor(self._before, device=tokens.device))
        return torch.cat([before, self.point_embeddings(tokens)[0].to(before.dtype)])

    def _continue(self, cache: DynamicCache, ids: list[int], places: Tensor | None = None) -> Tensor:
        """Append places (P, H) and ids to the cache; their last hidden states (P + T, H) float32."""
        embeddings = self._embed(torch.tensor(ids, device=self.seg_embedding.device))[None]
        if places is not None:
            embeddings = torch.cat([places[None].to(embeddings.dtype), embeddings], dim=1)
        output = self._base.model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True)
        return output.last_hidden_state[0].float()

    def _logits(self, hidden: Tensor) -> Tensor:
        """(T, H) → (T, V + 1) float32, ``<SEG>`` last."""
        words = self._base.lm_head(hidden.to(self._base.lm_head.weight.dtype)).float()
        seg = hidden.to(self.seg_head.dtype) @ self.seg_head.T + self.seg_bias
        return torch.cat([words, seg.float()], dim=-1)


def load_language(config: BundleConfig, dtype: str = "float32") -> PointLanguageModel:
    """The bundle's backbone from disk with fresh LoRA and projections. SegPointError where it is not set up."""
    from segpoint.backbone import load

    settings = config.language
    return PointLanguageModel(
        *load(settings.backbone, dtype),
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


def _with_lora(llm: LlamaForCausalLM, rank: int, alpha: int, dropout: float, targets: Sequence[str]) -> nn.Module:
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
