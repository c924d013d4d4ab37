"""Generated scenes as a folder that ``segpoint evaluate`` reads: labelled PCDs and one ``instructions.json``.

A point's ``label`` is 1 on what carries the scene (the table, a room's floor), ten times the object's id on an object
(room for its parts, as in scans that people labelled part by part) and 0 where there is no object; ``target_labels``
name ids. Each row says the cloud's ``frame``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint_training.parallel import in_order
from segpoint_training.scenes.request import SceneRequest
from segpoint_training.scenes.scene import GROUND, Scene

PARTS = 10  # labels an object spans
UNFINISHED = "unfinished.jsonl"  # the rows of the scenes written so far, after a line that says what was asked for


def write_folder(folder: str | Path, requests: Sequence[SceneRequest], workers: int | None = None) -> int:
    """Write the scenes and their instructions; returns how many of these there are.

    After an interruption the same call goes on; another one raises SegPointError while the first is unfinished.
    ``instructions.json`` is written last.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / UNFINISHED
    asked = json.loads(json.dumps([asdict(request) for request in requests]))
    done = _finished(journal, asked)
    if not done:
        journal.write_text(json.dumps(asked) + "\n")
    rest = [request for request in requests if request.name not in done]
    made = in_order(partial(write_scene, folder), rest, workers=workers, describe=str(folder))
    with closing(made), journal.open("a") as file:
        for request, rows in zip(rest, made, strict=True):
            done[request.name] = rows
            file.write(json.dumps([request.name, rows]) + "\n")
            file.flush()
    rows = [row for request in requests for row in done[request.name]]
    (folder / "instructions.json").write_text(json.dumps(rows, indent=1) + "\n")
    journal.unlink()
    return len(rows)


def write_scene(folder: Path, request: SceneRequest) -> list[dict[str, Any]]:
    """Generate one scene and write it as a labelled point file, organised where it is a depth image; its rows."""
    scene = request.generate()
    file = f"{request.name}.pcd"
    label = np.where(scene.instance > GROUND, scene.instance * PARTS, scene.instance).astype(np.uint32)
    write_points(folder / file, scene.xyz, scene.rgb, {"label": label}, scene.width, scene.height)
    return rows_of(scene, file)


def rows_of(scene: Scene, file: str) -> list[dict[str, Any]]:
    """What ``instructions.json`` says about a scene."""
    return [
        {
            "file": file,
            "frame": scene.frame,
            "instruction": said.text,
            "kind": said.kind,
            "target_labels": list(said.targets),
            "target_points": int(np.isin(scene.instance, said.targets).sum()),
            **({"place": said.place} if said.place else {}),
        }
        for said in scene.instructions
    ]


def _finished(journal: Path, asked: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each scene that an interrupted call wrote, by the scene's name."""
    if not journal.is_file():
        return {}
    first, *lines = journal.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    if first != json.dumps(asked) + "\n":
        raise SegPointError(f"{journal.parent} is half-written by another command: finish that one or delete {journal}")
    return dict(json.loads(line) for line in lines if line.endswith("\n"))  # the last line may be torn
