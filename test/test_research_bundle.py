"""The bundle that ships on miniature data sets, from the files to the figures."""

import json

import pytest
from mini_scannet import MiniObject, write_scannet

from segpoint.errors import SegPointError
from segpoint.segmenter import Segmenter
from segpoint_training import evaluate as evaluation


@pytest.fixture(scope="module")
def loaded():
    from segpoint.backbone import backbone_folder
    from segpoint.config import default_bundle

    try:
        backbone_folder()
        return Segmenter.from_bundle(default_bundle()), default_bundle()
    except SegPointError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def scans(loaded, tmp_path, monkeypatch):
    """One room with a floor, a chair and a table."""
    monkeypatch.setattr(evaluation, "_load", lambda folder: loaded)
    room = [
        MiniObject("floor", (0, 0, 0), (5, 4, 0.02), (120, 110, 100), side=20),
        MiniObject("chair", (1, 0.5, 0.4), (0.5, 0.5, 0.8), (160, 60, 50), side=8),
        MiniObject("table", (-1, -0.5, 0.4), (1.4, 0.8, 0.7), (140, 100, 60), side=8),
    ]
    return write_scannet(tmp_path / "scannet", {"scene0011_00": room}, {"val": ["scene0011_00"]})


def test_sentences(scans, tmp_path):
    said = [
        ("1", "chair", "the chair beside the table"),
        ("2", "table", "it is a brown table"),
        ("1", "chair", "word " * 200),
    ]
    entries = [
        dict(scene_id="scene0011_00", object_id=id, object_name=name, ann_id=str(i), description=text, token=[])
        for i, (id, name, text) in enumerate(said)
    ]
    (tmp_path / "ScanRefer_filtered_val.json").write_text(json.dumps(entries))
    path = tmp_path / "r.json"
    evaluation.main(["scanrefer", str(tmp_path), "--scans", str(scans), "--json", str(path)])
    record = json.loads(path.read_text())
    assert [item["outcome"] == "refused" for item in record["items"]] == [False, False, True]
    assert len(record["refused"]) == 1 and "tokens" in record["refused"][0]
    assert all(item["answer"] for item in record["items"][:2])
    assert record["measures"]["overall"]["count"] == 3


def test_classes(scans, tmp_path):
    path = tmp_path / "r.json"
    evaluation.main(["scannet", str(scans), "--json", str(path)])
    record = json.loads(path.read_text())
    assert {name: row["points"] for name, row in record["classes"].items() if row["points"]} == {
        "floor": 20**3, "chair": 8**3, "table": 8**3,
    }  # fmt: skip
    assert record["refused"] == [] and 0 <= record["measures"]["miou"] <= 1
