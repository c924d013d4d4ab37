"""Stage 2: the LLM comes into the loop, with LoRA; it learns to write the answer and to put ŷ_seg where γ reads it.

Encoder and GEM stay as stage 1 left them (BatchNorm too); GFP, γ and the reader go on, since ĥ_point now reaches them.
All questions about a scene share one packed pass over its points.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from segpoint.config import BundleConfig
from segpoint.network.inputs import PointInputs
from segpoint.network.language import PointLanguageModel, load_language
from segpoint.network.segpoint import PointTokens, SegPoint
from segpoint.segmenter import read_answer
from segpoint_training.batches import Batch, Batches
from segpoint_training.checkpoints import Stateful, averaged_state, part_of
from segpoint_training.config import StageConfig, TrainConfig
from segpoint_training.shards import LabelledCloud
from segpoint_training.stage1 import last_state, mask_losses, presence_loss, weighted
from segpoint_training.train import Stage, Watch, fit
from segpoint_training.validation import validate


class AnswerTrainer(nn.Module):
    """Network and language model together, and their loss."""

    def __init__(self, config: BundleConfig) -> None:
        super().__init__()
        self.language = load_language(config, "bfloat16")  # frozen; LoRA and projections stay float32
        self.network = SegPoint(config, self.language.hidden_size)
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
        means = {name: torch.stack([one[name] for one in losses]).mean() for name in losses[0]}
        return weighted(means, stage), {name: float(value.detach()) for name, value in means.items()}

    def _scene_losses(self, one: Batch, tokens: PointTokens) -> dict[str, Tensor]:
        with torch.autocast("cpu", enabled=False):
            said = self.language.forward_many(tokens.f5.float(), one.questions[0], one.answers[0])
        features = self.network.propagate(tokens, said.point_hidden[None], one.inputs, one.rows)
        states, mask = pad_states(said.question_hidden)
        _, presence = self.network.read(features, last_state(states, mask), states, mask)
        # A question without a target is answered without <SEG>: it has no mask to learn.
        asked = one.has_target[0].nonzero()[:, 0]
        seg = torch.stack([said.seg_hidden[i][0] for i in asked.tolist()])[None]
        logits, _ = self.network.read(features, seg, states[:, asked], mask[:, asked])
        return {
            "text": said.text_loss,
            **mask_losses(logits, one.targets[:, asked], one.is_target[:, asked], one.instance),
            **presence_loss(presence, one.has_target),
        }

    def answer(self, inputs: PointInputs, questions: list[str]) -> tuple[Tensor, Tensor | None]:
        """Mask logits (Q, N) and presence logits (Q,) of one cloud, as `Segmenter` would answer."""
        tokens = self.network.encode(inputs)
        prefix = self.language.encode_points(tokens.f5)
        features = self.network.propagate(tokens, prefix.point_hidden, inputs)
        read = [read_answer(self.network, self.language.answer(prefix, q), features) for q in questions]
        presence = [p for _, p in read if p is not None]
        return torch.stack([logits for logits, _ in read]), torch.stack(presence) if presence else None


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


def pad_states(states: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Q states (T_i, H) → (1, Q, T, H) and the mask (1, Q, T)."""
    lengths = torch.tensor([len(s) for s in states])
    padded = nn.utils.rnn.pad_sequence(states, batch_first=True)
    return padded[None], (torch.arange(padded.shape[1]) < lengths[:, None])[None]


def run_stage2(
    config: TrainConfig, run: Path, train: list[LabelledCloud], held_out: list[LabelledCloud], watch: Watch
) -> None:
    """Start from stage 1's averaged weights, then fit; the checkpoint stays in ``run/stage2``."""
    trainer = AnswerTrainer(config.model)
    first = averaged_state(run / "stage1")
    trainer.network.load_state_dict(part_of(first, "trainer.network."))
    trainer.language.project.load_state_dict(part_of(first, "trainer.project."))
    stage = config.stage2
    batches = Batches(
        train,
        config.model,
        scenes=stage.scenes,
        questions=stage.questions,
        points=stage.points,
        words=((), ()),
        seed=config.seed + 1,
        count=stage.steps,
    )

    def loss(batch: Batch) -> tuple[Tensor, dict[str, float]]:
        with torch.autocast("cpu", torch.bfloat16):
            return trainer(batch, stage)

    def look() -> dict[str, float]:
        return validate(config.model, held_out[:25], trainer.answer)

    language = list(trainer.language.trained_parameters().values())
    network = [p for p in trainer.network.parameters() if p.requires_grad]
    groups = [
        {"name": "language", "params": language, "lr": stage.rate},
        {"name": "network", "params": network, "lr": stage.rate},
    ]
    modules: dict[str, Stateful] = {"network": trainer.network, "language": Trained(trainer.language)}
    fit(Stage("stage2", stage, modules, groups, loss, look), batches, watch)
