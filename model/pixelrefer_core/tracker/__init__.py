"""Streaming trackers behind one protocol."""

from __future__ import annotations

from ..settings import TrackerSettings
from .base import Tracker

__all__ = ['Tracker', 'create_tracker']


def create_tracker(settings: TrackerSettings) -> Tracker:
    """Make the tracker that ``settings.backend`` names; the settings refuse any other name.

    Raises :class:`ModelError` when its weights cannot be loaded.
    """
    # Imported here: one brings OpenCV alone, the other torch and transformers.
    if settings.backend == 'sam2':
        from .sam2 import create_sam2

        return create_sam2(settings)
    from .flow import FlowTracker

    return FlowTracker(settings)
