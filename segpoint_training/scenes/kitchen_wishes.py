"""Wishes about eating, drinking and cooking.

Each row: what fulfils the wish, what people would differ about, what comes near it; its wordings in training, and
those kept for testing. Wordings that begin with "something", "somewhere", "some", "a" or "the" are noun phrases.
"""

from __future__ import annotations

from .vocabulary import FRUIT

_SWEET = "banana, apple, orange, pear, peach, strawberry"
_PACKED = "box!, plain_box, carton, can!, tin, jar, bottle, tube"
_THIRST = (
    """I'm thirsty | I am thirsty, what can I use? | I want to drink something | something for when I am thirsty |
    My throat is dry | I need a drink | Could you get me a drink? | what helps against thirst? | I am so thirsty""",
    """I could use something to drink | It is hot and I would like a drink | something against my thirst |
    Is there anything to drink?""",
)
_SNACK = (
    """I'm hungry | something to eat | I could eat something | I want a snack | something I can eat right now |
    What is there to eat? | I skipped breakfast and I am starving | something for an empty stomach | I need a bite""",
    """I feel like having a bite | something edible | my stomach is growling | What could I eat?""",
)

KITCHEN_WISHES = (
    ("mug, cup", "coffee machine", "glass, teapot, can, bottle, jar, pitcher, bowl, kettle",
     """something to drink coffee from | something for my hot coffee | something I can drink tea from |
     Where can I pour my coffee? | something to drink hot chocolate from | I need something for my espresso |
     what could hold my tea? | Which thing do people drink coffee out of? | something to hold my cappuccino |
     What do I drink my coffee from?""",
     """something that holds a hot drink | What would I use for my morning coffee? | something to have tea in"""),
    # Thirst asks for a drink, or for what to drink from; where both are there, people differ.
    ("bottle, can!, pitcher, carton", "mug, cup, glass, teapot, kettle, coffee machine, refrigerator, sink",
     "jar, spray bottle, soap dispenser, " + FRUIT, *_THIRST),
    ("mug, cup, glass", "bottle, can!, pitcher, teapot, carton, kettle, coffee machine, refrigerator, sink",
     "jar, bowl, spray bottle, " + FRUIT, *_THIRST),
    ("mug, cup, glass", "", "bottle, can!, jar, pitcher, bowl, pot, vase, teapot, carton, kettle",
     """something to drink from | something I can fill with water and drink | What can I drink juice from? |
     something to hold my drink | Which of these do you drink out of? | something to pour lemonade into |
     Where can I pour some water? | I want to pour myself a drink, but into what?""",
     "something to sip from | What can I pour my milk into? | something to drink out of"),
    ("glass", "", "cup, mug, bottle, jar, vase, pitcher",
     "something for a sip of wine | something to make a toast with | something see-through to drink from",
     "something to serve cold lemonade in | something to drink champagne from"),
    (FRUIT + ", bread, hamburger", "chips_can", _PACKED + ", refrigerator", *_SNACK),
    ("chips_can", FRUIT + ", bread, hamburger", "box!, carton, can!, tin, jar, refrigerator", *_SNACK),
    (_SWEET, "lemon, lime", _PACKED,
     """something sweet to eat | a healthy snack | something with vitamins | something that grows on a tree or a bush |
     I want to eat something healthy | something for a fruit salad | something fresh to eat |
     something from the fruit stand | What would a vegetarian snack on?""",
     """I want something sweet and healthy | something juicy | What can I put in my smoothie? |
     something ripe to eat"""),
    ("banana", "", _PACKED + ", apple, orange, pear",
     """something a monkey would love | the fruit that is peeled and yellow | something with a yellow peel |
     a curved yellow snack | something to bake banana bread with""",
     "what monkeys like to eat | the snack that you peel from the top | a fruit with a peel to slip on"),
    ("apple", "", "peach, pear, ball, orange",
     """something that keeps the doctor away | something to bake a strudel with | the fruit for making cider |
     the fruit that fell on Newton's head""",
     "one of these a day keeps the doctor away | a fruit for a crumble with cinnamon"),
    ("orange", "lemon, lime", "peach, apple, ball",
     """something to squeeze for juice | a citrus fruit | something with lots of vitamin C |
     something for freshly pressed juice""",
     "something to make fresh juice from | something to make marmalade of"),
    ("lemon", "lime, orange", "apple, peach, ball, pear",
     "something sour | something for my tea that is sour and yellow | something to squeeze over the fish",
     "something that makes me pull a face when I bite it | a sour fruit"),
    ("strawberry", "apple, peach", "orange, banana, pear",
     "a red berry | something to dip into chocolate | something to eat with whipped cream",
     "a small red fruit with seeds on its skin | something to put on a cream cake"),
    ("pear, peach", "apple", "orange, lemon, banana",
     "a fruit with soft flesh that is no citrus | something for a fruit tart that is not an apple",
     "something soft and juicy with a thin skin"),
    ("bread", "hamburger", "box!, toaster",
     """something to spread butter on | something to make a sandwich with | something from the bakery |
     something to slice for breakfast | What can I put jam on?""",
     "something to dip into olive oil | something the baker made | something for making French toast"),
    ("hamburger", "bread", FRUIT,
     "some fast food | something with a patty in a bun | a meal from a drive-in",
     "something from a fast food restaurant | I would like some junk food | something with meat in a bun"),
    ("bowl", "pot", "plate, mug, cup, frying pan",
     """something to eat soup from | something for my cereal | something to eat cereal out of |
     What can I put my soup in?
     | something to serve salad in | What can I eat my porridge from? | something to mix the dough in""",
     "something for my ice cream | what would I eat muesli from? | something to toss a salad in"),
    ("plate", "tray, cutting board", "bowl, frying pan",
     """something to put my sandwich on | something to serve dinner on | Where can I put my slice of cake? |
     something flat to eat from | something to put my toast on | What do I eat my pasta off?""",
     "something to serve the steak on | What does my pizza go on? | something to eat pancakes off"),
    ("vase", "", "bottle, jar, glass, pitcher, pot, mug, cup, can, bowl, tin, plant",
     """something for my flowers | What can I put flowers in? | I picked some roses and need something for them |
     something to hold a bouquet | Where do the cut flowers go?""",
     "where should the tulips go? | I was given a bunch of flowers | something to arrange lilies in"),
    ("pot", "frying pan", "bowl, teapot, kettle, pitcher",
     """something to cook soup in | something to boil pasta in | What can I boil eggs in? |
     something to simmer vegetables in | What do I cook potatoes in?""",
     "I need to make a stew | something to heat up the sauce | something to cook rice in"),
    ("frying pan", "pot", "plate, bowl, tray",
     """something to fry an egg in | What can I fry bacon in? | something to make an omelette in |
     something to make pancakes in | something to sear a steak in""",
     "something to brown onions in | What do I fry fish in? | something to make scrambled eggs in"),
    ("teapot", "kettle", "pitcher, pot, mug",
     "something to brew tea in | something to pour tea for my guests | something to let tea leaves draw in",
     "something for steeping tea leaves | something to serve tea from"),
    ("kettle", "teapot, pot", "pitcher, coffee machine",
     "something to boil water with | What can I heat water for tea in? | something that whistles when it boils",
     "something to bring water to the boil | something to heat the water for my instant noodles"),
    ("pitcher", "teapot, kettle", "bottle, jar, vase, pot, carton, mug",
     """something to serve water to the whole table | something to pour juice from | something to mix lemonade in |
     something to bring water to our guests in""",
     "something to refill our glasses from | something to make iced tea in"),
    ("bottle", "soap dispenser, spray bottle", "jar, can, carton, vase, pitcher, tube",
     """something with a cap to unscrew | something to carry water on a hike |
     something I can take to the gym for water | something with a narrow neck""",
     "something that has a screw cap and a neck | something to take along on a bike ride for water"),
    ("can", "tin", "tube, jar, bottle",
     "something to recycle as metal | something made of sheet metal with a label | something in a metal can",
     "something to crush before recycling | something to open with a ring pull"),
    ("tin", "can", "jar, box, carton",
     "something to keep biscuits in | something for storing tea bags | where are the cookies kept?",
     "something that grandma keeps her cookies in | something for storing shortbread"),
    ("jar", "", "bottle, can, tin, glass, vase, pot, mug, cup, candle, salt shaker",
     """something that jam comes in | something with a lid for pickles | something to keep honey in |
     something for preserving cherries""",
     "something to store my jam in | something that pickled gherkins come in"),
    ("chips_can", "", "can!, tin, carton, box!, jar, speaker",
     "some crisps | I feel like eating chips | something salty to nibble | a crunchy snack for the movie",
     "I want something salty and crunchy | some potato snacks"),
    ("carton", "", "bottle, pitcher, box!, can!, jar, refrigerator",
     """I want some milk | something to pour over my cereal | milk for my coffee | something with milk in it |
     something from the dairy""",
     "I would like some cold milk | something for making a milkshake"),
    ("knife", "scissors, fork", "spatula, spoon",
     """something to cut bread with | something to slice an apple with | What can I cut the cake with? |
     something sharp for the kitchen | something to chop onions with | something to peel potatoes with |
     What can I spread butter with?""",
     "something to carve the roast with | What do I slice tomatoes with? | something with a blade for cooking"),
    ("scissors", "knife", "stapler",
     "something to cut paper with | something to trim a photo with | something to cut a thread with",
     "something to cut out a paper star with | something to cut ribbon with | I want to cut my hair"),
    ("spoon", "", "fork, knife, spatula",
     """something to eat soup with | something to stir my coffee with | something to eat yoghurt with |
     What can I stir sugar into my tea with? | something to scoop ice cream with""",
     "something to eat cereal with | something to stir my hot chocolate with"),
    ("fork", "spoon", "knife, spatula",
     """something to eat spaghetti with | something with prongs | What can I eat salad with? |
     something to pick up pieces of meat with""",
     "something to eat noodles with | something to spear a potato with"),
    ("knife, fork, spoon", "spatula", "",
     """something to eat my meal with | I need something from the cutlery drawer | something to set beside a plate |
     What goes next to a plate when the table is laid?""",
     "something to lay the table with, next to each plate | What do I eat my dinner with?"),
    ("spatula", "spoon", "knife, fork, frying pan",
     """something to flip pancakes with | something to turn the eggs in the pan with |
     What can I turn a burger over with?
     | something to scrape the pan with""",
     "something to flip an omelette with | something to lift a fried egg with"),
    ("cutting board", "", "tray, plate, table",
     """something to chop vegetables on | Where can I cut the bread? | something to protect the table when I slice |
     something to cut meat on""",
     "something to dice onions on | What should I put under the tomatoes when I slice them?"),
    ("tray", "cutting board, plate", "basket, bowl, box!",
     """something to carry all the drinks at once | something to serve breakfast in bed on |
     What can I bring the coffee to my guests on?""",
     "something a waiter carries drinks on | something to take several cups at once on"),
    ("salt shaker", "", "jar, bottle",
     """something to season my food with | The soup is too bland | something to put on my egg |
     something for more taste on my fries""",
     "My food needs some seasoning | The pasta tastes of nothing"),
    ("coffee machine", "kettle, mug, cup, pot, teapot", "",
     "something that makes espresso | something that brews coffee | I want to make coffee",
     "something that grinds beans and brews | I need to make an espresso | something for making a cappuccino"),
    ("toaster", "oven, frying pan", "bread, coffee machine",
     "something to brown slices of bread in | something to make toast with",
     "something that makes bread crisp | I want to toast two slices of bread"),
)  # fmt: skip
