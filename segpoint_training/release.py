"""``segpoint bundle``: from a run to what the robot loads: weights, config, model card.

    segpoint bundle runs/tabletop models/segpoint-tabletop
    segpoint bundle runs/tabletop models/segpoint-tabletop --figures docs/results/tables.json docs/results/real.json

Weights are the averaged ones of the run's last checkpoint, as float16 (BatchNorm statistics float32). The card's
figures come from the JSON that ``segpoint evaluate --json`` wrote, and only from there.
"""

from __future__ import annotations

import argparse
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
from segpoint.network.segpoint import SegPoint
from segpoint.segmenter import WEIGHTS
from segpoint_training.checkpoints import FROZEN, STATE, averaged_state, steps_done
from segpoint_training.config import TrainConfig
from segpoint_training.markdown import record_markdown
from segpoint_training.provenance import short_commit
from segpoint_training.records import describe, read_record
from segpoint_training.run_log import log_lines

_GAMMA = "network.gamma.0.weight"  # (H, H): as wide as the language model
_STATISTICS = ("running_mean", "running_var", "kernel_points")  # small, and float16 would cost accuracy


def write_bundle(config: TrainConfig, run: Path, bundle: Path) -> None:
    """``bundle`` with the weights of ``run``'s stage 2, as far as it has come, and the training config beside them."""
    check_bundle_folder(bundle)
    state = {name: _narrow(name, value) for name, value in averaged_state(run / "stage2").items()}
    _check_whole(state, config.model, run / "stage2")
    if odd := [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise SegPointError(f"the run's weights are not finite in float16, first {odd[0]}: it diverged, train it again")
    bundle.mkdir(parents=True, exist_ok=True)
    save_file(state, bundle / WEIGHTS)
    (bundle / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone
    config.model.save(bundle)
    config.save(bundle / "training.yaml")
    write_card(run, bundle, [])


def write_card(run: Path, bundle: Path, figures: Sequence[Path]) -> None:
    """MODEL_CARD.md: what it is, how it was made, how large, how good, and where it fails."""
    records = [read_record(path) for path in figures]
    log = log_lines(run)
    with reading(bundle / WEIGHTS, "write the bundle again"):
        weights = load_file(bundle / WEIGHTS)
        width = weights[_GAMMA].shape[1]
    graphs = signatures(BundleConfig.load(bundle), width)
    text = _CARD.format(
        name=bundle.resolve().name,
        data=_data(bundle),
        sha256=file_hash(bundle / WEIGHTS),
        size=f"{(bundle / WEIGHTS).stat().st_size / 1e6:.1f} MB",
        parts=_parts_table(weights),
        graphs=signature_table(graphs),
        command=_command(log),
        start=_start(log),
        training=_training_table(log),
        figures="\n\n".join(_figures(record) for record in records) or "Not measured yet.",
    )
    (bundle / "MODEL_CARD.md").write_text(text)


def check_bundle_folder(folder: Path) -> None:
    """Raise SegPointError unless a bundle can be written there: over nothing but an earlier one."""
    check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "training.yaml").is_file():
        raise SegPointError(f"{folder} holds something else than a bundle and stays: give a new folder")


def _check_whole(state: dict[str, Tensor], model: BundleConfig, stage: Path) -> None:
    """Raise SegPointError unless the ``state`` in the folder of a ``stage`` has the network of ``model``, whole."""
    gamma = state.get(_GAMMA, torch.empty(0))
    with torch.device("meta"):
        network = SegPoint(model, gamma.shape[-1])
        network.adapt()  # which gives what LoRA adapts other names
    wanted = {f"network.{name}": tuple(value.shape) for name, value in network.state_dict().items()}
    held = {name: tuple(value.shape) for name, value in state.items() if name.startswith("network.")}
    if odd := sorted(name for name in wanted.keys() | held.keys() if wanted.get(name) != held.get(name)):
        found, expected = (some.get(odd[0], "not there") for some in (held, wanted))
        raise SegPointError(
            f"{stage} does not hold the network of the run's config: {len(odd)} tensors differ, first {odd[0]}, which "
            f"is {found} and should be {expected}; put back the {STATE} and {FROZEN} that were written there together, "
            f"or delete {stage} and train that stage again"
        )


def _check_trained(run: Path) -> None:
    """Raise SegPointError unless the run has come to its last stage; it tells how to go on."""
    stage = run / "stage2"
    if stage.exists() and not stage.is_dir():
        raise SegPointError(f"{stage} is a file, and the folder of a checkpoint is to be there: move it away")
    if not (stage / STATE).is_file():
        raise SegPointError(f"{run} has no checkpoint of stage 2 yet; `{_command(log_lines(run))}` goes on to it")


def _unfinished(run: Path, config: TrainConfig) -> str:
    """That a run is not at its end, in words; "" where it is."""
    done = steps_done(run / "stage2")
    return f" (unfinished: stage 2 has done {done:,} of {config.stage2.steps:,} steps)" * (done < config.stage2.steps)


def _command(log: list[dict[str, Any]]) -> str:
    return next(
        (line["command"] for line in reversed(log) if "command" in line), "segpoint train training.yaml --run RUN"
    )


def _data(bundle: Path) -> str:
    """What the bundle was trained on, from the training config beside it."""
    config = TrainConfig.load(bundle / "training.yaml")
    sets = [f"{one.name} ({one.split}, weight {one.weight:g})" for one in config.datasets]
    if config.data is not None:
        sets.insert(0, f"{config.data.train_scenes:,} generated scenes (`segpoint_training/scenes`)")
    lines = [f"- Trained on {', '.join(sets)}."]
    if config.datasets:
        lines.append("- The terms of those data sets bind whoever passes these weights on.")
    else:
        lines.append(
            "- Meant for tabletops 0.4 to 1.5 m from a depth camera, and, less well, for rooms. Not for streets."
        )
    begin = f"the published checkpoint `{Path(config.uni3d).name}`" if config.uni3d else "chance, or `--from` (below)"
    lines.append(f"- The point encoder began with {begin}.")
    lines.append(
        f"- Base language model: {config.model.language.backbone}, frozen, with LoRA; needed beside the bundle."
    )
    return "\n".join(lines)


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
    """What the run began with, where that was not chance (``--from``)."""
    starts = [line["start"] for line in log if "start" in line]  # stage 1's comes first
    if not starts:
        return ""
    fresh = ", ".join(f"`{name}`" for name in starts[0]["fresh"])
    return f"It began with {starts[0]['loaded']} tensors of an earlier stage or run; fresh were {fresh or 'none'}. "


def _figures(record: dict[str, Any]) -> str:
    """One evaluation in Markdown, with what was measured."""
    clouds = record["semantic"]["clouds"] if "semantic" in record else record["clouds"]
    return (
        f"**{describe(record)}**, {clouds} clouds (weights `{record['bundle_sha256'][:12]}`, code "
        f"`{short_commit(record['git_commit'])}`)\n\n{record_markdown(record)}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="segpoint bundle", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("bundle", type=Path, help="the bundle to write, or to write the card of")
    parser.add_argument(
        "--figures", type=Path, nargs="*", default=[], help="JSON files of `segpoint evaluate`, for the card alone"
    )
    args = parser.parse_args(argv)
    needed = [args.run / "config.yaml", *args.figures, *([args.bundle / WEIGHTS] if args.figures else [])]
    missing = [str(path) for path in needed if not path.is_file()]
    if missing:
        raise SegPointError(f"not found: {', '.join(missing)}")
    if args.figures:
        check_folder(args.bundle)
        write_card(args.run, args.bundle, args.figures)
        return 0
    check_bundle_folder(args.bundle)
    _check_trained(args.run)
    config = TrainConfig.load(args.run / "config.yaml")
    write_bundle(config, args.run, args.bundle)
    print(f"bundle: {args.bundle}{_unfinished(args.run, config)}")
    return 0


_CARD = """# {name}

A SegPoint bundle: a cloud and a sentence, a click or a box in, the points that are meant out.

- `model.safetensors`: {size}, sha256 `{sha256}`
{data}

## How it was made

```
{command}
segpoint bundle RUN {name}
```


{start}The seed and every setting are in `training.yaml`. Weights are the run's moving averages; of a bundle that was
calibrated (`python -m segpoint_training.calibrate`) `config.json` has other thresholds.

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
