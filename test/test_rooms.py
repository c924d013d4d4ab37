"""Generated rooms: the same from the same seed, physically possible, labelled as they stand, by every sensor."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.scenes.categories import CATEGORIES, HELD_OUT
from segpoint_training.scenes.furniture import FURNITURE, build_furniture, with_top
from segpoint_training.scenes.generate import SENSORS, generate_scene
from segpoint_training.scenes.layout import Placed
from segpoint_training.scenes.model import Draw, Model
from segpoint_training.scenes.room_layout import intersects
from segpoint_training.scenes.rooms import THEMES, Room, furnish
from segpoint_training.scenes.scene import GROUND, Scene
from segpoint_training.scenes.shapes import box, rotation
from segpoint_training.scenes.surfaces import Surface, plain

SEEDS = range(6)
DEPTH = ("kinect", "realsense", "stereo")


@cache
def room(seed: int, split: str = "train") -> Room:
    return furnish(np.random.default_rng(seed), split)


@cache
def scene(seed: int, sensor: str, split: str = "train") -> Scene:
    return generate_scene(seed, split, sensor, 160, 120, scale="room")


def digest(made: Scene) -> str:
    colour = b"" if made.rgb is None else made.rgb.tobytes()
    data = made.xyz.tobytes() + colour + made.instance.tobytes() + repr((made.objects, made.instructions)).encode()
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_seed_gives_the_same_room(sensor: str) -> None:
    assert digest(scene(3, sensor)) == digest(generate_scene(3, "train", sensor, 160, 120, scale="room"))
    assert digest(scene(3, sensor)) != digest(scene(4, sensor))


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_room_is_recorded_in_the_frame_of_its_sensor(sensor: str) -> None:
    made = scene(1, sensor)
    assert made.scale == "room" and made.sensor == sensor
    assert made.frame == {"lidar": "body", "map": "map"}.get(sensor, "optical")
    assert made.xyz.shape == (made.width * made.height, 3) and made.xyz.dtype == np.float32
    assert made.instance.shape == (made.width * made.height,) and made.instance.dtype == np.int32
    if sensor == "lidar":
        assert made.rgb is None
    else:
        assert made.rgb is not None and made.rgb.shape == made.xyz.shape and made.rgb.dtype == np.uint8
    if sensor not in DEPTH:
        assert made.height == 1 and np.isfinite(made.xyz).all()


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("seed", range(2))
def test_labels_count_the_points_of_the_objects(seed: int, sensor: str) -> None:
    made = scene(seed, sensor)
    ids, counts = np.unique(made.instance[made.instance > 0], return_counts=True)
    assert {o.id: o.points for o in made.objects if o.points} == dict(zip(ids.tolist(), counts.tolist(), strict=True))
    assert made.objects[0].id == GROUND and made.objects[0].category == "floor"
    assert all(CATEGORIES[o.category].in_room or CATEGORIES[o.category].on_table for o in made.objects)
    assert (made.instance[~np.isfinite(made.xyz[:, 2])] == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_points_of_a_map_lie_in_the_boxes_of_their_objects(seed: int) -> None:
    made = scene(seed, "map")
    for thing in made.objects:
        outside = np.abs(made.xyz[made.instance == thing.id] - thing.centre) - np.array(thing.size) / 2
        assert (outside.max(1) < 0.06).mean() > 0.97, thing


@pytest.mark.parametrize("seed", range(4))
def test_points_of_a_scan_lie_in_the_boxes_of_their_objects(seed: int) -> None:
    """The level frame's origin is on the floor below the sensor; the scan's is the sensor itself."""
    made = scene(seed, "lidar")
    floor = np.median(made.xyz[made.instance == GROUND, 2])
    assert -1.8 < floor < -0.1
    for thing in made.objects:
        mine = made.xyz[made.instance == thing.id] - (0, 0, floor)
        outside = np.abs(mine - thing.centre) - np.array(thing.size) / 2
        if thing.points >= 30:  # a few beams may be split by an edge
            assert (outside.max(1) < 0.12).mean() > 0.8, thing


def test_the_map_of_a_room_is_dense_and_lies_anywhere() -> None:
    made = [scene(seed, "map") for seed in range(4)]
    assert all(40_000 < len(m.xyz) <= 200_000 for m in made)
    assert all(np.ptp(m.xyz[:, 2]) < 3.2 for m in made)
    lowest = [float(np.percentile(m.xyz[:, 2], 1)) for m in made]
    assert max(lowest) - min(lowest) > 0.5
    order = np.concatenate([np.diff(m.instance) != 0 for m in made])
    assert order.mean() > 0.5  # shuffled


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_rests_on_what_supports_it(seed: int) -> None:
    made = room(seed)
    placed = {p.id: p for p in made.placed}
    for thing in made.placed:
        lowest = float(thing.box[0][2])
        if thing.support == 0:
            assert thing.model.category == "door"
        elif thing.support == GROUND:
            assert abs(lowest) < 0.004
        else:
            base = placed[thing.support]
            heights = [shelf[0] for shelf in base.model.shelves] + ([base.model.top[0]] if base.model.top else [])
            assert min(abs(lowest - base.position[2] - height) for height in heights) < 0.004


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_intersects_and_all_stands_inside(seed: int) -> None:
    made = room(seed)
    half = np.array([made.shell.length, made.shell.width]) / 2
    for i, one in enumerate(made.placed):
        if one.model.category != "door":
            assert (np.abs(np.stack(one.box)[:, :2]) < half + 0.005).all()
            assert one.box[1][2] < made.shell.height
        for other in made.placed[:i]:
            if one.id not in (other.support,) and other.id not in (one.support,) and _near(one, other):
                assert not intersects(one.mesh, other.mesh), (one.model.category, other.model.category)


def _near(a: Placed, b: Placed) -> bool:
    return bool((a.box[0] < b.box[1]).all() and (b.box[0] < a.box[1]).all())


def test_meshes_that_cross_intersect() -> None:
    plate, rod = box((1.0, 1.0, 0.1)), box((0.1, 0.1, 1.0), (0, 0, -0.5))
    assert intersects(plate, rod) and intersects(rod, plate)
    assert not intersects(plate, rod.moved(x=0.6))
    assert not intersects(plate, rod.moved(z=0.61))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("category", FURNITURE)
def test_furniture_has_plausible_sizes(category: str, split: str) -> None:
    made = {build_furniture(category, number, split).mesh.vertices.tobytes() for number in range(4)}
    assert len(made) > 1
    for number in range(6):
        model = build_furniture(category, number, split)
        size = np.ptp(model.mesh.vertices, axis=0)
        assert model.category == category
        assert size.max() < 3.2 and size.max() > 0.15
        assert abs(float(model.mesh.vertices[:, 2].min())) < 0.02
        assert model.mesh.faces.max() < len(model.mesh.vertices)
        assert np.isfinite(model.mesh.normals).all() and np.isfinite(model.mesh.uv).all()
        if model.top is not None:
            assert 0 < model.top[0] < size[2] + 0.01


@pytest.mark.parametrize("category", ["chair", "sofa", "bed", "bench"])
def test_one_sits_at_sitting_height(category: str) -> None:
    drawn = [FURNITURE[category](_draw(number)) for number in range(8)]
    assert all(model.top is not None and 0.3 < model.top[0] < 0.65 for model in drawn)


def _draw(number: int) -> Draw:
    return Draw(np.random.default_rng(number), "train")


def test_a_flat_top_is_found_on_a_mesh() -> None:
    block = Model("cabinet", box((1.0, 0.5, 0.8)), Surface((plain((1, 1, 1)),)))
    top = with_top(block).top
    assert top is not None and top[0] == pytest.approx(0.8)
    leaning = Model("cabinet", block.mesh.turned(rotation(0, 0.3)), block.surface)
    assert with_top(leaning).top is None


def test_every_theme_is_furnished() -> None:
    missing = set(THEMES)
    for seed in range(40):
        missing.discard(room(seed).theme)
        if not missing:
            return
    pytest.fail(f"{missing} in none of 40 rooms")


def test_without_a_sensor_the_seed_draws_one() -> None:
    sensors = [generate_scene(seed, width=64, height=48, scale="room").sensor for seed in range(1, 5)]
    assert "map" in sensors and len(set(sensors)) >= 3
    assert "map" not in {generate_scene(seed, width=64, height=48).sensor for seed in range(4)}


@pytest.mark.parametrize("sensor", ["realsense", "map"])
def test_open_rooms_hold_what_no_model_was_trained_on(sensor: str) -> None:
    held = [p.model.category for seed in range(4) for p in room(seed, "open").placed if p.model.category in HELD_OUT]
    assert len(held) >= 4
    assert scene(2, sensor, "open").objects


@pytest.mark.parametrize("seed", range(4))
def test_training_rooms_hold_nothing_held_out(seed: int) -> None:
    assert not [p for split in ("train", "test") for p in room(seed, split).placed if p.model.category in HELD_OUT]


def test_unknown_choices_are_named() -> None:
    with pytest.raises(SegPointError, match="scale"):
        generate_scene(0, scale="garden")
    with pytest.raises(SegPointError, match="sensor"):
        generate_scene(0, sensor="map")
