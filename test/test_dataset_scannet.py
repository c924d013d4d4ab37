"""ScanNet and ScanNet200 from miniature folders in the official layout, against re-reading by hand and scenezoo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mini_scannet import ALIGNMENT, MiniObject, vertices_of, write_label_table, write_scannet
from plyfile import PlyData

from segpoint.errors import SegPointError
from segpoint_training.config import DatasetConfig
from segpoint_training.datasets import module_of, open_dataset
from segpoint_training.datasets.mesh import Group, smallest_objects
from segpoint_training.datasets.scannet import label_numbers, official_labels, read_alignment, scan_path
from segpoint_training.datasets.scannet_classes import COMMON, HEAD, SCANNET20, SCANNET200, TAIL, TRAIN_ONLY
from segpoint_training.scenes.scene import SceneObject

ROOM = (
    MiniObject("floor", (0, 0, 0), (4, 4, 0.01)),
    MiniObject("couch", (1, 1, 0.4), (1.8, 0.8, 0.8), (20, 90, 160), side=7),
    MiniObject("pillow", (1, 1, 0.9), (0.4, 0.2, 0.3), (240, 240, 10)),
    MiniObject("office chair", (-1, 0.5, 0.5)),
    MiniObject("spaceship", (-1, -1, 0.5)),  # in no line of the label table
)
TEST_ROOM = (MiniObject("chair"),)
SPLITS = {"train": ["scene0000_00", "scene0001_00"], "val": ["scene0002_00"], "test": ["scene0707_00"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    scenes = dict.fromkeys(["scene0000_00", "scene0001_00", "scene0002_00"], ROOM) | {"scene0707_00": TEST_ROOM}
    return write_scannet(tmp_path / "scannet", scenes, SPLITS)


def settings(root: Path, name: str = "scannet", split: str = "train") -> DatasetConfig:
    return DatasetConfig(name, str(root), split=split)


def file(root: Path, suffix: str, scan: str = "scene0000_00") -> Path:
    return root / "scans" / scan / (scan + suffix)


# --- what is read -------------------------------------------------------------------------------------------------


def test_scans_of_each_split_are_the_official_lists(root):
    for split, scans in SPLITS.items():
        assert list(open_dataset(settings(root, split=split)).scans) == scans


def test_scan_is_turned_to_the_rooms_axes(root):
    scan = open_dataset(settings(root)).load("scene0000_00")
    xyz, rgb, place = vertices_of(ROOM, 27)
    np.testing.assert_allclose(scan.xyz, xyz, atol=1e-5)
    assert (scan.xyz.dtype, scan.rgb.dtype, scan.instance.dtype) == (np.float32, np.uint8, np.int32)
    np.testing.assert_array_equal(scan.rgb, rgb)
    np.testing.assert_array_equal(scan.instance, place + 1)  # objectId + 1
    assert (scan.name, scan.frame, scan.scale) == ("scene0000_00", "map", "room")


def test_reader_agrees_with_reading_by_hand(root):
    """The steps of ScanNet's own scripts, written out: mesh, axisAlignment, segments of each group."""
    scan = open_dataset(settings(root)).load("scene0001_00")
    vertex = PlyData.read(str(file(root, "_vh_clean_2.ply", "scene0001_00")))["vertex"]
    stored = np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float64)
    line = next(
        line for line in file(root, ".txt", "scene0001_00").read_text().splitlines() if line.startswith("axisAlignment")
    )
    matrix = np.array([float(word) for word in line.split(" = ")[1].split()]).reshape(4, 4)
    turned = (matrix @ np.concatenate([stored, np.ones((len(stored), 1))], axis=1).T).T[:, :3]
    np.testing.assert_allclose(scan.xyz, turned, atol=1e-5)
    assert np.abs(stored - turned).max() > 1  # or nothing was tested
    segments = np.array(
        json.loads(file(root, "_vh_clean_2.0.010000.segs.json", "scene0001_00").read_text())["segIndices"]
    )
    for group in json.loads(file(root, ".aggregation.json", "scene0001_00").read_text())["segGroups"]:
        np.testing.assert_array_equal(scan.instance == group["objectId"] + 1, np.isin(segments, group["segments"]))


def test_reader_agrees_with_scenezoo(root):
    scenezoo = pytest.importorskip("scenezoo")
    lists = {f"{split}_split_file": f"scannetv2_{split}.txt" for split in SPLITS}
    other = scenezoo.get_dataset("scannetv2", root, offline=True, **lists)
    dataset = open_dataset(settings(root))
    scan = dataset.load("scene0000_00")
    instances = other.get_segmentation("scene0000_00", segmentation_type="instance")
    np.testing.assert_array_equal(scan.instance, np.asarray(instances.labels) + 1)
    assert dataset.labels("scene0000_00") == {id + 1: name for id, name in instances.id_to_name.items()}
    semantic = other.get_segmentation("scene0000_00", segmentation_type="semantic")
    np.testing.assert_array_equal(official_labels(root, "scene0000_00"), semantic.labels)
    mesh = np.asarray(other.get_mesh("scene0000_00").vertices) @ ALIGNMENT[:3, :3].T + ALIGNMENT[:3, 3]
    np.testing.assert_allclose(scan.xyz, mesh, atol=1e-5)
    assert list(other.splits["train"]) == list(dataset.scans)


def test_objects_have_the_benchmarks_class(root):
    def categories(name: str) -> list[str]:
        return [thing.category for thing in open_dataset(settings(root, name)).load("scene0000_00").objects]

    assert categories("scannet") == ["floor", "sofa", "", "chair", ""]  # a pillow is NYU40's 18, none of the 20
    assert categories("scannet200") == ["floor", "couch", "pillow", "office chair", ""]
    pillow: SceneObject = open_dataset(settings(root)).load("scene0000_00").objects[2]
    assert pillow.id == 3
    np.testing.assert_allclose(pillow.centre, (1, 1, 0.9), atol=1e-5)
    np.testing.assert_allclose(pillow.size, (0.4, 0.2, 0.3), atol=1e-5)


def test_labels_keep_the_annotators_words(root):
    assert open_dataset(settings(root)).labels("scene0000_00")[5] == "spaceship"


def test_official_truth_is_the_labels_mesh(root):
    truth = official_labels(root, "scene0000_00")
    scan = open_dataset(settings(root)).load("scene0000_00")
    assert set(truth[scan.instance == 2]) == {6}  # sofa
    assert set(truth[scan.instance == 3]) == {18}  # a pillow, which the benchmark ignores
    assert set(truth[scan.instance == 0]) == {0}
    assert official_labels(root, "scene0707_00") is None


def test_test_scans_have_no_objects_and_stay_as_they_are(root):
    scan = open_dataset(settings(root, split="test")).load("scene0707_00")
    assert scan.objects == () and not scan.instance.any()
    np.testing.assert_allclose(scan.xyz, vertices_of(TEST_ROOM, 27)[0], atol=1e-5)
    assert read_alignment(scan_path(root, "scene0707_00", ".txt")) is None


def test_overlap_goes_to_the_smallest_object(tmp_path):
    room = (MiniObject("couch", side=6, overlaps=(1,)), MiniObject("pillow", (2, 0, 1)))
    root = write_scannet(tmp_path, {"scene0000_00": room})
    scan = open_dataset(settings(root)).load("scene0000_00")
    assert [thing.points for thing in scan.objects] == [6**3, 5**3]
    groups = [Group(1, "a", np.array([1, 2, 3])), Group(2, "b", np.array([2, 9])), Group(3, "c", np.array([3, 2, 1]))]
    np.testing.assert_array_equal(smallest_objects(np.array([3, 2, 1, 0, 2]), groups), [1, 2, 1, 0, 2])


def test_root_may_be_the_folder_of_the_scans(root):
    assert list(open_dataset(settings(root / "scans")).scans) == SPLITS["train"]
    elsewhere = DatasetConfig("scannet", str(root.parent), scans=str(root))
    assert list(open_dataset(elsewhere).scans) == SPLITS["train"]


def test_split_lists_may_stay_in_the_repositorys_folder(root):
    (root / "Tasks/Benchmark").mkdir(parents=True)
    for split in SPLITS:
        (root / f"scannetv2_{split}.txt").rename(root / "Tasks/Benchmark" / f"scannetv2_{split}.txt")
    assert list(open_dataset(settings(root, split="val")).scans) == SPLITS["val"]


def test_classes_are_the_benchmarks():
    assert len(SCANNET20) == 20 and len(SCANNET200) == len(set(SCANNET200.values())) == 200
    assert (len(HEAD), len(COMMON), len(TAIL), len(TRAIN_ONLY)) == (66, 68, 66, 11)
    assert {*HEAD, *COMMON, *TAIL} == set(SCANNET200.values())
    assert SCANNET20[39] == "otherfurniture" and SCANNET200[1191] == "mattress" and "mattress" in COMMON
    assert set(TRAIN_ONLY) <= {*COMMON, *TAIL}  # what is frequent is in both splits


# --- what is wrong with files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "content", "says"),
    [
        ("_vh_clean_2.ply", None, "No such file"),
        ("_vh_clean_2.ply", b"ply\nformat binary_little_endian 1.0\n", "cannot be read"),
        ("_vh_clean_2.0.010000.segs.json", None, "No such file"),
        ("_vh_clean_2.0.010000.segs.json", b'{"segIndices": [1, 1, ', "cannot be read"),
        ("_vh_clean_2.0.010000.segs.json", b'{"segIndices": [1, 1, 7]}', "is of 3 vertices, but the mesh"),
        (".aggregation.json", b'{"segGroups": [{"objectId": 0}]}', "label"),
        (".aggregation.json", b"", "cannot be read"),
        (".txt", None, "No such file"),
        (".txt", b"axisAlignment = 1 0 0 0\n", "axisAlignment must be 16 numbers"),
        (".txt", b"axisAlignment = 1 0 0 x\n", "cannot be read"),
        (".txt", b"axisAlignment =\n", "axisAlignment must be 16 numbers"),
        (".txt", b"axisAlignment = " + b"0 " * 16, "turns and shifts alone"),
        (".txt", b"axisAlignment = " + b"nan " * 16, "turns and shifts alone"),
        (".txt", b"axisAlignment = 2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1", "turns and shifts alone"),
        (".txt", b"axisAlignment = 1 0 0 0 0 1 0 0 0 0 -1 0 0 0 0 1", "turns and shifts alone"),  # a mirror
        (".txt", b"axisAlignment = 1 0 0 0 0 1 0 0 0 0 1 0 3 1 0 1", "turns and shifts alone"),  # by columns
        (".aggregation.json", b"[" * 100_000, "cannot be read"),
        (
            ".aggregation.json",
            json.dumps({"segGroups": [{"objectId": 4, "label": label, "segments": []} for label in "ab"]}).encode(),
            "objectId 4 is there twice, as 'a' and 'b'",
        ),
    ],
)
def test_damaged_scan_raises_one_error_that_names_the_file(root, suffix, content, says):
    path = file(root, suffix)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(SegPointError) as raised:
        open_dataset(settings(root)).load("scene0000_00")
    assert str(path) in str(raised.value) and says in str(raised.value) and "\n" not in str(raised.value)


def test_mesh_cut_off_anywhere_is_an_error(root):
    path = file(root, "_vh_clean_2.ply")
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(SegPointError, match="scene0000_00_vh_clean_2.ply"):
            open_dataset(settings(root)).load("scene0000_00")
        assert any("is cut off" in problem for problem in module_of("scannet").check(settings(root)).problems)


def test_missing_set_up_says_what_to_get(root, tmp_path):
    (root / "scannetv2_train.txt").unlink()
    with pytest.raises(SegPointError, match="no scannetv2_train.txt.*Tasks/Benchmark"):
        open_dataset(settings(root))
    (root / "scannetv2-labels.combined.tsv").write_text("id\tname\n1\twall\n")
    with pytest.raises(SegPointError, match="raw_category"):
        open_dataset(settings(root, split="val"))
    (root / "scannetv2-labels.combined.tsv").unlink()
    with pytest.raises(SegPointError, match="--label_map"):
        open_dataset(settings(root, split="val"))
    with pytest.raises(SegPointError, match="splits train, val, test"):
        open_dataset(settings(root, split="everything"))
    bare = write_scannet(tmp_path / "bare", {}, {"train": ["scene0000_00"]})
    with pytest.raises(SegPointError, match="none of the 1 scans"):
        open_dataset(settings(bare))


def test_files_with_a_byte_order_mark_are_read(root):
    before = open_dataset(settings(root)).load("scene0000_00")
    files = ("_vh_clean_2.0.010000.segs.json", ".aggregation.json", ".txt")
    for path in (*root.glob("scannetv2*"), *(file(root, suffix) for suffix in files)):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    after = open_dataset(settings(root)).load("scene0000_00")
    assert after.objects == before.objects and list(open_dataset(settings(root)).scans) == SPLITS["train"]
    np.testing.assert_array_equal(after.xyz, before.xyz)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("scannetv2_train.txt", "\n\n", "is empty, expected names, one a line; copy it again"),
        ("scannetv2_train.txt", "<!DOCTYPE html>" + "x" * 9000, "expected names, one a line; copy it again"),
        ("scannetv2-labels.combined.tsv", "id\traw_category\tnyu40id\n", "no line with a label; download it again"),
        ("scannetv2-labels.combined.tsv", "", "no line with a label; download it again"),
    ],
)
def test_an_empty_list_or_table_is_told_once(root, name, content, says):
    (root / name).write_text(content)
    with pytest.raises(SegPointError) as raised:
        open_dataset(settings(root))
    assert name in str(raised.value) and says in str(raised.value) and len(str(raised.value)) < 400
    (problem,) = module_of("scannet").check(settings(root)).problems
    assert problem == str(raised.value)


def test_a_scan_is_listed_once_and_for_one_split(root):
    (root / "scannetv2_train.txt").write_text("scene0000_00\nscene0001_00\nscene0000_00\n")
    assert list(open_dataset(settings(root)).scans) == SPLITS["train"]
    assert module_of("scannet").check(settings(root)).problems == []
    (root / "scannetv2_val.txt").write_text("scene0001_00\nscene0002_00\n")
    (problem,) = module_of("scannet").check(settings(root)).problems
    assert "1 scans of val are listed for another split, too (scene0001_00)" in problem


def test_first_line_of_a_label_counts(tmp_path):
    write_label_table(tmp_path / "scannetv2-labels.combined.tsv", {"odd": (1200, 0)})
    with (tmp_path / "scannetv2-labels.combined.tsv").open("a") as table:
        table.write("1201\todd\todd\t1\t5\nx1\n".replace("x1\n", "") + '1202\t"quoted\t\t\t\n')
    assert label_numbers(tmp_path, "id")["odd"] == 1200
    assert label_numbers(tmp_path, "nyu40id")['"quoted'] == 0


# --- check --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scannet", "scannet200"])
def test_check_of_a_whole_folder_finds_no_problem(root, name):
    found = module_of(name).check(settings(root, name))
    assert found.problems == []
    assert {key: found.found[key] for key in ("scans, train", "scans, val", "scans, test", "objects, train")} == {
        "scans, train": 2, "scans, val": 1, "scans, test": 1, "objects, train": 10,
    }  # fmt: skip
    assert [note for note in found.notes if "axisAlignment" in note] == [note for note in found.notes if "test" in note]


def test_check_names_what_is_missing_and_wrong(root):
    file(root, ".aggregation.json").unlink()
    file(root, "_vh_clean_2.0.010000.segs.json", "scene0001_00").write_text('{"segIndices": [1, 2')
    file(root, "_vh_clean_2.labels.ply", "scene0001_00").unlink()
    (root / "scannetv2_val.txt").write_text("scene0002_00\nscene0003_00\nscene0004_00\n")
    found = module_of("scannet").check(settings(root))
    problems, notes = "\n".join(found.problems), "\n".join(found.notes)
    assert "SCAN.aggregation.json" in problems and "scene0000_00" in problems
    assert "scene0001_00_vh_clean_2.0.010000.segs.json is cut off" in problems
    assert "2 of 3 scans are not there (scene0003_00, scene0004_00)" in problems
    assert "official truth" in notes


def test_check_tells_the_label_table_from_before_scannet200(root):
    table = root / "scannetv2-labels.combined.tsv"
    lines = table.read_text().splitlines()
    older = [line for line in lines if not line.startswith(("1163\t", "1357\t"))]  # "object" came with ScanNet200
    table.write_text("\n".join(older) + "\n")
    (problem,) = module_of("scannet200").check(settings(root, "scannet200")).problems
    assert "older than ScanNet200" in problem and "object" in problem and "1357" in problem
    assert module_of("scannet").check(settings(root)).problems == []  # the 20 classes do not mind
