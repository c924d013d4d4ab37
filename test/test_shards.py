"""Training shards: the same bytes however they were written, whole or not at all, never of two kinds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segpoint.cloud import NO_COLOUR
from segpoint.config import CloudConfig
from segpoint.errors import SegPointError
from segpoint_training.config import DataConfig, SensorShares
from segpoint_training.parallel import in_order
from segpoint_training.scenes import generate
from segpoint_training.scenes.scene import Instruction, Scene, SceneObject
from segpoint_training.shards import label_scene, read_shards, write_shards

CLOUD = CloudConfig(points=1024)
DATA = DataConfig(
    train_scenes=10, validation_scenes=1, rooms=0, validation_rooms=0, width=160, table_sensors=SensorShares(kinect=1)
)
WRITE = f"""
from pathlib import Path
from segpoint.config import CloudConfig
from segpoint_training.config import DataConfig, SensorShares
from segpoint_training.shards import write_shards
write_shards(Path("{{folder}}"), "train", {DATA!r}, {CLOUD!r}, part={{part}}, per_shard=2, workers={{workers}})
"""


def writer(folder: Path, part: tuple[int, int] = (1, 1), workers: int = 1) -> subprocess.Popen[bytes]:
    """Another process that writes a part of the train split."""
    code = WRITE.format(folder=folder, part=part, workers=workers)
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_shards(folder, "train", DATA, CLOUD, per_shard=2, workers=1)
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """One LiDAR scene of a box on a plane, which the generator gives for every seed."""
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform([1, -2], [5, 2], (4000, 2)), np.full(4000, -1.0)])
    box = rng.uniform([2, 0, -1], [2.5, 0.5, -0.5], (800, 3))
    scene = Scene(
        xyz=np.concatenate([ground, box]).astype(np.float32),
        rgb=None,
        instance=np.repeat([1, 2], [4000, 800]).astype(np.int32),
        width=4800,
        height=1,
        objects=(
            SceneObject(1, "floor", "", (3.0, 0.0, 0.0), (4.0, 4.0, 0.0), "upright", 0, 4000),
            SceneObject(2, "box", "", (2.2, 0.2, 0.2), (0.5, 0.5, 0.5), "upright", 1, 800),
        ),
        seed=0,
        sensor="lidar",
        scale="room",
        frame="body",
        instructions=(Instruction("the box", "category", (2,), "box"),),
    )
    monkeypatch.setattr(generate, "generate_scene", lambda seed, *more, **named: replace(scene, seed=seed))
    return scene


def test_two_processes_write_the_same_bytes_as_one(whole: Path, tmp_path: Path) -> None:
    writers = [writer(tmp_path, part=(k, 2)) for k in (1, 2)]
    assert [process.wait(60) for process in writers] == [0, 0]
    assert contents(tmp_path) == contents(whole)
    assert len(list(whole.glob("train-*.npz"))) == 5


def test_an_interrupted_run_leaves_whole_shards_and_no_process(whole: Path, tmp_path: Path) -> None:
    process = writer(tmp_path, workers=2)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("train-*.npz")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    with pytest.raises(ProcessLookupError):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    expected = contents(whole)
    left = contents(tmp_path)
    assert 0 < len(left) < len(expected) and left.items() <= expected.items()
    kept = next(tmp_path.glob("train-*.npz")).stat().st_mtime_ns
    write_shards(tmp_path, "train", DATA, CLOUD, per_shard=2, workers=1)
    assert contents(tmp_path) == expected
    assert kept in {path.stat().st_mtime_ns for path in tmp_path.glob("train-*.npz")}, "finished shards are kept"


def test_what_is_read_is_what_was_generated(whole: Path) -> None:
    clouds = read_shards(sorted(whole.glob("*.npz")))
    assert len(clouds) == DATA.train_scenes
    scene = DATA.requests("train")[1].generate()
    made, read = label_scene(scene, CLOUD), clouds[1]
    for name in ("xyz", "rgb", "focus", "instance"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    assert replace(read, xyz=0, rgb=0, focus=0, instance=0) == replace(made, xyz=0, rgb=0, focus=0, instance=0)
    assert (read.scale, read.frame, read.sensor, read.coloured) == ("table", "optical", "kinect", True)
    assert sum(getattr(read, n).nbytes for n in ("xyz", "rgb", "focus", "instance")) == 18 * CLOUD.points
    assert read.cloud.rgb.dtype == np.float32 and 0 < read.cloud.rgb.max() <= 1
    assert clouds[0].objects[0].category is clouds[1].objects[0].category, "words are held once"


def test_a_cloud_without_colour_and_viewpoint(tmp_path: Path, known: Scene) -> None:
    data = replace(DATA, train_scenes=1)
    read = read_shards(write_shards(tmp_path, "train", data, CLOUD, workers=1))[0]
    assert (read.scale, read.frame, read.sensor, read.coloured) == ("room", "body", "lidar", False)
    np.testing.assert_allclose(read.cloud.rgb[: read.count], NO_COLOUR, atol=0.002)
    assert read.instructions == known.instructions and read.objects == known.objects
    assert {1, 2} <= set(read.instance[: read.count].tolist())


def test_another_config_is_refused(whole: Path) -> None:
    with pytest.raises(SegPointError, match=r"data.width is 160 there and 320 here"):
        write_shards(whole, "train", replace(DATA, width=320), CLOUD, per_shard=2, workers=1)
    with pytest.raises(SegPointError, match=r"cloud.points is 1024 there and 2048 here"):
        write_shards(whole, "test", DATA, CloudConfig(points=2048), workers=1)


def test_another_generator_adds_nothing_to_shards_but_reads_them(tmp_path: Path, known: Scene) -> None:
    paths = write_shards(tmp_path, "train", DATA, CLOUD, per_shard=2, workers=1)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "generator": "an older one"}))
    assert write_shards(tmp_path, "train", DATA, CLOUD, per_shard=2, workers=1) == paths
    with pytest.raises(SegPointError, match="generator is an older one there"):
        write_shards(tmp_path, "train", replace(DATA, train_scenes=12), CLOUD, per_shard=2, workers=1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b"null"])
def test_a_damaged_manifest_is_told(tmp_path: Path, known: Scene, content: bytes) -> None:
    write_shards(tmp_path, "train", DATA, CLOUD, workers=1)
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(SegPointError, match="delete"):
        write_shards(tmp_path, "train", DATA, CLOUD, workers=1)


def test_without_a_manifest_the_shards_say_what_they_are(tmp_path: Path, known: Scene) -> None:
    (path,) = write_shards(tmp_path, "train", DATA, CLOUD, workers=1)
    manifest = (tmp_path / "manifest.json").read_bytes()
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(SegPointError, match="data.width is 160 there and 320 here"):
        write_shards(tmp_path, "test", replace(DATA, width=320), CLOUD, workers=1)
    assert write_shards(tmp_path, "train", DATA, CLOUD, workers=1) == [path]
    assert (tmp_path / "manifest.json").read_bytes() == manifest
    (tmp_path / "manifest.json").unlink()
    path.write_bytes(b"")
    with pytest.raises(SegPointError, match=f"{path.name} cannot be read.*delete it"):
        write_shards(tmp_path, "train", DATA, CLOUD, workers=1)


@pytest.mark.parametrize("kept", [0, 4, 2000, -200])
def test_a_damaged_shard_is_told(tmp_path: Path, known: Scene, kept: int) -> None:
    paths = write_shards(tmp_path, "train", DATA, CLOUD, workers=1)
    paths[0].write_bytes(paths[0].read_bytes()[:kept])
    with pytest.raises(SegPointError, match=f"{paths[0].name} cannot be read.*delete it"):
        read_shards(paths)


def test_shards_copied_together_from_two_configs_are_refused(tmp_path: Path, known: Scene) -> None:
    one = write_shards(tmp_path / "one", "train", DATA, CLOUD, workers=1)
    other = write_shards(tmp_path / "other", "train", replace(DATA, width=80), CLOUD, workers=1)
    with pytest.raises(SegPointError, match="not of one kind.*data.width"):
        read_shards([*one, *other])


def test_a_failing_scene_is_left_out_and_many_end_the_run(
    tmp_path: Path, known: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bad: set[int]) -> None:
        def scene(seed: int, *more: object, **named: object) -> Scene:
            if seed in bad:
                raise ValueError("no room for the sofa")
            return replace(known, seed=seed)

        monkeypatch.setattr(generate, "generate_scene", scene)

    data = replace(DATA, train_scenes=10)
    fails({3})
    paths = write_shards(tmp_path / "one", "train", data, CLOUD, workers=1)
    assert len(read_shards(paths)) == 9
    with np.load(paths[0]) as file:
        left_out = json.loads(file["facts"].tobytes())["left_out"]
    assert list(left_out.values()) == ["ValueError: no room for the sofa"] and "seed=3" in next(iter(left_out))
    fails({3, 4})
    with pytest.raises(SegPointError, match="2 of 10 scenes .* no room for the sofa"):
        write_shards(tmp_path / "two", "train", data, CLOUD, workers=1)
    assert not list((tmp_path / "two").glob("*.npz"))


def test_shares_hold_on_any_run_of_seeds() -> None:
    data = DataConfig(train_scenes=1000, validation_scenes=60, rooms=0.3, validation_rooms=1 / 3)
    train = data.requests("train")
    assert train == replace(data, train_scenes=2000).requests("train")[:1000]
    for some in (train[:100], train[500:600]):
        assert 28 <= sum(r.scale == "room" for r in some) <= 32
    assert 19 <= sum(r.scale == "room" for r in data.requests("test")) <= 21
    sensors = Counter((r.scale, r.sensor) for r in train)
    assert sensors["room", "map"] == pytest.approx(75, abs=8)
    assert sensors["table", "kinect"] == pytest.approx(280, abs=10)
    assert sensors["table", "map"] == 0
    assert {r.split for r in data.requests("test")} == {"test"} and train[0].height == 240


@pytest.mark.parametrize(
    "values", [{"rooms": 1.5}, {"train_scenes": 0}, {"table_sensors": SensorShares(map=1)}, {"validation_rooms": -0.1}]
)
def test_impossible_data_is_refused(values: dict) -> None:
    with pytest.raises(SegPointError, match="data."):
        DataConfig(**values)
    with pytest.raises(SegPointError, match="shares"):
        SensorShares()


def test_results_come_in_order_and_failures_are_told() -> None:
    numbers = list(range(60))
    assert list(in_order(_slow_square, numbers, workers=2)) == [n * n for n in numbers]
    with pytest.raises(ZeroDivisionError):
        list(in_order(_reciprocal, [1, 2, 0, 3], workers=2))
    with pytest.raises(SegPointError, match="fewer --workers"):
        list(in_order(os._exit, [1, 1], workers=2))


def _slow_square(number: int) -> int:
    time.sleep(0.02 if number % 7 == 0 else 0)
    return number * number


def _reciprocal(number: int) -> float:
    return 1 / number
