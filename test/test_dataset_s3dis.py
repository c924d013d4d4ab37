"""S3DIS from miniature rooms in the official layout, with its known damage, against reading by hand and scenezoo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import module_of, open_dataset
from segpoint_training.datasets.s3dis import CLASSES, ROOMS, read_points, repair

OFFICE = {"ceiling_1": 40, "chair_1": 25, "chair_2": 12, "chair_10": 9, "stairs_1": 7, "wall_1": 30}  # rows by object


def rows_of(name: str, count: int) -> np.ndarray:
    """Points with millimetres, as the release has them, and colours."""
    random = np.random.default_rng([*name.encode()])
    return np.concatenate([random.uniform(-30, 30, (count, 3)).round(3), random.integers(0, 256, (count, 3))], axis=1)


def write_object(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{x:.3f} {y:.3f} {z:.3f} {r:.0f} {g:.0f} {b:.0f}\n" for x, y, z, r, g, b in rows))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A room in each of three areas, with what else the release has beside the objects."""
    for room in ("Area_1/office_1", "Area_1/copyRoom_1", "Area_5/office_19", "Area_6/hallway_2"):
        for name, count in OFFICE.items():
            write_object(tmp_path / room / "Annotations" / f"{name}.txt", rows_of(room + name, count))
        write_object(tmp_path / room / f"{Path(room).name}.txt", rows_of(room, 3))
    (tmp_path / "Area_1/.DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    (tmp_path / "Area_1/Area_1_alignmentAngle.txt").write_text("## header\noffice_1 90\n")
    return tmp_path


def settings(root: Path, split: str = "train") -> DatasetConfig:
    return DatasetConfig("s3dis", str(root), split=split)


def office(root: Path, name: str) -> Path:
    return root / "Area_5/office_19/Annotations" / name


def test_area_5_is_measured_on(root):
    assert list(open_dataset(settings(root)).scans) == ["Area_1/copyRoom_1", "Area_1/office_1", "Area_6/hallway_2"]
    for split in ("val", "test"):
        assert list(open_dataset(settings(root, split)).scans) == ["Area_5/office_19"]


@pytest.mark.parametrize("release", ["Stanford3dDataset_v1.2_Aligned_Version", "Stanford3dDataset_v1.2"])
def test_root_may_hold_the_unpacked_folder(root, release, tmp_path):
    (tmp_path / release).mkdir()
    for area in ("Area_1", "Area_5", "Area_6"):
        (root / area).rename(tmp_path / release / area)
    assert len(open_dataset(settings(tmp_path)).scans) == 3


def test_room_is_its_objects_one_after_the_other(root):
    scan = open_dataset(settings(root, "val")).load("Area_5/office_19")
    names = ["ceiling_1", "chair_1", "chair_2", "chair_10", "stairs_1", "wall_1"]  # chair_10 after chair_2
    rows = np.concatenate([rows_of("Area_5/office_19" + name, OFFICE[name]) for name in names])
    np.testing.assert_array_equal(scan.xyz, rows[:, :3].astype(np.float32))
    np.testing.assert_array_equal(scan.rgb, rows[:, 3:].astype(np.uint8))
    np.testing.assert_array_equal(scan.instance, np.repeat(np.arange(1, 7), [OFFICE[name] for name in names]))
    assert (scan.xyz.dtype, scan.rgb.dtype, scan.instance.dtype) == (np.float32, np.uint8, np.int32)
    assert [thing.category for thing in scan.objects] == ["ceiling", "chair", "chair", "chair", "clutter", "wall"]
    assert [thing.points for thing in scan.objects] == [OFFICE[name] for name in names]


def test_reader_agrees_with_scenezoo(root):
    scenezoo = pytest.importorskip("scenezoo")
    other = scenezoo.get_dataset("s3dis", root, offline=True)
    path = office(root, "ceiling_1.txt")
    path.write_bytes(path.read_bytes().replace(b" ", b"\x00", 1))  # a damage that it knows, too
    scan = open_dataset(settings(root, "val")).load("Area_5/office_19")
    points = other.get_points("Area_5/office_19")
    np.testing.assert_array_equal(scan.xyz, points.xyz)
    np.testing.assert_array_equal(scan.rgb, points.rgb)
    np.testing.assert_array_equal(scan.instance, np.asarray(points.instance_labels) + 1)
    of_object = {thing.id: thing.category for thing in scan.objects}
    assert [of_object[id] for id in scan.instance] == [CLASSES[label] for label in points.semantic_labels]
    assert other.get_cross_validation_split(5)[1] == ["Area_5/office_19"]
    assert sorted(other.get_cross_validation_split(5)[0]) == list(open_dataset(settings(root)).scans)


@pytest.mark.parametrize(
    ("damaged", "meant"),
    [
        # As the release has them: Area_5/office_19 and Area_5/hallway_6, ceiling_1; Area_3/hallway_2.
        (b"-16.1 -2.9 3.05 103.0\x100000 103.000000 96.000000", (-16.1, -2.9, 3.05, 103, 103, 96)),
        (b"22.350 6.692 3.048 185\x00187 182", (22.350, 6.692, 3.048, 185, 187, 182)),
        (b"19.302 -9.1\x160 1.785 146 137 106", (19.302, -9.160, 1.785, 146, 137, 106)),
        (b"1.5\xc2\xa02.5 3.5 1 2 3", (1.5, 2.5, 3.5, 1, 2, 3)),  # a no-break space
        (b"1.5\xa02.5 3.5 1 2 3", (1.5, 2.5, 3.5, 1, 2, 3)),
        (b"1.5\t2.5  3.5 1 2 3\r", (1.5, 2.5, 3.5, 1, 2, 3)),  # no damage
        (b"-1.5e-05 2.5 3.5 1 2 3", (-1.5e-05, 2.5, 3.5, 1, 2, 3)),
    ],
)
def test_damaged_bytes_are_put_right(tmp_path, damaged, meant):
    path = tmp_path / "ceiling_1.txt"
    path.write_bytes(b"1 2 3 4 5 6\n" + damaged + b"\n7 8 9 10 11 12\n")
    rows = read_points(path)
    np.testing.assert_allclose(rows, [(1, 2, 3, 4, 5, 6), meant, (7, 8, 9, 10, 11, 12)], rtol=1e-6)


def test_repair_leaves_sound_rows_alone():
    sound = b"-1.234 5.6e-7 8.9 0 255 13\r\n\t1 2 3 4 5 6\n"
    assert repair(sound) == sound


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"1 2 3 4 5 6\n1 2 3 4", "row 2"),
        (b"1 2 3 4 5 6\n1 2 x 4 5 6\n", "'x'"),
        (b"1 2 3 4\n", "4 numbers a row"),
        (b"1 2 3 4 5 6\n1 2 3 4 5 256\n", "row 2 is no point"),
        (b"1 nan 3 4 5 6\n", "row 1 is no point"),
        (b"1 2 3 -1 5 6\n", "row 1 is no point"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read"),
    ],
)
def test_what_cannot_be_put_right_is_one_error_that_names_the_file(root, content, says):
    path = office(root, "wall_1.txt")
    path.write_bytes(content)
    with pytest.raises(SegPointError) as raised:
        open_dataset(settings(root, "val")).load("Area_5/office_19")
    assert str(path) in str(raised.value) and says in str(raised.value) and "\n" not in str(raised.value)


def test_missing_rooms_and_splits_are_errors(root, tmp_path):
    with pytest.raises(SegPointError, match="no room with Annotations/ in Area_5"):
        open_dataset(settings(root / "Area_1", "val"))
    with pytest.raises(SegPointError, match="splits train, val and test"):
        open_dataset(settings(root, "Area_5"))
    with pytest.raises(SegPointError, match="nothing_1"):
        open_dataset(settings(root)).load("Area_1/nothing_1")


def test_copy_of_an_objects_file_is_left_out(root):
    before = len(open_dataset(settings(root, "val")).load("Area_5/office_19").xyz)
    office(root, "wall_1 (1).txt").write_bytes(office(root, "wall_1.txt").read_bytes())  # wall_3 (1) of office_36
    assert len(open_dataset(settings(root, "val")).load("Area_5/office_19").xyz) == before
    (note,) = module_of("s3dis").check(settings(root)).notes
    assert "wall_1 (1).txt" in note


def test_names_of_any_case_are_of_the_class(root):
    before = open_dataset(settings(root, "val")).load("Area_5/office_19")
    office(root, "wall_1.txt").rename(office(root, "Wall_1.txt"))
    after = open_dataset(settings(root, "val")).load("Area_5/office_19")
    assert [thing.category for thing in after.objects] == [thing.category for thing in before.objects]


@pytest.mark.parametrize("copy", ["Wall_1.txt", "wall_01.txt"])
def test_an_object_that_is_there_twice_is_told(root, copy):
    office(root, copy).write_bytes(office(root, "wall_1.txt").read_bytes())
    with pytest.raises(SegPointError, match="holds one object twice, .*; delete one"):
        open_dataset(settings(root, "val")).load("Area_5/office_19")
    assert any("one object twice" in problem for problem in module_of("s3dis").check(settings(root)).problems)


def test_check_names_every_file_that_is_cut_off(root):
    for name in ("wall_1.txt", "floor_1.txt"):
        office(root, name).write_bytes(b"1 2 3")
    problems = "\n".join(module_of("s3dis").check(settings(root)).problems)
    assert "wall_1.txt begins or ends" in problems and "floor_1.txt begins or ends" in problems


def test_check_counts_rooms_and_names_what_is_wrong(root):
    assert sum(ROOMS.values()) == 272
    found = module_of("s3dis").check(settings(root))
    assert found.found == {"rooms, train": 3, "objects, train": 18, "rooms, val": 1, "objects, val": 6}
    assert any("Area_5: 67 of 68 rooms" in problem for problem in found.problems)
    assert len(found.problems) == 6  # of each area some
    office(root, "wall_1.txt").write_bytes(b"1 2 3 4 5 6\n1 2 3")
    (problem,) = set(module_of("s3dis").check(settings(root)).problems) - set(found.problems)
    assert str(office(root, "wall_1.txt")) in problem


def test_check_of_a_whole_release_finds_no_problem(tmp_path):
    for area, count in ROOMS.items():
        for i in range(count):
            write_object(tmp_path / area / f"office_{i}" / "Annotations" / "chair_1.txt", rows_of("chair", 1))
    found = module_of("s3dis").check(settings(tmp_path))
    assert (found.problems, found.notes) == ([], [])
    assert found.found == {"rooms, train": 204, "objects, train": 204, "rooms, val": 68, "objects, val": 68}
