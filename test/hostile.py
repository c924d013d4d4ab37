"""A small bundle that brings its language model and answers, to be damaged; and how it is refused."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bundle import CONFIG
from tiny_language import tiny_model

from segpoint.bundle import WEIGHTS
from segpoint.config import LanguageConfig
from segpoint.errors import SegPointError
from segpoint.network.segpoint import SegPoint
from segpoint.segmenter import Segmenter

MOST_MEMORY = 400  # MB that a refusal may take; what is asked for are terabytes


def write_whole(folder: Path) -> Path:
    """The bundle, its language model in ``llm``."""
    plain = tiny_model(lora_rank=0)
    plain.llm.save_pretrained(folder / "llm")
    plain.tokenizer.save_pretrained(folder / "llm")
    language = tiny_model(lora_rank=2)
    config = replace(CONFIG, language=LanguageConfig(backbone="./llm", lora_rank=2))
    config.save(folder)
    state = {f"network.{n}": v for n, v in SegPoint(config, language.hidden_size).state_dict().items()}
    save_file({**state, **{f"language.{n}": v for n, v in language.trained_state().items()}}, folder / WEIGHTS)
    assert load(folder).segment(points(), "the mug", frame="body").mask.shape == (6000,)
    return folder


class Trap:
    """Whoever unpickles it, sets it off."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (str(self.sprung),)

    def check(self) -> None:
        assert not self.sprung.exists(), "code of a stranger has run"


def points() -> np.ndarray:
    """A table with a box on it, z up."""
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.uniform([0.5, -0.3], [1.0, 0.3], (4000, 2)), np.full(4000, -0.4)])
    return np.concatenate([flat, rng.uniform([0.7, -0.1, -0.4], [0.8, 0.1, -0.2], (2000, 3))]).astype(np.float32)


def load(folder: Path) -> Segmenter:
    return Segmenter.from_bundle(folder, backend="torch", device="cpu")


def refused(folder: Path, says: str) -> str:
    """What the one error says; it is short, and the refusal was cheap."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SegPointError, match=says) as error:
        load(folder)
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert taken < MOST_MEMORY, f"{taken} MB"
    text = str(error.value)
    assert "\n" not in text and len(text) < 800
    return text


def change(path: Path, **values: Any) -> None:
    """Set values in a JSON file; ``a__b`` is b in the table a."""
    content = json.loads(path.read_text())
    for name, value in values.items():
        table, _, inner = name.partition("__")
        (content[table] if inner else content)[inner or table] = value
    path.write_text(json.dumps(content))


def change_weights(path: Path, name: str, value: torch.Tensor) -> None:
    save_file({**load_file(path), name: value}, path, metadata={"format": "pt"})
