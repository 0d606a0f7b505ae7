"""Messages of the watch action to core types and back. Pure."""

from __future__ import annotations

from std_msgs.msg import Header

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.settings import WatchSettings
from pixelrefer_core.types import ModelInfo
from pixelrefer_core.watch import WatchCheck, WatchRequest, WatchRule
from pixelrefer_ros.action import Watch
from pixelrefer_ros.msg import WatchEvent
from pixelrefer_ros.stamps import to_duration, to_seconds, to_time


def to_watch_request(goal: Watch.Goal, defaults: WatchSettings) -> WatchRequest:
    """Read a goal; what it leaves at zero is as configured. Raises :class:`InvalidRequestError`."""
    if to_seconds(goal.timeout) < 0:
        raise InvalidRequestError('timeout cannot be negative')
    on = goal.on_threshold or defaults.on_threshold
    hits = goal.hits or 1
    return WatchRequest(
        condition=goal.condition,
        object_ids=tuple(goal.object_ids),
        rule=WatchRule(
            on=on,
            off=goal.off_threshold or min(on, defaults.off_threshold),
            hits=hits,
            of=goal.of or hits,
            cooldown_s=to_seconds(goal.cooldown),
        ),
        window_s=to_seconds(goal.window),
        max_frames=goal.max_frames,
        once=not goal.repeat,
    )


def to_event(goal: Watch.Goal, request_id: str, check: WatchCheck, info: ModelInfo | None) -> WatchEvent:
    """The event of a check that triggered."""
    return WatchEvent(
        header=Header(stamp=to_time(check.frame_stamps_ns[-1]), frame_id=check.frame_id),
        request_id=request_id,
        object_ids=list(goal.object_ids),
        condition=goal.condition,
        probability=check.probability,
        frame_stamps=[to_time(stamp_ns) for stamp_ns in check.frame_stamps_ns],
        number=check.triggers,
        model=info.name if info else '',
        model_trained=bool(info and info.trained),
    )


def to_feedback(check: WatchCheck, event: WatchEvent, elapsed_s: float) -> Watch.Feedback:
    """What a check says, with the last trigger."""
    return Watch.Feedback(
        state=int(check.state),
        probability=check.probability,
        frame_stamps=[to_time(stamp_ns) for stamp_ns in check.frame_stamps_ns],
        triggers=check.triggers,
        event=event,
        elapsed=to_duration(elapsed_s),
    )
