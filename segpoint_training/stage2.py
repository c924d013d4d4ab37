"""Stage 2: the LLM comes into the loop, with LoRA; it learns to write the answer and to put ŷ_seg where γ reads it.

After a stage 1, encoder and GEM stay as that left them (BatchNorm too); GFP, γ and the reader go on, since ĥ_point now
reaches them. Without a stage 1 (``geometry: true``, the paper's training) ℰ is a pretrained one, frozen or adapted as
the config says, and GEM is trained here. All questions about a scene share one packed pass over its points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs
from segpoint.network.language import PointLanguageModel, load_language
from segpoint.network.place import PlaceEncoder, Places
from segpoint.network.segpoint import PointTokens, SegPoint
from segpoint.segmenter import Segmenter
from segpoint.stopwatch import Stopwatch
from segpoint_training.batches import Batch, Batches
from segpoint_training.checkpoints import Stateful, averaged_state
from segpoint_training.config import StageConfig, TrainConfig
from segpoint_training.fit import Stage, Watch, fit
from segpoint_training.looks import draw_predictions
from segpoint_training.questions import QuestionStates
from segpoint_training.scenes.categories import TRAINED
from segpoint_training.shards import LabelledCloud
from segpoint_training.sources import Source
from segpoint_training.stage1 import mask_losses, presence_loss, question_states, weighted
from segpoint_training.uni3d import begin_encoder
from segpoint_training.validation import validate
from segpoint_training.warm_start import fill

VALIDATED = 8  # held-out clouds: each answer is decoded, so a look costs seconds a cloud


class AnswerTrainer(nn.Module):
    """Network and language model together, and their loss.

    states: the frozen LLM's states of the questions, for the reader; None where there is none.   geometry: whether GEM
    and what adapts the encoder are trained, too.
    """

    def __init__(
        self,
        config: BundleConfig,
        language: PointLanguageModel,
        states: QuestionStates | None,
        geometry: bool = False,
    ) -> None:
        super().__init__()
        self.language, self.states, self.geometry = language, states, geometry
        self.network = SegPoint(config, language.hidden_size)

    def freeze(self) -> None:
        """Choose what is trained, when all weights are in place."""
        if self.geometry:
            self.network.adapt()
            return
        for part in (self.network.encoder, self.network.gem, self.network.injections):
            if part is not None:
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> AnswerTrainer:
        """As ever, but the frozen parts keep to their running statistics. What the language model keeps for inference
        is let go: it is of the weights before."""
        super().train(mode)
        self.language.forget()
        adaptation = self.network.config.encoder.adaptation
        if not self.geometry or adaptation != "full":
            self.network.encoder.eval()
        if not self.geometry and self.network.gem is not None:
            self.network.gem.eval()
        return self

    def forward(self, batch: Batch, stage: StageConfig) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch and its parts, teacher-forced, scene by scene (the LLM packs one scene's questions)."""
        with torch.set_grad_enabled(self.geometry and torch.is_grad_enabled()):
            tokens = self.network.encode(batch.inputs)
        losses = [self._scene_losses(batch.scene(b), tokens.scene(b)) for b in range(len(batch.questions))]
        means = {name: torch.stack([one[name] for one in losses]).mean() for name in losses[0]}
        return weighted(means, stage), {name: float(value.detach()) for name, value in means.items()}

    def _scene_losses(self, one: Batch, tokens: PointTokens) -> dict[str, Tensor]:
        with torch.autocast(one.rows.device.type, enabled=False):
            told = None if one.places is None else self._told(one.places, tokens)
            said = self.language.forward_many(tokens.f5.float(), one.questions[0], one.answers[0], told)
        features = self.network.propagate(tokens, said.point_hidden[None], one.inputs, one.rows)
        words, mask = (None, None) if self.states is None else self.states.many(one.questions)
        losses = {"text": said.text_loss}
        if self.network.reader is not None:
            _, presence = self.network.read(features, None, words, mask, one.places)
            losses |= presence_loss(presence, one.has_target)
        # Each <SEG> has a mask of its own: none where there is no target, several where all categories are asked for.
        of = torch.arange(len(one.questions[0]), device=one.rows.device).repeat_interleave(one.seg_counts[0])
        seg, is_target, counts = torch.cat(said.seg_hidden)[None], one.seg_targets[None], 1.0
        if len(of) == 0:
            # No <SEG> at all: some other state goes the same way and counts for nothing. Where weights are shared out
            # over processes, each process has to use all of them in every step.
            of, counts = of.new_zeros(1), 0.0
            seg, is_target = said.question_hidden[0][None, -1:], torch.ones_like(one.is_target[:, :1])
        words, mask = (None, None) if words is None or mask is None else (words[:, of], mask[:, of])
        places = None if one.places is None else one.places.questions(of)
        logits, _ = self.network.read(features, seg, words, mask, places)
        targets = is_target.gather(2, one.instance.unsqueeze(1).expand(-1, len(of), -1)).float()
        masks = mask_losses(logits, targets, is_target, one.instance)
        return losses | {name: counts * value for name, value in masks.items()}

    def _told(self, places: Places, tokens: PointTokens) -> list[Tensor]:
        """The LLM's tokens of what each question points at, (P_i, H)."""
        projected = self.language.point_embeddings(tokens.f5.float())
        every = cast(PlaceEncoder, self.network.place).for_language(places, projected)[0]
        return [some[there] for some, there in zip(every, places.mask[0], strict=True)]


class Trained:
    """The language model's trained parameters alone: `Stateful` without the backbone."""

    def __init__(self, language: PointLanguageModel) -> None:
        self.language = language

    def state_dict(self, *, keep_vars: bool = False) -> dict[str, Tensor]:
        parameters = self.language.trained_parameters().items()
        return {name: p if keep_vars else p.detach() for name, p in parameters}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.language.load_trained(dict(state))

    def train(self, mode: bool = True) -> None:
        self.language.train(mode)


def run_stage2(
    config: TrainConfig, run: Path, train: Sequence[Source], held_out: list[LabelledCloud], watch: Watch
) -> bool:
    """Start from stage 1's averaged weights, from ``watch.start``, or from a published ℰ, then fit (see there); the
    checkpoint stays in ``run/stage2``."""
    trainer = build_trainer(config, run, train, held_out, watch)
    stage, device = config.stage2, watch.device
    words, varied = (TRAINED, ()), not config.model.reader.layers
    processes = watch.accelerator.num_processes
    batches = Batches.of_stage(train, config.model, stage, words, config.seed + 1, processes, varied=varied)

    def answer(inputs: PointInputs, questions: list[str], places: Places | None) -> tuple[Tensor, None]:
        segmenter = Segmenter(config.model, trainer.network, trainer.language, str(device))
        encoded = segmenter.encode(inputs, Stopwatch())
        at = [places.question(q) if places else None for q in range(len(questions))]
        asked = zip(questions, at, strict=True)
        return torch.stack([segmenter.read(encoded, q, Stopwatch(), p).logits for q, p in asked]), None

    seen = held_out[:VALIDATED]
    return fit(
        Stage(
            "stage2",
            stage,
            trainer,
            {"network": trainer.network, "language": Trained(trainer.language)},
            _groups(trainer, config),
            lambda: validate(config.model, seen, answer, device),
            lambda path: draw_predictions(path, config.model, seen, answer, device),
            config.seed + 1,
        ),
        batches,
        watch,
    )


def build_trainer(
    config: TrainConfig, run: Path, train: Sequence[Source], held_out: list[LabelledCloud], watch: Watch
) -> AnswerTrainer:
    """The stage's modules with the weights that it begins with."""
    # The base is frozen and may be narrow; LoRA and projections stay float32.
    dtype = "bfloat16" if config.stage2.precision == "bf16" else "float32"
    language = load_language(config.model, dtype, training=True)
    states = None
    if config.model.reader.layers:
        with watch.accelerator.main_process_first():  # the questions are embedded once
            states = question_states(run, train, held_out, language, config.model.language.backbone)
    trainer = AnswerTrainer(config.model, language, states, config.stage2.geometry)
    if config.uni3d:
        begin_encoder(trainer.network, Path(config.uni3d))
    start = dict(watch.start or {})
    if config.stage1 is not None:
        seen = {n: v for n, v in averaged_state(run / "stage1").items() if not n.startswith("heads.")}
        start = {n: v for n, v in start.items() if n.startswith("language.")} | seen
    if start:
        modules: dict[str, Stateful] = {"network": trainer.network, "language": Trained(language)}
        watch.log(start=dataclasses.asdict(fill(modules, start)))
    if config.stage1 is not None and trainer.network.reader is not None:
        # The reader has learnt to choose without ŷ_seg: γ adds nothing at first, and then what it can.
        for parameter in trainer.network.gamma[2].parameters():
            nn.init.zeros_(parameter)
    trainer.freeze()
    if config.stage2.checkpointing:
        language.checkpoint_layers()
    if states is not None:
        states.device = watch.device
    return trainer.train()


def _groups(trainer: AnswerTrainer, config: TrainConfig) -> list[dict[str, Any]]:
    """What is trained, at which rate: what is new here, at a lower one what stage 1 has trained, and GEM's gates."""
    stage = config.stage2
    known = stage.slower if config.stage1 is not None else 1.0
    groups: dict[str, dict[str, Any]] = {
        "new": {"lr": stage.rate},
        "learnt": {"lr": stage.rate * known},
        "gates": {"lr": stage.gate_rate},
    }
    fresh = {id(p) for p in (*trainer.language.trained_parameters().values(), *trainer.network.gamma.parameters())}
    for name, parameter in trainer.named_parameters():
        if parameter.requires_grad:
            group = "gates" if name.endswith(".gate") else "new" if id(parameter) in fresh else "learnt"
            groups[group].setdefault("params", []).append(parameter)
    return [{"name": name, **group} for name, group in groups.items() if "params" in group]
