"""Detections of ``vision_msgs`` to core types and back. Pure; needs the package only to make messages.

Two layouts are met. Newer distributions give a box ``center.position.x`` and a result ``hypothesis.class_id``, older
ones ``center.x`` and ``id``. Which one a message has is seen by its fields, one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from pixelrefer_core.types import BoxXYXY, Detection, Frame, Prompt, TrackedObject
from pixelrefer_ros.stamps import to_header


def find_vision_msgs() -> ModuleType | None:
    """Return the package's messages, or None when it is not installed."""
    try:
        from vision_msgs import msg
    except ImportError:
        return None
    # A folder of that name on the path imports, too.
    return msg if hasattr(msg, 'Detection2DArray') else None


def to_detections(message: Any) -> list[Detection]:
    """Read a Detection2DArray. Whether boxes fit the image is checked later, one by one.

    The most probable class counts; without one there is no label. A score of zero was not said, as in ObjectPrompt. The
    ids of a detector are not taken over: association gives an object one that outlives a lost track.
    """
    return [_to_detection(item) for item in message.detections]


def to_detection_array(messages: ModuleType, frame: Frame, objects: Sequence[TrackedObject]) -> Any:
    """Make a Detection2DArray of the visible objects; ``id`` is the object's, the class its label.

    ``messages``: of :func:`find_vision_msgs`.
    """
    header = to_header(frame)
    made = [_from_object(messages, header, item, item.box_xyxy) for item in objects if item.box_xyxy]
    return messages.Detection2DArray(header=header, detections=made)


def _to_detection(item: Any) -> Detection:
    named = [getattr(result, 'hypothesis', result) for result in item.results]
    best = max(named, key=lambda hypothesis: hypothesis.score, default=None)
    prompt = Prompt(label='' if best is None else _class_of(best), box_xyxy=_corners(item.bbox))
    return Detection(prompt, 1.0 if best is None else best.score or 1.0)


def _class_of(hypothesis: Any) -> str:
    return str(hypothesis.class_id if hasattr(hypothesis, 'class_id') else hypothesis.id)


def _corners(box: Any) -> tuple[float, float, float, float]:
    """The upright box around a box that may be turned by ``theta``, in pixels."""
    centre = _point_of(box)
    sine, cosine = abs(math.sin(box.center.theta)), abs(math.cos(box.center.theta))
    half_x = (box.size_x * cosine + box.size_y * sine) / 2
    half_y = (box.size_x * sine + box.size_y * cosine) / 2
    return centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y


def _point_of(box: Any) -> Any:
    """What holds x and y of the centre of a box."""
    return box.center.position if hasattr(box.center, 'position') else box.center


def _from_object(messages: ModuleType, header: Any, item: TrackedObject, box: BoxXYXY) -> Any:
    x0, y0, x1, y1 = (float(side) for side in box)
    result = messages.ObjectHypothesisWithPose()
    hypothesis = getattr(result, 'hypothesis', result)
    setattr(hypothesis, 'class_id' if hasattr(hypothesis, 'class_id') else 'id', item.label)
    hypothesis.score = float(item.score)
    message = messages.Detection2D(header=header, results=[result])
    centre = _point_of(message.bbox)
    centre.x, centre.y = (x0 + x1) / 2, (y0 + y1) / 2
    message.bbox.size_x, message.bbox.size_y = x1 - x0, y1 - y0
    setattr(message, 'id' if hasattr(message, 'id') else 'tracking_id', item.object_id)
    return message
