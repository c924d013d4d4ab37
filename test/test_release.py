"""From a run to a bundle: stopped as asked, going on, and what of a run's folder makes no bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_run import BACKBONE, paper_run, write_backbone

from segpoint.cli import main
from segpoint.config import LanguageConfig
from segpoint.errors import SegPointError
from segpoint_training.backbones import backbone_digest, check_backbone, token_counter
from segpoint_training.config import TrainConfig


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`segpoint setup`'s folder, with a tiny language model."""
    folder = tmp_path_factory.mktemp("cache")
    write_backbone(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPOINT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps of the paper's one stage; a bundle of it beside."""
    folder = tmp_path_factory.mktemp("release")
    paper_run(2).save(folder / "config.yaml")
    words = ["train", str(folder / "config.yaml"), "--run", str(folder / "run"), "--device", "cpu"]
    assert main([*words, "--bundle", str(folder / "bundle")]) == 0
    return folder / "run"


def copied(run: Path, folder: Path, *names: str) -> Path:
    """A run's folder with some of its files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((run / name).read_bytes())
    return folder


def test_a_run_that_is_stopped_says_how_it_goes_on(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    config = paper_run(5)
    stage1 = replace(config.stage2, steps=3, every=0, geometry=False)
    replace(config, stage1=stage1, stage2=replace(config.stage2, every=0)).save(tmp_path / "config.yaml")
    run, bundle = tmp_path / "a run", tmp_path / "bundle"
    words = ["train", str(tmp_path / "config.yaml"), "--run", str(run), "--device", "cpu"]
    assert main([*words, "--minutes", "1e-9", "--bundle", str(bundle)]) == 0, "it was asked to stop"
    said = capsys.readouterr().out
    assert "stopped: stage 1 has done 1 of 3 steps, stage 2 has done 0 of 5 steps; the same command goes on" in said
    assert main(["bundle", str(run), str(bundle)]) == 2 and not bundle.exists()
    told = capsys.readouterr().err
    assert f"no checkpoint of stage 2 yet; `segpoint train {words[1]} --run '{run}' --device cpu` goes on to it" in told
    assert main([*words, "--minutes", "1e-9"]) == 0
    assert "stage 1 has done 2 of 3 steps" in capsys.readouterr().out


def test_a_finished_run_becomes_a_bundle(run: Path, tmp_path: Path):
    assert main(["bundle", str(run), str(tmp_path / "again")]) == 0
    one, other = (load_file(bundle / "model.safetensors") for bundle in (run.parent / "bundle", tmp_path / "again"))
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("missing", r"stage2 does not hold the network.*is not there and should be"),
        ("another", r"tensors differ, first network\.encoder.*is \(7,\) and should be"),
        ("more", r"1 tensors differ, first network.novel, which is \(1,\) and should be not there"),
        ("torn", r"cannot be read.*train that stage again"),
    ],
)
def test_frozen_weights_that_are_not_the_runs_are_told(run: Path, tmp_path: Path, damage: str, told: str):
    from segpoint_training.release import write_bundle

    broken = copied(run, tmp_path / "run", "config.yaml", "log.jsonl", "stage2/state.safetensors")
    frozen = load_file(run / "stage2" / "frozen.safetensors")
    if damage != "missing":
        changed = {"another": dict.fromkeys(frozen, torch.zeros(7)), "more": {"network.novel": torch.zeros(1)}}
        save_file({**frozen, **{n: v.clone() for n, v in changed.get(damage, {}).items()}},
                  broken / "stage2" / "frozen.safetensors")  # fmt: skip
    if damage == "torn":
        path = broken / "stage2" / "frozen.safetensors"
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SegPointError, match=told):
        write_bundle(TrainConfig.load(broken / "config.yaml"), broken, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_file_in_the_place_of_a_stage_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    broken = copied(run, tmp_path / "run", "config.yaml", "log.jsonl")
    (broken / "stage2").write_text("what is this?")
    for words in (
        ["bundle", str(broken), str(tmp_path / "bundle")],
        ["train", str(broken / "config.yaml"), "--run", str(broken), "--device", "cpu"],
    ):
        assert main(words) == 2
        assert "stage2 is a file" in capsys.readouterr().err


def test_what_was_computed_with_a_backbone_is_of_its_files(cache: Path, tmp_path: Path, monkeypatch):
    write_backbone(tmp_path)
    before = backbone_digest(BACKBONE)
    assert before == backbone_digest(BACKBONE) and len(before) == 8
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path))
    assert backbone_digest(BACKBONE) != before, "another folder under the same name"


def test_questions_are_embedded_anew_for_another_backbone(cache: Path, tmp_path: Path, monkeypatch):
    from segpoint_training.stage1 import question_states

    class Language:
        def __init__(self, value: float) -> None:
            self.value = value

        def text_hidden(self, texts):
            return [torch.full((2, 3), self.value) for _ in texts]

    monkeypatch.setattr("segpoint_training.stage1.question_texts", lambda train, held_out: ["a", "b"])
    first = question_states(tmp_path / "run", [], [], Language(1.0), BACKBONE)
    again = question_states(tmp_path / "run", [], [], Language(2.0), BACKBONE)
    assert torch.equal(first.states, again.states), "kept"
    write_backbone(tmp_path / "other")
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path / "other"))
    assert question_states(tmp_path / "run", [], [], Language(2.0), BACKBONE).states.unique().tolist() == [2.0]


def test_sentences_are_counted_as_the_model_reads_them(cache: Path):
    from segpoint.network.language import load_language

    config = replace(paper_run(1).model, language=LanguageConfig(backbone=BACKBONE, max_instruction_tokens=5))
    language, count = load_language(config), token_counter(BACKBONE)
    for text in ("the mug", "  the   <SEG> </s>", "Überschallknall", "a b c d e f"):
        assert count(text) == len(language._text_ids(text))
    with pytest.raises(SegPointError, match=f"has {count('incomprehensible')} tokens"):
        language.check_instruction("incomprehensible")


def test_four_bits_need_whole_blocks(cache: Path):
    config = paper_run(1)
    few = replace(config.model.language, quantization="nf4")
    pytest.importorskip("bitsandbytes")
    with pytest.raises(SegPointError, match="multiples of 64, and tiny-llama has 32 and 48: set it to 'int8'"):
        check_backbone(replace(config, model=replace(config.model, language=few)))
    check_backbone(replace(config, model=replace(config.model, language=replace(few, quantization="int8"))))


def test_the_command_is_in_the_log(run: Path):
    (command,) = [line["command"] for line in map(json.loads, (run / "log.jsonl").open()) if "command" in line]
    assert command == f"segpoint train {run.parent / 'config.yaml'} --run {run} --device cpu"
