"""What people want instead of naming it: wishes, and the categories that fulfil them.

As for nouns, ``arguable`` categories keep a wish from being used, and ``near`` ones from being called absent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .meaning import Truth
from .scene import SceneObject
from .vocabulary import FRUIT, kind_of, kinds


@dataclass(frozen=True)
class Intent:
    """A wish. ``train`` and ``test`` hold its wordings: those that begin in lower case are noun phrases."""

    fulfils: frozenset[str]
    arguable: frozenset[str]
    near: frozenset[str]
    train: tuple[str, ...]
    test: tuple[str, ...]


def _intent(fulfils: str, arguable: str, near: str, train: tuple[str, ...], test: tuple[str, ...]) -> Intent:
    return Intent(kinds(fulfils), kinds(arguable), kinds(near), train, test)


TABLE_WISHES = {
    "train": ("What is everything standing on?", "Where can I put something down?",
    "The thing that holds all the others up",
              "What should I wipe clean?", "the surface that everything rests on"),
    "test": ("the piece of furniture", "Where could I lay down my keys?", "What do all these things stand on?"),
}  # fmt: skip

_HOT = (
    ("something to drink coffee from", "something for my hot coffee", "something I can drink tea from",
     "I want to have a coffee", "Where can I pour my coffee?", "something to drink hot chocolate from",
     "I need something for my espresso", "what could hold my tea?", "Which thing do people drink coffee out of?"),
    ("something that holds a hot drink", "What would I use for my morning coffee?", "I would like a cup of tea"),
)  # fmt: skip
_THIRST = (
    ("I'm thirsty", "I am thirsty, what can I use?", "I want to drink something", "something for when I am thirsty",
     "My throat is dry", "I need a drink"),
    ("I could use something to drink", "It is hot and I would like a drink"),
)  # fmt: skip
_SNACK = (
    ("I'm hungry", "something to eat", "I could eat something", "I want a snack", "something I can eat right now",
     "What is there to eat?"),
    ("I feel like having a bite", "something edible", "my stomach is growling"),
)  # fmt: skip

INTENTS: tuple[Intent, ...] = (
    _intent("mug cup", "", "glass teapot can bottle jar pitcher bowl", *_HOT),
    # Thirst asks for a drink, or for what to drink from; where both are there, people differ.
    _intent("bottle can! pitcher carton", "mug cup glass teapot", "jar", *_THIRST),
    _intent("mug cup glass", "bottle can! pitcher teapot carton", "jar bowl", *_THIRST),
    _intent("mug cup glass", "", "bottle can! jar pitcher bowl pot vase teapot carton",
            ("something to drink from", "something I can fill with water and drink", "What can I drink juice from?",
             "something to hold my drink", "Which of these do you drink out of?", "something to pour lemonade into"),
            ("something to sip from", "What can I pour my milk into?")),
    _intent("glass", "", "cup mug bottle jar vase",
            ("something for a sip of wine", "something to make a toast with"),
            ("something to serve cold lemonade in",)),
    _intent(FRUIT, "chips_can", "box! carton can tin jar bottle", *_SNACK),
    _intent("chips_can", FRUIT, "box! carton can! tin jar", *_SNACK),
    _intent(FRUIT, "", "box carton can tin jar tube bottle",
            ("something sweet to eat", "a healthy snack", "something with vitamins", "something that grows on a tree",
             "I want to eat something healthy", "something for a fruit salad", "something fresh to eat"),
            ("I want something sweet and healthy", "something juicy", "What can I put in my smoothie?")),
    _intent("banana", "", "box carton can tin jar tube apple orange",
            ("something a monkey would love", "the fruit that is peeled and yellow", "something with a yellow peel",
             "a curved yellow snack"),
            ("what monkeys like to eat", "the snack that you peel from the top")),
    _intent("apple", "", "peach plum pear tomato ball",
            ("something that keeps the doctor away", "something to bake a pie with", "the fruit for making cider"),
            ("one of these a day keeps the doctor away",)),
    _intent("orange", "lemon", "peach apple ball lime grapefruit",
            ("something to squeeze for juice", "a citrus fruit", "something with lots of vitamin C"),
            ("something to make fresh juice from",)),
    _intent("book", "", "notebook magazine newspaper laptop tablet",
            ("I want to read", "something to read", "I am bored and want to read something", "something with pages",
             "something to read before bed", "What can I read?", "something with a story in it",
             "I want to learn something new"),
            ("I feel like reading", "something from the library", "it has chapters")),
    _intent("ball", "", FRUIT,
            ("something to play catch with", "something that bounces", "I want to play a game", "something to throw",
             "something for the dog to chase", "What can I kick?", "a round toy", "let's play some sports"),
            ("something to play with", "I want to score a goal", "something to juggle with")),
    _intent("bowl", "pot", "plate mug cup pan",
            ("something to eat soup from", "something for my cereal", "something to eat cereal out of",
             "What can I put my soup in?", "something to serve salad in", "What can I eat my porridge from?",
             "something to mix the dough in"),
            ("something for my ice cream", "what would I eat muesli from?")),
    _intent("plate", "", "bowl tray pan",
            ("something to put my sandwich on", "something to serve dinner on", "Where can I put my slice of cake?",
             "something flat to eat from", "something to put my toast on"),
            ("something to serve the steak on", "What does my pizza go on?")),
    _intent("vase", "", "bottle jar glass pitcher pot mug cup can bowl tin",
            ("something for my flowers", "What can I put flowers in?",
             "I picked some roses and need something for them",
             "something to hold a bouquet"),
            ("where should the tulips go?", "I was given a bunch of flowers")),
    _intent("pot", "", "bowl teapot pan pitcher",
            ("something to cook soup in", "something to boil pasta in", "I want to cook dinner",
             "What can I boil eggs in?",
             "something that goes on the stove"),
            ("I need to make a stew", "something to heat up the sauce")),
    _intent("teapot", "", "pitcher pot mug kettle",
            ("something to brew tea in", "something to pour tea for my guests", "I want to make tea for everyone"),
            ("something for steeping tea leaves",)),
    _intent("pitcher", "teapot", "bottle jar vase pot carton mug",
            ("something to serve water to the whole table", "something to pour juice from",
             "something to mix lemonade in"),
            ("something to refill our glasses from",)),
    _intent("bottle", "", "jar can carton vase pitcher tube",
            ("something with a cap to unscrew", "something to carry water on a hike",
             "something I can take to the gym for water"),
            ("something that has a screw cap and a neck",)),
    _intent("can", "tin", "tube jar bottle",
            ("something to recycle as metal", "something made of sheet metal with a label", "something in a metal can"),
            ("something to crush before recycling",)),
    _intent("tin", "can", "jar box carton",
            ("something to keep biscuits in", "something for storing tea bags", "where are the cookies kept?"),
            ("something that grandma keeps her cookies in",)),
    _intent("jar", "", "bottle can tin glass vase pot mug cup",
            ("something that jam comes in", "something with a lid for pickles", "something to keep honey in"),
            ("something to store my jam in",)),
    _intent("chips_can", "", "can! tin carton box! jar",
            ("some crisps", "I feel like eating chips", "something salty to nibble", "a crunchy snack for the movie"),
            ("I want something salty and crunchy",)),
    _intent("tube", "", "bottle",
            ("something to brush my teeth with", "toothpaste", "something to squeeze out", "I need some hand cream"),
            ("something to clean my teeth",)),
    _intent("carton", "", "bottle pitcher box can! jar",
            ("I want some milk", "something to pour over my cereal", "milk for my coffee", "something with milk in it"),
            ("I would like some cold milk",)),
    _intent("block", "", "plain_box! box! carton book",
            ("something to build a tower from", "a toy to build with", "something for a child to stack"),
            ("something a toddler could build with",)),
    _intent("box", "carton tin", "book jar",
            ("something that could be wrapped as a present", "something made to pack things in",
             "what came in the mail?", "something I could unpack", "something the delivery service might bring",
             "I want to send a present to a friend", "something that could be shipped to a customer",
             "something made of folded cardboard"),
            ("something I could put gift wrap around", "something one could fold up from a sheet of cardboard")),
    _intent("laptop", "tablet", "keyboard phone",
            ("I want to check my email", "something to work on", "something to write my report on",
             "I want to browse the web"),
            ("something to program with",)),
    _intent("phone", "tablet", "remote laptop",
            ("I want to call my mother", "something to make a call with", "something to text a friend with"),
            ("I have to ring someone",)),
    _intent("remote", "", "phone keyboard",
            ("I want to change the channel", "something to turn on the TV with", "The TV is too loud"),
            ("something to switch channels with",)),
    _intent("keyboard", "laptop", "phone remote",
            ("something to type on", "what do I plug into my computer to type?"), ("something with lots of keys",)),
    _intent("mouse", "", "keyboard laptop phone remote",
            ("something to move the cursor with", "something to click with", "I need to point at things on my screen"),
            ("something to scroll with",)),
    _intent("lamp", "", "phone",
            ("It is too dark in here", "something that gives light", "I need more light to read"),
            ("something to brighten up the room",)),
)  # fmt: skip


def intent_reading(intent: Intent, objects: Iterable[SceneObject]) -> dict[int, Truth]:
    """Which objects fulfil a wish."""

    def value(kind: str) -> Truth:
        if kind in intent.fulfils:
            return Truth.YES
        return Truth.MAYBE if kind in intent.arguable else Truth.NEAR if kind in intent.near else Truth.NO

    return {o.id: value(kind_of(o)) for o in objects}
