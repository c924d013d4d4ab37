"""The targets' colours: a hue for each instruction, a brightness for each object."""

from __future__ import annotations

from collections.abc import Sequence

Colour = tuple[int, int, int]  # R, G, B from 0 to 255

# Of the second instruction and those after it. Five of Okabe and Ito's (without black, which marks nothing, and without
# the two that look like the first instruction's orange red), and three more that were chosen so that all of them differ
# to normal, protanopic, deuteranopic and tritanopic eyes.
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (204, 121, 167),  # reddish purple
    (0, 158, 115),  # bluish green
    (0, 114, 178),  # blue
    (115, 60, 255),  # violet
    (180, 255, 165),  # pale green
    (120, 80, 40),  # brown
)
_SHADES = (0.0, -0.2, 0.25, -0.35, 0.45)  # of object 1, 2, …: the share of black (below 0) or of white mixed in


def target_colour(instruction: int, number: int, first: Sequence[int]) -> Colour:
    """The colour of object ``number`` (from 1) of an instruction (from 0); an object that keeps its number keeps it.

    first: R, G, B of the first instruction, from 0 to 255. From the tenth instruction on the palette's colours repeat.
    """
    red, green, blue = first if instruction == 0 else PALETTE[(instruction - 1) % len(PALETTE)]
    shade = _SHADES[(number - 1) % len(_SHADES)]
    return _mixed(red, shade), _mixed(green, shade), _mixed(blue, shade)


def _mixed(channel: int, shade: float) -> int:
    return round(channel + abs(shade) * ((255 if shade > 0 else 0) - channel))
