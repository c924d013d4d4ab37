"""Export of a bundle's GEM, encoder and GFP to ONNX, checked against PyTorch: ``segpoint export``.

Where the graphs are needed and not there yet, they are made once, in the cache folder; a bundle that brings its own
(``segpoint export BUNDLE --out BUNDLE``) needs no exporter where it is used.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from segpoint import __version__
from segpoint.backbone import file_hash
from segpoint.bundle import load_network, read_weights
from segpoint.config import BundleConfig, default_bundle
from segpoint.engines import tensorrt as tensorrt_backend
from segpoint.engines.cache import mark_used, passing_folder, prune, turn, unwritable
from segpoint.engines.exported import MANIFEST, Exported, engine_folder, read_exported, source_hash
from segpoint.engines.graphs import Port, Signature, modules, signatures
from segpoint.engines.parity import samples
from segpoint.engines.runner import Unavailable
from segpoint.engines.vetting import check_graphs
from segpoint.errors import SegPointError
from segpoint.network.segpoint import SegPoint

OPSET = 18  # the exporter's own; every operator used has been in TensorRT's parser since version 10
TOLERANCE = 1e-4  # largest difference from PyTorch, as a share of the largest value of an output

log = logging.getLogger("segpoint.engines")


def exported(bundle: Path, config: BundleConfig, network: SegPoint, anew: bool = False) -> Exported:
    """The graphs of a bundle: its own, those in the cache, or new ones put there.

    network: with the bundle's weights.   anew: new ones in any case. Safe to interrupt and to run twice at once: one
    process makes them, the others wait for it. Raises `Unavailable` where they can neither be found nor made.
    """
    source, graphs = source_hash(bundle), signatures(config, network.language_width)
    folder = engine_folder(source)
    mark_used(folder)
    for place in () if anew else (bundle, folder):
        try:
            found = read_exported(place, source, graphs)
            if place == bundle:
                check_graphs(found)
            return found
        except SegPointError as error:
            if not str(error).startswith("no engines"):
                log.warning("%s: not used", error)
    with turn(folder.parent / ".lock", "engines are being exported"):
        try:
            if not anew:
                return read_exported(folder, source, graphs)  # another process has been faster
        except SegPointError:
            pass
        made = export(bundle, config, network, folder)
        prune(folder.parent)
        return made


def export(bundle: Path, config: BundleConfig, network: SegPoint, folder: Path) -> Exported:
    """Write a bundle's graphs into a folder, over any that are there. Raises `Unavailable` where that fails."""
    source, graphs = source_hash(bundle), signatures(config, network.language_width)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with passing_folder(folder) as made:
            _write(made, source, graphs, network)
            (folder / MANIFEST).unlink(missing_ok=True)
            for path in sorted(made.iterdir(), key=lambda path: path.name == MANIFEST):  # that one last
                os.replace(path, folder / path.name)
    except OSError as error:
        raise unwritable(folder, error) from error
    return read_exported(folder, source, graphs)


def set_up(bundle: Path, anew: bool = False) -> Exported:
    """What ``segpoint setup`` does about engines; see `exported`."""
    config = BundleConfig.load(bundle)
    return exported(bundle, config, load_network(bundle, config, read_weights(bundle)), anew)


def run(bundle: Path | None, out: Path | None, tensorrt: bool) -> str:
    """``segpoint export``: the graphs of a bundle (None: the one that ships) in a folder (None: the cache), with
    TensorRT engines of them in the cache where asked for. Returns what to tell the user."""
    folder = bundle or default_bundle()
    config = BundleConfig.load(folder)
    if tensorrt:
        tensorrt_backend.check("cuda")
    network = load_network(folder, config, read_weights(folder))
    made = export(folder, config, network, out) if out else exported(folder, config, network)
    parity = json.loads((made.folder / MANIFEST).read_text("utf-8"))["parity"]
    lines = []
    for name, signature in made.graphs.items():
        size = made.onnx(name).stat().st_size / 1e6
        lines.append(f"{name:9} {made.onnx(name)} {size:.1f} MB, differs from PyTorch by {parity[name]:.0e} at most")
        for verb, ports in (("takes", signature.inputs), ("gives", signature.outputs)):
            lines += [f"  {verb} {port.name} {port.kind} {list(port.shape)}" for port in ports]
    if tensorrt:
        lines.append(f"engines   {tensorrt_backend.open_runner(made, 'cuda', network.to('cuda')).name}")
    return "\n".join(lines)


def signature_table(graphs: Mapping[str, Signature]) -> str:
    """What the graphs take and give, as a Markdown table for the model card."""
    rows = ["| graph | | tensor | shape | dtype |", "|---|---|---|---|---|"]
    for name, signature in graphs.items():
        for way, ports in (("in", signature.inputs), ("out", signature.outputs)):
            for port in ports:
                shape = " × ".join(map(str, port.shape))
                rows.append(f"| `{name}` | {way} | `{port.name}` | {shape} | {port.kind} |")
    return "\n".join(rows)


def _write(folder: Path, source: str, graphs: dict[str, Signature], network: SegPoint) -> None:
    """All files of an export into an empty folder, checked."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise Unavailable(f"the export needs {error.name}: pip install onnx onnxscript onnxruntime") from error
    network = copy.deepcopy(network).to("cpu", torch.float32).eval()
    parts = modules(network, graphs)
    log.info("exporting %s, once, to %s", ", ".join(graphs), folder.parent)
    for number, (name, signature) in enumerate(graphs.items(), start=1):
        since = time.perf_counter()
        path = folder / f"{name}.onnx"
        to_onnx(parts[name], signature, path)
        onnx.checker.check_model(str(path), full_check=True)
        log.info("%d of %d: %s, %.1f s", number, len(graphs), path.name, time.perf_counter() - since)
    files = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
    parity = measure_parity(Exported(folder, source, graphs, files), network)
    wrong = {name: error for name, error in parity.items() if not error <= TOLERANCE}
    if wrong:
        raise Unavailable(f"the exported graphs differ from PyTorch by {wrong} of the largest value (≤ {TOLERANCE})")
    manifest = {
        "source": source,
        "files": files,
        "graphs": {name: _described(signature) for name, signature in graphs.items()},
        "opset": OPSET,
        "precision": "float32",
        "parity": {"tolerance": TOLERANCE, **parity},
        "versions": {
            "segpoint": __version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


def to_onnx(module: nn.Module, signature: Signature, path: Path) -> None:
    """Write one graph. Raises `Unavailable` where the exporter fails."""
    example = tuple(torch.zeros(port.shape, dtype=port.dtype) for port in signature.inputs)
    try:
        with _quiet_exporter(), torch.no_grad():
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                input_names=[port.name for port in signature.inputs],
                output_names=[port.name for port in signature.outputs],
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None
            program.save(path)
    except OSError:
        raise
    except Exception as error:  # whatever tracing, translating and optimising raise
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(f"{path.stem} cannot be exported to ONNX with torch {torch.__version__}: {reason}") from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter tells of every optional library that it does without, and of its own deprecated calls."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def measure_parity(exported: Exported, network: SegPoint) -> dict[str, float]:
    """For each graph the largest difference between ONNX Runtime and PyTorch: see `Sample.difference`."""
    from segpoint.engines.onnxruntime import OnnxRuntimeRunner

    runner = OnnxRuntimeRunner(exported, torch.get_num_threads())
    return {
        graph: max(sample.difference(runner.run(graph, sample.inputs)) for sample in checked)
        for graph, checked in samples(network, exported.graphs).items()
    }


def _described(signature: Signature) -> dict[str, list[dict]]:
    def ports(some: tuple[Port, ...]) -> list[dict]:
        return [{"name": port.name, "shape": list(port.shape), "dtype": port.kind} for port in some]

    return {"inputs": ports(signature.inputs), "outputs": ports(signature.outputs)}
