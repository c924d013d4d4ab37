"""Wishes in rooms, and what is said of table tops and floors; rows as in :mod:`.kitchen_wishes`."""

from __future__ import annotations

_TABLES = "table, desk, coffee table"

ROOM_WISHES = (
    ("chair, armchair, sofa, stool, bench", "bed, wheelchair, toilet",
     "rug, box, nightstand, bathtub, piano, " + _TABLES,
     """where can I sit? | Where can I sit? | I want to sit down | somewhere to sit | something to sit on |
     My legs are tired
     | I need a seat | Where could our guests sit? | Is there a place to sit? | I would like to take a seat |
     what can I sit on? | Find me a place to sit | My back hurts from standing""",
     """Where may I sit down? | I have been standing all day | something I could sit on | Are there any places to sit? |
     What would you sit on?"""),
    ("sofa, armchair", "chair, bed, wheelchair, bench", "stool, rug",
     """somewhere soft to sit | somewhere comfortable to sit with a book | I want to lean back and relax |
     something upholstered to sit on""",
     "somewhere cosy to sit | I would like to lounge for a while"),
    ("sofa", "armchair, bench, bed", "chair, wheelchair",
     "something that two people can sit on side by side | somewhere to sit together and watch a film",
     "somewhere for three friends to sit next to each other"),
    ("bed", "sofa", "armchair, bench, rug, bathtub",
     """I want to sleep | Where can I sleep? | I am tired and want to lie down | somewhere to sleep |
     Where does one spend the night? | something with a mattress | I need a good night's rest""",
     "Where can I lie down for the night? | I can hardly keep my eyes open | something with pillows and a blanket"),
    (_TABLES, "nightstand, cabinet, bench, stool, bookcase, piano, bed, chair, washing machine, refrigerator",
     "sofa, armchair, oven",
     """Where can I put down my cup? | somewhere to put something down | a surface to put my things on |
     Where can I place this tray? | something with a flat top to put things on""",
     "Where could I set down the groceries? | somewhere to rest this box"),
    ("table", "desk, coffee table", "bench, nightstand",
     """Where can we have dinner? | somewhere to eat with the family | Where do we eat lunch? |
     something to sit around for a meal""",
     "Where should I lay the plates for supper? | somewhere to have breakfast together"),
    ("desk", "table, coffee table", "nightstand, piano",
     """Where can I do my homework? | somewhere to work on my computer | I want to study | a place for writing letters |
     Where does my laptop go when I work?""",
     "Where could I set up my office? | somewhere to sit and do paperwork at"),
    ("tv", "laptop, tablet, phone", "picture frame",
     """I want to watch a film | something to watch a movie on | Where can I watch the news? | What is on tonight? |
     something to watch the match on | something with a large screen""",
     "I feel like watching a series | Let us see the football game | something to watch cartoons on"),
    ("sink", "bathtub", "toilet, washing machine, soap dispenser",
     """Where can I wash my hands? | somewhere to wash my hands | I need to rinse this cloth |
     Where can I brush my teeth? |
     something with a tap""",
     "My hands are dirty | somewhere to fill a bucket with water | Where could I rinse a glass?"),
    ("bathtub", "", "sink, toilet",
     "I want to take a bath | somewhere to soak in hot water",
     "I would love to have a long hot bath | somewhere to bathe | Where can I soak my tired body?"),
    ("toilet", "", "sink, bathtub",
     "I need to use the bathroom | something to flush | I have to pee",
     "Nature calls | the thing in the bathroom that flushes"),
    ("refrigerator", "", "cabinet, wardrobe, oven, washing machine",
     """something to keep the milk cold | Where does the butter go? | somewhere to cool a drink |
     Where can I store fresh meat? | The ice cream is melting""",
     "somewhere to keep vegetables fresh | Where would I find cold milk?"),
    ("oven", "fireplace", "washing machine, refrigerator",
     """I want to bake a cake | something to roast a chicken in | Where can I bake a pizza? | somewhere to cook dinner |
     I want to cook a meal""",
     "I would like to bake cookies | somewhere to heat a casserole"),
    ("washing machine", "sink, bathtub", "oven, refrigerator",
     """My clothes are dirty | something to wash my clothes in | Where does the laundry go? |
     I have to do the laundry""",
     "something to wash the towels in | My shirts need washing"),
    ("trash can", "", "basket, box, bag, toilet",
     """Where can I throw this away? | somewhere to throw away rubbish | I want to get rid of this wrapper |
     Where does the garbage go? | something to put waste in""",
     "Where should I toss this banana peel? | I have some litter | somewhere for my used tissue"),
    ("wardrobe", "cabinet", "bookcase, nightstand, refrigerator, suitcase",
     """Where can I hang my coat? | somewhere to keep my clothes | Where do the shirts and trousers go? |
     something to hang dresses in""",
     "somewhere to put away my jackets | Where would my suit hang?"),
    ("bookcase", "cabinet, desk, nightstand", "wardrobe, table, coffee table",
     """Where do the books go? | somewhere to keep my novels | something with shelves |
     Where would I look for a book?""",
     "somewhere to put away what I have read | Where should I sort in this encyclopedia?"),
    ("bookcase, cabinet, wardrobe, nightstand", "desk, table, coffee table, box, suitcase, trash can, refrigerator",
     "oven, washing machine, fireplace",
     "somewhere to store things | I need storage space | Where can I put things away?",
     "somewhere to tidy my stuff away | Where could I stow my belongings?"),
    ("nightstand", "table, coffee table, cabinet", "stool, desk",
     "somewhere to put my glasses when I go to bed | the little table for the bedroom",
     "Where does the alarm clock stand beside the bed?"),
    ("piano", "", "desk, radio, speaker",
     "I want to play a sonata | an instrument with black and white keys | something to practise my scales on",
     "I would like to play some Chopin | something a pianist needs"),
    ("fireplace", "oven", "candle, lamp",
     "I am cold and want a fire | somewhere to burn logs | Where can I light a fire?",
     "somewhere to put firewood | somewhere to warm my hands at the flames"),
    ("rug", "", "",
     "something soft to walk on | something that keeps my feet warm on the cold floor | something woven to walk on",
     "something to roll up before I mop | something that lies flat on the floor"),
    ("door", "", "wardrobe",
     "How do I leave the room? | Where is the way out? | something to close so that nobody comes in | "
     "Where can I go out?",
     "How do I get out of here? | I want to go to the next room | Somebody is knocking"),
    ("wall", "", "",
     "Where can I hang a picture? | What needs a coat of paint? | something to drill a hole into for a shelf",
     "Where would a poster go? | What could I put wallpaper on?"),
    ("suitcase", "", "bag, box",
     "I am packing for a trip | something to take on a flight | something with wheels for my clothes",
     "I am going on holiday and have to pack | something for a week's worth of clothes"),
    ("wheelchair", "chair, armchair", "",
     "something for someone who cannot walk | a seat with big wheels",
     "something to push a patient around in | something for a person with a broken leg"),
)  # fmt: skip

GROUND_WISHES = {
    ("table", "train"): (
        "What is everything standing on?", "Where can I put something down?", "The thing that holds all the others up",
        "What should I wipe clean?", "the surface that everything rests on", "somewhere to put down my keys",
        "Where is there room to put something?",
    ),
    ("table", "test"): (
        "the piece of furniture", "Where could I lay down my keys?", "What do all these things stand on?",
        "somewhere to set down a parcel",
    ),
    ("floor", "train"): (
        "What do I walk on?", "What should I vacuum?", "the surface that holds up all the rest",
        "Where can the robot drive?", "What needs to be swept?", "somewhere to walk",
    ),
    ("floor", "test"): (
        "What is under my feet?", "What needs mopping?", "Where could I roll my trolley?",
     "What does everything stand on?",
    ),
}  # fmt: skip
