"""Bundles from strangers: none takes the machine's memory or leads elsewhere, and what is wrong with each is one line.

Real files, loaded as the node loads them.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import Trap, change, change_weights, load, refused, write_whole
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_bundle import CONFIG

from segpoint.bundle import WEIGHTS
from segpoint.config import BundleConfig
from segpoint.errors import SegPointError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    trap = Trap(tmp_path / "sprung")
    yield trap
    trap.check()


# --- weights ----------------------------------------------------------------------------------------------------------


def header(path: Path, content: bytes, length: int | None = None, size: int = 0) -> None:
    """A safetensors file of this header and ``size`` bytes of nothing."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(content) if length is None else length) + content)
        file.truncate(file.tell() + size)  # a hole: nothing is written


@pytest.mark.parametrize("name", [WEIGHTS, "llm/model.safetensors"])
def test_a_pickle_under_another_name_is_not_unpickled(bundle: Path, trap: Trap, name: str) -> None:
    (bundle / name).write_bytes(pickle.dumps(trap))
    refused(bundle, f"{name} is not a whole safetensors file")
    torch.save({"network.gamma.0.weight": trap}, bundle / name)
    refused(bundle, f"{name} is not a whole safetensors file")


@pytest.mark.parametrize("name", [WEIGHTS, "llm/model.safetensors"])
def test_headers_that_promise_too_much(bundle: Path, name: str) -> None:
    tensor = {"dtype": "F32", "shape": [1 << 19, 1 << 19], "data_offsets": [0, 1 << 40]}
    content = json.dumps({"network.gamma.0.weight": tensor}).encode()
    header(bundle / name, content, length=2**62)
    refused(bundle, "not a whole safetensors file")
    header(bundle / name, content)
    refused(bundle, "not a whole safetensors file")
    header(bundle / name, content, size=1 << 40)  # a file that really is as large, and takes no room on the disk
    refused(bundle, "GB of memory")


@pytest.mark.parametrize("name", ["network.gamma.0.weight", "language.seg_head"])
@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers(bundle: Path, name: str, number: float) -> None:
    change_weights(bundle / WEIGHTS, name, torch.full_like(load_file(bundle / WEIGHTS)[name], number))
    refused(bundle, f"not finite, first in '{name}'")


def test_a_language_model_of_no_numbers(bundle: Path) -> None:
    change_weights(bundle / "llm/model.safetensors", "model.norm.weight", torch.full((64,), float("nan")))
    refused(bundle, "not finite, first model.norm.weight")


SHAPES = {"none": (0, 10**12), "one": (64,), "other": (64, 32), "scalar": ()}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("name", ["network.gamma.0.weight", "network.gamma.2.weight"])
def test_weights_of_other_shapes(bundle: Path, name: str, shape: tuple[int, ...]) -> None:
    change_weights(bundle / WEIGHTS, name, torch.empty(shape).fill_(0.5))
    refused(bundle, "does not fit its config.json")


def test_weights_that_nobody_asked_for(bundle: Path) -> None:
    change_weights(bundle / WEIGHTS, "network.more", torch.zeros(1))
    assert "'more' is (1,) and should be missing" in refused(bundle, "does not fit its config.json")


CUT = ["config.json", WEIGHTS, *(f"llm/{n}" for n in ("config.json", "model.safetensors", "tokenizer.json"))]


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_files_that_are_cut_short(bundle: Path, name: str, kept: float) -> None:
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: int(kept * len(content))])
    refused(bundle, "give a folder" if name.startswith("llm") else "get it again|get the bundle again")


@pytest.mark.parametrize("name", CUT)
def test_files_that_are_none(bundle: Path, name: str) -> None:
    """A pipe would keep whoever reads it waiting for ever."""
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    refused(bundle, "bundle|backbone|give a folder")


# --- config.json ------------------------------------------------------------------------------------------------------

DEMANDS: dict[str, Any] = {
    "cloud__points": 10**12,
    "cloud__range_m": [0, float("nan")],
    "cloud__min_voxel_m": 1e-300,
    "cloud__unit_m": 0.0,
    "encoder__width": 3 * 10**9,
    "encoder__heads": 0,
    "encoder__depth": 4 * 10**8,
    "encoder__hidden": 1 << 16,  # allowed, but not what the weights have
    "encoder__patch": -1,
    "encoder__block": "__import__('os')",
    "encoder__stem_width": 7,
    "gem__neighbours": -1,
    "gem__kernel_points": 10**6,
    "gem__widths": [10**9] * 3,
    "gfp__width": 0,
    "gfp__neighbours": 10**9,
    "language__lora_rank": 10**9,
    "language__lora_targets": ["embed_tokens"],
    "language__lora_dropout": 7.0,
    "language__max_answer_tokens": 10**9,
    "reader__layers": 10**9,
    "presence_weight": float("nan"),
    "presence_bias": float("inf"),
    "mask_threshold": 10**400,
    "cluster_points": 10**300,
    "x" * 10**6: 1,
    "encoder": "x" * 10**6,
}


@pytest.mark.parametrize("name", DEMANDS, ids=lambda name: name[:30])
def test_settings_that_cannot_be(bundle: Path, name: str) -> None:
    change(bundle / "config.json", **{name: DEMANDS[name]})
    says = {"encoder__hidden": "does not fit", "encoder__block": "encoder kind"}
    refused(bundle, says.get(name, name.split("__")[-1][:20]))


def test_sizes_that_are_too_much_together(bundle: Path) -> None:
    change(bundle / "config.json", cloud__points=1 << 20, encoder__tokens=1 << 15, gfp__levels=[1 << 16, 1 << 17])
    refused(bundle, "gfp.levels")
    change(bundle / "config.json", cloud__points=1 << 20, encoder__tokens=1 << 14, gfp__levels=[1 << 15, 1 << 16])
    refused(bundle, "asks for .* GB at once")


TEXTS = {"deep": "[" * 10**6, "digits": '{"mask_threshold": ' + "9" * 5000 + "}", "latin": b'{"a": "\xe9"}',
         "list": "[]", "huge": "[" + "0," * (40 << 20) + "0]"}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("name", ["config.json", "llm/config.json"])
def test_json_that_is_none(bundle: Path, name: str, text: str | bytes) -> None:
    (bundle / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(bundle, "is not JSON|must be a table|'llama'")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=9), children, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from([(t, n) for t, v in CONFIG.to_dict().items() for n in (v if isinstance(v, dict) else [None])])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(NAMES, JSON, min_size=1, max_size=3))
def test_any_setting_may_hold_anything(tmp_path_factory: pytest.TempPathFactory, changes: dict) -> None:
    values = CONFIG.to_dict()
    for (table, name), value in changes.items():
        if name is None or not isinstance(values[table], dict):
            values[table] = value
        else:
            values[table][name] = value
    folder = tmp_path_factory.getbasetemp()
    (folder / "config.json").write_text(json.dumps(values))
    try:
        BundleConfig.load(folder)
    except SegPointError as error:
        assert "\n" not in str(error) and len(str(error)) < 1200


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc", "../llm", "llm/../../llm", "./link", "/proc/self/root", "~/llm/x\0"])
def test_paths_that_leave_the_bundle(bundle: Path, path: str) -> None:
    """Where they lead there is a language model that would do."""
    shutil.move(bundle / "llm", bundle.parent / "llm")
    (bundle / "link").symlink_to(bundle.parent / "llm")
    (bundle / "llm").mkdir()
    change(bundle / "config.json", language__backbone=path)
    refused(bundle, "must lie within the bundle; for a model of your own put a link")


@pytest.mark.parametrize("name", ["llm", "meta-llama/Llama-2-7b-hf", "a" * 5000, "nobody"])
def test_names_of_models_that_are_not_there(bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A bare name is looked for in the cache: not in the bundle, not where one happens to be, not in a network."""
    monkeypatch.chdir(bundle)
    change(bundle / "config.json", language__backbone=name)
    refused(bundle, "neither a known backbone .* nor a model folder|within the bundle")


def test_a_model_of_ones_own_is_named(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache" / "backbones").mkdir(parents=True)
    shutil.move(bundle / "llm", tmp_path / "mine")
    (tmp_path / "cache" / "backbones" / "tiny").symlink_to(tmp_path / "mine")
    monkeypatch.setenv("SEGPOINT_CACHE", str(tmp_path / "cache"))
    change(bundle / "config.json", language__backbone="tiny")
    assert load(bundle)


def test_a_bundle_that_moves_keeps_its_model(bundle: Path, tmp_path: Path) -> None:
    config = BundleConfig.load(bundle)
    assert config.language.backbone == str((bundle / "llm").resolve())
    config.save(bundle)
    shutil.move(bundle, tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere")


def test_linked_files_are_read(bundle: Path, whole: Path) -> None:
    """As colcon installs them with --symlink-install."""
    for name in ("config.json", WEIGHTS):
        (bundle / name).unlink()
        (bundle / name).symlink_to(whole / name)
    assert load(bundle)
