"""How often a generated scene holds an object of a category that can be asked for.

Measured, so that absent things are drawn as often as present ones (:mod:`.absences`): tables over 6,000 recipes, rooms
over generated rooms.
"""

from __future__ import annotations

TABLE: dict[str, float] = {
    "box": 0.370, "book": 0.173, "mug": 0.169, "bottle": 0.154, "can": 0.147, "bowl": 0.114, "carton": 0.111,
    "cup": 0.101, "plate": 0.082, "jar": 0.076, "tin": 0.056, "glass": 0.046, "spoon": 0.043, "tissue box": 0.043,
    "knife": 0.040, "banana": 0.040, "bread": 0.040, "apple": 0.040, "marker": 0.037, "soap dispenser": 0.035,
    "orange": 0.035, "ball": 0.035, "tube": 0.034, "notebook": 0.032, "pot": 0.032, "sponge": 0.030, "fork": 0.028,
    "bag": 0.028, "pen": 0.027, "teapot": 0.026, "rubik's cube": 0.026, "screwdriver": 0.025, "cutting board": 0.025,
    "salt shaker": 0.025, "phone": 0.025, "pitcher": 0.025, "basket": 0.024, "mouse": 0.024, "candle": 0.024,
    "toy brick": 0.024, "toy car": 0.023, "glasses": 0.023, "strawberry": 0.022, "brush": 0.021, "plant": 0.021,
    "frying pan": 0.020, "vase": 0.020, "peach": 0.020, "lemon": 0.020, "kettle": 0.019, "keyboard": 0.018,
    "tape measure": 0.018, "tray": 0.018, "pear": 0.018, "flashlight": 0.018, "tablet": 0.017, "laptop": 0.017,
    "hammer": 0.017, "wrench": 0.016, "spatula": 0.016, "toy airplane": 0.016, "padlock": 0.015, "comb": 0.013,
    "speaker": 0.013, "watch": 0.013, "lamp": 0.013, "camera": 0.013, "remote": 0.012, "clock": 0.012, "radio": 0.011,
    "hat": 0.010,
}  # fmt: skip
ROOM: dict[str, float] = {
    "chair": 0.100, "armchair": 0.100, "sofa": 0.100, "bed": 0.100, "table": 0.100, "desk": 0.100, "stool": 0.100,
    "bench": 0.100, "bookcase": 0.100, "wardrobe": 0.100, "cabinet": 0.100, "nightstand": 0.100, "tv": 0.100,
    "sink": 0.100, "toilet": 0.100, "refrigerator": 0.100, "oven": 0.100, "rug": 0.100, "piano": 0.100,
    "fireplace": 0.100, "coffee table": 0.200, "trash can": 0.200, "washing machine": 0.100, "lamp": 0.300,
    "plant": 0.300, "box": 0.300, "vase": 0.200, "book": 0.200, "mug": 0.100, "bottle": 0.100,
}  # fmt: skip
