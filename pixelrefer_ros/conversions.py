"""Messages to core types and back. Pure: no node, no logger, no state."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from pixelrefer_core.errors import InvalidPromptError, PixelReferError, UnsupportedError
from pixelrefer_core.images import decode_compressed, to_rgb, view_pixels
from pixelrefer_core.types import (
    NANOSECONDS,
    Answer,
    BoxXYXY,
    Detection,
    Frame,
    GenerationOptions,
    MaskArray,
    ModelInfo,
    ObjectState,
    Prompt,
    Query,
    TimeWindow,
    TrackedObject,
)
from pixelrefer_ros.msg import (
    AnswerTiming,
    ObjectAnswer,
    ObjectPrompt,
    RegionMask,
    TrackedObjectArray,
)
from pixelrefer_ros.msg import GenerationOptions as GenerationOptionsMsg
from pixelrefer_ros.msg import TimeWindow as TimeWindowMsg
from pixelrefer_ros.msg import TrackedObject as TrackedObjectMsg


def to_ns(time: Time | Duration) -> int:
    """Nanoseconds of a stamp or a duration."""
    return time.sec * NANOSECONDS + time.nanosec


def to_time(stamp_ns: int) -> Time:
    """A stamp from nanoseconds."""
    return Time(sec=stamp_ns // NANOSECONDS, nanosec=stamp_ns % NANOSECONDS)


def to_seconds(duration: Duration) -> float:
    """Seconds of a duration."""
    return to_ns(duration) / NANOSECONDS


def to_duration(seconds: float) -> Duration:
    """A duration from seconds, rounded to nanoseconds."""
    whole = round(seconds * NANOSECONDS)
    return Duration(sec=whole // NANOSECONDS, nanosec=whole % NANOSECONDS)


def to_header(frame: Frame) -> Header:
    """The header of messages about a frame: its own stamp, never the time of publication."""
    return Header(stamp=to_time(frame.stamp_ns), frame_id=frame.frame_id)


def to_frame(message: Image | CompressedImage) -> Frame:
    """Decode an image message. rgb8 without padding is viewed, not copied; the message must stay unchanged.

    Raises :class:`InvalidImageError`.
    """
    if isinstance(message, CompressedImage):
        image = decode_compressed(message.data)
    else:
        image = np.ascontiguousarray(to_rgb(_pixels(message), message.encoding))
    return Frame(image, to_ns(message.header.stamp), message.header.frame_id)


def to_image(image: np.ndarray, header: Header, encoding: str) -> Image:
    """Wrap pixels (H, W) or (H, W, C), already in ``encoding``, into a message."""
    pixels = np.ascontiguousarray(image)
    # array.array is what rclpy stores: anything else is copied element by element (100 times slower).
    data = array.array('B')
    data.frombytes(pixels.data.cast('B'))
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=data,
    )


def to_prompt(message: ObjectPrompt) -> Prompt:
    """Read a prompt; whether it fits the image is checked later.

    Raises :class:`InvalidPromptError`, :class:`UnsupportedError` or :class:`InvalidImageError` (its mask).
    """
    kind = message.kind
    if kind == ObjectPrompt.KIND_TEXT:
        raise UnsupportedError(
            'a text prompt needs a detector, and none is configured: use a box, points or a mask'
        )
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
        points=np.array([(p.x, p.y) for p in message.points], np.float32).reshape(-1, 2)
        if has_points
        else None,
        point_labels=labels if has_points else None,
        mask=to_mask(message.mask) if kind == ObjectPrompt.KIND_MASK else None,
    )


def is_detection(message: ObjectPrompt) -> bool:
    """Whether a prompt of the topic is what a detector saw, rather than somebody's word: see ObjectPromptArray."""
    return not message.object_id and message.kind in (ObjectPrompt.KIND_BOX, ObjectPrompt.KIND_MASK)


def to_detection(message: ObjectPrompt) -> Detection:
    """Read a detection; a score of zero was not said. Raises as :func:`to_prompt` does."""
    return Detection(to_prompt(message), message.score or 1.0)


def to_mask(message: Image) -> MaskArray:
    """Read a mono8 mask, non-zero = object. Raises :class:`InvalidPromptError` or :class:`InvalidImageError`."""
    if message.encoding not in ('mono8', '8UC1'):
        raise InvalidPromptError(f'the mask must be mono8 or 8UC1, not {message.encoding!r}')
    return _pixels(message) != 0


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


def to_tracked_objects(frame: Frame, objects: Sequence[TrackedObject]) -> TrackedObjectArray:
    """All objects on a frame. ``label_value`` numbers them from 1, as :func:`to_label_image` does."""
    return TrackedObjectArray(
        header=to_header(frame),
        image_height=frame.height,
        image_width=frame.width,
        objects=[_tracked_object(item, value) for value, item in enumerate(objects, 1)],
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


def from_label_image(message: Image) -> np.ndarray:
    """The values of a label image, (H, W)."""
    return _pixels(message)


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


def _pixels(message: Image) -> np.ndarray:
    return view_pixels(
        message.data,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


def _tracked_object(item: TrackedObject, label_value: int) -> TrackedObjectMsg:
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
        position_valid=False,
        position=Point(x=math.nan, y=math.nan, z=math.nan),
        position_stddev=math.nan,
    )


def _int_box(box: RegionOfInterest) -> BoxXYXY:
    return (box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height)


def _box_xyxy(box: RegionOfInterest) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _int_box(box)
    return float(x0), float(y0), float(x1), float(y1)
