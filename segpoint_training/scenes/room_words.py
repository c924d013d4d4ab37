"""What people call the things in a room: rows as in :mod:`.table_words`."""

from __future__ import annotations

ROOM_ROWS = """
chair: | armchair, wheelchair | stool, bench, sofa
armchair: easy chair | | sofa, chair, wheelchair
sofa: couch | | armchair, bed, bench
bed: | | sofa, bench
table: | desk, coffee table, nightstand | bench, cabinet, stool
desk: writing desk | table | cabinet, coffee table, nightstand
coffee table: low table | | table, nightstand, bench, stool, desk
stool: | | chair, bench, nightstand, coffee table
bench: | | table, coffee table, stool, sofa, chair
bookcase: bookshelf | | cabinet, wardrobe
wardrobe: closet | cabinet | refrigerator, bookcase, door
cabinet: cupboard | wardrobe, nightstand | bookcase, desk, oven, washing machine, refrigerator
nightstand: bedside table | | cabinet, stool, table, coffee table
tv = TV: television, TV set | | laptop, tablet, picture frame
sink: washbasin | | bathtub, toilet
toilet: | | sink, chair
refrigerator: fridge | | wardrobe, washing machine, oven, cabinet
oven: stove | | washing machine, refrigerator, cabinet, fireplace
washing machine: washer | | oven, refrigerator, cabinet
trash can: garbage can, waste bin, trash bin | | basket, bag, pot
rug: carpet | |
piano: | | desk, cabinet
fireplace: | | oven
wall: | |
floor: | |
door: | | wardrobe
suitcase: | | box, bag
wheelchair: | | chair, armchair
bathtub: bath tub, tub | | sink
"""
