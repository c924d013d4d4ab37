"""What is asked: a message's sentences one by one, with or without a place."""

from __future__ import annotations

import pytest

from segpoint.errors import SegPointError
from segpoint_ros.request import MOST_INSTRUCTIONS, Request, split_instructions


@pytest.mark.parametrize(
    ("text", "instructions"),
    [
        ("pick up the mug", ("pick up the mug",)),
        ("the mug; the bowl", ("the mug", "the bowl")),
        ("the mug\nthe bowl\r\n the spoon ;", ("the mug", "the bowl", "the spoon")),
        ("  ;;\n ; ", ()),
        ("", ()),
        ("the mug; the mug", ("the mug", "the mug")),
    ],
)
def test_instructions_are_separated(text: str, instructions: tuple[str, ...]) -> None:
    assert split_instructions(text) == instructions
    assert bool(Request(instructions)) == bool(instructions)
    assert Request(instructions).questions == instructions


def test_too_many_are_refused_with_the_number() -> None:
    assert len(split_instructions(";".join(["mug"] * MOST_INSTRUCTIONS))) == MOST_INSTRUCTIONS
    with pytest.raises(SegPointError, match=f"at most {MOST_INSTRUCTIONS} instructions at a time, got 40"):
        split_instructions(";".join(["mug"] * 40))


def test_a_message_without_end_is_refused_at_once() -> None:
    with pytest.raises(SegPointError, match="at most 12000 characters, got 400001"):
        split_instructions("a" + "\u0301\u0316" * 200_000)


def test_a_request_is_one_short_line() -> None:
    assert str(Request(("the mug", "the bowl"))) == "the mug; the bowl"
    assert len(str(Request(("x" * 100_000,) * 30))) <= 1000
    assert str(Request()) == ""
