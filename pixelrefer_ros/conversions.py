"""Messages about objects, questions and answers to core types and back. Pure: no node, no logger, no state."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Point32, Vector3
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from pixelrefer_core.errors import EmptyPromptError, InvalidPromptError, PixelReferError
from pixelrefer_core.types import (
    NANOSECONDS,
    Answer,
    BoxXYXY,
    Detection,
    Frame,
    GenerationOptions,
    ModelInfo,
    ObjectState,
    Position,
    Positions,
    Prompt,
    Query,
    TimeWindow,
    TrackedObject,
)
from pixelrefer_ros.image_messages import to_image, to_mask
from pixelrefer_ros.msg import (
    AnswerTiming,
    ObjectAnswer,
    ObjectPrompt,
    ObjectPromptArray,
    RegionMask,
    TrackedObjectArray,
)
from pixelrefer_ros.msg import GenerationOptions as GenerationOptionsMsg
from pixelrefer_ros.msg import TimeWindow as TimeWindowMsg
from pixelrefer_ros.msg import TrackedObject as TrackedObjectMsg
from pixelrefer_ros.stamps import to_duration, to_header, to_ns, to_seconds, to_time

FLOAT32_MAX = float(np.finfo(np.float32).max)
NO_POSITIONS = Positions()
_NOWHERE = Position(problem='no position was computed')


def to_prompt(message: ObjectPrompt) -> Prompt:
    """Read a prompt; whether it fits the image is checked later.

    Raises :class:`InvalidPromptError`, :class:`EmptyPromptError` or :class:`InvalidImageError` (its mask).
    """
    kind = message.kind
    if kind == ObjectPrompt.KIND_TEXT:
        if not message.text.strip():
            raise EmptyPromptError('the text is empty: say in words what to look for')
        return Prompt(object_id=message.object_id, label=message.label, text=message.text)
    drawn = ObjectPrompt.KIND_BOX | ObjectPrompt.KIND_POINTS
    if kind != ObjectPrompt.KIND_MASK and (kind == 0 or kind & ~drawn):
        raise InvalidPromptError(
            f'kind {kind} is none of KIND_BOX, KIND_POINTS, their sum, KIND_MASK, KIND_TEXT'
        )
    labels = np.array(message.point_labels, np.bool_) if message.point_labels else None
    has_points = bool(kind & ObjectPrompt.KIND_POINTS)
    return Prompt(
        object_id=message.object_id,
        label=message.label,
        box_xyxy=_box_xyxy(message.box) if kind & ObjectPrompt.KIND_BOX else None,
        points=_points(message.points) if has_points else None,
        point_labels=labels if has_points else None,
        mask=to_mask(message.mask) if kind == ObjectPrompt.KIND_MASK else None,
    )


def is_detection(message: ObjectPrompt) -> bool:
    """Whether a prompt of the topic is what a detector saw, rather than somebody's word: see ObjectPromptArray."""
    return not message.object_id and message.kind in (ObjectPrompt.KIND_BOX, ObjectPrompt.KIND_MASK)


def to_detection(message: ObjectPrompt) -> Detection:
    """Read a detection; a score of zero was not said. Raises as :func:`to_prompt` does."""
    return Detection(to_prompt(message), message.score or 1.0)


def to_prompt_array(frame: Frame, detections: Sequence[Detection]) -> ObjectPromptArray:
    """The boxes that a detector saw on a frame, in whole pixels that hold all of each."""
    prompts = [
        ObjectPrompt(
            kind=ObjectPrompt.KIND_BOX,
            label=item.prompt.label,
            box=to_roi(_whole_pixels(item.prompt.box_xyxy)),
            score=item.score,
        )
        for item in detections
        if item.prompt.box_xyxy is not None
    ]
    return ObjectPromptArray(header=to_header(frame), prompts=prompts)


def to_window(message: TimeWindowMsg) -> TimeWindow:
    """Read a time window; zero stamps are open ends."""
    return TimeWindow(to_ns(message.start) or None, to_ns(message.end) or None, message.max_frames)


def to_options(message: GenerationOptionsMsg) -> GenerationOptions:
    """Read the options of decoding; a top_p of zero means the whole distribution."""
    return GenerationOptions(
        max_new_tokens=message.max_new_tokens,
        temperature=message.temperature,
        top_p=message.top_p or 1.0,
        seed=message.seed,
        stop=tuple(message.stop),
    )


def to_query(request: Any, **fields: Any) -> Query:
    """Make the query of a describe, ask or predict request; ``fields`` are those in which the three differ."""
    return Query(
        window=to_window(request.window),
        options=to_options(request.options),
        timeout_s=to_seconds(request.timeout),
        **fields,
    )


def to_tracked_objects(
    frame: Frame, objects: Sequence[TrackedObject], positions: Positions = NO_POSITIONS
) -> TrackedObjectArray:
    """All objects on a frame. ``label_value`` numbers them from 1, as :func:`to_label_image` does."""
    return TrackedObjectArray(
        header=to_header(frame),
        image_height=frame.height,
        image_width=frame.width,
        position_frame=positions.frame_id,
        objects=[
            _tracked_object(item, value, positions.by_object.get(item.object_id, _NOWHERE))
            for value, item in enumerate(objects, 1)
        ],
    )


def from_tracked_objects(message: TrackedObjectArray, labels: np.ndarray) -> list[TrackedObject]:
    """The inverse, with the masks cut out of a label image (H, W)."""
    return [
        TrackedObject(
            object_id=item.object_id,
            label=item.label,
            state=ObjectState(item.state),
            score=item.score,
            mask=labels == item.label_value,
            box_xyxy=_int_box(item.box) if item.box.width else None,
            mask_area=item.mask_area,
            first_seen_ns=to_ns(item.first_seen),
            last_seen_ns=to_ns(item.last_seen),
            generation=item.generation,
            window_frames=item.window_frames,
        )
        for item in message.objects
    ]


def to_label_image(frame: Frame, objects: Sequence[TrackedObject]) -> Image:
    """One mono8 image of all masks: 0 = background, n = the n-th object; later objects cover earlier ones."""
    labels = np.zeros((frame.height, frame.width), np.uint8)
    for value, item in enumerate(objects, 1):
        labels[item.mask] = value
    return to_image(labels, to_header(frame), 'mono8')


def to_region_mask(frame: Frame, item: TrackedObject) -> RegionMask:
    """The mask of a visible object, cut to its box, as PNG."""
    x0, y0, x1, y1 = item.box_xyxy or (0, 0, 0, 0)
    _, png = cv2.imencode('.png', item.mask[y0:y1, x0:x1].astype(np.uint8) * 255)
    header = to_header(frame)
    return RegionMask(
        header=header,
        object_id=item.object_id,
        box=to_roi(item.box_xyxy),
        mask=CompressedImage(header=header, format='png', data=array.array('B', png.tobytes())),
    )


def to_answer(answer: Answer, info: ModelInfo | None) -> ObjectAnswer:
    """An answer for the wire; predictions get their expiry from the horizon."""
    query, timing = answer.query, answer.timing
    newest_ns = answer.frame_stamps_ns[-1]
    expires_ns = newest_ns + round(query.horizon_s * NANOSECONDS) if query.horizon_s else 0
    return ObjectAnswer(
        header=Header(stamp=to_time(newest_ns), frame_id=answer.frame_id),
        kind=int(query.kind),
        request_id=query.request_id,
        object_ids=list(answer.object_ids),
        question=answer.question,
        text=answer.text,
        finish_reason=int(answer.finish_reason),
        frame_stamps=[to_time(stamp_ns) for stamp_ns in answer.frame_stamps_ns],
        horizon=to_duration(query.horizon_s),
        expires=to_time(expires_ns),
        mean_logprob=answer.mean_logprob,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        timing=AnswerTiming(
            queue=timing.queue_s,
            vision=timing.vision_s,
            prefill=timing.prefill_s,
            first_token=timing.first_token_s,
            total=timing.total_s,
        ),
        model=info.name if info else '',
        model_trained=bool(info and info.trained),
    )


def to_roi(box: BoxXYXY | None) -> RegionOfInterest:
    """A half-open box as a region of interest; None = all zero."""
    if box is None:
        return RegionOfInterest()
    x0, y0, x1, y1 = box
    return RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0)


def fail(response: Any, error: PixelReferError) -> None:
    """Write an error into a response or an action result."""
    response.error_code = int(error.code)
    response.error_msg = str(error)


def _points(points: Sequence[Point32]) -> npt.NDArray[np.float32]:
    """Narrow points to float32 (P, 2). One that was made in this process, of a click, may hold any double."""
    wide = np.array([(point.x, point.y) for point in points], np.float64).reshape(-1, 2)
    beyond = (np.isfinite(wide) & (abs(wide) > FLOAT32_MAX)).any(axis=1)
    if beyond.any():
        x, y = wide[beyond][0]
        raise InvalidPromptError(f'point ({x:g}, {y:g}) is beyond float32: send pixels of the image')
    return wide.astype(np.float32)


def _tracked_object(item: TrackedObject, label_value: int, position: Position) -> TrackedObjectMsg:
    x, y, z = position.xyz_m
    width, height, depth = position.extent_m
    return TrackedObjectMsg(
        object_id=item.object_id,
        label=item.label,
        state=int(item.state),
        generation=item.generation,
        score=item.score,
        box=to_roi(item.box_xyxy),
        mask_area=item.mask_area,
        first_seen=to_time(item.first_seen_ns),
        last_seen=to_time(item.last_seen_ns),
        window_frames=item.window_frames,
        label_value=label_value,
        position_valid=position.is_valid,
        position=Point(x=x, y=y, z=z),
        extent=Vector3(x=width, y=height, z=depth),
        position_stddev=position.spread_m,
    )


def _whole_pixels(box: tuple[float, float, float, float]) -> BoxXYXY:
    x0, y0, x1, y1 = box
    return math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)


def _int_box(box: RegionOfInterest) -> BoxXYXY:
    return (box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height)


def _box_xyxy(box: RegionOfInterest) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _int_box(box)
    return float(x0), float(y0), float(x1), float(y1)
