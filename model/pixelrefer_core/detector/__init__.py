"""Detectors that find objects by words, behind one protocol."""

from __future__ import annotations

from ..settings import DetectorSettings
from .base import Detector

__all__ = ['Detector', 'create_detector']


def create_detector(settings: DetectorSettings) -> Detector | None:
    """Load the detector that ``settings.path`` names; None when it is empty. No network is used.

    Raises :class:`ModelError` when its weights cannot be loaded.
    """
    if not settings.path:
        return None
    # Imported here: it brings torch and transformers.
    from .loading import load_zero_shot

    return load_zero_shot(settings)
