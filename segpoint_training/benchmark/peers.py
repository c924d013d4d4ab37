"""Parts of the method beside what else does their work, in turns: a program that `segpoint benchmark` starts.

PointCloud2 messages are `segpoint_ros.message_benchmark`'s.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pykdtree.kdtree import KDTree
from torch import Tensor

from segpoint.cloud import prepare
from segpoint.config import BundleConfig
from segpoint.engines.runner import BACKENDS, Engines, Unavailable, choose
from segpoint.files import read_points
from segpoint.neighbourhoods import farthest_points
from segpoint.network.answers import Question
from segpoint.network.inputs import PointInputs, collate
from segpoint.network.language import PointLanguageModel
from segpoint.network.segpoint import SegPoint
from segpoint.prompts import instruction_question
from segpoint.segmenter import Segmenter
from segpoint.turns import take_turns
from segpoint_training.benchmark.bounds import bounds
from segpoint_training.benchmark.cases import answer_program
from segpoint_training.benchmark.pipeline import STANDING, device_of

NEIGHBOURS = 32

Group = dict[str, Any]
"""what: the work; seconds: of each who does it, "ours" first; notes, missing: about some of them, by name."""


@torch.no_grad()
def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """All groups, and what the machine could do at best. spec: bundle, cloud, frame, repeats, threads."""
    folder, repeats = Path(spec["bundle"]), spec["repeats"]
    segmenter = Segmenter.from_bundle(folder)
    points = read_points(spec["cloud"])
    cloud = prepare(points.xyz, points.rgb, spec["frame"], segmenter.config.cloud)
    inputs = collate([cloud], segmenter.config)
    tokens = segmenter.engines.encode(inputs.to(segmenter.device))
    voxels, levels = cloud.xyz[: cloud.count], segmenter.config.gfp.levels
    groups = [
        *engines(folder, segmenter.config, segmenter.network, inputs, repeats),
        *questions(segmenter.language, tokens.f5, repeats),
        farthest(voxels, min(levels[1], cloud.count - 1), repeats),
        nearest(voxels, min(NEIGHBOURS, cloud.count), spec["threads"], repeats),
    ]
    return {"groups": groups, "bounds": bounds(segmenter, inputs, STANDING, repeats)}


def engines(folder: Path, config: BundleConfig, network: SegPoint, inputs: PointInputs, repeats: int) -> list[Group]:
    """GEM, the encoder and GFP on PyTorch and on every other runner that works on the same device."""
    groups = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        here = copy.deepcopy(network).to(device)
        runs: dict[str, Callable[[], list[Tensor]]] = {}
        missing = {}
        for backend in BACKENDS[1:]:
            if backend != "torch" and (device_of(backend) == "cpu") != (device == "cpu"):
                continue
            try:
                runs[backend] = _whole(choose(backend, folder, config, here, device), inputs.to(device), network)
            except Unavailable as error:
                missing[backend] = str(error)
        reference = runs["torch"]()
        found = {name: _difference(run(), reference) for name, run in runs.items() if name != "torch"}
        notes = {name: f"differs by {value:.0e} of the largest value" for name, value in found.items()}
        what = f"GEM + encoder + GFP, N = {config.cloud.points:,}, {device}"
        groups.append(
            {"id": f"engines {device}", "what": what, "seconds": take_turns(runs, repeats), "notes": notes,
             "missing": missing}
        )  # fmt: skip
    return groups


def _whole(engines: Engines, inputs: PointInputs, network: SegPoint) -> Callable[[], list[Tensor]]:
    """Everything that engines compute of a cloud, brought back to the CPU."""
    config = network.config
    hidden = torch.randn(1, config.encoder.tokens, network.language_width, generator=torch.Generator().manual_seed(0))
    hidden = hidden.to(inputs.points.device)

    @torch.inference_mode()
    def run() -> list[Tensor]:
        tokens = engines.encode(inputs)
        features = engines.propagate(tokens, hidden, inputs)
        return [tensor.cpu() for tensor in (tokens.f5, features.dense)]

    return run


def _difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest, as a share of the largest value."""
    pairs = zip(found, expected, strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


def questions(language: PointLanguageModel, tokens: Tensor, repeats: int) -> list[Group]:
    """Keys and values of the points kept, and an earlier answer as a draft, against neither."""
    prefix, text = language.encode_points(tokens), instruction_question(STANDING)
    asked = Question(text, -torch.inf, draft=())  # an answer with a target: the longer kind
    answer = language.answers(prefix, [asked])[0]
    drafts = {
        "the answer of before as a draft": answer.read,
        "its own words as drafts": None,
        "no draft": (),
        "a wrong draft": tuple((token + 1) % 1000 for token in answer.read),
    }
    drafted = {name: Question(text, -torch.inf, draft=draft) for name, draft in drafts.items()}
    notes = {}
    for name, question in drafted.items():
        found = language.answers(prefix, [question])[0].text
        notes[name] = f"the same text: {found}" if found == answer.text else f"ANOTHER TEXT: {found}"
    cached = {
        "points kept": lambda: language.answers(prefix, [asked]),
        "points read again": lambda: language.answers(language.encode_points(tokens), [asked]),
    }
    runs = {name: lambda each=each: language.answers(prefix, [each]) for name, each in drafted.items()}  # type: ignore[misc]
    return [
        {"id": "cache", "what": f"a question, {tokens.shape[1]} point tokens", "seconds": take_turns(cached, repeats)},
        {"id": "draft", "what": f"an answer of {len(answer.read) + 1} tokens", "notes": notes,
         "seconds": take_turns(runs, repeats)},
    ]  # fmt: skip


def farthest(points: np.ndarray, count: int, repeats: int) -> Group:
    """Farthest point sampling; ours is fpsample's bucket form."""
    all_fine = np.ones(len(points), bool)
    runs: dict[str, Callable[[], np.ndarray]] = {
        "ours (fpsample)": lambda: farthest_points(points, all_fine, count, 1.0),
        "NumPy": lambda: naive_farthest(points, count),
    }
    missing = {}
    try:
        open3d = import_module("open3d")
        held = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
        runs["Open3D"] = lambda: np.asarray(held.farthest_point_down_sample(count).points)
    except (ImportError, OSError) as error:
        missing["Open3D"] = f"pip install open3d ({error})"
    notes = {}
    for name, run in runs.items():
        chosen = run()
        away = KDTree(points[chosen] if chosen.ndim == 1 else chosen.astype(np.float32)).query(points)[0].max()
        notes[name] = f"no point is farther than {1000 * away:.2f} mm from one chosen"
    what = f"farthest {count:,} of {len(points):,} points"
    return {"id": "fps", "what": what, "seconds": take_turns(runs, repeats), "notes": notes, "missing": missing}


def naive_farthest(points: np.ndarray, count: int) -> np.ndarray:
    """(count,) indices, by the definition."""
    chosen = np.zeros(count, np.int64)
    away = np.full(len(points), np.inf, np.float32)
    for i in range(1, count):
        np.minimum(away, ((points - points[chosen[i - 1]]) ** 2).sum(axis=1), out=away)
        chosen[i] = away.argmax()
    return chosen


def nearest(points: np.ndarray, k: int, threads: int, repeats: int) -> Group:
    """The k nearest of all points to each of them, trees built each time; ours is pykdtree."""
    from scipy.spatial import cKDTree

    points = np.ascontiguousarray(points, np.float32)
    runs: dict[str, Callable[[], Any]] = {
        "ours (pykdtree)": lambda: KDTree(points).query(points, k=k),
        "scipy": lambda: cKDTree(points).query(points, k=k, workers=threads),
    }
    missing = {}
    try:
        core = import_module("open3d").core
    except (ImportError, OSError) as error:
        missing["Open3D"] = f"pip install open3d ({error})"
    else:
        runs["Open3D"] = lambda: _open3d_nearest(core, points, k)
    what = f"{k} nearest of {len(points):,} points to each"
    return {"id": "knn", "what": what, "seconds": take_turns(runs, repeats), "missing": missing}


def _open3d_nearest(core: Any, points: np.ndarray, k: int) -> Any:
    held = core.Tensor(points)
    search = core.nns.NearestNeighborSearch(held)
    search.knn_index()
    return search.knn_search(held, k)


def main(argv: list[str]) -> int:
    return answer_program(argv, measure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
