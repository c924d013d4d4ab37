"""Templates, the answer grammar, and what a user may type."""

import pytest

from segpoint import prompts
from segpoint.errors import SegPointError
from segpoint.prompts import NO_MASK, POINT, SEG


def test_the_papers_templates_word_for_word():
    assert prompts.semantic_question("mug") == "Can you segment the mug category in this point cloud?"
    assert prompts.referring_question("left of the box").startswith(
        "Can you segment the object left of the box in this"
    )
    assert prompts.instruction_question("Where can I sit?") == "Where can I sit? Please output segmentation mask."
    before, after = prompts.split_prompt(prompts.semantic_question("mug"))
    whole = f"{before}{POINT}{after} {prompts.answer(['mug'])}"
    assert whole == (
        "USER: <POINT> Can you segment the mug category in this point cloud? ASSISTANT: mug <SEG>."
    )  # fmt: skip


def test_all_categories_are_asked_for_in_alphabetical_order():
    for variant in range(len(prompts.SEMANTIC_ALL_TEMPLATES)):
        question = prompts.semantic_all_question(["table", "bowl", "mug"], variant)
        assert "bowl, mug, table" in question and "in the alphabetical order of the categories" in question


def test_no_categories_are_to_be_found_by_the_model_itself():
    free = "Can you segment all categories in this point cloud in the alphabetical order of the categories?"
    assert prompts.semantic_all_question() == prompts.semantic_all_question([], 1) == free
    assert prompts.semantic_all_question(["mug"]).startswith(f"{free} The categories are")


@pytest.mark.parametrize("ask", [prompts.semantic_question, prompts.referring_question])
def test_every_variant_names_what_is_meant_and_they_differ(ask):
    questions = {ask("{odd} 100% mug", variant) for variant in range(4)}
    assert len(questions) == 4
    assert all("{odd} 100% mug" in question for question in questions)  # braces of a user are no template
    assert ask("mug", 4) == ask("mug", 0)


@pytest.mark.parametrize(
    "typed, question",
    [
        ("pick up the mug", "pick up the mug. Please output segmentation mask."),
        ("the mug!", "the mug! Please output segmentation mask."),
        ("  拿起杯子。 ", "拿起杯子。 Please output segmentation mask."),
        ("the 🍎", "the 🍎. Please output segmentation mask."),
    ],
)
def test_free_text_stays_as_it_is(typed, question):
    assert prompts.instruction_question(typed) == question


@pytest.mark.parametrize("categories", [["mug"], ["bowl", "mug"], ["coffee table", "book", "can"], []])
def test_answers_are_read_back(categories):
    assert prompts.parse_answer(prompts.answer(categories)) == categories


def test_the_answer_grammar():
    assert prompts.answer(["mug"]) == "mug <SEG>."
    assert prompts.answer(["mug", "bowl"]) == "mug <SEG>, bowl <SEG>."
    assert prompts.answer([]) == NO_MASK == "There is no mask."


@pytest.mark.parametrize(
    "text, categories",
    [
        ("", []),
        ("a mug", []),
        (f"{SEG}", [""]),
        (f"mug {SEG}, bowl", ["mug"]),
        (f"mug{SEG}\nbowl {SEG}", ["mug", "bowl"]),
        (f"mug {SEG}{SEG}.", ["mug", ""]),
    ],
)
def test_an_answer_off_the_grammar_gives_one_category_per_seg(text, categories):
    assert prompts.parse_answer(text) == categories


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("text", ["", "   ", "\n\t\r", "\x00", "\x00 \x1b"])
def test_an_empty_instruction_is_refused(text):
    with pytest.raises(SegPointError, match="empty"):
        prompts.check_instruction(text, 10, words)


def test_a_long_instruction_says_how_long_and_what_is_allowed():
    with pytest.raises(SegPointError, match=r"11 tokens .* at most 10 tokens"):
        prompts.check_instruction("mug " * 11, 10, words)
    assert prompts.check_instruction("mug " * 10, 10, words) == ("mug " * 10).strip()


def test_without_a_tokenizer_words_are_counted():
    with pytest.raises(SegPointError, match="2500 tokens"):
        prompts.check_instruction("the " * 2500, 64)


def test_what_is_surely_too_long_never_reaches_the_tokenizer():
    """A tokenizer takes its time over it and complains by itself."""

    def never(text: str) -> int:
        raise AssertionError(f"asked about {len(text)} characters")

    for text in ("the " * 65, "a" * 10_000, "拿" * 10_000):
        with pytest.raises(SegPointError, match="at most 64 tokens"):
            prompts.check_instruction(text, 64, never)
    assert prompts.check_instruction("a" * 1000, 64, words) == "a" * 1000


def test_a_non_string_is_refused():
    with pytest.raises(SegPointError, match="got bytes"):
        prompts.check_instruction(b"mug", 10)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "typed, clean",
    [
        ("pick\x00up\tthe\r\nmug", "pick up the mug"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("caf\u0065\u0301", "café"),
        ("the 👩‍🍳's mug 😀", "the 👩‍🍳's mug 😀"),
        ("half a pair \ud83d here", "half a pair ? here"),
        ("<SEG> </s>", "<SEG> </s>"),
    ],
)
def test_control_characters_go_and_words_stay(typed, clean):
    assert prompts.check_instruction(typed, 100, words) == clean
    clean.encode("utf-8")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (prompts.instruction_question("pick up the red mug"), ["mug", "red", "pick"]),
        (prompts.semantic_question("coffee cup"), ["cup", "coffee"]),
        (prompts.instruction_question("the mug, the Mug and the mug"), ["mug", "Mug"]),
        (prompts.instruction_question("die größte Tasse"), ["Tasse", "größte", "die"]),
        (prompts.instruction_question("🤖 42 a"), []),
        (prompts.instruction_question("one two three four five"), ["five", "four", "three", "two"]),
    ],
)
def test_last_words_are_not_the_templates(question, words):
    assert prompts.last_words(question) == words
