"""Values that pass between the parts. All are frozen; arrays inside them are read-only by contract.

Conventions: stamps are integer nanoseconds of the camera's clock, boxes are ``xyxy`` in pixels of the
input image and half-open (``x1``, ``y1`` excluded), images are uint8 RGB ``(H, W, 3)``, masks are bool
``(H, W)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

ImageArray: TypeAlias = npt.NDArray[np.uint8]
MaskArray: TypeAlias = npt.NDArray[np.bool_]
BoxXYXY: TypeAlias = tuple[int, int, int, int]

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Intrinsics:
    """A camera whose images have ``width`` x ``height`` pixels; the middle of the first pixel is (0, 0).

    ``fx``, ``fy``: focal lengths, ``cx``, ``cy``: where its axis meets the image, pixels. ``distortion``: k1 k2 p1 p2
    k3 ..., as OpenCV orders them; empty = straight lines are straight in the image.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class DepthImage:
    """Distances along the camera's axis, seen from where the colour image is seen from.

    ``pixels``: (H, W), in the units of ``encoding``: ``16UC1`` uint16 millimetres, ``32FC1`` float32 metres; 0, NaN
    and infinity are no measurement. It may be smaller or larger than the colour image, in the same proportions.
    """

    pixels: npt.NDArray[np.uint16] | npt.NDArray[np.float32]
    encoding: str
    intrinsics: Intrinsics


@dataclass(frozen=True)
class Position:
    """Where the visible surface of an object is, or why that is not known.

    ``xyz_m``: its middle, ``extent_m``: its size along the axes of the same frame, metres. ``spread_m``: how far depths
    scatter about their median. ``measurements``: depth pixels that this rests on. ``problem``: empty when valid.
    """

    xyz_m: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    extent_m: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    spread_m: float = math.nan
    measurements: int = 0
    problem: str = ''

    @property
    def is_valid(self) -> bool:
        """Whether the numbers mean anything."""
        return not self.problem


@dataclass(frozen=True)
class Positions:
    """Positions of the objects of one frame, by object id, in the tf frame ``frame_id``.

    ``problem``: why none could be computed, or empty.
    """

    frame_id: str = ''
    by_object: Mapping[str, Position] = field(default_factory=dict)
    problem: str = ''


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera image.

    ``image``: uint8 RGB (H, W, 3). ``stamp_ns``: time of capture. ``frame_id``: tf frame of the camera. ``depth``: of
    a recorded clip that has it, if it was asked for.
    """

    image: ImageArray
    stamp_ns: int
    frame_id: str = ''
    depth: DepthImage | None = None

    @property
    def height(self) -> int:
        """Rows of the image, pixels."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Columns of the image, pixels."""
        return int(self.image.shape[1])


@dataclass(frozen=True, eq=False)
class Prompt:
    """What points at an object: a box and/or points, or a mask; or words, which a detector turns into a box.

    ``box_xyxy``: pixels, half-open. ``points``: float32 (P, 2), x and y. ``point_labels``: bool (P,),
    True = on the object; None = all on the object. ``mask``: bool (H, W) of the image's size.
    An empty ``object_id`` asks for one to be assigned (``obj_1``, ``obj_2``, ...). ``text``: what to look for.
    """

    object_id: str = ''
    label: str = ''
    box_xyxy: tuple[float, float, float, float] | None = None
    points: npt.NDArray[np.float32] | None = None
    point_labels: npt.NDArray[np.bool_] | None = None
    mask: MaskArray | None = None
    text: str = ''


@dataclass(frozen=True, eq=False)
class Detection:
    """What a detector saw on one image: a box or a mask with its class, and a confidence ``score`` in [0, 1].

    The prompt carries no ``object_id`` and no points.
    """

    prompt: Prompt
    score: float = 1.0


@dataclass(frozen=True)
class DetectionReport:
    """What became of the detections of one image: ids of the objects that were started, prompted anew and removed.

    ``waiting``: what is not confirmed yet, or has no room. ``refused``: what was wrong with detections that were
    skipped, a sentence each.
    """

    started: tuple[str, ...] = ()
    refreshed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    waiting: int = 0
    refused: tuple[str, ...] = ()


class ObjectState(IntEnum):
    """Health of a track; the numbers are those of ``msg/TrackedObject.msg``."""

    PENDING = 0
    TRACKED = 1
    OCCLUDED = 2
    LOST = 3


@dataclass(frozen=True, eq=False)
class MaskEstimate:
    """A tracker's belief about one object on one frame.

    ``mask``: bool (H, W), empty when the object is not visible. ``score``: confidence in [0, 1].
    """

    mask: MaskArray
    score: float
    state: ObjectState


@dataclass(frozen=True, eq=False)
class TrackedObject:
    """One object as it stands after a frame.

    ``box_xyxy`` is None while the mask is empty. ``generation`` counts the prompts the object was given;
    ``window_frames`` the frames a question would rest on now.
    """

    object_id: str
    label: str
    state: ObjectState
    score: float
    mask: MaskArray
    box_xyxy: BoxXYXY | None
    mask_area: int
    first_seen_ns: int
    last_seen_ns: int
    generation: int = 1
    window_frames: int = 0


@dataclass(frozen=True, eq=False)
class TrackUpdate:
    """All objects on one frame. ``track_s`` and ``encode_s``: seconds spent on tracking and on tokens."""

    frame: Frame
    frame_index: int
    objects: tuple[TrackedObject, ...]
    track_s: float = 0.0
    encode_s: float = 0.0


@dataclass(frozen=True, eq=False)
class ObjectView:
    """One object on one frame (an "object-frame"): the input of the object tokenizer."""

    frame: Frame
    mask: MaskArray


@dataclass(frozen=True, eq=False)
class ObjectTokens:
    """The object tokens of one object-frame: float (K, D) on the model's device."""

    tokens: torch.Tensor
    stamp_ns: int


class QueryKind(IntEnum):
    """What is asked; the numbers are those of ``msg/ObjectAnswer.msg``."""

    CAPTION = 0
    ANSWER = 1
    PREDICTION = 2


@dataclass(frozen=True)
class TimeWindow:
    """Part of an object's past. None = open end; ``max_frames`` 0 = the configured window."""

    start_ns: int | None = None
    end_ns: int | None = None
    max_frames: int = 0


@dataclass(frozen=True)
class GenerationOptions:
    """How text is decoded. ``temperature`` 0 = greedy; ``max_new_tokens`` 0 = the configured default.

    ``stop``: the answer ends before the first of these strings.
    """

    max_new_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Query:
    """A question about tracked objects.

    ``question`` may name the objects as ``<object1>``, ``<object2>``, ... in the order of ``object_ids``;
    empty = the standard question of ``kind``. ``horizon_s``: how far ahead a prediction looks, seconds;
    0 = unspecified. ``timeout_s`` 0 = the configured deadline, counted from submission.
    ``visual_prompt``: an object that is not tracked, described once on the newest frame.
    """

    kind: QueryKind
    object_ids: tuple[str, ...]
    question: str = ''
    window: TimeWindow = field(default_factory=TimeWindow)
    options: GenerationOptions = field(default_factory=GenerationOptions)
    horizon_s: float = 0.0
    timeout_s: float = 0.0
    request_id: str = ''
    visual_prompt: Prompt | None = None


@dataclass(frozen=True)
class Timing:
    """Where the time of an answer went, seconds of the monotonic clock.

    ``queue_s``: waiting for the device. ``vision_s``: making object tokens (0 when they were there).
    ``prefill_s``: reading the prompt. ``first_token_s``: submission to first token. ``total_s``: to the end.
    """

    queue_s: float = 0.0
    vision_s: float = 0.0
    prefill_s: float = 0.0
    first_token_s: float = 0.0
    total_s: float = 0.0


class FinishReason(IntEnum):
    """Why decoding stopped."""

    STOP = 0
    LENGTH = 1
    TIMEOUT = 2
    CANCELED = 3


@dataclass(frozen=True)
class Generation:
    """Decoded text and what it cost.

    ``mean_logprob``: mean natural log probability of the chosen tokens, NaN without tokens; it is no
    calibrated confidence. ``token_ids``: the chosen tokens, with the one that ended the answer.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    prefill_s: float
    first_token_s: float
    mean_logprob: float
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The reply to a :class:`Query`.

    ``question``: as asked, or the standard one. ``frame_stamps_ns``: stamps of every frame the answer rests
    on, oldest first. ``frame_id``: tf frame of the newest of them.
    """

    query: Query
    question: str
    text: str
    object_ids: tuple[str, ...]
    frame_stamps_ns: tuple[int, ...]
    frame_id: str
    finish_reason: FinishReason
    timing: Timing
    prompt_tokens: int
    completion_tokens: int
    mean_logprob: float


@dataclass(frozen=True)
class ModelInfo:
    """Identity of a loaded model. ``trained`` is False for random weights: its words mean nothing."""

    name: str
    revision: str
    device: str
    dtype: str
    trained: bool
    parameters: int
    context_length: int


@dataclass(frozen=True)
class WorkerStatistics:
    """Counters and rates of the device thread. Rates in Hz, latencies and ages in seconds."""

    frames_offered: int
    frames_tracked: int
    frames_dropped: int
    frame_rate_hz: float
    frame_age_s: float
    track_rate_hz: float
    track_latency_s: float
    queued_queries: int
    answers: int
    failures: int
    failures_by_code: Mapping[int, int]
