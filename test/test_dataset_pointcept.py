"""Scenes preprocessed by Pointcept, from miniature folders with its arrays, shapes and types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import module_of, open_dataset
from segpoint_training.datasets.s3dis import CLASSES
from segpoint_training.datasets.scannet_classes import SCANNET20, SCANNET200

NAMES20, NAMES200 = list(SCANNET20.values()), list(SCANNET200.values())
RANDOM = np.random.default_rng(3)
INSTANCE = np.repeat([-1, 0, 1, 4], [6, 20, 30, 10])  # numbers may have gaps


def save(folder: Path, **arrays: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def write_scannet_scene(folder: Path, labelled: bool = True) -> None:
    """The arrays of preprocess_scannet.py: labels flat, int64; an object without a class is -1 with an instance."""
    points = len(INSTANCE)
    save(
        folder,
        coord=RANDOM.normal(size=(points, 3)).astype(np.float32),
        color=RANDOM.integers(0, 256, (points, 3)).astype(np.uint8),
        normal=np.zeros((points, 3), np.float32),
    )
    if labelled:
        sofa, chair = NAMES20.index("sofa"), NAMES20.index("chair")
        couch, office_chair, pillow = (NAMES200.index(name) for name in ("couch", "office chair", "pillow"))
        save(
            folder,
            segment20=np.repeat([-1, sofa, chair, -1], [6, 20, 30, 10]),
            segment200=np.repeat([-1, couch, office_chair, pillow], [6, 20, 30, 10]),
            instance=INSTANCE,
        )


@pytest.fixture
def scannet(tmp_path: Path) -> Path:
    for scan in ("train/scene0000_00", "train/scene0001_00", "val/scene0002_00"):
        write_scannet_scene(tmp_path / scan)
    write_scannet_scene(tmp_path / "test/scene0707_00", labelled=False)
    return tmp_path


@pytest.fixture
def s3dis(tmp_path: Path) -> Path:
    """The arrays of preprocess_s3dis.py: labels (M, 1), int16."""
    for room in ("Area_1/office_1", "Area_5/office_19"):
        segment = np.repeat([CLASSES.index("clutter"), CLASSES.index("wall"), 8, 8], [6, 20, 30, 10])
        save(
            tmp_path / room,
            coord=RANDOM.normal(size=(len(INSTANCE), 3)).astype(np.float32),
            color=RANDOM.integers(0, 256, (len(INSTANCE), 3)).astype(np.uint8),
            segment=segment[:, None].astype(np.int16),
            instance=np.repeat([0, 1, 2, 3], [6, 20, 30, 10])[:, None].astype(np.int16),
        )
    return tmp_path


def settings(root: Path, name: str = "pointcept-scannet", split: str = "train") -> DatasetConfig:
    return DatasetConfig(name, str(root), split=split)


def test_scans_are_the_folders_of_the_split(scannet):
    assert list(open_dataset(settings(scannet)).scans) == ["scene0000_00", "scene0001_00"]
    assert list(open_dataset(settings(scannet, split="val")).scans) == ["scene0002_00"]


def test_rooms_of_area_5_are_measured_on(s3dis):
    assert list(open_dataset(settings(s3dis, "pointcept-s3dis")).scans) == ["Area_1/office_1"]
    for split in ("val", "test"):
        assert list(open_dataset(settings(s3dis, "pointcept-s3dis", split)).scans) == ["Area_5/office_19"]


@pytest.mark.parametrize(
    ("name", "categories"),
    [("pointcept-scannet", ["sofa", "chair", ""]), ("pointcept-scannet200", ["couch", "office chair", "pillow"])],
)
def test_scan_has_the_arrays_and_objects(scannet, name, categories):
    dataset = open_dataset(settings(scannet, name))
    scan = dataset.load("scene0000_00")
    folder = scannet / "train/scene0000_00"
    np.testing.assert_array_equal(scan.xyz, np.load(folder / "coord.npy"))
    np.testing.assert_array_equal(scan.rgb, np.load(folder / "color.npy"))
    np.testing.assert_array_equal(scan.instance, INSTANCE + 1)
    assert (scan.xyz.dtype, scan.rgb.dtype, scan.instance.dtype) == (np.float32, np.uint8, np.int32)
    assert [(thing.id, thing.category, thing.points) for thing in scan.objects] == [
        (1, categories[0], 20), (2, categories[1], 30), (5, categories[2], 10),
    ]  # fmt: skip
    assert set(categories) - {""} <= set(dataset.classes)


def test_room_of_s3dis(s3dis):
    scan = open_dataset(settings(s3dis, "pointcept-s3dis", "test")).load("Area_5/office_19")
    assert [thing.category for thing in scan.objects] == ["clutter", "wall", "chair", "chair"]
    assert scan.name == "Area_5/office_19" and (scan.instance > 0).all()


def test_test_scans_of_scannet_have_no_objects(scannet):
    scan = open_dataset(settings(scannet, split="test")).load("scene0707_00")
    assert scan.objects == () and not scan.instance.any() and len(scan.xyz) == len(INSTANCE)


def test_class_of_an_object_is_that_of_most_of_its_points(scannet):
    path = scannet / "train/scene0000_00/segment20.npy"
    segment = np.load(path)
    segment[6:12] = NAMES20.index("table")  # 6 of the sofa's 20, where objects overlap
    np.save(path, segment)
    assert open_dataset(settings(scannet)).load("scene0000_00").objects[0].category == "sofa"


def test_colour_may_be_float(scannet):
    path = scannet / "train/scene0000_00/color.npy"
    colour = np.load(path)
    np.save(path, colour.astype(np.float32))
    np.testing.assert_array_equal(open_dataset(settings(scannet)).load("scene0000_00").rgb, colour)


@pytest.mark.parametrize(
    ("array", "value", "says"),
    [
        ("coord", np.zeros((66, 2), np.float32), "expected"),
        ("coord", np.array([["x", "y", "z"]]), "expected numbers"),
        ("coord", np.zeros((0, 3), np.float32), "expected"),
        ("color", np.zeros((65, 3), np.uint8), "expected (66, 3)"),
        ("color", np.full((66, 3), 256.0), "outside 0 to 255"),
        ("instance", np.zeros(65, np.int64), "66 points"),
        ("instance", np.zeros(66), "whole numbers"),
        ("instance", np.full(66, -2), "numbers from -2 to -2; expected -1 to"),
        ("instance", np.full(66, 2**31 - 1), "numbers from 2147483647"),  # + 1 would be negative
        ("instance", np.full(66, 2**63, np.uint64), "expected -1 to"),
        ("instance", np.int64(3), "no array with a row for each point"),
        ("instance", np.array(["3"] * 66), "whole numbers"),
        ("coord", np.float32(1), "no array with a row for each point"),
        ("coord", np.zeros((66, 3), complex), "expected numbers"),
        ("coord", np.zeros(66, [("x", "f4")]), "expected"),
        ("color", np.full((66, 3), np.nan), "outside 0 to 255"),
        ("segment20", np.full(66, 20), "names class 20, but pointcept-scannet has 20"),
        ("segment20", np.array([{"a": 1}] * 66), "cannot be read"),  # pickled: never unpacked
    ],
)
def test_wrong_array_is_one_error_that_names_the_file(scannet, array, value, says):
    path = scannet / f"train/scene0000_00/{array}.npy"
    np.save(path, value, allow_pickle=True)
    with pytest.raises(SegPointError) as raised:
        open_dataset(settings(scannet)).load("scene0000_00")
    assert str(path) in str(raised.value) and says in str(raised.value)


@pytest.mark.parametrize("array", ["coord", "color", "segment20", "instance"])
@pytest.mark.parametrize("value", [np.float32(1), np.array(["3"] * 66), np.array([None] * 66)])
def test_check_names_each_array_that_is_none(scannet, array, value):
    path = scannet / f"train/scene0000_00/{array}.npy"
    np.save(path, value, allow_pickle=True)
    problems = module_of("pointcept-scannet").check(settings(scannet)).problems
    assert sum(str(path) in problem for problem in problems) == 1


def test_an_archive_is_no_array(scannet):
    path = scannet / "train/scene0000_00/coord.npy"
    with path.open("wb") as file:
        np.savez(file, coord=np.zeros((66, 3)))
    with pytest.raises(SegPointError, match="coord.npy holds no array"):
        open_dataset(settings(scannet)).load("scene0000_00")


@pytest.mark.parametrize("array", ["coord", "color", "segment20", "instance"])
def test_missing_or_cut_off_array_is_an_error(scannet, array):
    dataset = open_dataset(settings(scannet))
    path = scannet / f"train/scene0000_00/{array}.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(SegPointError, match=f"{array}.npy cannot be read"):
        dataset.load("scene0000_00")
    path.unlink()
    with pytest.raises(SegPointError, match=f"{array}.npy cannot be read"):
        dataset.load("scene0000_00")


def test_empty_folder_and_unknown_split_are_errors(tmp_path, scannet):
    with pytest.raises(SegPointError, match="train/\\*/coord.npy"):
        open_dataset(settings(tmp_path / "train"))
    with pytest.raises(SegPointError, match="Area_5/\\*/coord.npy"):
        open_dataset(settings(tmp_path, "pointcept-s3dis", "test"))
    with pytest.raises(SegPointError, match="splits train, val, test"):
        open_dataset(settings(scannet, split="minival"))


def test_check_counts_and_names_what_is_wrong(scannet):
    found = module_of("pointcept-scannet").check(settings(scannet))
    assert found.found == {"scans, train": 2, "scans, val": 1, "scans, test": 1}
    assert len(found.problems) == 2 and "1199 of 1201" in found.problems[0]
    np.save(scannet / "train/scene0001_00/instance.npy", np.zeros(3, np.int64))
    (scannet / "val/scene0002_00/segment20.npy").unlink()
    problems = "\n".join(module_of("pointcept-scannet").check(settings(scannet)).problems)
    assert "instance.npy is of 3 points, coord.npy of 66" in problems
    assert "val/scene0002_00/segment20.npy cannot be read" in problems


def test_check_of_s3dis(s3dis):
    found = module_of("pointcept-s3dis").check(settings(s3dis, "pointcept-s3dis"))
    assert found.found == {"scans, train": 1, "scans, val": 1}
    assert any("67 of 68 scans are not in Area_5" in problem for problem in found.problems)
