"""Stage 1: encoder, GEM, GFP, γ and reader learn to see and to select, with no LLM in the loop.

The words are the frozen LLM's hidden states of the question, computed once (`questions.QuestionStates`). There is no
ŷ_seg yet: the reader goes by the question alone; without a reader the question's last state stands in for ŷ_seg. A
scene's encoding is shared by all its questions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs
from segpoint.network.language import PointLanguageModel, point_projection
from segpoint.network.place import Places
from segpoint.network.reader import last_state
from segpoint.network.segpoint import SegPoint
from segpoint_training.backbones import backbone_digest
from segpoint_training.batches import Batch, Batches
from segpoint_training.checkpoints import Stateful
from segpoint_training.config import StageConfig, TrainConfig
from segpoint_training.fit import Stage, Watch, fit
from segpoint_training.looks import draw_predictions
from segpoint_training.losses import bce_loss, centre_loss, dice_loss, instance_loss, object_loss, word_loss
from segpoint_training.questions import QuestionStates, question_texts, word_embeddings
from segpoint_training.scenes.categories import TRAINED
from segpoint_training.shards import LabelledCloud
from segpoint_training.sources import Source
from segpoint_training.uni3d import begin_encoder
from segpoint_training.validation import validate
from segpoint_training.warm_start import fill

VALIDATED = 8  # held-out clouds that are drawn


@dataclass(frozen=True)
class Words:
    """Candidate words that point tokens learn to look like, with the LLM's input embeddings of them (V, H)."""

    categories: Sequence[str]
    colours: Sequence[str]
    category_table: Tensor
    colour_table: Tensor

    def to(self, device: torch.device) -> Words:
        tables = (self.category_table.to(device), self.colour_table.to(device))
        return Words(self.categories, self.colours, *tables)


class MaskTrainer(nn.Module):
    """The trained modules of stage 1 and its loss."""

    def __init__(self, config: BundleConfig, states: QuestionStates, words: Words) -> None:
        super().__init__()
        self.states, self.words = states, words
        self.network = SegPoint(config, states.width)
        self.project = point_projection(config.encoder.width, states.width, words.category_table)
        # Of the auxiliary losses on f_P; not shipped.
        self.heads = nn.ModuleDict(
            {
                "embed": nn.Linear(config.gfp.width, 16),
                "name": nn.Linear(config.gfp.width, states.width),
                "shift": nn.Linear(config.gfp.width, 3),
            }
        )

    def forward(self, batch: Batch, stage: StageConfig) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch and its parts."""
        tokens = self.network.encode(batch.inputs)
        features = self.network.propagate(tokens, None, batch.inputs, batch.rows)
        states, mask = self.states.many(batch.questions)
        logits, presence = self.network.read(features, self.stand_in(states, mask), states, mask, batch.places)
        looks = {name: head(features.dense) for name, head in self.heads.items()} | {"token": self.project(tokens.f5)}
        # Cloud by cloud: what a cloud teaches does not depend on the others in its batch.
        clouds = []
        for b in range(len(batch.questions)):
            one, this = batch.scene(b), slice(b, b + 1)
            parts = mask_losses(logits[this], one.targets, one.is_target, one.instance)
            parts |= presence_loss(None if presence is None else presence[this], one.has_target)
            parts["instances"] = instance_loss(looks["embed"][this], one.instance, one.is_target.shape[-1])
            parts["words"] = self._word_loss(looks["token"][this], one, one.at_token)
            parts["names"] = self._word_loss(looks["name"][this], one, one.instance)
            parts["centres"] = centre_loss(looks["shift"][this], features.points[this], one.centre, one.instance)
            clouds.append(parts)
        means = {name: torch.stack([parts[name] for parts in clouds]).mean() for name in clouds[0]}
        return weighted(means, stage), {name: float(value.detach()) for name, value in means.items()}

    def _word_loss(self, looks: Tensor, batch: Batch, instance: Tensor) -> Tensor:
        """looks (B, M, H) of points on ``instance`` (B, M) should be like the words for it and for its colour."""
        category, colour = batch.category.gather(1, instance), batch.colour.gather(1, instance)
        words = self.words.to(looks.device)
        return word_loss(looks, words.category_table, category) + 0.5 * word_loss(looks, words.colour_table, colour)

    def stand_in(self, states: Tensor, mask: Tensor) -> Tensor | None:
        """What stands in for ŷ_seg (B, Q, H): nothing, or without a reader the state at the question's last token."""
        return last_state(states, mask) if self.network.reader is None else None

    def answer(self, inputs: PointInputs, questions: list[str], places: Places | None) -> tuple[Tensor, Tensor | None]:
        """Mask logits (Q, N) and presence logits (Q,) of one cloud, for validation."""
        features = self.network.propagate(self.network.encode(inputs), None, inputs)
        states, mask = self.states.many([questions])
        logits, presence = self.network.read(features, self.stand_in(states, mask), states, mask, places)
        return logits[0], None if presence is None else presence[0]


def mask_losses(logits: Tensor, targets: Tensor, is_target: Tensor, instance: Tensor) -> dict[str, Tensor]:
    """BCE of every mask, DICE of those with a target (0 where none has one), and one decision an object.

    logits, targets: (B, Q, R).   is_target: (B, Q, I) bool.   instance: (B, R).
    """
    has_target = is_target.any(dim=2)
    dice = dice_loss(logits[has_target], targets[has_target]) if has_target.any() else logits.sum() * 0.0
    return {
        "bce": bce_loss(logits, targets),
        "dice": dice,
        "objects": object_loss(logits, is_target, instance),
    }


def presence_loss(presence: Tensor | None, has_target: Tensor) -> dict[str, Tensor]:
    """Is there a target at all? One decision a question; none where there is no reader."""
    if presence is None:
        return {}
    return {"presence": F.binary_cross_entropy_with_logits(presence.float(), has_target.float())}


def weighted(parts: dict[str, Tensor], stage: StageConfig) -> Tensor:
    """The sum of the parts, each times the weight of its name in the stage's config."""
    return torch.stack([getattr(stage, name) * value for name, value in parts.items()]).sum()


def run_stage1(
    config: TrainConfig, run: Path, train: Sequence[Source], held_out: list[LabelledCloud], watch: Watch
) -> bool:
    """Embed the questions, then fit (see there); the checkpoint stays in ``run/stage1``."""
    assert config.stage1 is not None
    with watch.accelerator.main_process_first():  # the questions are embedded once
        trainer = build_trainer(config, run, train, held_out)
    trainer.states.device = watch.device
    modules: dict[str, Stateful] = {
        "network": trainer.network,
        "language.project": trainer.project,
        "heads": trainer.heads,
    }
    if watch.start:
        watch.log(start=dataclasses.asdict(fill(modules, watch.start)))
    stage = config.stage1
    words = (trainer.words.categories, trainer.words.colours)
    batches = Batches.of_stage(train, config.model, stage, words, config.seed, watch.accelerator.num_processes)
    gates = [p for name, p in trainer.named_parameters() if name.endswith(".gate")]
    others = [p for name, p in trainer.named_parameters() if not name.endswith(".gate")]
    groups = [
        {"name": "weights", "params": others, "lr": stage.rate},
        {"name": "gates", "params": gates, "lr": stage.gate_rate},
    ]
    seen = held_out[:VALIDATED]
    return fit(
        Stage(
            "stage1",
            stage,
            trainer,
            modules,
            groups,
            lambda: validate(config.model, held_out, trainer.answer, watch.device),
            lambda path: draw_predictions(path, config.model, seen, trainer.answer, watch.device),
            config.seed,
        ),
        batches,
        watch,
    )


def build_trainer(
    config: TrainConfig, run: Path, train: Sequence[Source], held_out: list[LabelledCloud]
) -> MaskTrainer:
    """The stage's modules; the LLM is loaded for the embeddings alone and let go."""
    from segpoint.network.language import load_language

    language = load_language(config.model, "bfloat16", training=True)  # half the time, cosine 0.9994 to float32
    states = question_states(run, train, held_out, language, config.model.language.backbone)
    trainer = MaskTrainer(config.model, states, candidate_words(train, language))
    if config.uni3d:
        begin_encoder(trainer.network, Path(config.uni3d))
    return trainer


def candidate_words(train: Sequence[Source], language: PointLanguageModel) -> Words:
    """The trained categories and those of ``train``, and its colours, sorted."""
    objects = [thing for source in train for cloud in source.clouds for thing in cloud.objects]
    categories = sorted({thing.category for thing in objects} - {""} | set(TRAINED))
    colours = sorted({thing.colour for thing in objects} - {""})
    return Words(categories, colours, word_embeddings(categories, language), word_embeddings(colours, language))


def question_states(
    run: Path, train: Sequence[Source], held_out: list[LabelledCloud], language: PointLanguageModel, backbone: str
) -> QuestionStates:
    """The frozen LLM's states of every question that the run may ask, from ``run/questions`` where those of this
    ``backbone`` are there. language: that backbone, loaded."""
    folder = run / "questions" / backbone_digest(backbone)
    return QuestionStates.build(question_texts(train, held_out), language, folder)
