"""What a picture laid on an image says of each pixel: how much of the object shows, and where its outline runs."""

from __future__ import annotations

import cv2
import numpy as np

from .appearance import FloatMap
from .views import Match

# Likeness at which a picture begins to say where the object is and where not, and from which on it decides.
RECOGNISED = 0.7, 0.9
# Spread of Lab colour, as the features have it, around a picture that is seen undisturbed.
COLOUR_SPREAD = 0.7


def outlined(probability: FloatMap, match: Match, colour: FloatMap) -> FloatMap:
    """Correct a soft mask (h, w) by a picture as far as it is recognised: it knows what colours alone cannot tell."""
    low, high = RECOGNISED
    recognised = np.float32(np.clip((match.likeness - low) / (high - low), 0, 1))
    return probability + recognised * _certainty(match, colour) * (match.cover - probability)


def _certainty(match: Match, colour: FloatMap) -> FloatMap:
    """Return (h, w) in [0, 1]: 1 where the object should not be, and on it where the image has its colours."""
    difference = ((colour - match.picture) ** 2).sum(axis=-1)
    alike = np.exp(-cv2.GaussianBlur(difference, (0, 0), 1.0) / (2 * COLOUR_SPREAD**2))
    # On the object something else may hide it.
    return np.abs(2 * match.cover - 1) * np.where(match.cover > 0.5, alike, 1)
