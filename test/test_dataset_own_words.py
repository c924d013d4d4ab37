"""What a sentence about one's own clouds names, where nothing else does."""

from __future__ import annotations

import pytest

from segpoint_training.datasets.own_words import named_word
from segpoint_training.scenes.generate import generate_scene
from segpoint_training.scenes.vocabulary import NOUNS, plural_of


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("the coffee machine", "coffee machine"), ("please pick up the mug, please", "mug"),
        ("open the drawer", "drawer"),
        ("Could you bring me the bottle of water?", "bottle"), ("go to the door that is open", "door"),
        ("the left mug", "mug"), ("hand me an e-stop button", "e-stop button"), ("grasp the mug's handle", "handle"),
        # No word is better than a wrong one.
        ("I am thirsty", "object"), ("wash the bowl", "object"), ("the biggest", "object"), ("the red one", "object"),
        ("the thing beside the bowl", "object"), ("something to drink from", "object"), ("the left", "object"),
        ("I want to cut the bread", "object"), ("what can hold the water?", "object"), ("a pair of scissors", "object"),
        ("My hair is a mess", "object"), ("where is the way out?", "object"), ("find me a place to sit", "object"),
    ],
)  # fmt: skip
def test_the_word_of_a_sentence(text: str, word: str) -> None:
    assert named_word(text, categories=("e-stop button",)) == word


@pytest.mark.parametrize(
    ("plural", "word"),
    [("boxes", "box"), ("batteries", "battery"), ("valves", "valve"), ("mice", "mouse"), ("glass", "glass"),
     ("scissors", "scissors"), ("buses", "bus"), ("dishes", "dish"), ("shelves", "shelf")],
)  # fmt: skip
def test_a_word_for_several_things_is_singular(plural: str, word: str) -> None:
    assert named_word(f"pick up all the {plural}", several=True) == word


def test_the_words_of_generated_sentences_are_never_wrong() -> None:
    """Where a sentence about one category gives a word at all, it is a name for that category."""
    names = {(noun.plural.split()[-1], kind) for noun in NOUNS for kind in noun.denotes | noun.arguable}
    found = 0
    for seed in range(24):
        split, scale = ("train", "test")[seed % 2], ("table", "table", "room")[seed % 3]
        scene = generate_scene(seed, split, "kinect", width=96, height=72, scale=scale)
        for said in scene.instructions:
            categories = {o.category for o in scene.objects if o.id in said.targets}
            word = named_word(said.text, len(said.targets) > 1)
            if said.kind == "implicit" or word in ("object", "ground", "tabletop") or len(categories) != 1:
                continue
            found += 1
            (category,) = categories
            last = plural_of(word).split()[-1]
            fits = word == category or any(last == name and kind.endswith(category) for name, kind in names)
            assert fits or word in said.answer, f"{said.text!r}: {word!r} for {category!r}"
    assert found > 150
