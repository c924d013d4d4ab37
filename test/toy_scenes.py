"""Scenes of boxes with names, for tests of what is said about scenes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from segpoint_training.scenes.instructions import write_instructions
from segpoint_training.scenes.phrasing import TEST, TRAIN
from segpoint_training.scenes.prevalence import ROOM, TABLE
from segpoint_training.scenes.scene import Instruction, Scene, SceneObject

TABLE_TOP = SceneObject(1, "table", "brown", (0.9, 0.0, -0.02), (1.2, 1.4, 0.04), "upright", 0, 90000)
FLOOR = SceneObject(1, "floor", "", (3.0, 0.0, 0.0), (6.0, 5.0, 0.0), "upright", 0, 90000)
SIZES = {
    "mug": (0.11, 0.09, 0.10), "cup": (0.08, 0.08, 0.08), "bowl": (0.16, 0.16, 0.07), "plate": (0.24, 0.24, 0.03),
    "can": (0.066, 0.066, 0.12), "bottle": (0.07, 0.07, 0.24), "box": (0.15, 0.10, 0.12), "book": (0.20, 0.15, 0.03),
    "ball": (0.10, 0.10, 0.10), "banana": (0.18, 0.06, 0.04), "apple": (0.08, 0.08, 0.08), "vase": (0.1, 0.1, 0.2),
    "chair": (0.5, 0.5, 0.9), "sofa": (0.9, 2.0, 0.8), "table": (1.0, 1.6, 0.75), "desk": (0.7, 1.4, 0.75),
    "bed": (2.0, 1.5, 0.5), "lamp": (0.3, 0.3, 1.5), "bookcase": (0.3, 1.0, 2.0), "rug": (2.0, 1.5, 0.01),
    "nightstand": (0.45, 0.45, 0.5),
}  # fmt: skip
_COLOURS = ("red", "blue", "white", "black", "green", "yellow", "gray", "brown", "orange", "pink", "purple", "")
_COLOUR_SHARES = (0.1, 0.1, 0.15, 0.1, 0.08, 0.07, 0.05, 0.07, 0.04, 0.03, 0.03, 0.18)


def thing(id: int, category: str, x: float, y: float, colour: str = "", scale: float = 1.0, **other) -> SceneObject:
    size = tuple(scale * s for s in SIZES.get(category, (0.1, 0.1, 0.1)))
    low = other.pop("low", 0.0)
    given = {"pose": "upright", "support": 1, "points": 3000, "printed": category == "box"} | other
    return SceneObject(id, category, colour, (x, y, low + size[2] / 2), size, **given)


def scene_of(*objects: SceneObject) -> Scene:
    """A table whose picture shows nothing: all but what is hidden can be said about it."""
    none = np.zeros(1, np.int32)
    objects = (TABLE_TOP, *objects)
    return Scene(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8), none, 640, 480, objects, 0, "none")


def room_of(*objects: SceneObject, frame: str = "optical", **other) -> Scene:
    scene = replace(scene_of(*objects), scale="room", frame=frame, **other)
    return replace(scene, objects=(FLOOR, *objects))


def everything_said(scene: Scene, split: str = "train", times: int = 25, count: int = 40) -> dict[str, Instruction]:
    said: dict[str, Instruction] = {}
    for seed in range(times):
        for i in write_instructions(scene, np.random.default_rng(seed), split, count):
            assert said.get(i.text, i).targets == i.targets, f"{i.text!r} means two things"
            said[i.text] = i
    return said


def bare_phrase(text: str) -> str:
    """A sentence without frame, article, case and full stop."""
    found = [text.rstrip(".")]
    for frame in TRAIN.all() | TEST.all():
        pattern = re.escape(frame).replace(r"\{be\}", "(?:is|are)")
        pattern = re.sub(r"\\\{(np|bare)\\\}", "(.+)", pattern)
        if match := re.fullmatch(pattern, text, re.IGNORECASE):
            found.append(match.group(1))
    phrase = min(found, key=len)
    return re.sub(r"^(The|the|An?|an?) ", "", phrase)


def phrases(said: dict[str, Instruction]) -> dict[str, Instruction]:
    return {bare_phrase(text): instruction for text, instruction in said.items()}


def random_scene(seed: int, is_room: bool = False) -> Scene:
    """Things drawn as often as the generator draws them, in random places."""
    rng = np.random.default_rng(seed)
    shares = {k: v for k, v in (ROOM if is_room else TABLE).items() if k != "wall"}
    names, weights = list(shares), np.array(list(shares.values()))
    kinds = [str(n) for n in rng.choice(names, size=int(rng.integers(1, 10)), p=weights / weights.sum())]
    if len(kinds) > 1 and rng.random() < 0.75:
        copies = int(rng.integers(2, min(len(kinds), 4) + 1))
        kinds[:copies] = [kinds[0]] * copies
    unit = 4.0 if is_room else 1.0
    placed: list[SceneObject] = []
    for number, kind in enumerate(kinds):
        spots = [rng.uniform((0.6, -0.5), (1.5, 0.5)) * unit for _ in range(30)]
        free = (p for p in spots if all(np.hypot(*(p - o.centre[:2])) > 0.14 * unit for o in placed))
        x, y = next(free, spots[0])
        colour = str(rng.choice(_COLOURS, p=_COLOUR_SHARES))
        pose = str(rng.choice(["upright", "lying", "upside down"], p=[0.85, 0.1, 0.05]))
        material = str(rng.choice(["plastic", "metal", "wood", "ceramic", "cardboard"]))
        o = thing(2 + number, kind, x, y, colour, rng.uniform(0.7, 1.4), pose=pose, material=material)
        if placed and placed[-1].support == 1 and rng.random() < 0.15:
            below = placed[-1]
            centre = (*below.centre[:2], below.size[2] + o.size[2] / 2)
            o = replace(o, support=below.id, centre=centre)
        placed.append(o)
    return room_of(*placed) if is_room else scene_of(*placed)
