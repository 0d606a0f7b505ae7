"""What settings name, built. A detector may be the truth about a simulated clip, too, which the core does not know."""

from __future__ import annotations

from pathlib import Path

from pixelrefer_core import engine
from pixelrefer_core.detector import Detector, create_detector
from pixelrefer_core.settings import DetectorSettings, Settings

CLIP_RECORD = 'clip.json'


def build_engine(settings: Settings) -> engine.Engine:
    """Load model, tracker and detector; the slow part of starting up. Raises :class:`ModelError`."""
    return engine.build_engine(settings, make_detector=make_detector)


def make_detector(settings: DetectorSettings) -> Detector | None:
    """Make the detector that ``settings.path`` names; None when it is empty. Raises :class:`ModelError`."""
    folder = Path(settings.path).expanduser()
    if settings.path and (folder / CLIP_RECORD).is_file():
        # Imported here: only simulated clips need it.
        from pixelrefer_sim.true_detector import load_true_detector

        return load_true_detector(folder)
    return create_detector(settings)
