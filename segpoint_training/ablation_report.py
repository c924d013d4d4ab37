"""The ablation's section of a Markdown file: two tables beside the paper's, and what their orderings say.

Every sentence about a result is made from the numbers, so that another run of the command tells its own story.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segpoint_training.ablation_config import (
    ADAPTATIONS,
    BOTH,
    COMPARED,
    FULL,
    GEM,
    GFP,
    LORA,
    MLP,
    MODULES,
    PRETRAINING,
    VANILLA,
    AblationConfig,
    Variant,
    run_name,
)
from segpoint_training.ablation_plot import draw
from segpoint_training.markdown import with_section
from segpoint_training.scenes.scene import KINDS

BEGIN, END = "<!-- ablation -->", "<!-- /ablation -->"

ORDERS = ((VANILLA, GEM), (VANILLA, GFP), (GEM, BOTH), (GFP, BOTH), (GEM, GFP))
WAYS = ((FULL, BOTH), (LORA, BOTH), (MLP, BOTH), (GFP, BOTH))
"""Pairs (worse, better) as the paper found them."""

Results = Mapping[str, Mapping[str, Any]]


def write_report(config: AblationConfig, results: Results, path: Path) -> None:
    """Put the section between its markers in ``path`` (made, or added at the end, where there is none) and the plot
    at ``results/ablation.png`` beside it. results: by name, as `AblationConfig.names` lists them."""
    picture = path.parent / "results" / "ablation.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    rows = dict.fromkeys((*MODULES, *ADAPTATIONS))
    draw(picture, [(v.label, [f[COMPARED] for f in figures(results, v)], v.paper[1]) for v in rows])
    text = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    path.write_text(with_section(text, BEGIN, END, section(config, results)), encoding="utf-8")


def section(config: AblationConfig, results: Results) -> str:
    """The whole section in Markdown."""
    both = range(config.seeds), range(config.adaptation_seeds)
    parts = [
        "## Ablation",
        _set_up(config, results),
        f"### GEM and GFP, {_seeds(config.seeds)}",
        table(results, MODULES, both[0]),
        *_verdicts(results, ORDERS, both[0]),
    ]
    if config.adaptation_seeds:
        parts += [
            f"### How ℰ is adapted, {_seeds(config.adaptation_seeds)}",
            table(results, ADAPTATIONS, both[1]),
            *_verdicts(results, WAYS, both[1]),
        ]
    return "\n\n".join([*parts, "![ablation](results/ablation.png)", "### Why", *_reasons(config, results)])


def figures(results: Results, variant: Variant, seeds: Iterable[int] | None = None) -> list[Mapping[str, float]]:
    """A variant's figures in per cent, one mapping a seed; of all seeds that it was run with where none are given."""
    if seeds is None:
        seeds = [int(name.rsplit("-", 1)[1]) for name in results if name.rsplit("-", 1)[0] == variant.name]
    return [results[run_name(variant, seed)]["figures"] for seed in seeds]


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; the mean alone of one value."""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.1f}"


def table(results: Results, variants: Sequence[Variant], seeds: Iterable[int]) -> str:
    """Figures of each variant over ``seeds``, the paper's mIoU last."""
    seeds = list(seeds)
    kinds = [kind for kind in KINDS if kind in figures(results, variants[0], seeds)[0]]
    columns = {COMPARED: "**mIoU**", "with target": "gated", **{kind: kind for kind in kinds}}
    if all(run["with target"] == run[COMPARED] for variant in variants for run in figures(results, variant, seeds)):
        del columns["with target"]
    titles = ["", *columns.values(), "trained", "paper: Instruct3D", "ScanRefer"]
    lines = [" | ".join(titles), " | ".join(["---", *["---:"] * (len(titles) - 1)])]
    for variant in variants:
        runs = figures(results, variant, seeds)
        tuned = results[run_name(variant, seeds[0])]["tuned"]
        cells = [spread([run[column] for run in runs]) for column in columns]
        lines.append(" | ".join([variant.label, *cells, f"{tuned / 1e6:.2f} M", *map(str, variant.paper)]))
    return "\n".join(f"| {line} |" for line in lines)


def noise(results: Results) -> float | None:
    """Standard deviation of a run over seeds, pooled over all variants with several; None where no seed repeats."""
    groups = [[f[COMPARED] for f in figures(results, v)] for v in dict.fromkeys((*MODULES, *ADAPTATIONS))]
    variances = [(len(group) - 1, statistics.variance(group)) for group in groups if len(group) > 1]
    freedom = sum(n for n, _ in variances)
    return math.sqrt(sum(n * v for n, v in variances) / freedom) if freedom else None


def difference(results: Results, low: Variant, high: Variant, seeds: Iterable[int]) -> list[float]:
    """How much better ``high`` did than ``low``, by seed."""
    seeds = list(seeds)
    pairs = zip(figures(results, low, seeds), figures(results, high, seeds), strict=True)
    return [better[COMPARED] - worse[COMPARED] for worse, better in pairs]


def verdict(differences: Sequence[float], deviation: float | None) -> str:
    """Whether ``differences`` (by seed) put the better one where the paper does: "agrees", "differs" or "undecided".

    Undecided within two standard errors of a difference of means, ``deviation`` being that of one run.
    """
    mean = statistics.fmean(differences)
    if deviation is None or abs(mean) < 2 * deviation * math.sqrt(2 / len(differences)):
        return "undecided"
    return "agrees" if mean > 0 else "differs"


def _verdicts(results: Results, pairs: Sequence[tuple[Variant, Variant]], seeds: Sequence[int]) -> list[str]:
    deviation = noise(results)
    lines, counts = [], dict.fromkeys(("agrees", "undecided", "differs"), 0)
    for low, high in pairs:
        by_seed = difference(results, low, high, seeds)
        said = verdict(by_seed, deviation)
        counts[said] += 1
        theirs = ", ".join(f"{b - a:+.1f}" for a, b in zip(low.paper, high.paper, strict=True))
        wins = sum(value > 0 for value in by_seed)
        lines.append(
            f"- {high.label} over {low.label}: {statistics.fmean(by_seed):+.1f} points, ahead in {wins} of "
            f"{_seeds(len(by_seed))} (the paper: {theirs}): **{said}**."
        )
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    if deviation is None:
        yardstick = "With one seed there is no measure of the noise: nothing is decided."
    else:
        margin = 2 * deviation * math.sqrt(2 / len(seeds))
        yardstick = (
            f"A run's mIoU varies by {deviation:.1f} (sd over seeds, pooled): a difference here counts from "
            f"{margin:.1f} points on (two standard errors), a smaller one is undecided."
        )
    return [f"{yardstick} The paper's orderings: {told}.", "\n".join(lines)]


def _set_up(config: AblationConfig, results: Results) -> str:
    before, stage, data = config.pretraining, config.training, config.data
    hours = sum(result["seconds"] for result in results.values()) / 3600
    commits = sorted({result["commit"][:7] for result in results.values() if result.get("commit")})
    made = f" at commit {', '.join(commits)}" if commits else ""
    reader = (
        f"The mask reader ({config.model.reader.layers} layers), which the paper does not have, is on in all rows"
        if config.model.reader.layers
        else "The mask reader is off in all rows, as in the paper"
    )
    return (
        f"Training stage 1's set-up, not the whole method: no LLM in the loop, its place taken by the frozen LLM's "
        f"states of the question. {reader}. ℰ ({config.model.encoder.width} wide, {config.model.encoder.depth} layers) "
        f"is first pretrained alone on one half of {data.train_scenes:,} generated scenes ({before.steps} steps of "
        f"{before.scenes} scenes; its tokens learn the words for what they lie on). Each row starts from that same ℰ "
        f"and is trained on the other half: {stage.steps} steps of {stage.scenes} scenes × {stage.questions} "
        f"instructions, the same batches for every row of a seed, BCE and DICE as in the paper with the object, "
        f"presence and instance losses of ours. What is trained of ℰ in full tuning takes {stage.slower:g} of the "
        f"rate. Measured on {data.validation_scenes} held-out scenes, on voxels, thresholds at 0.5, in per cent: mIoU "
        f"is of the masks of instructions with a target; that of each kind (and “gated”, where it makes a difference) "
        f"also asks the presence score whether there is a target at all; zero-target is the share of empty answers "
        f"there. “Trained” counts parameters in ℰ, GEM and GFP. The paper's figures are of other data and of "
        f"far more training: its orderings are what can be compared. All of it took {hours:.1f} h{made}."
    )


def _reasons(config: AblationConfig, results: Results) -> list[str]:
    seeds = {True: range(config.seeds), False: range(config.adaptation_seeds)}
    lines = []
    for variant in (GEM, BOTH):
        runs = figures(results, variant, seeds[True])
        lost = [run[COMPARED] - run["gates shut"] for run in runs]
        lines.append(
            f"- {variant.label}: GEM's gates end at {statistics.fmean([run['gate'] for run in runs]):.3f} on average. "
            f"Shut after training, the mIoU falls by {spread(lost)} points: so much does the injection itself do."
        )
    named = results[PRETRAINING]["figures"]["tokens named"]
    deviation = noise(results)
    if config.adaptation_seeds:
        gaps = {v.label: difference(results, v, BOTH, seeds[False]) for v in (FULL, LORA, MLP)}
        ahead = {label: verdict(gap, deviation) for label, gap in gaps.items() if statistics.fmean(gap) < 0}
        if ahead:
            names = ", ".join(
                f"{label} ({'beyond' if said == 'differs' else 'within'} the noise)" for label, said in ahead.items()
            )
            lines.append(
                f"- Better here than GEM: {names}. This ℰ saw {config.pretraining.steps} × "
                f"{config.pretraining.scenes} scenes before it was frozen and names {named:.0f} % of the held-out "
                "scenes' tokens: it leaves more to learn than the paper's Uni3D, pretrained on about a million shapes."
            )
        else:
            lines.append(
                f"- The pretrained ℰ names {named:.0f} % of the held-out scenes' tokens. No other way of adapting it "
                "did better than GEM."
            )
    return ["\n".join(lines)]


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
