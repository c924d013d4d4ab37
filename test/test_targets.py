"""The table of targets: read from JSON, written between its markers."""

import json

import pytest

from segpoint.errors import SegPointError
from segpoint_training import release
from segpoint_training.provenance import short_commit
from segpoint_training.records import without_nan, write_record
from segpoint_training.release import _figures
from segpoint_training.run_log import log_lines
from segpoint_training.targets import BEGIN, END, PARTS, TARGETS, read_figure, targets_markdown, write_targets


def section(miou: float) -> dict:
    row = {"count": 20, "miou": miou, "acc25": 0.9, "acc50": 0.8}
    rows = {"with target": row, "zero-target": {**row, "miou": float("nan")}}
    return {"measures": rows, "references": {"every cluster": {name: {**row, "miou": 0.3} for name in rows}},
            "sensors": {"kinect": row}, "outcomes": {"right": 3}}  # fmt: skip


MADE = {"bundle": "b", "bundle_sha256": "ab" * 32, "git_commit": "c0ffee" * 6, "data": "generated", "seeds": [5, 8],
        "scale": "table", "split": "test", "sensor": "drawn from the seed"}  # fmt: skip
TABLES = {**MADE, **section(0.66), "also": {"click": section(0.7)},
          "colour": {"count": 4, "with_colour": 0.8, "without_colour": 0.4, "lost": 0.5}}  # fmt: skip
SEMANTIC = {**MADE, "semantic": {"miou": 0.6, "classes": {"mug": {"points": 9, "iou": 0.4}, "table": {"points": 90,
            "iou": 0.8}}, "references": {"all one class": 0.4}}}  # fmt: skip


def rows_of(text: str) -> dict[str, list[str]]:
    """Cells of the first table by what they are about."""
    lines = text.split("\n\n")[0].splitlines()[2:]
    return {cells[1]: cells[2:-1] for cells in ([cell.strip() for cell in line.split("|")] for line in lines)}


def test_every_target_is_a_row_reached_or_not():
    rows = rows_of(targets_markdown(without_nan({"tables": TABLES, "semantic-tables": SEMANTIC})))
    assert list(rows) == [target.what for target in TARGETS] and {target.part for target in TARGETS} == set(PARTS)
    assert rows["generated tables, held-out instances, all kinds: mIoU"] == [
        "20", "66.0", "≥ 65", "yes", "every cluster 30.0",
    ]  # fmt: skip
    assert rows["generated tables, held-out instances, all kinds: Acc@0.5"][1:4] == ["80.0", "≥ 75", "yes"]
    assert rows["one click, generated tables: mIoU"][1:4] == ["70.0", "≥ 75", "no"]
    assert rows["zero-target accuracy, generated tables"][1:4] == ["–", "≥ 92", "–"]
    assert rows["semantic, generated tables: mIoU over classes"] == ["2", "60.0", "≥ 55", "yes", "all one class 40.0"]
    assert rows["colour removed, generated tables: share of category mIoU lost"] == [
        "4", "50.0", "≤ 25", "no", "with 80.0, without 40.0",
    ]  # fmt: skip
    assert rows["real, with target: mIoU"] == ["–", "not measured", "≥ 55", "", ""]


def test_the_worst_answers_about_real_scans_are_told_without_their_sentences():
    items = [
        {
            "cloud": f"{i}.pcd",
            "kind": "category",
            "iou": i / 10,
            "true_points": 1200,
            "points": i,
            "outcome": "too much",
        }
        for i in (3, 1, 2)
    ]
    lines = targets_markdown(without_nan({"real": {**TABLES, "items": items}})).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| cloud |"))
    assert lines[first + 2] == "| 1.pcd | category | 0.10 | 1,200 | 1 | too much |"
    assert [line.split(".")[0] for line in lines[first + 2 : first + 5]] == ["| 1", "| 2", "| 3"]


def test_a_short_commit_keeps_the_sign_of_changes_beside_it():
    assert [short_commit(c) for c in ("c0ffee" * 6, "c0ffee" * 6 + "+", None)] == [
        "c0ffeec0ffee",
        "c0ffeec0ffee+",
        "none",
    ]


def test_figures_come_from_their_own_task():
    by_what = {target.what: target for target in TARGETS}
    click = read_figure(TABLES, by_what["one click, generated tables: mIoU"])
    assert (click.value, click.count, click.references) == (0.7, 20, {"every cluster": 0.3})


def test_only_what_is_between_the_markers_changes(tmp_path):
    folder, page = tmp_path / "results", tmp_path / "results.md"
    page.write_text(f"# Ours\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter, an ablation\n")
    write_record(folder / "tables.json", {**TABLES, "items": [{"iou": 0.123456, "kind": "x"}, {"iou": float("nan")}]})
    stored = json.loads((folder / "tables.json").read_text())
    assert stored["items"] == [{"iou": 0.12346, "kind": "x"}, {"iou": None}]
    assert stored["measures"]["zero-target"]["miou"] is None
    for _ in range(2):  # the second time over its own output
        write_targets(folder)
    text = page.read_text()
    assert text.startswith(f"# Ours\n\nbefore\n\n{BEGIN}\n") and text.endswith(f"\n{END}\n\nafter, an ablation\n")
    assert "old" not in text and text.count("one click, real") == 1 and "seeds 5 to 8" in text


def test_a_model_card_says_the_same_of_words_and_classes():
    records = without_nan({"words": {**TABLES, "clouds": 4}, "classes": SEMANTIC})
    records["classes"]["semantic"]["clouds"] = 3
    words, classes = _figures(records["words"]), _figures(records["classes"])
    assert words.startswith(
        "**generated, split test, scale table, sensor drawn from the seed**, 4 clouds (weights `abab"
    )
    assert "| with target | 20 | 66.0 | 90.0 | 80.0 | 30.0 |" in words and "| kinect, with target | 20 | 66.0" in words
    assert ", 3 clouds" in classes and "table 80.0, mug 40.0" in classes


@pytest.mark.parametrize("content", ["", "{", "[]", '{"data": "x"}'])
def test_a_damaged_result_is_told(tmp_path, content):
    (tmp_path / "tables.json").write_text(content)
    with pytest.raises(SegPointError, match="tables.json cannot be read .*delete it"):
        write_targets(tmp_path)


def test_a_card_needs_whole_files(tmp_path):
    words = [str(tmp_path), str(tmp_path / "bundle"), "--figures", str(tmp_path / "r.json")]
    (tmp_path / "bundle").mkdir()
    (tmp_path / "config.yaml").touch()
    with pytest.raises(SegPointError, match="not found: .*r.json, .*model.safetensors"):
        release.main(words)
    (tmp_path / "bundle" / "model.safetensors").touch()
    write_record(tmp_path / "r.json", TABLES)
    with pytest.raises(SegPointError, match="model.safetensors cannot be read .*write the bundle again"):
        release.main(words)
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(SegPointError, match="r.json cannot be read .*delete it"):
        release.main(words)


@pytest.mark.parametrize("given", [None, "# Results\n\nan ablation\n"])
def test_a_page_without_markers_gets_them(tmp_path, given):
    folder, page = tmp_path / "results", tmp_path / "results.md"
    write_record(folder / "semantic-tables.json", SEMANTIC)
    if given:
        page.write_text(given)
    write_targets(folder)
    text = page.read_text()
    assert text.startswith(given or "# Results\n") and text.count(BEGIN) == text.count(END) == 1
    assert "table 80.0, mug 40.0" in text


def test_a_log_that_a_kill_has_torn_still_tells_what_it_can(tmp_path):
    assert log_lines(tmp_path) == []
    (tmp_path / "log.jsonl").write_text('{"time": "9:00", "step": 3}\n{"ste\n{"time": "9:01", "step": 4}\n')
    assert [line["step"] for line in log_lines(tmp_path)] == [3, 4]
