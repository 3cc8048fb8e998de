"""Colours, sizes and fonts of every picture of the course.

The colours are those of Okabe and Ito, which people with any common colour blindness can tell apart.
"""

from numbers import Real

import numpy as np
from jaxtyping import Float

BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, VERMILLION, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
GREY, LIGHT, WHITE = "#7f7f7f", "#d9d9d9", "#ffffff"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)

SENDER, RECEIVER = VERMILLION, BLUE
ORBIT = GREEN
TRUE, PREDICTED = BLACK, VERMILLION
POSITIVE, NEGATIVE = VERMILLION, BLUE  # charges
GOOD, BAD = GREEN, VERMILLION  # verdicts; always with a word beside them
GOOD_WORD, BAD_WORD = "#00664d", "#a33c00"  # the words themselves, on white: thin letters need more contrast

# Stops of the colour scales, at equal distances: signed values (0 is white) and values that grow.
SCALES = {
    "diverging": (BLUE, "#8fc3e3", "#f7f7f7", "#f2b183", VERMILLION),
    "sequential": ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"),
}

FONT = "DejaVu Sans, Verdana, sans-serif"
FONT_SIZE = 13
HEIGHT = 460  # of an interactive picture, in CSS pixels
BAR = 70  # of its width that a colour bar takes, in CSS pixels
DPI = 100  # of a printed one


def rgb(colour: str) -> Float[np.ndarray, "3"]:
    """#rrggbb as three numbers from 0 to 1.

    Raises: ValueError if it is not of that form.
    """
    if not (isinstance(colour, str) and len(colour) == 7 and colour[0] == "#"):
        raise ValueError(f"colour must be of the form '#rrggbb', but is {colour!r}. Take one from viz.theme.")
    return np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])


def scale_colours(
    values: Float[np.ndarray, " n"], limits: tuple[Real, Real], scale: str = "diverging"
) -> Float[np.ndarray, "n 3"]:
    """Values as colours: limits[0] gets the first stop of the scale, limits[1] the last, what lies outside the nearest.

    Raises: ValueError on an unknown scale or limits that do not ascend.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, but is {scale!r}.")
    if not limits[0] < limits[1]:
        raise ValueError(f"limits must ascend, but are {limits}. Use (min, max) of the values, or (-1, 1).")
    stops = np.stack([rgb(colour) for colour in SCALES[scale]])
    place = (np.asarray(values, dtype=np.float64) - limits[0]) / (limits[1] - limits[0])
    return np.stack([np.interp(place, np.linspace(0, 1, len(stops)), stops[:, k]) for k in range(3)], axis=-1)
