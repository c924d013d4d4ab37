"""8- and 4-bit weights: refused with a reason where they cannot be had. (With a GPU: nothing is measured here.)"""

import importlib.util

import pytest
import torch

from segpoint.config import BundleConfig, LanguageConfig
from segpoint.errors import SegPointError
from segpoint.network.language import load_language


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_what_is_missing_is_said(kind, monkeypatch):
    config = BundleConfig(language=LanguageConfig(quantization=kind))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SegPointError, match=f"'{kind}' needs an NVIDIA GPU"):
        load_language(config)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SegPointError, match="pip install bitsandbytes"):
        load_language(config)


def test_another_kind_is_no_setting():
    with pytest.raises(SegPointError, match="none, int8 or nf4"):
        LanguageConfig(quantization="int3")
    assert BundleConfig.from_dict({"language": {"quantization": "nf4"}}).language.quantization == "nf4"
