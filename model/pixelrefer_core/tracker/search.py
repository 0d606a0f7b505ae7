"""Looks for a hidden object: by its picture, and by its colours when it has turned or changed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .appearance import FloatMap

BINS = 16
# Share of a window that must look like the object before it is worth a closer look.
CONFIDENT = 0.5
# Correlation with the object's picture from which on a place is worth it.
SIMILAR = 0.5
_ROUNDING = 1e-3


def colour_bins(lab: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Return int32 (h, w): the histogram bin of each pixel of a Lab image; a and b are binned twice as finely."""
    light, a, b = (lab[..., k].astype(np.int32) for k in range(3))
    fine_a, fine_b = (np.clip((channel - 64) >> 3, 0, BINS - 1) for channel in (a, b))
    return ((light >> 4) * BINS + fine_a) * BINS + fine_b


class ColourSearch:
    """Share of the object among the pixels of each colour, learnt from the prompted frame."""

    def __init__(self) -> None:
        self._share = np.zeros(BINS**3, np.float32)

    def learn(self, colours: npt.NDArray[np.int32], probability: FloatMap) -> None:
        """Learn from the soft mask (h, w) of a frame."""
        on_object = _histogram(colours, probability)
        elsewhere = _histogram(colours, 1 - probability)
        on_object /= max(float(on_object.sum()), 1.0)
        elsewhere /= max(float(elsewhere.sum()), 1.0)
        self._share = on_object / (on_object + elsewhere + 1e-6)

    def find(
        self, colours: npt.NDArray[np.int32], area: float, allowed: npt.NDArray[np.bool_]
    ) -> FloatMap | None:
        """Return a soft mask (h, w) around the place that looks most like an object of ``area`` pixels, or None.

        Only pixels that are ``allowed`` (h, w) count.
        """
        likeness = cv2.GaussianBlur(self._share[colours], (0, 0), 1.0) * allowed
        side = max(3, int(np.sqrt(area)) | 1)
        share = cv2.boxFilter(likeness, -1, (side, side), borderType=cv2.BORDER_CONSTANT)
        _, best, _, (x, y) = cv2.minMaxLoc(share)
        if best < CONFIDENT:
            return None
        rows, columns = np.ogrid[0 : colours.shape[0], 0 : colours.shape[1]]
        near = np.maximum(abs(rows - y), abs(columns - x)) <= side
        return np.where(near, likeness, 0).astype(np.float32)


class PictureSearch:
    """Pictures of one object, cut out along its mask: as it was prompted, and as it was last seen whole."""

    def __init__(self) -> None:
        self._pictures: list[tuple[FloatMap, FloatMap]] = []

    def learn(self, colour: FloatMap, probability: FloatMap) -> None:
        """Take a picture of the object on an image (h, w, 3); the first stays, the newest replaces the one before."""
        rows, columns = (np.flatnonzero((probability > 0.5).any(axis=axis)) for axis in (1, 0))
        if len(rows) < 2 or len(columns) < 2:
            return
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        self._pictures = [*self._pictures[:1], (colour[box].copy(), probability[box].copy())]

    def find(self, colour: FloatMap, allowed: npt.NDArray[np.bool_]) -> FloatMap | None:
        """Return a soft mask (h, w) where the image (h, w, 3) is most like a picture, or None.

        Only places whose middle is ``allowed`` (h, w) count.
        """
        best, place = SIMILAR, None
        for picture, cover in self._pictures:
            rows, columns = cover.shape
            mask = np.dstack([(cover > 0.5).astype(np.float32)] * 3)
            likeness = cv2.matchTemplate(colour, picture, cv2.TM_CCOEFF_NORMED, mask=mask)
            middles = allowed[rows // 2 :, columns // 2 :][: likeness.shape[0], : likeness.shape[1]]
            # A place without any contrast has no correlation: NaN, infinite or huge. Rounding may exceed 1 a little.
            sound = middles & (np.abs(likeness) <= 1 + _ROUNDING)
            likeness = np.where(sound, likeness, -1.0).astype(np.float32)
            _, top, _, (column, row) = cv2.minMaxLoc(likeness)
            if top > best:
                best, place = top, (row, column, cover)
        if place is None:
            return None
        row, column, cover = place
        found = np.zeros(colour.shape[:2], np.float32)
        found[row : row + cover.shape[0], column : column + cover.shape[1]] = cover
        return found


def _histogram(colours: npt.NDArray[np.int32], weight: FloatMap) -> FloatMap:
    counts = np.bincount(colours.ravel(), weight.ravel(), BINS**3).astype(np.float32)
    # Neighbouring colours count a little too: light changes shift a colour by a bin.
    cube = counts.reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.moveaxis(np.pad(cube, [(1, 1) if k == axis else (0, 0) for k in range(3)]), axis, 0)
        cube = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return cube.ravel().astype(np.float32)
