"""No word, frame, article or length tells whether there is anything to mark."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from toy_scenes import random_scene

from segpoint_training.scenes.instructions import MIX, write_instructions
from segpoint_training.scenes.intents import INTENTS
from segpoint_training.scenes.phrasing import TRAIN
from segpoint_training.scenes.prevalence import TABLE
from segpoint_training.scenes.scene import Instruction
from segpoint_training.scenes.vocabulary import kinds, lexicon, main_noun

SCENES = 300
LOW, HIGH = 0.08, 0.45  # band of the share of zero-targets; over all it is MIX["zero-target"]


@pytest.fixture(scope="module")
def written() -> list[Instruction]:
    return [
        i
        for seed in range(SCENES)
        for i in write_instructions(random_scene(seed), np.random.default_rng(seed), "train")
    ]


def zero_shares(
    written: Iterable[Instruction], features: Callable[[Instruction], Iterable], least: int
) -> dict[object, float]:
    """Share of zero-targets for every feature that ``least`` instructions have."""
    counts: dict[object, list[int]] = defaultdict(lambda: [0, 0])
    for i in written:
        for feature in features(i):
            counts[feature][0] += not i.targets
            counts[feature][1] += 1
    return {feature: zero / total for feature, (zero, total) in counts.items() if total >= least}


def outside(shares: dict[object, float]) -> dict[object, float]:
    return {feature: round(share, 2) for feature, share in shares.items() if not LOW <= share <= HIGH}


_ARTICLES = ("the ", "a ", "an ", "some ", "all ", "both ", "every ")


def frame_of(text: str) -> list[str]:
    """The frame that a sentence is in: of those that fit it the one with most words of its own."""
    fits = []
    for frame in TRAIN.all() - {"{np}", "{bare}", "{np}."}:
        pattern = re.sub(r"\\\{(np|bare|be)\\\}", ".+", re.escape(frame))
        if re.fullmatch(pattern, text):
            fits.append(frame)
    if fits:
        return [max(fits, key=len)]
    return ["{np}." if text.endswith(".") else "{np}" if text.startswith(_ARTICLES) else "{bare}"]


def test_frames(written: list[Instruction]) -> None:
    wishes = re.compile("|".join(re.escape(text) for intent in INTENTS for text in intent.train))
    named = [i for i in written if not wishes.search(i.text)]
    shares = zero_shares(named, lambda i: frame_of(i.text), 60)
    assert {"{np}", "{bare}", "pick up {np}"} <= shares.keys() and not outside(shares)


def test_articles_and_length(written: list[Instruction]) -> None:
    first = zero_shares(written, lambda i: [i.text.split()[0].lower()], 100)
    length = zero_shares(written, lambda i: [min(len(i.text.split()), 10)], 150)
    assert {"the", "all"} <= first.keys() and len(length) > 6
    assert not outside({k: v for k, v in first.items() if k != "all"}) and not outside(length)


def test_frequent_nouns(written: list[Instruction]) -> None:
    common = [name for name in TABLE if name not in ("orange", "glass")][:14]
    patterns = {
        name: re.compile(rf"\b({re.escape(main_noun(name).word)}|{re.escape(main_noun(name).plural)})\b")
        for name in common
    }
    shares = zero_shares(written, lambda i: [n for n, p in patterns.items() if p.search(i.text.lower())], 90)
    assert len(shares) >= 8 and not outside(shares)


def test_tables_lack_nothing_that_only_rooms_hold(written: list[Instruction]) -> None:
    """Behind a table stand chairs and cupboards that nobody labelled; and a word that no table ever has would tell."""
    on_tables = kinds(", ".join(TABLE))
    inside = ("table", "TV")  # words of other phrases: "on the table", "TV remote"
    foreign = [n for n in lexicon("train") if not n.denotes & on_tables and n.word not in inside]
    assert {"chair", "furniture", "appliance", "seat"} <= {n.word for n in foreign}
    words = re.compile("|".join(rf"\b{re.escape(w)}\b" for n in foreign for w in (n.word, n.plural)))
    wishes = {text for intent in INTENTS for text in intent.train}
    assert not [i.text for i in written if words.search(i.text) and not any(wish in i.text for wish in wishes)]


def test_words_of_place_and_colour(written: list[Instruction]) -> None:
    words = "red blue white black green leftmost rightmost closest behind next on tallest biggest two".split()
    shares = zero_shares(written, lambda i: [w for w in words if re.search(rf"\b{w}\b", i.text.lower())], 60)
    assert len(shares) >= 6 and not outside(shares)


def test_mix(written: list[Instruction]) -> None:
    kinds = Counter(i.kind for i in written)
    for kind, share in MIX.items():
        assert kinds[kind] / len(written) == pytest.approx(share, abs=0.04)


def test_sentences_come_again(written: list[Instruction]) -> None:
    """The language model embeds every different sentence once: the more often one comes again, the better."""
    assert len({i.text for i in written}) < 0.85 * len(written)
