"""From a finished run to a bundle: weights, config, model card.

    python -m segpoint_training.release runs/default models/segpoint-tabletop \
        --figures docs/results/tables.json docs/results/rooms.json docs/results/real.json

Weights are the stages' averaged ones, as float16 (BatchNorm statistics float32). The card's figures come from the JSON
that ``segpoint evaluate --json`` wrote, and only from there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from segpoint.backbone import file_hash
from segpoint.config import BundleConfig
from segpoint.engines.export import signature_table
from segpoint.engines.graphs import signatures
from segpoint.errors import SegPointError
from segpoint.files import check_folder, reading
from segpoint.segmenter import WEIGHTS
from segpoint_training.checkpoints import averaged_state
from segpoint_training.config import TrainConfig
from segpoint_training.markdown import record_markdown
from segpoint_training.provenance import short_commit
from segpoint_training.records import describe, read_record

_STATISTICS = ("running_mean", "running_var", "kernel_points")  # small, and float16 would cost accuracy


def write_bundle(config: TrainConfig, run: Path, bundle: Path) -> None:
    """``bundle`` with the weights of ``run``'s stage 2 and the training config beside them."""
    bundle.mkdir(parents=True, exist_ok=True)
    state = {name: _narrow(name, value) for name, value in averaged_state(run / "stage2").items()}
    save_file(state, bundle / WEIGHTS)
    (bundle / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone
    config.model.save(bundle)
    config.save(bundle / "training.yaml")
    write_card(run, bundle, [])


def write_card(run: Path, bundle: Path, figures: Sequence[Path]) -> None:
    """MODEL_CARD.md: what it is, how it was made, how large, how good, and where it fails."""
    records = [read_record(path) for path in figures]
    with reading(run / "log.jsonl", "give the folder of a finished run, or take out the line that is torn"):
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    weights = load_file(bundle / WEIGHTS)
    graphs = signatures(BundleConfig.load(bundle), weights["network.gamma.0.weight"].shape[1])
    text = _CARD.format(
        sha256=file_hash(bundle / WEIGHTS),
        size=f"{(bundle / WEIGHTS).stat().st_size / 1e6:.1f} MB",
        parts=_parts_table(weights),
        graphs=signature_table(graphs),
        start=_start(log),
        training=_training_table(log),
        figures="\n\n".join(_figures(record) for record in records) or "Not measured yet.",
    )
    (bundle / "MODEL_CARD.md").write_text(text)


def _narrow(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point() or name.endswith(_STATISTICS):
        return value
    return value.to(torch.float16)


def _parts_table(state: dict[str, Tensor]) -> str:
    """Parameters and bytes of each part of the network, as they stand in the file."""
    parts: dict[str, list[Tensor]] = {}
    for name, value in state.items():
        parts.setdefault(".".join(name.split(".")[:2]).replace("language.llm", "language.lora"), []).append(value)
    rows = ["| part | parameters | bytes |", "|---|---:|---:|"]
    for name, values in sorted(parts.items()):
        count, size = sum(v.numel() for v in values), sum(v.numel() * v.element_size() for v in values)
        rows.append(f"| `{name}` | {count:,} | {size:,} |")
    return "\n".join(rows)


def _training_table(log: list[dict[str, Any]]) -> str:
    """Each start of each stage: commit, steps, wall time."""
    rows = ["| stage | commit | scenes seen | from | to |", "|---|---|---:|---|---|"]
    for begin in (line for line in log if "commit" in line):
        later = [line for line in log if line.get("stage") == begin["stage"] and line["time"] >= begin["time"]]
        until = next((line for line in later if "done" in line), later[-1])
        seen = begin["scenes"] * until.get("step", 0)
        rows.append(
            f"| {begin['stage']} | `{short_commit(begin['commit'])}` | {seen:,} | {begin['time']} | {until['time']} |"
        )
    return "\n".join(rows)


def _start(log: list[dict[str, Any]]) -> str:
    """What stage 1 began with, where that was not chance (``--from``)."""
    starts = [line["start"] for line in log if "start" in line]  # stage 1's comes first
    if not starts:
        return ""
    fresh = ", ".join(f"`{name}`" for name in starts[0]["fresh"])
    return f"Stage 1 began with {starts[0]['loaded']} tensors of an earlier run (`--from`); fresh were {fresh}. "


def _figures(record: dict[str, Any]) -> str:
    """One evaluation in Markdown, with what was measured."""
    clouds = record["semantic"]["clouds"] if "semantic" in record else record["clouds"]
    return (
        f"**{describe(record)}**, {clouds} clouds (weights `{record['bundle_sha256'][:12]}`, code "
        f"`{short_commit(record['git_commit'])}`)\n\n{record_markdown(record)}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m segpoint_training.release", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("bundle", type=Path, help="the bundle to write, or to write the card of")
    parser.add_argument(
        "--figures", type=Path, nargs="*", default=[], help="JSON files of `segpoint evaluate`, for the card alone"
    )
    args = parser.parse_args(argv)
    needed = [args.run / "config.yaml", *args.figures, *([args.bundle / WEIGHTS] if args.figures else [])]
    missing = [str(path) for path in needed if not path.is_file()]
    if missing:
        raise SegPointError(f"not found: {', '.join(missing)}")
    check_folder(args.bundle)
    if args.figures:
        write_card(args.run, args.bundle, args.figures)
    else:
        write_bundle(TrainConfig.load(args.run / "config.yaml"), args.run, args.bundle)
    return 0


_CARD = """# segpoint-tabletop

The small SegPoint that ships: a cloud of a table or a room and a sentence, a click or a box in, the points that are
meant out. Needs SmolLM2-135M-Instruct beside it (`segpoint setup`); runs on two CPU cores.

- `model.safetensors`: {size}, sha256 `{sha256}`
- Trained only on generated scenes (`segpoint_training/scenes`). No real scan and no published checkpoint was used. Base
  LLM: SmolLM2-135M-Instruct (Apache-2.0), frozen, with LoRA.
- Meant for tabletops 0.4 to 1.5 m from a depth camera, and, less well, for rooms (camera, LiDAR, map). Not for streets.

## How it was made

```
segpoint train config/training/segpoint_default.yaml --run runs/default --bundle models/segpoint-tabletop
```

{start}The seed and every setting are in `training.yaml`. Weights are the run's moving averages; `mask_threshold` and
`presence_weight` come from `python -m segpoint_training.calibrate`. What was tried, and what did not work, is in
`docs/lab-book.md`.

{training}

## Size

{parts}

## Graphs

What `segpoint export` writes as `gem.onnx`, `encoder.onnx` and `gfp.onnx`: the network without the language model and
the mask reader, in float32 and fixed shapes. `segpoint/network/` says what each tensor is.

{graphs}

## Measured

All figures in percent, from `segpoint evaluate --json`. The reference rows say what no understanding would score:
marking every cluster, a cluster at random, and the best cluster chosen with the truth. "zero-target" counts the
instructions with nothing to mark that were answered with nothing.

{figures}
"""

if __name__ == "__main__":
    raise SystemExit(main())
