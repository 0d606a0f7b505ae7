"""Looks for a hidden object by its colours, when it has turned or changed since its picture was taken."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .appearance import FloatMap

BINS = 16
# Share of a window that must look like the object before it is worth a closer look.
CONFIDENT = 0.5


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


def _histogram(colours: npt.NDArray[np.int32], weight: FloatMap) -> FloatMap:
    counts = np.bincount(colours.ravel(), weight.ravel(), BINS**3).astype(np.float32)
    # Neighbouring colours count a little too: light changes shift a colour by a bin.
    cube = counts.reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.moveaxis(np.pad(cube, [(1, 1) if k == axis else (0, 0) for k in range(3)]), axis, 0)
        cube = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return cube.ravel().astype(np.float32)
