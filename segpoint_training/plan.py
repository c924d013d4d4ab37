"""``segpoint train --dry-run``: what a run would train, hold in memory and see, before it is started.

Nothing is loaded: parameters are counted on shapes (`parameters`), memory is calculated (`memory`, `activations`), and
of data sets only the lists of scans are read, where their folders are there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from segpoint.errors import SegPointError
from segpoint_training.activations import Packed
from segpoint_training.backbones import backbone_shape
from segpoint_training.config import DatasetConfig, StageConfig, TrainConfig
from segpoint_training.datasets import open_dataset
from segpoint_training.memory import STRATEGIES, Memory, machine_memory, stage_memory
from segpoint_training.parameters import Part, count_parts

_BEFORE = 4  # tokens before the points
# Tokens of a question and its answer in LLaMA2's vocabulary: a sentence of 20 words in its template; a question for
# every category, where ScanNet200's are written out and 25 of them are there.
_QUESTION, _ANSWER = 36, 6
_EVERY_QUESTION, _EVERY_ANSWER, _EVERY_SEGS = 620, 110, 25


@dataclass(frozen=True)
class Seen:
    """What a stage sees of one origin: its share of the clouds, how many are drawn, and how many there are, None where
    that is not known here."""

    name: str
    share: float
    drawn: float
    held: int | None


@dataclass(frozen=True)
class StagePlan:
    """One stage: its parts, the memory of one process, and what it sees. clouds: of one process at once."""

    name: str
    config: StageConfig
    parts: tuple[Part, ...]
    packed: Packed
    clouds: int
    memory: Memory
    seen: tuple[Seen, ...]


@dataclass(frozen=True)
class Plan:
    """A run's stages, who shares them, and what to think of before starting it.

    device: "cuda" or "cpu".   available: bytes that a process has here, None where there is no such device.
    unread: why data sets cannot be read whose folders are there.
    """

    stages: tuple[StagePlan, ...]
    processes: int
    strategy: str
    device: str
    available: int | None
    warnings: tuple[str, ...]
    unread: tuple[str, ...]


def plan(config: TrainConfig, processes: int = 1, strategy: str = STRATEGIES[0], device: str = "auto") -> Plan:
    """What a run of ``config`` needs of each of ``processes``.

    strategy: one of STRATEGIES.   device: "cuda" (also where there is none here), "cpu", or "auto", what is here.
    Raises SegPointError for a backbone whose shape is not known, or clouds that cannot be shared out. What is not here
    is no reason: see `segpoint_training.needs`.
    """
    if strategy not in STRATEGIES:
        raise SegPointError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r:.80}")
    if device not in ("auto", "cuda", "cpu"):
        raise SegPointError(f"--device must be auto, cpu or cuda, got {device!r:.80}")
    here, memory = machine_memory()
    device = here if device == "auto" else device
    if device == "cpu" and strategy != "ddp":
        raise SegPointError(f"strategy {strategy} needs GPUs: plan with --device cuda, or ddp")
    available = None if device != here else memory // processes if here == "cpu" else memory
    unread: dict[str, list[str]] = {}
    held = [_held(settings, unread) for settings in config.datasets]
    for settings in config.validation:
        _held(settings, unread)
    stages = tuple(
        _stage(config, name, stage, held, processes, strategy, device)
        for name, stage in (("stage1", config.stage1), ("stage2", config.stage2))
        if stage is not None
    )
    told = tuple(f"{', '.join(names)}: {why}" for why, names in unread.items())
    return Plan(stages, processes, strategy, device, available, tuple(_warnings(stages, available)), told)


def expected_sequence(config: TrainConfig, stage: StageConfig) -> Packed:
    """The LLM's sequence about one cloud, as long as it is to be expected of LLaMA2's tokenizer."""
    own = stage.questions - stage.every
    asked = own * _QUESTION + stage.every * _EVERY_QUESTION
    answered = own * _ANSWER + stage.every * _EVERY_ANSWER
    tokens = _BEFORE + config.model.encoder.tokens + asked + answered
    longest = _EVERY_QUESTION if stage.every else _QUESTION
    return Packed(tokens, answered, own + stage.every * _EVERY_SEGS, longest)


def _stage(
    config: TrainConfig,
    name: str,
    stage: StageConfig,
    held: list[int | None],
    processes: int,
    strategy: str,
    device: str,
) -> StagePlan:
    clouds, left = divmod(stage.scenes, processes * stage.accumulate)
    if left or not clouds:
        raise SegPointError(
            f"{name}.scenes: {stage.scenes} clouds a step cannot be shared by {processes} processes, each taking its "
            f"share in {stage.accumulate} parts (accumulate); change one of the three"
        )
    parts, packed = count_parts(config, name), expected_sequence(config, stage)
    shape = backbone_shape(config.model.language.backbone)
    memory = stage_memory(config.model, stage, parts, shape, packed, clouds, processes, strategy, device)
    return StagePlan(name, stage, tuple(parts), packed, clouds, memory, tuple(_seen(config, stage, held)))


def _held(settings: DatasetConfig, unread: dict[str, list[str]]) -> int | None:
    """How many scans a data set has; None where it cannot be read, and then its name in ``unread`` under the reason,
    unless it is that a folder is not there."""
    if not all(map(os.path.isdir, (settings.root, settings.scans or settings.root))):
        return None
    try:
        return len(open_dataset(settings).scans)
    except SegPointError as error:
        unread.setdefault(str(error), []).append(f"{settings.name}-{settings.split}")
        return None


def _seen(config: TrainConfig, stage: StageConfig, held: list[int | None]) -> list[Seen]:
    origins = [(f"{s.name}-{s.split}", s.weight, count) for s, count in zip(config.datasets, held, strict=True)]
    if config.data is not None:
        origins.insert(0, ("generated", 1.0, config.data.train_scenes))
    total = sum(weight for _, weight, _ in origins)
    clouds = stage.steps * stage.scenes
    return [Seen(name, weight / total, clouds * weight / total, count) for name, weight, count in origins]


def _warnings(stages: tuple[StagePlan, ...], available: int | None) -> list[str]:
    told = []
    for stage in stages:
        settings, need = stage.config, stage.memory.total
        if available is not None and need > available:
            told.append(
                f"{stage.name} needs about {_gib(need)} a process, and there are {_gib(available)}. What helps, in "
                "this order: a larger accumulate (fewer clouds at once), checkpointing: true, "
                "model.language.quantization: nf4, more processes with fsdp"
            )
        if settings.warmup >= settings.steps:
            told.append(f"{stage.name} is over before its {settings.warmup} steps of warm-up are")
    return told


# Printing ---------------------------------------------------------------------------------------------------------


def print_plan(plan: Plan) -> None:
    """The plan as tables on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    where = {"cuda": "GPU", "cpu": "CPU"}[plan.device]
    console.print(f"{plan.processes} × {where}, {plan.strategy}", highlight=False)
    for stage in plan.stages:
        console.print(f"\n[bold]{stage.name}[/bold]: {_schedule(stage)}", highlight=False)
        for title, columns, rows in (
            ("parameters", ("", "trained", "frozen"), _parameter_rows(stage)),
            ("memory of one process, by calculation", ("", "GiB"), _memory_rows(stage.memory)),
            ("clouds", ("", "share", "drawn", "there", "epochs"), _cloud_rows(stage)),
        ):
            table = Table(title=title, title_justify="left", title_style="italic")
            for number, column in enumerate(columns):
                table.add_column(column, justify="right" if number else "left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
    if plan.available is None:
        console.print(f"no {where} here to compare that with", highlight=False)
    _print_lines("warning", "yellow", plan.warnings)
    print_missing(plan.unread)


def print_missing(lines: Sequence[str]) -> None:
    """What `needs.missing` and `Plan.unread` tell, a line each."""
    _print_lines("missing", "bold red", lines)


def _print_lines(word: str, style: str, lines: Sequence[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    for line in lines:  # each stays one line, to be copied
        Console(soft_wrap=True).print(Text.assemble((word, style), ": ", line), highlight=False)


def _schedule(stage: StagePlan) -> str:
    settings, packed = stage.config, stage.packed
    falls = "to nothing in a straight line" if settings.schedule == "linear" else "to a hundredth by a cosine"
    asked = f"{settings.questions} questions each"
    if any(part.name == "LoRA" for part in stage.parts):
        asked += f" (a sequence of about {packed.tokens} tokens)"
    return (
        f"{settings.steps:,} steps of {settings.scenes} clouds, {stage.clouds} at once in a process, {asked}; rate "
        f"{settings.rate:g} after {settings.warmup} steps of warm-up, then {falls}; {settings.precision}"
        f"{', checkpointing' if settings.checkpointing else ''}"
    )


def _parameter_rows(stage: StagePlan) -> list[tuple[str, ...]]:
    rows = [(part.name, f"{part.trained:,}", f"{part.frozen:,}") for part in stage.parts]
    trained, frozen = (sum(getattr(part, name) for part in stage.parts) for name in ("trained", "frozen"))
    return [*rows, ("all", f"{trained:,}", f"{frozen:,}")]


def _memory_rows(memory: Memory) -> list[tuple[str, ...]]:
    rows = {
        "weights": memory.weights,
        "weights fetched for the moment": memory.gathered,
        "gradients": memory.gradients,
        "AdamW's states": memory.optimizer,
        "moving average": memory.average,
        **{f"activations: {part}": count for part, count in memory.activations.items()},
        "weights rounded by autocast": memory.rounded,
        "passing": memory.passing,
        "context, gaps": memory.rest,
        "all": memory.total,
    }
    return [(name, f"{count / 2**30:.2f}") for name, count in rows.items() if count]


def _cloud_rows(stage: StagePlan) -> list[tuple[str, ...]]:
    return [
        (
            seen.name,
            f"{seen.share:.0%}",
            f"{seen.drawn:,.0f}",
            "not known" if seen.held is None else f"{seen.held:,}",
            f"{seen.drawn / seen.held:.1f}" if seen.held else "",
        )
        for seen in stage.seen
    ]


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
