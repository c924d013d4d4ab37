"""Wishes about work, play and the rest of what lies on tables; rows as in :mod:`.kitchen_wishes`."""

from __future__ import annotations

TABLE_WISHES = (
    ("book", "notebook, tablet", "laptop, phone",
     """I want to read | something to read | I am bored and want to read something | something to read before bed |
     What can I read? | something with a story in it | something with chapters | something from a bookshop |
     Do you have a novel for me? | I would like to spend the evening reading""",
     "I feel like reading | something from the library | it has chapters | something to read on the train"),
    ("notebook", "book, tablet, laptop, phone", "",
     """something to write my notes in | something with blank pages | something to keep a diary in |
     Where can I jot down an idea?""",
     "something to take minutes in | something with empty pages to sketch on"),
    ("pen, marker", "laptop, keyboard, phone, tablet", "notebook, screwdriver",
     """something to write with | I want to write a letter | I need to sign a form | something to take notes with |
     What can I draw with? | something to label a box with | I want to write down a number | something with ink in it |
     What can I sign this with?""",
     "something to fill in a form with | I have to sign a contract | something to scribble with"),
    ("marker", "pen", "",
     "something to write on the whiteboard with | something to highlight a line with",
     "something with a thick felt tip | something to write on a flip chart with"),
    ("ball", "", "banana, apple, orange, lemon, lime, pear, peach, toy car, rubik's cube",
     """something to play catch with | something that bounces | something to throw to a friend |
     something for the dog to chase | What can I kick? | let's play some sports | something that rolls and bounces""",
     "I want to score a goal | something to juggle with | something to bounce off the wall"),
    ("toy brick, toy car, toy airplane, rubik's cube, teddy bear, ball", "block, game controller", "box!, tablet",
     """something for a child to play with | something from the toy box | What can the kids play with? |
     something to keep a toddler busy | a present for a three-year-old""",
     "something a child would enjoy | something from the nursery | What would a little boy play with?"),
    ("toy brick", "block", "box!, rubik's cube",
     "something to build a little house from | something with studs to click together",
     "something that hurts when you step on it barefoot | something to build a model castle of"),
    ("block", "toy brick, plain_box", "box!, carton, book, rubik's cube",
     "something to build a tower from | a toy to stack",
     "something a toddler could build with | something solid to stack"),
    ("toy car", "", "toy brick, toy airplane",
     "a toy with wheels | something to race across the floor | a tiny vehicle",
     "something to roll down a ramp | something small that drives"),
    ("toy airplane", "", "toy car",
     "a toy with wings | something that looks as if it could fly | a tiny aircraft",
     "something that pretends to fly | something with wings and a tail"),
    ("rubik's cube", "", "box!, toy brick, block",
     "a puzzle to solve | something to twist until each side has one colour | something to train my brain with",
     "a tricky puzzle | something with coloured squares to turn"),
    ("teddy bear", "", "toy car, ball",
     "something soft to cuddle | something for a child to hug in bed | a soft toy",
     "something cuddly | something that comforts a crying child"),
    ("box", "carton, tissue box", "tin, book, jar, basket, bag, suitcase, toy brick",
     """something that could be wrapped as a present | something made to pack things in | what came in the mail? |
     something I could unpack | something the delivery service might bring | something that could be shipped |
     something made of folded cardboard""",
     "something I could put gift wrap around | something one could fold up from a sheet of cardboard"),
    ("laptop", "tablet, keyboard, phone", "tv",
     """I want to check my email | something to work on | something to write my report on | I want to browse the web |
     something to join a video call with | a computer""",
     "something to program with | something to edit a spreadsheet on"),
    ("phone", "tablet, laptop", "remote",
     """I want to call my mother | something to make a call with | something to text a friend with |
     I need to phone the office | something that rings""",
     "I have to ring someone | something to send a text message with"),
    ("tablet", "laptop, phone, tv", "book, notebook, keyboard",
     "something with a big touch screen | something to read e-books on | something flat to watch videos on",
     "something to swipe on that is no phone | something to draw on with my finger"),
    ("remote", "", "phone, game controller, keyboard",
     """I want to change the channel | something to turn on the TV with |
     something to turn the volume of the TV down with
     | something that works the television from afar""",
     "something to switch channels with | something to pause the film with"),
    ("keyboard", "laptop", "phone, remote, tablet, piano",
     "something to type on | what do I plug into my computer to type? | something with letters on its keys",
     "something with lots of keys | something to enter text with"),
    ("mouse", "", "keyboard, laptop, phone, remote",
     "something to move the cursor with | something to click with | I need to point at things on my screen",
     "something to scroll with | something to move the pointer on my screen with"),
    ("lamp", "candle, flashlight, phone, fireplace", "tv, laptop",
     """It is too dark in here | something that gives light | I need more light to read | something to light the room |
     something with a bulb | Could you make it brighter?""",
     "something to brighten up the room | I can hardly see, it is so dark | something to switch on at dusk"),
    ("flashlight", "lamp, candle, phone", "",
     """something to take along in the dark | something to look under the bed with |
     something to shine into a dark corner
     | The power is out and I have to go to the cellar""",
     "something that runs on batteries and gives light | something for a walk at night"),
    ("candle", "lamp, flashlight", "jar, glass, can",
     "something with a wick | something for a romantic dinner | something made of wax | "
     "something to light with a match",
     "something to blow out on a birthday | something that burns slowly"),
    ("clock, watch", "phone, laptop, tablet, radio, tv, oven, coffee machine", "",
     """What time is it? | something that tells the time | I want to know how late it is |
     something with hands and a dial
     | Am I late?""",
     "How late is it? | something to see the time on | Is it already noon?"),
    ("watch", "clock, phone", "",
     "something to wear on my wrist | something to strap around my arm",
     "something for my wrist | something with a strap that shows the time"),
    ("camera", "phone, tablet", "laptop",
     """I want to take a picture | something to photograph the view with | something with a lens |
     something to take holiday photos with""",
     "I would like to take some photos | something to capture this moment with"),
    ("screwdriver", "power drill", "knife, wrench, pen, tape measure",
     """something to tighten a screw with | A screw is loose | something to fix a screw |
     I have to drive in some screws |
     something to open the battery cover with | What do I turn screws with?""",
     "something to fasten a screw with | The hinge has a loose screw | something to take out four screws with"),
    ("hammer", "", "wrench",
     """something to drive a nail into the wall | something to hit a nail with |
     I want to hang up a picture with a nail |
     What do I pound nails in with?""",
     "something to knock in a nail | something heavy to strike with"),
    ("wrench", "", "screwdriver, hammer, power drill",
     """something to loosen a nut with | something to tighten a bolt with | What do I turn a hexagon nut with? |
     something to fix the water pipe with""",
     "something to undo a bolt with | The nut on my bike is loose"),
    ("screwdriver, hammer, wrench, tape measure, power drill",
     "scissors, flashlight, knife, padlock, marker, pen, brush, stapler, spatula, sponge, comb", "",
     """something from the toolbox | something a handyman needs | I want to repair a shelf |
     something from the workshop |
     something for fixing things around the house""",
     "something a carpenter would use | something for do-it-yourself work | What would a mechanic reach for?"),
    ("power drill", "screwdriver", "hammer",
     "something to drill a hole with | something that makes holes in a wall",
     "I need to make a hole in the wall | something with a drill bit | something for boring into wood"),
    ("tape measure", "", "watch",
     """something to measure the table with | How long is the shelf? | something to take measurements with |
     something marked in centimetres""",
     "something to find out how wide the door is | something to check the length of a board with"),
    ("padlock", "", "",
     "something to lock my locker with | something to secure the gate with | something that needs a key",
     "something to keep thieves out of my locker | something to lock the shed with"),
    ("sponge", "brush, soap dispenser, spray bottle, tissue box", "",
     """something to wash the dishes with | something to scrub the pan with | something to wipe the table with |
     something that soaks up water | I spilled some milk""",
     "something to do the dishes with | something to clean the sink with | something soft for scrubbing"),
    ("brush", "comb, sponge", "",
     "something with bristles | something to brush with", "something that has bristles and a handle"),
    ("comb", "brush", "",
     """something for my messy hair | something to untangle my hair with | something with fine teeth |
     something a hairdresser uses""",
     "something to do my hair with | My hair is a mess"),
    ("glasses", "", "",
     """something to help me see better | I cannot read the small print | something to wear on my nose |
     something from the optician""",
     "something for short-sighted people | Everything is blurry without them"),
    ("hat", "", "bag",
     "something to wear on my head | something against the sun on my head | something to cover my hair",
     "something for a bald head in the sun | something to put on my head"),
    ("shoe", "", "hat, bag",
     "something for my feet | something to wear when I go out for a walk",
     "something with laces | something to put on my foot | I want to go for a run"),
    ("bag, basket", "box!, plain_box, suitcase", "tray, hat",
     """something to carry my shopping in | something to take to the market | something to bring the groceries home in |
     something to collect apples in""",
     "something to put my shopping in | something with handles to carry things in"),
    ("plant", "", "vase",
     """something to water | something alive | something green for the window sill |
     something that needs light and water |
     What has leaves?""",
     "something that grows | something to fertilise | something with leaves"),
    ("speaker, radio, headphones", "laptop, phone, tablet, tv, piano", "",
     """I want to listen to music | something to play music with | something that plays songs |
     something to hear the concert with | Let's have some music""",
     "something for listening to music | I would like to hear a song"),
    ("radio", "speaker, phone, laptop, tablet, tv", "clock",
     "something to listen to the news with | something with an antenna | something to tune to a station",
     "something to hear the weather report on | something that receives FM"),
    ("headphones", "speaker, radio", "",
     "something to listen to music without disturbing anyone | something to wear over my ears",
     "something to put on my ears | something to hear music with on the train"),
    ("game controller", "remote, keyboard, mouse", "phone, rubik's cube",
     "something to play video games with | something with two thumb sticks",
     "something for the game console | I want to play a video game"),
    ("tissue box", "", "box!, plain_box, carton, sponge",
     "something for a runny nose | I have to sneeze | something to blow my nose with | something to dry my tears with",
     "something for when I have a cold | My nose is running"),
    ("soap dispenser", "sponge, bottle, sink", "spray bottle, tube",
     "something for my dirty hands | something to get soap from | something to press for soap",
     "something to lather my hands with | something with a pump on top"),
    ("spray bottle", "sponge", "soap dispenser, bottle",
     "something to spray the plants with | something with a trigger to spray",
     "something to mist the leaves with | something to clean the windows with"),
    ("tube", "", "bottle, jar",
     "something to brush my teeth with | some toothpaste | something to squeeze out | I need some hand cream",
     "something to clean my teeth | some cream for dry skin"),
    ("stapler", "", "scissors",
     "something to staple paper with | something that holds sheets together",
     "something to fasten pages together with | something that punches metal clips through paper"),
    ("picture frame", "", "tablet, book, tv, clock",
     "something to put a photo in | something to show a family picture in",
     "something that holds a photograph | something to display a portrait in"),
)  # fmt: skip
