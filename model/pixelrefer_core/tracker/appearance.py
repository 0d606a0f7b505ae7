"""What an object looks like, told from its surroundings by a classifier that learns from frame to frame.

Ridge regression on random Fourier features (Rahimi and Recht, 2007) of colour, texture and position relative to the
object. It is linear in its statistics, so the prompted frame and a decaying average of the recent ones can be weighed
against each other: the first against drift, the second to follow change.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

FREQUENCIES = 256
PROMPT_WEIGHT = 0.5
PLACE_WEIGHT = 0.5
RECENT_DECAY = 0.85
RIDGE = 2e-3
SAMPLES = 2000
# How fast background counts for less away from the object, in object sizes.
RING = 0.7


def image_features(lab: npt.NDArray[np.uint8]) -> FloatMap:
    """Return (h, w, 11): colour at three scales and texture, of a Lab image uint8 (h, w, 3)."""
    colour = lab.astype(np.float32) * np.array([1 / 255, 1.5 / 128, 1.5 / 128], np.float32)
    colour -= np.array([0, 1.5, 1.5], np.float32)
    gradient = np.dstack([np.abs(cv2.Sobel(colour[..., 0], -1, *order)) for order in ((1, 0), (0, 1))])
    texture = cv2.GaussianBlur(gradient, (0, 0), 3)
    blurred = [cv2.GaussianBlur(colour, (0, 0), sigma) for sigma in (2, 5)]
    return np.dstack([4 * colour, 4 * blurred[0], 4 * blurred[1], 1.4 * texture]).astype(np.float32)


class Place:
    """Where an object is and how large: the frame of reference of its features. Units: pixels (h, w)."""

    def __init__(self, probability: FloatMap) -> None:
        mass = max(float(probability.sum()), 1.0)
        self.x = float((probability.sum(axis=0) * np.arange(probability.shape[1])).sum()) / mass
        self.y = float((probability.sum(axis=1) * np.arange(probability.shape[0])).sum()) / mass
        self.size = float(np.sqrt(max(mass, 16.0)))

    def coordinates(self, indices: Indices, width: int) -> FloatMap:
        """Return (n, 2): offsets of flat pixel indices from the centre, in object sizes."""
        offsets = np.column_stack([indices % width - self.x, indices // width - self.y])
        return (PLACE_WEIGHT * offsets / self.size).astype(np.float32)

    def nearness(self, shape: tuple[int, ...]) -> FloatMap:
        """Return (h, w): 1 within one size of the centre, falling to 0 outside."""
        return np.exp(-0.5 * (np.maximum(self.distance(shape) - 1, 0) / RING) ** 2)

    def distance(self, shape: tuple[int, ...]) -> FloatMap:
        """Return (h, w): distance from the centre, in object sizes."""
        rows, columns = np.ogrid[0 : shape[0], 0 : shape[1]]
        return (np.hypot(columns - self.x, rows - self.y) / self.size).astype(np.float32)


class Appearance:
    """The classifier of one object: about +1 on it, -1 on its surroundings."""

    def __init__(self) -> None:
        # Every object uses the same random features: the tracker is deterministic.
        random = np.random.default_rng(0)
        self._frequencies = random.normal(size=(13, FREQUENCIES)).astype(np.float32)
        self._phases = random.uniform(0, 2 * np.pi, FREQUENCIES).astype(np.float32)
        self._prompt: tuple[FloatMap, FloatMap] | None = None
        self._recent: tuple[FloatMap, FloatMap] | None = None
        self._weights = np.zeros(FREQUENCIES, np.float32)

    def score(self, features: FloatMap, indices: Indices, place: Place) -> FloatMap:
        """Return (n,) margins of the pixels ``indices`` (flat) of ``features`` (h, w, 11)."""
        return self._embed(features, indices, place) @ self._weights

    def learn(self, features: FloatMap, probability: FloatMap, place: Place) -> None:
        """Learn from a frame whose soft mask (h, w) is believed; the first call is the prompt's."""
        moments = self._moments(features, probability, place)
        if self._prompt is None or self._recent is None:
            self._prompt = self._recent = moments
        else:
            self._recent = (
                RECENT_DECAY * self._recent[0] + (1 - RECENT_DECAY) * moments[0],
                RECENT_DECAY * self._recent[1] + (1 - RECENT_DECAY) * moments[1],
            )
        gram, cross = (
            PROMPT_WEIGHT * first + (1 - PROMPT_WEIGHT) * recent
            for first, recent in zip(self._prompt, self._recent, strict=True)
        )
        ridge = RIDGE * np.eye(FREQUENCIES, dtype=np.float32)
        self._weights = np.linalg.solve(gram + ridge, cross).astype(np.float32)

    def _embed(self, features: FloatMap, indices: Indices, place: Place) -> FloatMap:
        pixels = features.reshape(-1, features.shape[-1])[indices]
        values = np.hstack([pixels, place.coordinates(indices, features.shape[1])])
        return np.cos(values @ self._frequencies + self._phases)

    def _moments(self, features: FloatMap, probability: FloatMap, place: Place) -> tuple[FloatMap, FloatMap]:
        inside = np.clip(2 * probability - 1, 0, 1)
        outside = np.clip(1 - 2 * probability, 0, 1) * place.nearness(probability.shape)
        chosen = [_sample(weight, SAMPLES) for weight in (inside, outside)]
        weights = [weight.ravel()[indices] for weight, indices in zip((inside, outside), chosen, strict=True)]
        # Object and surroundings count the same, however large they are.
        weights = [weight / max(float(weight.sum()), 1.0) for weight in weights]
        embedded = self._embed(features, np.concatenate(chosen), place)
        # Weighted by the root on both sides, the product is symmetric and costs half.
        roots = np.sqrt(np.concatenate(weights))
        embedded *= roots[:, None]
        signs = np.concatenate([np.ones(len(chosen[0])), -np.ones(len(chosen[1]))]).astype(np.float32)
        return embedded.T @ embedded, embedded.T @ (roots * signs)


def _sample(weight: FloatMap, count: int) -> Indices:
    """Flat indices of pixels that have weight, at most ``count``, evenly spread."""
    indices = np.flatnonzero(weight > 0.05)
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).astype(np.intp)]
