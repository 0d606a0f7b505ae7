"""A detector that knows: it tells where the objects of a simulated clip are, from the clip's record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pixelrefer_core.detector.words import checked_words
from pixelrefer_core.errors import ModelError, UnsupportedError
from pixelrefer_core.masks import mask_box
from pixelrefer_core.types import NANOSECONDS, Detection, Frame, Prompt

from .demo_tabletop import true_mask
from .record import HEIGHT, MINIMUM_VISIBLE_PX, RATE_HZ, WIDTH, ClipRecord, SceneObject, load_record

# Words that say nothing about an object, and words that every object answers to.
_ARTICLES = {'a', 'an', 'the'}
_ANYTHING = {'object', 'thing'}
_PERIOD_NS = NANOSECONDS // RATE_HZ


class TrueDetector:
    """Answers by the stamp of an image alone; the picture is not looked at.

    ``start_ns``: stamp of the first picture; ``camera_node`` with ``stamps:=source`` begins at 1 s.
    """

    def __init__(self, record: ClipRecord, *, start_ns: int = NANOSECONDS) -> None:
        self.name = f'truth of scene {record.seed}'
        self._record = record
        self._start_ns = start_ns

    def detect(self, frame: Frame, words: Sequence[str], *, threshold: float) -> list[Detection]:
        """Return the true boxes of all objects that the words name and the camera sees, with a confidence of 1.

        An object that several words name gets the first. Raises :class:`UnsupportedError` for an image that is none
        of the clip's, and what :func:`checked_words` raises.
        """
        words = checked_words(words)
        instant = self._instant(frame)
        found = []
        for index, item in enumerate(self._record.objects):
            word = next((word for word in words if is_named(item, word)), None)
            if word is None or self._record.visible_px[instant][index] < MINIMUM_VISIBLE_PX:
                continue
            box = mask_box(true_mask(self._record, item.name, instant))
            assert box is not None  # pixels of it are visible
            x0, y0, x1, y1 = box
            found.append(Detection(Prompt(label=word, box_xyxy=(float(x0), float(y0), float(x1), float(y1)))))
        return found

    def _instant(self, frame: Frame) -> int:
        instant, rest_ns = divmod(frame.stamp_ns - self._start_ns + _PERIOD_NS // 2, _PERIOD_NS)
        is_near = abs(rest_ns - _PERIOD_NS // 2) <= _PERIOD_NS // 10
        if not (is_near and 0 <= instant < len(self._record.masks)) or frame.image.shape[:2] != (
            HEIGHT,
            WIDTH,
        ):
            raise UnsupportedError(
                f'the image of {frame.stamp_ns / NANOSECONDS:.3f} s is none of scene {self._record.seed}, whose truth '
                'is told: play that clip with camera_node and stamps:=source'
            )
        return instant


def is_named(item: SceneObject, words: str) -> bool:
    """Tell whether words such as "the small red ball" name an object: by size, colour and category, each or none."""
    said = set(words.lower().split()) - _ARTICLES
    return bool(said) and said <= {item.size, item.colour, item.category} | _ANYTHING


def name_of(item: SceneObject) -> str:
    """Return words that name an object and no other of its scene."""
    return f'{item.size} {item.colour} {item.category}'


def load_true_detector(folder: Path) -> TrueDetector:
    """Read the truth of the clip in ``folder``. Raises :class:`ModelError` when there is none."""
    try:
        return TrueDetector(load_record(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f'{folder} holds no truth about a simulated clip ({error})') from error
