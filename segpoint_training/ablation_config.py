"""What an ablation is made of: the variants of the paper's two tables, with its figures, and the run's settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segpoint.config import BundleConfig
from segpoint.errors import SegPointError
from segpoint_training.config import DataConfig, StageConfig, read_settings


@dataclass(frozen=True)
class Variant:
    """One row: how ℰ is adapted (`EncoderConfig.adaptation`), GEM's injection on or off, GFP on or off.

    paper: its mIoU there, on Instruct3D and on ScanRefer.
    """

    name: str
    label: str
    adaptation: str
    gem: bool
    gfp: bool
    paper: tuple[float, float]

    def config(self, base: BundleConfig) -> BundleConfig:
        """``base`` with this variant's switches."""
        return dataclasses.replace(
            base,
            encoder=dataclasses.replace(base.encoder, adaptation=self.adaptation),
            gem=dataclasses.replace(base.gem, inject=self.gem),
            gfp=dataclasses.replace(base.gfp, enabled=self.gfp),
        )


VANILLA = Variant("vanilla", "vanilla", "frozen", False, False, (16.1, 30.3))
GEM = Variant("gem", "+ GEM", "frozen", True, False, (21.4, 35.8))
GFP = Variant("gfp", "+ GFP", "frozen", False, True, (23.2, 38.1))
BOTH = Variant("both", "+ GEM + GFP", "frozen", True, True, (27.5, 41.7))
FULL = Variant("full", "full tuning", "full", False, True, (26.2, 39.1))
LORA = Variant("lora", "LoRA", "lora", False, True, (24.8, 38.5))
MLP = Variant("mlp", "MLP adapter", "mlp", False, True, (23.1, 36.8))

MODULES = (VANILLA, GEM, GFP, BOTH)
"""The first table: ℰ frozen, with and without the paper's two modules."""

ADAPTATIONS = (GFP, FULL, LORA, MLP, BOTH)
"""The second: GFP on, ℰ adapted in each way; "+ GFP" is ℰ frozen and left alone, "+ GEM + GFP" the paper's way."""


PRETRAINING = "pretraining"
COMPARED = "ungated"  # of `validate`: variants are compared by their masks, not by a presence score that silences them


def run_name(variant: Variant, seed: int) -> str:
    """What a run's checkpoint and result are called."""
    return f"{variant.name}-{seed}"


@dataclass(frozen=True)
class AblationConfig:
    """The settings of a whole ablation; read from YAML, unknown keys are errors.

    seeds, adaptation_seeds: runs of each variant of the first table; of those that are in the second alone.
    pretraining: of ℰ alone, on the first half of the scenes.   training: of every variant, on the second half.
        ``training.slower`` is the share of the rate for a pretrained encoder that is tuned in full.
    """

    pretraining: StageConfig
    training: StageConfig
    seeds: int = 3
    adaptation_seeds: int = 1
    data: DataConfig = field(default_factory=DataConfig)
    model: BundleConfig = field(default_factory=BundleConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.adaptation_seeds <= self.seeds or self.seeds < 1:
            raise SegPointError(
                f"seeds={self.seeds} must be at least 1, adaptation_seeds={self.adaptation_seeds} from 0 to seeds"
            )

    @classmethod
    def load(cls, path: str | Path) -> AblationConfig:
        return read_settings(cls, Path(path))

    def runs(self) -> list[tuple[Variant, int]]:
        """(variant, seed) of every run, a seed of both tables before the next: a stopped ablation has whole tables."""
        alone = [variant for variant in ADAPTATIONS if variant not in MODULES]
        return [
            (variant, seed)
            for seed in range(self.seeds)
            for variant, seeds in [(v, self.seeds) for v in MODULES] + [(v, self.adaptation_seeds) for v in alone]
            if seed < seeds
        ]

    def names(self) -> list[str]:
        """Of the results, in the order in which they are made: the pretraining's, then one a run."""
        return [PRETRAINING, *(run_name(variant, seed) for variant, seed in self.runs())]

    def decisive(self) -> dict[str, Any]:
        """What results depend on: all but the number of runs."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in ("seeds", "adaptation_seeds")}
