"""How often a generated scene holds an object of a category that can be asked for.

Measured, so that absent things are drawn as often as present ones (:mod:`.absences`): tables over 6,000 recipes, rooms
over 400 furnished rooms, where small things count half, as many of them are hidden or too far to be asked for.
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
    "cabinet": 0.662, "box": 0.532, "plant": 0.530, "chair": 0.522, "lamp": 0.443, "book": 0.435, "bookcase": 0.407,
    "mug": 0.155, "trash can": 0.307, "sofa": 0.297, "desk": 0.297, "bottle": 0.145, "table": 0.282, "sink": 0.278,
    "washing machine": 0.217, "armchair": 0.207, "laptop": 0.103, "glass": 0.102, "rug": 0.190, "bed": 0.190,
    "vase": 0.190, "tv": 0.170, "coffee table": 0.163, "phone": 0.082, "wardrobe": 0.155, "bowl": 0.075,
    "tissue box": 0.075, "oven": 0.145, "nightstand": 0.140, "candle": 0.069, "clock": 0.068, "refrigerator": 0.133,
    "basket": 0.067, "toilet": 0.128, "glasses": 0.062, "keyboard": 0.057, "stool": 0.110, "remote": 0.053,
    "brush": 0.051, "mouse": 0.046, "notebook": 0.046, "pot": 0.045, "jar": 0.042, "bag": 0.042, "speaker": 0.040,
    "ball": 0.038, "radio": 0.036, "soap dispenser": 0.036, "carton": 0.034, "frying pan": 0.030, "plate": 0.030,
    "comb": 0.030, "sponge": 0.029, "kettle": 0.028, "tablet": 0.025, "pen": 0.025, "pitcher": 0.024, "cup": 0.024,
    "apple": 0.024, "tube": 0.022, "hat": 0.022, "banana": 0.021, "bread": 0.021, "teapot": 0.020, "fireplace": 0.040,
    "watch": 0.020, "tray": 0.018, "salt shaker": 0.018, "can": 0.017, "cutting board": 0.015, "toy car": 0.015,
    "piano": 0.030, "marker": 0.014, "tape measure": 0.013, "camera": 0.013, "toy airplane": 0.013, "bench": 0.022,
    "knife": 0.011,
}  # fmt: skip
