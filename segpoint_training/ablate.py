"""``segpoint ablate``: what GEM and GFP are worth, and how ℰ is best adapted (the paper's two ablation tables).

    python -m segpoint_training.ablate config/training/ablation.yaml --run runs/ablation

ℰ is pretrained once, alone, on one half of the scenes. Every variant starts from it, is trained on the other half, with
the same batches for every variant of a seed, and answers the same held-out scenes. The run's folder holds data,
checkpoints and a JSON for each finished run; the same command again goes on where it stopped and writes the report.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from tqdm import tqdm  # noqa: E402

from segpoint.config import BundleConfig, ReaderConfig  # noqa: E402
from segpoint.errors import SegPointError  # noqa: E402
from segpoint.files import check_folder, check_target, reading  # noqa: E402
from segpoint.network.language import load_language, point_projection  # noqa: E402
from segpoint.network.segpoint import SegPoint  # noqa: E402
from segpoint_training.ablation_config import (  # noqa: E402
    COMPARED,
    PRETRAINING,
    VANILLA,
    AblationConfig,
    Variant,
    run_name,
)
from segpoint_training.ablation_report import write_report  # noqa: E402
from segpoint_training.batches import Batch, Batches  # noqa: E402
from segpoint_training.checkpoints import Stateful, averaged_state, part_of  # noqa: E402
from segpoint_training.config import StageConfig  # noqa: E402
from segpoint_training.fit import Stage, Watch, fit, keep_memory  # noqa: E402
from segpoint_training.losses import word_loss  # noqa: E402
from segpoint_training.processes import start_processes  # noqa: E402
from segpoint_training.provenance import git_commit  # noqa: E402
from segpoint_training.questions import QuestionStates, keep_frequent  # noqa: E402
from segpoint_training.scenes.categories import TRAINED  # noqa: E402
from segpoint_training.shards import SPLITS, LabelledCloud, read_shards, write_shards  # noqa: E402
from segpoint_training.sources import Source  # noqa: E402
from segpoint_training.stage1 import MaskTrainer, Words, candidate_words, question_states  # noqa: E402
from segpoint_training.validation import validate  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="segpoint ablate", description=__doc__.split("\n")[0])
    parser.add_argument("config", help="a YAML file like config/training/ablation.yaml")
    parser.add_argument("--run", required=True, metavar="FOLDER", help="where data, checkpoints and results go")
    parser.add_argument(
        "--report", default="docs/results.md", metavar="FILE", help="Markdown file that the ablation section goes to"
    )
    args = parser.parse_args(argv)
    config, run = AblationConfig.load(args.config), Path(args.run)
    check_folder(run)
    check_target(args.report, (".md",), makes_folder=True)
    claim(config, run)
    if not all(result_path(run, name).exists() for name in config.names()):
        keep_memory()
        if not Ablation(config, run, load_material(config, run)).carry_out():
            tqdm.write("stopped; the same command goes on from here")
            return 1
    results = {name: read_result(result_path(run, name)) for name in config.names()}
    write_report(config, results, Path(args.report))
    print(f"wrote {args.report}")
    return 0


def claim(config: AblationConfig, run: Path) -> None:
    """Make the run's folder, or check that what it holds was made with these settings: others would not compare."""
    path = run / "config.json"
    wanted = json.dumps(config.decisive(), indent=2)
    if path.exists() and read_result(path) != json.loads(wanted):
        raise SegPointError(f"{run} holds an ablation with other settings ({path}); choose another --run")
    (run / "results").mkdir(parents=True, exist_ok=True)
    path.write_text(wanted)


def result_path(run: Path, name: str) -> Path:
    return run / "results" / f"{name}.json"


def read_result(path: Path) -> dict[str, Any]:
    """JSON of an ablation's folder. Raises SegPointError where it is damaged."""
    with reading(path, "delete it; the same command makes it anew"):
        result = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(result, dict) or not result:
            raise ValueError("it holds no result")
        return result


@dataclass(frozen=True)
class Material:
    """What all runs share: the two halves of the training scenes, the held-out scenes, and the frozen LLM's words."""

    pretraining: list[LabelledCloud]
    training: list[LabelledCloud]
    held_out: list[LabelledCloud]
    states: QuestionStates
    words: Words


def load_material(config: AblationConfig, run: Path) -> Material:
    """Generate what is not there yet, read it, and embed the questions; the LLM is let go afterwards."""
    everything, held_out = (
        read_shards(write_shards(run / "shards", split, config.data, config.model.cloud)) for split in SPLITS
    )
    everything = keep_frequent(everything, config.data.sentences)
    half = len(everything) // 2
    if half == 0:
        raise SegPointError("an ablation needs scenes to pretrain with and others to train with: raise train_scenes")
    sources = [Source("generated", everything, 1.0, TRAINED)]
    language = load_language(config.model, "bfloat16")
    return Material(
        everything[:half],
        everything[half:],
        held_out,
        question_states(run, sources, held_out, language, config.model.language.backbone),
        candidate_words(sources, language),
    )


class WordAlignment(nn.Module):
    """ℰ alone, pretrained: its tokens learn to look like the words for what they lie on.

    As Uni3D's encoder is aligned with CLIP's text; here token by token, with the LLM's own word embeddings.
    """

    def __init__(self, config: BundleConfig, words: Words) -> None:
        super().__init__()
        self.words = words
        width = words.category_table.shape[1]
        alone = VANILLA.config(dataclasses.replace(config, reader=ReaderConfig(layers=0)))
        self.network = SegPoint(alone, width)  # of which only ℰ is used and trained
        self.project = point_projection(config.encoder.width, width, words.category_table)

    def trained(self) -> list[nn.Parameter]:
        return [*self.network.encoder.parameters(), *self.project.parameters()]

    def forward(self, batch: Batch, stage: StageConfig) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch and its parts."""
        projected = self.project(self.network.encode(batch.inputs).f5)
        category, colour = (truth.gather(1, batch.at_token) for truth in (batch.category, batch.colour))
        categories = word_loss(projected, self.words.category_table, category)
        colours = word_loss(projected, self.words.colour_table, colour)
        parts = {"categories": float(categories.detach()), "colours": float(colours.detach())}
        return categories + 0.5 * colours, parts

    @torch.no_grad()
    def right(self, batch: Batch) -> tuple[int, int]:
        """How many tokens look most like the category that they lie on, of how many."""
        projected = self.project(self.network.encode(batch.inputs).f5)
        directions = nn.functional.normalize(self.words.category_table, dim=-1)
        named = (projected @ directions.T).argmax(dim=-1)
        truth = batch.category.gather(1, batch.at_token)
        return int((named == truth)[truth >= 0].sum()), int((truth >= 0).sum())


class VariantTrainer(MaskTrainer):
    """Stage 1's trainer of one variant, from a pretrained ℰ that is adapted as the variant says."""

    def __init__(
        self, config: BundleConfig, states: QuestionStates, words: Words, pretrained: dict[str, Tensor]
    ) -> None:
        super().__init__(config, states, words)
        missing, unexpected = self.network.encoder.load_state_dict(pretrained, strict=False)
        if unexpected or any(not name.startswith("adapters.") for name in missing):
            raise SegPointError(f"the pretrained encoder does not fit: missing {missing}, unknown {unexpected}")
        self.network.adapt()

    def train(self, mode: bool = True) -> VariantTrainer:
        """As always, but an encoder that is not tuned in full keeps the BatchNorm statistics of its pretraining."""
        super().train(mode)
        if self.network.config.encoder.adaptation != "full":
            self.network.encoder.train(False)
        return self

    def groups(self, stage: StageConfig) -> list[dict[str, Any]]:
        """What is trained, at which rate: new weights, GEM's gates, and at a lower rate what was pretrained."""
        groups: dict[str, dict[str, Any]] = {
            "weights": {"lr": stage.rate},
            "gates": {"lr": stage.gate_rate},
            "encoder": {"lr": stage.rate * stage.slower},
        }
        full = self.network.config.encoder.adaptation == "full"
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                of_encoder = full and name.startswith("network.encoder.")
                group = "gates" if name.endswith(".gate") else "encoder" if of_encoder else "weights"
                groups[group].setdefault("params", []).append(parameter)
        return [{"name": name, **group} for name, group in groups.items() if "params" in group]

    def tuned(self) -> int:
        """Parameters that are trained in ℰ, GEM and GFP: what the variants differ in."""
        parts = (self.network.encoder, self.network.gem, self.network.injections, self.network.propagation)
        return sum(p.numel() for part in parts if part for p in part.parameters() if p.requires_grad)

    def gates(self) -> list[Tensor]:
        """GEM's four gates, to be read or set; none without it."""
        return [parameter.detach() for name, parameter in self.named_parameters() if name.endswith(".gate")]


@dataclass
class Ablation:
    """All runs, one after the other; those that have a result are left out."""

    config: AblationConfig
    run: Path
    material: Material

    def carry_out(self) -> bool:
        """Every run to its end; False where a signal stopped one (its checkpoint is kept)."""
        if not result_path(self.run, PRETRAINING).exists() and not self._pretrain():
            return False
        runs = self.config.runs()
        for number, (variant, seed) in enumerate(runs, start=1):
            if not result_path(self.run, run_name(variant, seed)).exists():
                tqdm.write(f"run {number} of {len(runs)}: {variant.label}, seed {seed}")
                if not self._train(variant, seed):
                    return False
        return True

    def _pretrain(self) -> bool:
        stage, words = self.config.pretraining, self.material.words
        torch.manual_seed(0)
        alignment = WordAlignment(self.config.model, words)

        def look() -> dict[str, float]:
            scenes = min(5, len(self.material.held_out))
            batches = self._batches(self.material.held_out, dataclasses.replace(stage, scenes=scenes), 0)
            counts = [alignment.right(batches[i]) for i in range(len(self.material.held_out) // scenes)]
            right, known = (sum(column) for column in zip(*counts, strict=True))
            return {"tokens named": round(100 * right / known, 1)}

        groups = [{"name": "weights", "params": alignment.trained(), "lr": stage.rate}]
        batches = self._batches(self.material.pretraining, stage, 0)
        return self._fit(Stage(PRETRAINING, stage, alignment, {"alignment": alignment}, groups, look), batches, {})

    def _train(self, variant: Variant, seed: int) -> bool:
        stage, model = self.config.training, variant.config(self.config.model)
        pretrained = part_of(averaged_state(self.run / "stages" / PRETRAINING), "alignment.network.encoder.")
        torch.manual_seed(seed)
        trainer = VariantTrainer(model, self.material.states, self.material.words, pretrained)
        trainer.train()

        def look() -> dict[str, float]:
            figures = validate(self.config.model, self.material.held_out, trainer.answer)
            if gates := trainer.gates():
                figures["gate"] = round(float(torch.stack(gates).abs().mean()), 4)
                for gate in gates:  # the weights in training are put back after this look
                    gate.zero_()
                shut = validate(self.config.model, self.material.held_out, trainer.answer)
                figures["gates shut"] = shut[COMPARED]
            return figures

        modules: dict[str, Stateful] = {"trainer": trainer}
        stage_of_run = Stage(run_name(variant, seed), stage, trainer, modules, trainer.groups(stage), look, seed=seed)
        # The base model's config lays out the batches: they are the same for every variant.
        batches = self._batches(self.material.training, stage, seed)
        return self._fit(stage_of_run, batches, {"variant": variant.name, "seed": seed, "tuned": trainer.tuned()})

    def _batches(self, clouds: list[LabelledCloud], stage: StageConfig, seed: int) -> Batches:
        words = (self.material.words.categories, self.material.words.colours)
        source = Source("generated", clouds, 1.0, TRAINED)
        return Batches.of_stage([source], self.config.model, stage, words, seed, 1)

    def _fit(self, stage: Stage, batches: Batches, facts: dict[str, Any]) -> bool:
        """`fit`, then the result's JSON; False where it was stopped before its end."""
        folder, figures, look = self.run / "stages", {}, stage.validate

        def kept() -> dict[str, float]:
            figures.update(look())
            return figures

        folder.mkdir(exist_ok=True)
        begun = time.monotonic()
        watch = Watch(folder, start_processes("cpu"), validate_every=stage.config.steps + 1)
        if not fit(dataclasses.replace(stage, validate=kept), batches, watch):
            return False
        seconds = round(time.monotonic() - begun, 1)
        result = {**facts, "figures": figures, "seconds": seconds, "commit": git_commit()}
        path = result_path(self.run, stage.name)
        path.with_suffix(".part").write_text(json.dumps(result, indent=2))
        path.with_suffix(".part").replace(path)
        return True


if __name__ == "__main__":
    raise SystemExit(main())
