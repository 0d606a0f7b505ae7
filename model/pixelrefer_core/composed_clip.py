"""Clips whose masks are known exactly: textured cut-outs moved along known paths over a background.

:func:`occlusion_clip` makes the four cases that trackers fail at: an object that passes behind a panel, or leaves the
picture, for one second or for three, while another object stays in view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .types import NANOSECONDS, Frame, ImageArray, MaskArray

FloatImage = npt.NDArray[np.float32]
Path = Callable[[int], tuple[float, float] | None]
Background = Callable[[int], npt.NDArray[np.generic]]

RATE_HZ = 10.0
# Of an object, in heights of the picture.
SIZE = 0.25
# Seconds: until the object begins to vanish, that vanishing or coming back takes, after it has come back.
SHOW_S, VANISH_S, RETURN_S = 1.0, 0.6, 1.5


@dataclass(frozen=True, eq=False)
class Cutout:
    """``shape``: bool (h, w). ``skin``: colours, (h, w, 3), also where the shape is not set.

    ``path``: frame number -> x, y of the middle, pixels; None = not in this frame.
    """

    shape: MaskArray
    skin: FloatImage
    path: Path


@dataclass(frozen=True, eq=False)
class ComposedClip:
    """``frames``, and for each cut-out its visible pixels on every frame."""

    frames: list[Frame]
    masks: list[list[MaskArray]]


@dataclass(frozen=True)
class Scenario:
    """What happens to the first object of a clip, and for how long nothing of it can be seen, seconds."""

    leaves_view: bool
    hidden_s: float

    def __str__(self) -> str:
        return f'{"out of view" if self.leaves_view else "behind a panel"} for {self.hidden_s:g} s'

    @property
    def times_s(self) -> tuple[float, ...]:
        """When it begins to vanish, is gone, begins to come back, is back, and the clip ends."""
        return tuple(np.cumsum([SHOW_S, VANISH_S, self.hidden_s, VANISH_S, RETURN_S]))


SCENARIOS = tuple(Scenario(leaves, hidden_s) for leaves in (False, True) for hidden_s in (1.0, 3.0))


def compose(
    background: Background, cutouts: Sequence[Cutout], count: int, *, rate_hz: float = RATE_HZ
) -> ComposedClip:
    """Draw the cut-outs, later ones in front, on ``background(frame number)``, an RGB image (H, W, 3)."""
    frames: list[Frame] = []
    masks: list[list[MaskArray]] = [[] for _ in cutouts]
    for number in range(count):
        image = np.asarray(background(number), np.float32)
        owner = np.full(image.shape[:2], -1)
        for k, item in enumerate(cutouts):
            centre = item.path(number)
            if centre is None:
                continue
            cover, colour = _placed(item, centre, image.shape)
            image = cover[..., None] * colour + (1 - cover[..., None]) * image
            owner[cover >= 0.5] = k
        frames.append(Frame(image.astype(np.uint8), round(number / rate_hz * NANOSECONDS)))
        for k, item_masks in enumerate(masks):
            item_masks.append(owner == k)
    return ComposedClip(frames, masks)


def clouds(seed: int, shape: tuple[int, int], colour: Sequence[float], contrast: float) -> FloatImage:
    """Return cloudy noise around an RGB colour, (h, w, 3): something that optical flow can hold on to."""
    noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    field = sum(sigma * cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (1.5, 4.0))
    tinted = np.asarray(colour, np.float32) + contrast * np.asarray(field, np.float32)[..., None]
    return np.clip(tinted, 0, 255).astype(np.float32)


def panning_ground(height: int, width: int, count: int, pan: float) -> Background:
    """Return a textured ground that moves ``pan`` pixels a frame to the left, for ``count`` frames."""
    ground = clouds(0, (height, width + int(abs(pan) * count) + 1), (125, 130, 95), 30.0)

    def at(number: int) -> FloatImage:
        shift = np.array([[1, 0, -pan * number], [0, 1, 0]], np.float32)
        return np.asarray(cv2.warpAffine(ground, shift, (width, height)), np.float32)

    return at


def played_to_and_fro(images: Sequence[ImageArray]) -> Background:
    """Return a background of any length from a few images: to the last, back to the first, and again."""
    last = max(1, len(images) - 1)
    return lambda number: images[min(last - abs(last - number % (2 * last)), len(images) - 1)]


def occlusion_clip(
    scenario: Scenario,
    seed: int,
    *,
    background: Background | None = None,
    skins: Sequence[tuple[MaskArray, FloatImage]] = (),
) -> ComposedClip:
    """Return a clip with three cut-outs: the object that vanishes, another one, and the panel.

    ``background`` and ``skins`` (shape and colours of the two objects) are rendered when they are not given; ``seed``
    chooses them, and the paths. Objects that come back from out of view for longer than a second do so at the
    opposite side.
    """
    random = np.random.default_rng(seed)
    count = round(scenario.times_s[-1] * RATE_HZ) + 1
    ground = background or panning_ground(240, 320, count, float(random.uniform(0, 2)))
    height, width = ground(0).shape[:2]
    (shape, skin), (other_shape, other_skin) = skins or _blobs(random, round(SIZE * height / 2))
    reach = shape.shape[1]
    panel_width = 0 if scenario.leaves_view else round(1.25 * reach)
    row, other_row = random.permutation([0.32, 0.74]) * height
    middle = float(random.uniform(0.45, 0.5)) * width
    columns = (
        _leaving(reach, width, scenario.hidden_s > 1)
        if scenario.leaves_view
        else _passing(middle, panel_width, reach)
    )
    sway = float(random.uniform(0.01, 0.03)) * height
    path = _along(scenario, columns, lambda t: float(row + sway * np.sin(t / 4 + seed)))
    panel = np.ones((height, max(panel_width, 1)), np.bool_)
    panel_skin = clouds(seed + 1, panel.shape, (120, 120, 125), 25.0)
    return compose(
        ground,
        [
            Cutout(shape, skin, path),
            # It stays away from the panel.
            Cutout(
                other_shape, other_skin, lambda t: (0.15 * width + sway * np.sin(t / 5), float(other_row))
            ),
            Cutout(panel, panel_skin, lambda t: (middle, (height - 1) / 2) if panel_width else None),
        ],
        count,
    )


def _placed(
    item: Cutout, centre: tuple[float, float], size: tuple[int, ...]
) -> tuple[FloatImage, FloatImage]:
    """Return cover in [0, 1], (H, W), and colours, (H, W, 3), of a cut-out moved to a place between pixels."""
    rows, columns = item.shape.shape
    offset = centre[0] - (columns - 1) / 2, centre[1] - (rows - 1) / 2
    move = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float32)
    cover = cv2.warpAffine(item.shape.astype(np.float32), move, (size[1], size[0]))
    # The skin is extended over its edge so that blending at the rim mixes no black into it.
    colour = cv2.warpAffine(item.skin, move, (size[1], size[0]), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cover, np.float32), np.asarray(colour, np.float32)


def _passing(middle: float, panel: float, reach: float) -> list[float]:
    """Columns at the times of a scenario: beside the panel, hidden in it, about to appear, beside it, onwards."""
    inside, beside = (panel - reach) / 2, (panel + reach) / 2
    start = middle - beside - 0.8 * reach
    return [
        start,
        middle - beside,
        middle - inside,
        middle + inside,
        middle + beside,
        middle + beside + reach,
    ]


def _leaving(reach: float, width: float, crosses: bool) -> list[float]:
    """The same for the right edge of the picture; ``crosses``: it comes back at the left."""
    edge, outside = width - reach / 2, width + reach / 2 + 1
    returns = [-reach / 2 - 1, reach / 2, 1.8 * reach] if crosses else [outside, edge, edge - 1.5 * reach]
    return [edge - 1.5 * reach, edge, outside, *returns]


def _along(scenario: Scenario, columns: Sequence[float], row: Callable[[int], float]) -> Path:
    """Return the path through ``columns`` at the start and at the times of a scenario; nowhere while out of view."""
    times = np.array((0.0, *scenario.times_s)) * RATE_HZ

    def at(number: int) -> tuple[float, float] | None:
        if scenario.leaves_view and times[2] < number < times[3]:
            return None
        return float(np.interp(number, times, columns)), row(number)

    return at


def _blobs(random: np.random.Generator, radius: int) -> list[tuple[MaskArray, FloatImage]]:
    """Return two objects of about ``radius`` pixels with outlines and colours of their own."""
    hue = float(random.uniform(0, 180))
    made = []
    for turn in (0, 90):
        offsets = np.arange(-radius, radius + 1)
        angle, distance = np.arctan2(offsets[:, None], offsets), np.hypot(offsets[:, None], offsets)
        waves = sum(random.uniform(0, 0.08) * np.cos(k * angle + random.uniform(0, 6)) for k in (2, 3, 5))
        shape = distance <= radius * (0.8 + waves)
        hsv = np.array([[[(hue + turn) % 180, 190, 180]]], np.uint8)
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
        made.append((np.asarray(shape), clouds(int(random.integers(1 << 30)), shape.shape, colour, 25.0)))
    return made
