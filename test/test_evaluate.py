"""Evaluation: what is asked, what is counted, what is written. The segmenter's own quality is not tested here."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint_training import evaluate as evaluation
from segpoint_training.evaluate import evaluate, print_tables
from segpoint_training.labelled import folder_set, generated_set

WIDTH, HEIGHT, FOCAL = 160, 120, 130.0


def write_table(path, offset: float) -> np.ndarray:
    """A table seen from 45° above with two boxes (ids 2 and 3; the second in two parts); returns the ids (M,)."""
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    ray = np.stack([(column - 79.5) / FOCAL, (row - 59.5) / FOCAL, np.ones_like(row)], axis=-1).reshape(-1, 3)
    normal = np.array([0.0, np.sqrt(0.5), np.sqrt(0.5)])  # into the table, one metre away
    depth, label = 1.0 / (ray @ normal), np.ones(len(ray), dtype=np.uint32)
    for part, (low, high) in {20: (50, 70), 30: (100, 112), 31: (112, 125)}.items():
        inside = (column.ravel() >= low + offset) & (column.ravel() < high + offset) & (abs(row.ravel() - 60) < 12)
        depth[inside], label[inside] = 0.9 / (ray[inside] @ normal), part  # a plate that floats ten centimetres above
    xyz = (ray * depth[:, None]).astype(np.float32)
    xyz[:300] = np.nan
    label[:300] = 0
    write_points(path, xyz, np.full((len(xyz), 3), 90, np.uint8), {"label": label}, WIDTH, HEIGHT)
    return np.where(label > 9, label // 10, label)


@pytest.fixture
def folder(tmp_path):
    rows = []
    for name, offset in (("one.pcd", 0), ("two.pcd", -10)):
        write_table(tmp_path / name, offset)
        for text, kind, labels in [
            ("the left box", "spatial", [2]),
            ("the boxes", "category", [2, 3]),
            ("the table", "category", [1]),
            ("the mug", "zero-target", []),
        ]:
            rows.append({"file": name, "instruction": text, "kind": kind, "target_labels": labels, "notes": ""})
    (tmp_path / "instructions.json").write_text(json.dumps(rows))
    return tmp_path


class LeftBoxSegmenter:
    """Deterministic arithmetic for the tests: marks what floats left of the middle, and says nothing about mugs."""

    def __init__(self):
        self.calls = []

    def segment_many(self, xyz, instructions, rgb=None, frame="optical"):
        self.calls.append((list(instructions), frame, rgb.dtype))
        found = np.nan_to_num(xyz @ np.array([0, np.sqrt(0.5), np.sqrt(0.5)]), nan=9.0) < 0.95
        found &= np.nan_to_num(xyz[:, 0]) < 0
        empty = np.zeros(len(xyz), dtype=bool)
        return [
            SimpleNamespace(mask=empty if "mug" in text else found, answer="box <SEG>.", instances=[], timings={})
            for text in instructions
        ]


def test_each_cloud_is_asked_once_and_counted_by_hand(folder):
    segmenter = LeftBoxSegmenter()
    result = evaluate(segmenter, folder_set(folder))
    assert [len(call[0]) for call in segmenter.calls] == [4, 4]
    assert all(call[1:] == ("optical", np.uint8) for call in segmenter.calls)
    left, right = 20 * 23, 25 * 23  # pixels of the two boxes
    both = left / (left + right)
    assert [item["iou"] for item in result.items[:4]] == pytest.approx([1.0, both, 0.0, 1.0], abs=1e-4)
    measures = result.to_dict()["measures"]
    assert measures["with target"]["count"] == 6 and measures["zero-target"]["miou"] == 1.0
    assert measures["spatial"]["miou"] == 1.0
    assert measures["category"]["miou"] == pytest.approx(both / 2, abs=1e-6)
    every = result.to_dict()["references"]["every cluster"]
    assert every["category"]["miou"] == pytest.approx(0.5, abs=0.05)  # both boxes right, the table missed
    assert every["spatial"]["miou"] == pytest.approx(both, abs=0.05) and every["zero-target"]["miou"] == 0.0
    assert result.to_dict()["references"]["best cluster"]["spatial"]["miou"] > 0.9
    gain, low, high = result.over_every_cluster()
    assert low <= gain <= high


def test_only_points_that_exist_count(folder):
    """Marking pixels without depth is neither rewarded nor punished."""
    segmenter = LeftBoxSegmenter()
    asked = segmenter.segment_many

    def careless(xyz, *args, **kwargs):
        answers = asked(xyz, *args, **kwargs)
        for answer in answers:
            answer.mask = answer.mask | ~np.isfinite(xyz[:, 0])
        return answers

    segmenter.segment_many = careless
    result = evaluate(segmenter, folder_set(folder))
    assert result.items[0]["iou"] == 1.0 and result.items[3]["iou"] == 1.0


def test_command_writes_tables_json_and_pictures(folder, monkeypatch, capsys):
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text("{}")
    (bundle / "model.safetensors").write_bytes(b"weights")
    segmenter_module = SimpleNamespace(Segmenter=SimpleNamespace(from_bundle=lambda path: LeftBoxSegmenter()))
    monkeypatch.setitem(sys.modules, "segpoint.segmenter", segmenter_module)
    words = [str(folder), "--bundle", str(bundle), "--scenes", "1", "--json", str(folder / "out" / "r.json"),
             "--pictures", str(folder / "pictures")]  # fmt: skip
    assert evaluation.main(words) == 0
    printed = capsys.readouterr().out
    for word in ("spatial", "category", "zero-target", "every cluster", "random cluster", "best cluster", "nothing"):
        assert word in printed
    record = json.loads((folder / "out" / "r.json").read_text())
    assert record["clouds"] == 1 and record["questions"] == 4 and record["files"] == ["one.pcd"]
    assert len(record["bundle_sha256"]) == 64 and record["versions"]["numpy"] == np.__version__
    assert [item["instruction"] for item in record["items"]][-1] == "the mug"
    assert (folder / "pictures" / "worst.png").stat().st_size > 10_000


def test_nothing_with_a_target_is_no_number(folder, capsys):
    rows = json.loads((folder / "instructions.json").read_text())
    (folder / "instructions.json").write_text(json.dumps([row for row in rows if not row["target_labels"]]))
    result = evaluate(LeftBoxSegmenter(), folder_set(folder))
    print_tables(result, {"data": "x", "clouds": 2, "questions": 2})
    assert "–" in capsys.readouterr().out
    text = json.dumps(evaluation._without_nan(result.to_dict()), allow_nan=False)
    assert json.loads(text)["measures"]["with target"]["miou"] is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("{", "not valid JSON"),
        ("[]", "expected a list"),
        ('[{"file": "a.pcd", "instruction": "x", "kind": "spatial"}]', "target_labels"),
        ('[{"file": "a.pcd", "instruction": "x", "kind": "spatial", "target_labels": [1]}]', "a.pcd"),
    ],
)
def test_folders_that_cannot_be_measured(tmp_path, content, told):
    if content is not None:
        (tmp_path / "instructions.json").write_text(content)
    with pytest.raises(SegPointError, match=told):
        list(folder_set(tmp_path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file", ["a"]), ("file", 3), ("instruction", ""), ("instruction", " \n"), ("instruction", None), ("kind", {}),
        ("target_labels", 2), ("target_labels", [-1]), ("target_labels", ["2"]), ("target_labels", [True]),
        ("target_labels", [1.5]),
    ],
)  # fmt: skip
def test_rows_are_checked(folder, name, value):
    rows = json.loads((folder / "instructions.json").read_text())
    rows[2][name] = value
    (folder / "instructions.json").write_text(json.dumps(rows))
    with pytest.raises(SegPointError, match=f"instructions.json, row 3: '?{name}"):
        folder_set(folder)


def test_kinds_are_printed_as_they_are(folder, capsys):
    rows = json.loads((folder / "instructions.json").read_text())
    rows[0]["kind"] = "[/odd]"
    (folder / "instructions.json").write_text(json.dumps(rows[:1]))
    print_tables(evaluate(LeftBoxSegmenter(), folder_set(folder)), {"data": "[/x]", "clouds": 1, "questions": 1})
    printed = capsys.readouterr().out
    assert "[/odd]" in printed and "[/x]" in printed


@pytest.mark.parametrize(
    "words", [["--seed", "-1"], ["--json", "."], ["--json", "setup.cfg/a.json"], ["--pictures", "setup.cfg"]]
)
def test_bad_targets_are_told_before_the_work(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.cfg").touch()
    with pytest.raises(SegPointError):
        evaluation.main(["--bundle", "nowhere", *words])
    assert [path.name for path in tmp_path.iterdir()] == ["setup.cfg"]


def test_unlabelled_clouds_are_refused(folder):
    write_points(folder / "one.pcd", np.ones((10, 3)))
    with pytest.raises(SegPointError, match="no field 'label'"):
        list(folder_set(folder))


def test_generated_scenes_are_the_test_split_by_seed():
    pytest.importorskip("segpoint_training.scenes.generate")
    data = generated_set(900_000, 2)
    first, second = data
    assert len(data) == 2 and first.name == "test_900000" and second.name == "test_900001"
    assert data.description["seeds"] == [900_000, 900_001]
    assert len(first.xyz) == first.width * first.height and first.questions
    assert {q.kind for q in first.questions + second.questions} >= {"category", "zero-target"}
    for question in first.questions:
        assert question.truth.shape == (len(first.xyz),)
        assert question.truth.any() == (question.kind != "zero-target")


def test_real_scenes_hold_what_their_instructions_count(shared):
    data = folder_set(shared / "real", 3)
    rows = json.loads((shared / "real" / "instructions.json").read_text())
    counts = [int(question.truth.sum()) for cloud in data for question in cloud.questions]
    assert counts == [row["target_points"] for row in rows[: len(counts)]]


def test_the_bundle_that_ships_end_to_end(tmp_path):
    from segpoint.backbone import backbone_folder
    from segpoint.config import default_bundle

    pytest.importorskip("segpoint.segmenter")
    try:
        default_bundle(), backbone_folder()
    except SegPointError as missing:
        pytest.skip(str(missing))
    record = evaluation.run_evaluate(None, scenes=1, json_path=str(tmp_path / "r.json"), pictures=str(tmp_path))
    assert record["clouds"] == 1 and record["questions"] == len(record["items"]) >= 5
    assert record["measures"]["all"]["miou"] > 0.0
    assert all(item["answer"] for item in record["items"])
    assert json.loads((tmp_path / "r.json").read_text())["items"] == record["items"]
    assert (tmp_path / "worst.png").is_file()
