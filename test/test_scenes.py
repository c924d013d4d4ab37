"""Generated scenes: the same from the same seed, physically possible, and only what a sensor could have seen."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.scenes import colours
from segpoint_training.scenes.camera import draw_camera
from segpoint_training.scenes.categories import CATEGORIES
from segpoint_training.scenes.generate import Arrangement, arrange, generate_scene
from segpoint_training.scenes.layout import Layout, Placed
from segpoint_training.scenes.objects import build
from segpoint_training.scenes.scene import GROUND, Scene
from segpoint_training.scenes.shapes import lathe, rotation

SIZE = {"width": 160, "height": 120}
SEEDS = range(12)
REPEATED = (3, 7, 10, 14, 18)
DEEPEST = 0.005  # metres that objects may sink into one another


@cache
def scene(seed: int, split: str = "train", sensor: str = "kinect") -> Scene:
    return generate_scene(seed, split, sensor, **SIZE)


@cache
def arrangement(seed: int) -> Arrangement:
    return arrange(np.random.default_rng(seed), "train", "kinect", **SIZE)


def digest(made: Scene) -> str:
    data = made.xyz.tobytes() + made.rgb.tobytes() + made.instance.tobytes() + repr(made.objects).encode()
    return hashlib.sha256(data + repr(made.instructions).encode()).hexdigest()


@pytest.mark.parametrize("sensor", ["kinect", "realsense"])
def test_a_seed_gives_the_same_bytes_in_another_process(sensor: str) -> None:
    code = (
        f"import sys; sys.path[:0] = {[p for p in sys.path if p] + [str(Path(__file__).parent)]!r}\n"
        "from test_scenes import digest, scene\n"
        f"print(*(digest(scene(seed, 'train', {sensor!r})) for seed in {REPEATED!r}), sep=',')"
    )
    # another hash seed, so that no set or dict order slips in
    fresh = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "123"}, capture_output=True, text=True)
    assert fresh.returncode == 0, fresh.stderr
    again = [digest(generate_scene(seed, "train", sensor, **SIZE)) for seed in REPEATED]
    assert fresh.stdout.strip().split(",") == again


def test_seeds_splits_and_sensors_differ() -> None:
    made = [scene(7), scene(8), scene(7, "test"), scene(7, "train", "realsense")]
    assert len({digest(m) for m in made}) == len(made)


def test_arrays_have_the_promised_shapes_and_types() -> None:
    made = scene(3)
    count = SIZE["width"] * SIZE["height"]
    assert made.xyz.shape == (count, 3) and made.xyz.dtype == np.float32
    assert made.rgb.shape == (count, 3) and made.rgb.dtype == np.uint8
    assert made.instance.shape == (count,) and made.instance.dtype == np.int32


@pytest.mark.parametrize("sensor", ["kinect", "realsense"])
def test_every_point_lies_on_the_ray_of_its_own_pixel(sensor: str) -> None:
    made = scene(5, "train", sensor)
    row, column = np.divmod(np.arange(len(made.xyz)), made.width)
    seen = np.isfinite(made.xyz[:, 2])
    x, y, z = made.xyz[seen].astype(float).T
    aside = np.abs(x / z) > 0.05
    focal = np.median((column[seen] - (made.width - 1) / 2)[aside] / (x / z)[aside])
    assert np.allclose(x / z * focal + (made.width - 1) / 2, column[seen], atol=0.01)
    assert np.allclose(y / z * focal + (made.height - 1) / 2, row[seen], atol=0.01)
    assert (z > 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_instances_agree_with_objects(seed: int) -> None:
    made = scene(seed)
    seen = np.isfinite(made.xyz[:, 2])
    assert (made.instance[~seen] == 0).all()
    ids, counts = np.unique(made.instance[made.instance > 0], return_counts=True)
    points = {o.id: o.points for o in made.objects if o.points}
    assert points == dict(zip(ids.tolist(), counts.tolist(), strict=True))
    assert (
        made.objects[0].id == GROUND
        and made.objects[0].category in ("table", "floor", "bookcase")
        and made.objects[0].support == 0
    )
    assert all(o.points > 0 and o.category in CATEGORIES for o in made.objects[1:])
    assert all(o.colour in ("", *colours.NAMES) for o in made.objects)


@pytest.mark.parametrize("seed", SEEDS)
def test_points_of_an_object_lie_in_its_box(seed: int) -> None:
    """Turned into the level frame by the camera that took them, up to the sensor's noise."""
    made = scene(seed)
    rng = np.random.default_rng((seed, 0, 0))
    camera = arrange(rng, "train", "kinect", **SIZE).camera
    level = made.xyz @ camera.turn.T + camera.position
    for thing in made.objects[1:]:
        mine = level[made.instance == thing.id]
        outside = np.abs(mine - thing.centre) - np.array(thing.size) / 2
        noise = 0.01 + 0.01 * (made.xyz[made.instance == thing.id, 2] ** 2)
        assert (outside.max(1) < noise).mean() > 0.97, thing


@pytest.mark.parametrize("sensor", ["kinect", "realsense"])
def test_part_of_the_picture_has_no_depth_but_colour(sensor: str) -> None:
    missing = [float(np.isnan(scene(seed, "train", sensor).xyz[:, 2]).mean()) for seed in SEEDS]
    assert 0.02 < np.mean(missing) < 0.6
    assert max(missing) < 0.95
    holes = np.isnan(scene(1, "train", sensor).xyz[:, 2])
    assert scene(1, "train", sensor).rgb[holes].std() > 0


def test_half_of_the_scenes_hold_several_of_a_kind() -> None:
    several = 0
    for seed in range(40):
        kinds = [p.model.category for p in arrangement(seed).placed]
        several += len(kinds) > len(set(kinds))
    assert several >= 20


@pytest.mark.parametrize("seed", range(25))
def test_objects_rest_on_what_supports_them(seed: int) -> None:
    placed = {p.id: p for p in arrangement(seed).placed}
    for thing in placed.values():
        lowest = thing.box[0][2]
        if thing.support == GROUND:
            assert abs(lowest) < 0.003
        else:
            base = placed[thing.support]
            if base.model.top is not None:
                assert abs(lowest - base.position[2] - base.model.top[0]) < 0.002
            else:  # in a bowl: inside its box, above the bottom
                assert base.box[0][2] < lowest < base.box[1][2]


@pytest.mark.parametrize("seed", range(25))
def test_nothing_sinks_into_a_box(seed: int) -> None:
    placed = arrangement(seed).placed
    boxes = [p for p in placed if p.model.category == "box"]
    for solid in boxes:
        for other in placed:
            if other is not solid:
                assert _depth_inside(solid, other) < DEEPEST, (solid.id, other.id)


def facing_share(category: str) -> float:
    """How many of the objects placed alone on a table turn their front (−y) to within 45° of the camera."""
    table = np.array([[5.0, 5.0], [-5.0, 5.0], [-5.0, -5.0], [5.0, -5.0]])
    fronts = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        layout = Layout(rng, draw_camera(rng, "kinect", **SIZE), table, 0.05)
        if layout.add(build(category, seed, "train")):
            yaw = layout.placed[0].yaw
            fronts.append(-np.sin(yaw) > np.cos(np.pi / 4))
    return float(np.mean(fronts))


def test_what_has_a_front_often_shows_it() -> None:
    assert facing_share("clock") > 0.42 > 0.38 > facing_share("mug")


def _depth_inside(solid: Placed, other: Placed) -> float:
    """How deep the deepest vertex of ``other`` lies inside the box ``solid``."""
    low, high = solid.model.mesh.vertices.min(0), solid.model.mesh.vertices.max(0)
    turn = rotation(2, solid.yaw)
    if solid.leaning_on:
        return 0.0
    local = (other.mesh.vertices - solid.position) @ turn
    return float(np.minimum(local - low, high - local).min(1).max())


@pytest.mark.parametrize("name", colours.NAMES)
def test_drawn_colours_carry_their_name(name: str) -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([colours.draw(rng, name) for _ in range(200)])
    assert (colours.name_indices(drawn) == colours.NAMES.index(name)).mean() > 0.97


def test_a_mixed_object_has_no_colour() -> None:
    red, blue = np.tile([0.8, 0.1, 0.1], (50, 1)), np.tile([0.1, 0.2, 0.8], (50, 1))
    mixed = np.concatenate([red, blue])
    assert colours.dominant_name(mixed, mixed) == ""
    assert colours.dominant_name(red, red) == "red"
    assert colours.dominant_name(red, blue) == ""  # the camera shows something else


def test_a_lathe_is_round_with_outward_normals() -> None:
    mesh = lathe([(0.0, 0.0), (0.05, 0.0), (0.05, 0.1), (0.0, 0.1)], 0, 32)
    side = np.abs(mesh.normals[:, 2]) < 0.5
    radial = mesh.vertices[side, :2] / 0.05
    assert np.allclose(np.linalg.norm(radial, axis=1), 1, atol=1e-5)
    assert np.allclose((radial * mesh.normals[side, :2]).sum(1), 1, atol=1e-5)


def test_unknown_choices_are_named() -> None:
    with pytest.raises(SegPointError, match="split"):
        generate_scene(0, "validation")
    with pytest.raises(SegPointError, match="sensor"):
        generate_scene(0, sensor="sonar")
    with pytest.raises(SegPointError, match="from 0"):
        generate_scene(-1)
