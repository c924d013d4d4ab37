"""Generated scenes as a folder that ``segpoint evaluate`` reads: labelled PCDs and one ``instructions.json``.

A point's ``label`` is 1 on what carries the scene (the table, a room's floor), ten times the object's id on an object
(room for its parts, as in scans that people labelled part by part) and 0 where there is no object; ``target_labels``
name ids. Each row says the cloud's ``frame``.

``generated.jsonl`` says whose folder it is: what was asked for, then the rows of each scene that is written. By it the
same command goes on after an interruption, and another one cannot write over what is there.
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
from segpoint.files import check_folder, check_target, reading, write_points
from segpoint_training.parallel import in_order
from segpoint_training.scenes.request import SceneRequest
from segpoint_training.scenes.scene import GROUND, Scene
from segpoint_training.stamp import generator_digest, write_whole

PARTS = 10  # labels an object spans
JOURNAL = "generated.jsonl"
INSTRUCTIONS = "instructions.json"

Rows = list[dict[str, Any]]


def write_folder(folder: str | Path, requests: Sequence[SceneRequest], workers: int | None = None) -> int:
    """Write the scenes and their instructions; returns how many of these there are.

    Scenes that the same call wrote before are kept, so that it goes on after an interruption. ``instructions.json`` is
    written last. Raises SegPointError where the folder is another call's or holds a file that would be written over.
    """
    folder = Path(folder)
    check_folder(folder)
    check_target(folder / INSTRUCTIONS, makes_folder=True)
    folder.mkdir(parents=True, exist_ok=True)
    done = _claim(folder, requests)
    rest = [request for request in requests if request.name not in done]
    made = in_order(partial(write_scene, folder), rest, workers=workers, describe=str(folder))
    with closing(made), (folder / JOURNAL).open("ab", buffering=0) as journal:
        for request, rows in zip(rest, made, strict=True):
            done[request.name] = rows
            # The line break before it ends what an interruption tore; one write keeps it apart from another process's.
            journal.write(b"\n" + json.dumps([request.name, rows]).encode())
    rows = [row for request in requests for row in done[request.name]]
    if not (folder / INSTRUCTIONS).exists():  # written last, so it is whole, and may have been corrected by hand
        write_whole(folder / INSTRUCTIONS, (json.dumps(rows, indent=1) + "\n").encode())
    return len(rows)


def write_scene(folder: Path, request: SceneRequest) -> Rows:
    """Generate one scene and write it as a labelled point file, organised where it is a depth image; its rows."""
    scene = request.generate()
    label = np.where(scene.instance > GROUND, scene.instance * PARTS, scene.instance).astype(np.uint32)
    write_points(folder / _file(request.name), scene.xyz, scene.rgb, {"label": label}, scene.width, scene.height)
    return rows_of(scene, _file(request.name))


def rows_of(scene: Scene, file: str) -> Rows:
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


def _claim(folder: Path, requests: Sequence[SceneRequest]) -> dict[str, Rows]:
    """Make the folder this call's, or find it so; the rows of the scenes that are there already, by scene."""
    journal = folder / JOURNAL
    asked = json.dumps({"generator": generator_digest(), "scenes": [asdict(one) for one in requests]}).encode()
    if not journal.exists():
        for name in (INSTRUCTIONS, *(_file(request.name) for request in requests)):
            if (folder / name).exists():
                raise SegPointError(f"{folder / name} is there already, of other origin: write elsewhere or delete it")
        write_whole(journal, asked)
        return {}
    with reading(journal, f"delete {folder}, the same command writes it anew"):
        first, *lines = journal.read_bytes().split(b"\n")
    if first != asked:
        raise SegPointError(
            f"{folder} holds the scenes of another command or another version of the generator, by the first line "
            f"of its {journal.name}: write elsewhere or delete it"
        )
    names = {request.name for request in requests}
    return dict(found for line in lines if (found := _written(folder, names, line)))


def _written(folder: Path, names: set[str], line: bytes) -> tuple[str, Rows] | None:
    """A scene and its rows from a line of the journal; None where the line is damaged or the scene's file is gone."""
    try:
        name, rows = json.loads(line)
        whole = name in names and all(isinstance(row, dict) for row in rows)
    except (ValueError, TypeError):
        return None
    return (name, rows) if whole and (folder / _file(name)).is_file() else None


def _file(name: str) -> str:
    return f"{name}.pcd"
