"""What can stand on the table: categories, colours, sizes, and the combinations that training never sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Size = Literal['small', 'large']
SIZES: tuple[Size, ...] = ('small', 'large')
# Small objects are this much smaller in every direction.
SMALL_SCALE = 0.62

# sRGB, 0-255.
COLOURS: dict[str, tuple[int, int, int]] = {
    'red': (200, 30, 28),
    'orange': (240, 126, 16),
    'yellow': (240, 212, 44),
    'green': (34, 140, 52),
    'blue': (36, 72, 196),
    'purple': (134, 46, 168),
    'white': (238, 236, 232),
    'black': (26, 26, 28),
}


@dataclass(frozen=True)
class Category:
    """A kind of object, as large as it comes, lying as it lies at rest.

    ``radius_m``, ``height_m``: of the cylinder around it. ``rolls``: pushed, it rolls rather than slides.
    ``flat_top``: something can be put on it.
    """

    name: str
    radius_m: float
    height_m: float
    rolls: bool = False
    flat_top: bool = False


CATEGORIES: dict[str, Category] = {
    category.name: category
    for category in (
        Category('ball', 0.042, 0.084, rolls=True),
        Category('box', 0.060, 0.074, flat_top=True),
        Category('can', 0.036, 0.104, flat_top=True),
        Category('bottle', 0.034, 0.170),
        Category('mug', 0.060, 0.088),
        Category('bowl', 0.064, 0.048),
        Category('plate', 0.078, 0.014),
        Category('book', 0.086, 0.030, flat_top=True),
        Category('cone', 0.050, 0.110),
        Category('ring', 0.060, 0.028),
        Category('hammer', 0.085, 0.034),
        Category('star', 0.066, 0.030),
    )
}


def is_held_out(category: str, colour: str) -> bool:
    """Tell whether no training scene has this category in this colour: one colour of each category."""
    kinds, colours = list(CATEGORIES), list(COLOURS)
    return colours.index(colour) == (3 * kinds.index(category) + 1) % len(colours)
