"""``segpoint evaluate``: how well a bundle does what it is told, beside what geometry alone would score.

IoU is measured on the cloud's own points at full resolution, those with finite coordinates. Each cloud is encoded
once for all that is asked about it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import check_folder, check_target
from segpoint_training.baselines import REFERENCES, references, tabletop_clusters
from segpoint_training.labelled import LabelledCloud, LabelledSet, Question, folder_set, generated_set
from segpoint_training.metrics import Sample, advantage, iou, summary
from segpoint_training.provenance import git_commit

if TYPE_CHECKING:
    from segpoint.segmenter import Segmentation, Segmenter

FIRST_SEED = 900_000  # training draws its seeds from 0 up
_PICTURES = 12  # of the answers that went worst
_FRAME = "optical"


@dataclass
class Evaluation:
    """What one run gave: a row of ``items`` and of each list of samples per question, in the order asked."""

    ours: list[Sample] = field(default_factory=list)
    references: dict[str, list[Sample]] = field(default_factory=lambda: {name: [] for name in REFERENCES})
    items: list[dict[str, Any]] = field(default_factory=list)  # cloud, instruction, kind, answer, iou, …
    seconds: list[float] = field(default_factory=list)  # per cloud, all its questions

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: measures per kind, of ours and of each reference, then every item."""
        names = [item["cloud"] for item in self.items]
        return {
            "measures": {name: asdict(row) for name, row in summary(self.ours).items()},
            "references": {
                reference: {name: asdict(row) for name, row in summary(samples).items()}
                for reference, samples in self.references.items()
            },
            "over_every_cluster": dict(zip(("miou", "low", "high"), self.over_every_cluster(), strict=True)),
            "clouds": len(set(names)),
            "questions": len(names),
            "seconds_per_cloud": float(np.median(self.seconds)) if self.seconds else None,
            "items": self.items,
        }

    def over_every_cluster(self) -> tuple[float, float, float]:
        """How far ours is above marking every cluster, where there is a target: (mIoU difference, 95 % interval)."""
        wanted = [index for index, sample in enumerate(self.ours) if sample.has_target]
        if not wanted:
            return (float("nan"),) * 3
        every = self.references["every cluster"]
        clouds = [self.items[index]["cloud"] for index in wanted]
        return advantage([self.ours[i] for i in wanted], [every[i] for i in wanted], clouds)


Watcher = Callable[[LabelledCloud, Question, "Segmentation", float], None]


def evaluate(segmenter: Segmenter, data: LabelledSet, watch: Watcher | None = None) -> Evaluation:
    """Ask a segmenter everything in ``data``. ``watch`` is told of each answer: cloud, question, answer, IoU."""
    from tqdm import tqdm

    result = Evaluation()
    for cloud in tqdm(data, desc="clouds", disable=None):
        valid = np.isfinite(cloud.xyz).all(axis=1)
        start = time.perf_counter()
        texts = [question.text for question in cloud.questions]
        answers = segmenter.segment_many(cloud.xyz, texts, rgb=cloud.rgb, frame=_FRAME)
        result.seconds.append(time.perf_counter() - start)
        things = tabletop_clusters(cloud.xyz)
        for question, answer in zip(cloud.questions, answers, strict=True):
            truth = question.truth[valid]
            score = iou(answer.mask[valid], truth)
            result.ours.append(Sample(question.kind, bool(truth.any()), (score,)))
            for name, sample in references(things, question.truth, valid, question.kind).items():
                result.references[name].append(sample)
            result.items.append(
                {
                    "cloud": cloud.name,
                    "instruction": question.text,
                    "kind": question.kind,
                    "answer": answer.answer,
                    "iou": round(score, 4),
                    "points": int(answer.mask[valid].sum()),
                    "true_points": int(truth.sum()),
                    "targets": len(answer.instances),
                }
            )
            if watch:
                watch(cloud, question, answer, score)
    return result


def main(argv: list[str] | None = None) -> int:
    """The command line of ``segpoint evaluate``."""
    parser = argparse.ArgumentParser(
        prog="segpoint evaluate", description="Measure a bundle on generated scenes or on a folder of labelled clouds."
    )
    parser.add_argument("data", nargs="?", default="generated", metavar="DATA",
                        help="a folder with clouds and an instructions.json (default: generated scenes)")  # fmt: skip
    parser.add_argument("--bundle", metavar="FOLDER", help="a trained model's folder (default: the one that ships)")
    parser.add_argument("--scenes", type=int, metavar="N", help="how many clouds (default: 50 generated, or all)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, metavar="S",
                        help=f"seed of the first generated scene (default: {FIRST_SEED})")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write measures, every answer and what was measured")
    parser.add_argument("--pictures", metavar="FOLDER", help=f"draw the {_PICTURES} worst answers there")
    args = parser.parse_args(argv)
    run_evaluate(args.bundle, args.data, args.scenes, args.seed, args.json, args.pictures)
    return 0


def run_evaluate(
    bundle: str | None,
    data: str = "generated",
    scenes: int | None = None,
    seed: int = FIRST_SEED,
    json_path: str | None = None,
    pictures: str | None = None,
) -> dict[str, Any]:
    """Evaluate a bundle, print the tables, and write JSON and pictures where asked. Returns what the JSON holds."""
    if scenes is not None and scenes < 1:
        raise SegPointError(f"scenes must be at least 1, not {scenes}")
    if seed < 0:
        raise SegPointError(f"the seed must be at least 0, not {seed}")
    if json_path:
        check_target(json_path, makes_folder=True)
    if pictures:
        check_folder(pictures)
    labelled = generated_set(seed, scenes or 50) if data == "generated" else folder_set(data, scenes)
    from segpoint.config import default_bundle
    from segpoint.segmenter import Segmenter

    folder = Path(bundle) if bundle else default_bundle()
    segmenter = Segmenter.from_bundle(folder)
    worst = _Worst()
    evaluation = evaluate(segmenter, labelled, worst if pictures else None)
    record = {**_provenance(folder), **labelled.description, **evaluation.to_dict()}
    print_tables(evaluation, record)
    if pictures:
        worst.draw(Path(pictures))
    if json_path:
        target = Path(json_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(_without_nan(record), indent=1) + "\n", encoding="utf-8")
    return record


def print_tables(evaluation: Evaluation, record: dict[str, Any]) -> None:
    """Ours per kind beside the references' mIoU, then everyone's overall figures. All in percent."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    def percent(value: float) -> str:
        return "–" if value != value else f"{100 * value:.1f}"

    console = Console(width=110)
    ours = summary(evaluation.ours)
    others = {name: summary(samples) for name, samples in evaluation.references.items()}
    title = f"{escape(record['data'])}: {record['clouds']} clouds, {record['questions']} instructions, in percent"
    by_kind = Table(title=title)
    for column in ("kind", "n", "mIoU", "Acc@0.25", "Acc@0.5", *(f"{name}\nmIoU" for name in REFERENCES)):
        by_kind.add_column(column, justify="left" if column == "kind" else "right")
    for kind, row in ours.items():
        if kind == "with target":
            by_kind.add_section()
        figures = [row.miou, row.acc25, row.acc50, *(others[name][kind].miou for name in REFERENCES)]
        by_kind.add_row(escape(kind), str(row.count), *map(percent, figures))
    console.print(by_kind)

    overall = Table()
    for column in ("", "mIoU, with target", "Acc@0.25", "Acc@0.5", "zero-target accuracy"):
        overall.add_column(column, justify="left" if not column else "right")
    for name, rows in {"SegPoint": ours, **others}.items():
        row = rows["with target"]
        overall.add_row(name, *map(percent, (row.miou, row.acc25, row.acc50, rows["zero-target"].miou)))
    console.print(overall)
    gain, low, high = (100 * value for value in evaluation.over_every_cluster())
    console.print(
        f"SegPoint minus every cluster: {gain:+.1f} mIoU, 95 % interval {low:+.1f} … {high:+.1f}. "
        + ("It chooses." if low > 0 else "That does not show that it chooses."),
        highlight=False,
        soft_wrap=True,
    )


class _Worst:
    """Keeps the answers with the lowest IoU, to be drawn when all are known."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, LabelledCloud, Question, Segmentation]] = []

    def __call__(self, cloud: LabelledCloud, question: Question, answer: Segmentation, score: float) -> None:
        self._kept.append((score, cloud, question, answer))
        self._kept.sort(key=lambda entry: entry[0])
        del self._kept[_PICTURES:]

    def draw(self, folder: Path) -> None:
        """One sheet, worst.png, the truth beside each answer."""
        from segpoint.render import draw_answer, render_sheet

        folder.mkdir(parents=True, exist_ok=True)
        panels = [
            draw_answer(
                cloud.xyz, cloud.rgb, answer.mask, answer.instances, f"{question.text} [{question.kind}]",
                f"{answer.answer} IoU {score:.2f}", _FRAME, cloud.width, cloud.height, question.truth,
            )
            for score, cloud, question, answer in self._kept
        ]  # fmt: skip
        render_sheet(folder / "worst.png", panels, columns=2)


def _provenance(bundle: Path) -> dict[str, Any]:
    """What was measured with what: the bundle's files, the code's commit, the versions that decide numbers."""
    from importlib.metadata import version

    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((bundle / name).read_bytes())
    packages = ("numpy", "scipy", "torch", "transformers", "peft")
    return {
        "bundle": bundle.resolve().name,
        "bundle_sha256": digest.hexdigest(),
        "git_commit": git_commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _without_nan(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_nan(member) for member in value]
    return None if isinstance(value, float) and value != value else value
