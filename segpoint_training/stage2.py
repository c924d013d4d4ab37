"""Stage 2: the LLM comes into the loop, with LoRA; it learns to write the answer and to put ŷ_seg where γ reads it.

Encoder and GEM stay as stage 1 left them (BatchNorm too); GFP, γ and the reader go on, since ĥ_point now reaches them.
All questions about a scene share one packed pass over its points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import cast

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
from segpoint_training.checkpoints import Stateful, averaged_state, part_of
from segpoint_training.config import StageConfig, TrainConfig
from segpoint_training.questions import QuestionStates
from segpoint_training.scenes.categories import TRAINED
from segpoint_training.shards import LabelledCloud
from segpoint_training.stage1 import mask_losses, presence_loss, question_states, weighted
from segpoint_training.train import Stage, Watch, fit
from segpoint_training.validation import validate
from segpoint_training.warm_start import fill

VALIDATED = 8  # held-out clouds: each answer is decoded, so a look costs seconds a cloud


class AnswerTrainer(nn.Module):
    """Network and language model together, and their loss."""

    def __init__(self, config: BundleConfig, language: PointLanguageModel, states: QuestionStates) -> None:
        super().__init__()
        self.language, self.states = language, states
        self.network = SegPoint(config, language.hidden_size)
        self.network.encoder.requires_grad_(False)
        for part in (self.network.gem, self.network.injections):
            if part is not None:
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> AnswerTrainer:
        """As ever, but the frozen parts keep to their running statistics."""
        super().train(mode)
        self.network.encoder.eval()
        if self.network.gem is not None:
            self.network.gem.eval()
        return self

    def forward(self, batch: Batch, stage: StageConfig) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch and its parts, teacher-forced, scene by scene (the LLM packs one scene's questions)."""
        with torch.no_grad():
            tokens = self.network.encode(batch.inputs)
        losses = [self._scene_losses(batch.scene(b), tokens.scene(b)) for b in range(len(batch.questions))]
        means = {
            name: torch.stack([one[name] for one in losses if name in one]).mean()
            for name in dict.fromkeys(name for one in losses for name in one)
        }
        return weighted(means, stage), {name: float(value.detach()) for name, value in means.items()}

    def _scene_losses(self, one: Batch, tokens: PointTokens) -> dict[str, Tensor]:
        with torch.autocast(one.rows.device.type, enabled=False):
            told = None if one.places is None else self._told(one.places, tokens)
            said = self.language.forward_many(tokens.f5.float(), one.questions[0], one.answers[0], told)
        features = self.network.propagate(tokens, said.point_hidden[None], one.inputs, one.rows)
        words, mask = self.states.many(one.questions)
        losses = {"text": said.text_loss}
        if self.network.reader is not None:
            _, presence = self.network.read(features, None, words, mask, one.places)
            losses |= presence_loss(presence, one.has_target)
        # A question without a target is answered without <SEG>: it has no mask to learn.
        asked = one.has_target[0].nonzero()[:, 0]
        if len(asked) == 0:
            return losses
        seg = torch.stack([said.seg_hidden[i][0] for i in asked.tolist()])[None]
        places = None if one.places is None else one.places.questions(asked)
        logits, _ = self.network.read(features, seg, words[:, asked], mask[:, asked], places)
        return losses | mask_losses(logits, one.targets[:, asked], one.is_target[:, asked], one.instance)

    def _told(self, places: Places, tokens: PointTokens) -> list[Tensor]:
        """The LLM's tokens of what each question points at, (P_i, H)."""
        projected = self.language.point_embeddings(tokens.f5.float())
        every = cast(PlaceEncoder, self.network.place).for_language(places, projected)[0]
        return [some[there] for some, there in zip(every, places.mask[0], strict=True)]


class Trained:
    """The language model's trained parameters alone: `Stateful` without the backbone."""

    def __init__(self, language: PointLanguageModel) -> None:
        self.language = language

    def state_dict(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.language.trained_parameters().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.language.load_trained(dict(state))

    def train(self, mode: bool = True) -> None:
        self.language.train(mode)


def run_stage2(
    config: TrainConfig, run: Path, train: list[LabelledCloud], held_out: list[LabelledCloud], watch: Watch
) -> bool:
    """Start from stage 1's averaged weights, then fit (see there); the checkpoint stays in ``run/stage2``."""
    # The base is frozen and may be narrow; LoRA and projections stay float32.
    language = load_language(config.model, "bfloat16")
    trainer = AnswerTrainer(config.model, language, question_states(run, train, held_out, language))
    first = averaged_state(run / "stage1")
    trainer.network.load_state_dict(part_of(first, "trainer.network."))
    language.project.load_state_dict(part_of(first, "trainer.project."))
    said = {name: value for name, value in (watch.start or {}).items() if name.startswith("language.")}
    if said:
        watch.log(start=dataclasses.asdict(fill({"language": Trained(language)}, said)))
    if trainer.network.reader is not None:
        # The reader has learnt to choose without ŷ_seg: γ adds nothing at first, and then what it can.
        for parameter in trainer.network.gamma[2].parameters():
            nn.init.zeros_(parameter)
    trainer.to(watch.device)
    trainer.states.device = watch.device
    stage = config.stage2
    batches = Batches.of_stage(train, config.model, stage, (TRAINED, ()), config.seed + 1, watch.replicas)

    def loss(batch: Batch) -> tuple[Tensor, dict[str, float]]:
        with torch.autocast(watch.device.type, torch.bfloat16):
            return trainer(batch, stage)

    def look() -> dict[str, float]:
        segmenter = Segmenter(config.model, trainer.network, language, str(watch.device))

        def answer(inputs: PointInputs, questions: list[str], places: Places | None) -> tuple[Tensor, None]:
            encoded = segmenter.encode(inputs, Stopwatch())
            at = [places.question(q) if places else None for q in range(len(questions))]
            asked = zip(questions, at, strict=True)
            return torch.stack([segmenter.read(encoded, q, Stopwatch(), p).logits for q, p in asked]), None

        return validate(config.model, held_out[:VALIDATED], answer, watch.device)

    new = [*language.trained_parameters().values(), *trainer.network.gamma.parameters()]
    known = {id(p) for p in new}
    learnt = [p for p in trainer.network.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"name": "new", "params": new, "lr": stage.rate},
        {"name": "learnt", "params": learnt, "lr": stage.rate * stage.slower},
    ]
    modules: dict[str, Stateful] = {"network": trainer.network, "language": Trained(language)}
    return fit(Stage("stage2", stage, modules, groups, loss, look), batches, watch)
