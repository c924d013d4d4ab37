"""ScanNet++ from its own files: miniature folders, and a reading of them by hand to compare with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from mini_scannetpp import CLASSES, MiniObject, write_scannetpp
from plyfile import PlyData

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import module_of, open_dataset

DESK = [
    MiniObject(1, "table", (0, 0, 0.5), side=5, parts=(1, 2)),
    MiniObject(2, "laptop", (0, 0, 0.8), parts=(2,)),
    MiniObject(5, "sticker", (0, 0, 0.9), side=3),
    MiniObject(9, "office chair", (1, 0, 0.4)),
    MiniObject(10, "umbrella", (2, 0, 0.4)),
    MiniObject(11, "REMOVE", (3, 0, 0.4), parts=(3,)),
]
SHELF = [MiniObject(3, "books"), MiniObject(4, "books", (1, 0, 0.5))]
ANONYMOUS = [0, 3, 130]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    scenes = {"aa11": DESK, "bb22": SHELF, "cc33": SHELF}
    return write_scannetpp(tmp_path / "spp", scenes, {"train": ["bb22", "aa11"], "val": ["cc33"]}, {"aa11": ANONYMOUS})


def settings(root: Path, split: str = "train") -> DatasetConfig:
    return DatasetConfig("scannetpp", str(root), split=split)


def smallest_by_hand(folder: Path) -> list[int]:
    """objectId + 1 of each vertex, one vertex after the other: of the objects it is in the one with the fewest."""
    segments = json.loads((folder / "segments.json").read_text())["segIndices"]
    groups = json.loads((folder / "segments_anno.json").read_text())["segGroups"]
    groups = [group for group in groups if group["label"] != "REMOVE"]
    sizes = [sum(segment in group["segments"] for segment in segments) for group in groups]
    owners = []
    for segment in segments:
        own = [(size, i) for i, size in enumerate(sizes) if segment in groups[i]["segments"]]
        owners.append(groups[min(own)[1]]["objectId"] + 1 if own else 0)
    return owners


def test_a_scene_is_read_without_its_anonymous_vertices(root: Path):
    scan = open_dataset(settings(root)).load("aa11")
    folder = root / "data" / "aa11" / "scans"
    vertices = PlyData.read(folder / "mesh_aligned_0.05.ply")["vertex"]
    kept = [i for i in range(len(vertices)) if i not in ANONYMOUS]
    assert scan.instance.tolist() == [smallest_by_hand(folder)[i] for i in kept]
    assert scan.instance.dtype == np.int32 and scan.xyz.dtype == np.float32
    np.testing.assert_array_equal(scan.xyz, np.stack([vertices[axis] for axis in "xyz"], axis=1)[kept])
    np.testing.assert_array_equal(scan.rgb, np.stack([vertices[c] for c in ("red", "green", "blue")], axis=1)[kept])
    assert (scan.name, scan.frame, scan.scale) == ("aa11", "map", "room")


def test_a_vertex_of_several_objects_belongs_to_the_smallest(root: Path):
    scan = open_dataset(settings(root, "train")).load("aa11")
    points = {o.id: o.points for o in scan.objects}
    assert points == {2: 125 - 2, 3: 64 - 1, 6: 27, 10: 64, 11: 64}  # whole boxes but for what is anonymous


def test_classes_are_the_benchmarks(root: Path):
    dataset = open_dataset(settings(root))
    assert list(dataset.classes) == CLASSES
    categories = {o.id: o.category for o in dataset.load("aa11").objects}
    assert categories == {2: "table", 3: "laptop", 6: "", 10: "chair", 11: ""}
    assert {o.category for o in dataset.load("bb22").objects} == {"book"}
    assert dataset.instructions("aa11") == ()


def test_splits_are_lists_of_scenes(root: Path):
    assert list(open_dataset(settings(root)).scans) == ["bb22", "aa11"]
    assert list(open_dataset(settings(root, "val")).scans) == ["cc33"]
    assert list(open_dataset(settings(root, "all")).scans) == ["bb22", "aa11", "cc33"]


def test_scenes_that_are_not_on_disk_are_left_out(root: Path):
    (root / "splits" / "nvs_sem_train.txt").write_text("dd44\naa11\n\n")
    assert list(open_dataset(settings(root)).scans) == ["aa11"]
    (root / "splits" / "nvs_sem_train.txt").write_text("dd44\n")
    with pytest.raises(SegPointError, match="none of the 1 scenes .* split train; download"):
        open_dataset(settings(root))


def test_a_scene_without_a_mask_is_used_whole(root: Path):
    (root / "data/aa11/scans/mesh_aligned_0.05_mask.txt").unlink()
    assert len(open_dataset(settings(root)).load("aa11").xyz) == len(smallest_by_hand(root / "data/aa11/scans"))


def test_what_is_no_split_or_folder_is_an_error(root: Path):
    with pytest.raises(SegPointError, match="has labels for train, val, all, not for 'test'"):
        open_dataset(settings(root, "test"))
    with pytest.raises(SegPointError, match="it has no data/ beside metadata/ and splits/"):
        open_dataset(settings(root / "data"))
    (root / "metadata/semantic_benchmark/top100.txt").unlink()
    with pytest.raises(SegPointError, match="top100.txt cannot be read"):
        open_dataset(settings(root))


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("segments.json", '{"segIndices": [1, 2]}', "is of 2 vertices, but the mesh beside it has 418"),
        ("segments.json", '{"segIndices": [1, 2', "segments.json cannot be read"),
        ("segments_anno.json", '{"segGroups": [{"id": 1, "label": "x", "segments": []}]}', "objectId"),
        ("mesh_aligned_0.05_mask.txt", "12\nx\n", "mask.txt cannot be read"),
        ("mesh_aligned_0.05.ply", "ply\nformat", "mesh_aligned_0.05.ply cannot be read"),
    ],
)
def test_a_damaged_file_is_named(root: Path, name: str, content: str, error: str):
    (root / "data/aa11/scans" / name).write_text(content)
    with pytest.raises(SegPointError, match=re.escape(error)):
        open_dataset(settings(root)).load("aa11")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("splits/nvs_sem_train.txt", "\n"),
        ("metadata/semantic_benchmark/top100.txt", ""),
        ("metadata/semantic_benchmark/map_benchmark.csv", "class,count,semantic_map_to,instance_map_to\n"),
    ],
)
def test_an_empty_list_or_table_is_told(root: Path, name: str, content: str):
    (root / name).write_text(content)
    with pytest.raises(SegPointError, match=f"{name} (is empty|has no line).*download it again"):
        open_dataset(settings(root))


def test_check_counts_what_is_there(root: Path):
    found = module_of("scannetpp").check(settings(root))
    assert found.problems == [] and found.notes == []
    assert found.found == {
        "classes": 4,
        "scenes, train": 2,
        "objects, train": len(DESK) - 1 + len(SHELF),
        "labels without a class, train": 2,
        "scenes, val": 1,
        "objects, val": len(SHELF),
        "labels without a class, val": 0,
    }


def test_check_says_what_is_missing_and_wrong(root: Path):
    (root / "splits/nvs_sem_val.txt").write_text("cc33\nee55\n")
    scene = root / "data/cc33/scans"
    (scene / "segments.json").unlink()
    (scene / "mesh_aligned_0.05_mask.txt").unlink()
    (scene / "segments_anno.json").write_text("{")
    mesh = root / "data/aa11/scans/mesh_aligned_0.05.ply"
    mesh.write_bytes(mesh.read_bytes()[:-50])
    found = module_of("scannetpp").check(settings(root))
    problems = "\n".join(found.problems)
    assert re.search("val: 1 of 2 scenes are not there .ee55.; download", problems)
    assert re.search("val: 1 scenes have no segments.json .cc33.", problems)
    assert re.search("cc33.*segments_anno.json cannot be read", problems)
    assert re.search("aa11.*mesh_aligned_0.05.ply is cut off", problems)
    assert len(found.problems) == 4 and re.search("1 scenes have no mesh_aligned_0.05_mask.txt", found.notes[0])


def test_check_survives_a_folder_of_something_else(tmp_path: Path):
    found = module_of("scannetpp").check(settings(tmp_path))
    assert len(found.problems) == 1 and "not ScanNet++'s folder" in found.problems[0]
