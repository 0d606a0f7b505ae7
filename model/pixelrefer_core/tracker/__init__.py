"""Streaming trackers behind one protocol."""

from __future__ import annotations

from ..settings import TrackerSettings
from .base import Tracker

__all__ = ['Tracker', 'create_tracker']


def create_tracker(settings: TrackerSettings) -> Tracker:
    """Make the tracker that ``settings.backend`` names."""
    # The only backend so far; the settings refuse any other name.
    from .flow import FlowTracker

    return FlowTracker(settings)
