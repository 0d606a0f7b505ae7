"""What the node says about itself: the status heartbeat and /diagnostics. Pure: builds messages from figures."""

from __future__ import annotations

from dataclasses import dataclass

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from pixelrefer_core.errors import ErrorCode
from pixelrefer_core.types import ModelInfo, Positions, WorkerStatistics
from pixelrefer_ros.msg import NodeStatus
from pixelrefer_ros.stamps import to_time

# How the reason of a node begins whose model or tracker could not be loaded.
CONFIGURE_FAILED = 'configure failed'


@dataclass(frozen=True)
class Health:
    """Everything that the two messages are made from.

    ``state``: lifecycle state. ``failure``: why configure failed, or ''. ``qos_problem``: what a publisher offers
    that the subscription cannot take, or ''. ``image_timeout_s``: silence longer than this is a fault.
    """

    state: str
    failure: str
    image_topic: str
    image_publishers: int
    qos_problem: str
    image_timeout_s: float
    newest_image_ns: int
    tracker: str
    tracked_objects: int
    watches: int
    device_memory_bytes: int
    model: ModelInfo | None
    statistics: WorkerStatistics | None
    depth_topic: str
    depth_images: int
    positions: Positions

    @property
    def reason(self) -> str:
        """Why nothing comes out, in words; '' when all is well."""
        if self.failure:
            return self.failure
        if self.state != 'active':
            return f'the node is {self.state}: configure and activate it'
        if self.qos_problem:
            return self.qos_problem
        if not self.image_publishers:
            return f'nobody publishes {self.image_topic}: check the name of the image topic'
        if self.statistics is None or not self.statistics.frames_offered:
            return f'{self.image_topic} has a publisher, but no image has arrived yet'
        if self.statistics.frame_age_s > self.image_timeout_s:
            return f'no image on {self.image_topic} for {self.statistics.frame_age_s:.1f} s'
        return ''

    @property
    def position_reason(self) -> str:
        """Why objects have no position, in words; '' when each has one, and while there is nothing to locate."""
        if self.positions.problem or self.state != 'active':
            return self.positions.problem
        invalid = {key: item.problem for key, item in self.positions.by_object.items() if not item.is_valid}
        return '; '.join(f'{key}: {problem}' for key, problem in invalid.items())


def to_status(health: Health, now: Time) -> NodeStatus:
    """The heartbeat."""
    message = NodeStatus(
        header=Header(stamp=now),
        ready=not health.reason,
        reason=health.reason,
        position_reason=health.position_reason,
        tracker=health.tracker,
        newest_image=to_time(health.newest_image_ns),
        tracked_objects=health.tracked_objects,
        watches=health.watches,
        device_memory_bytes=health.device_memory_bytes,
    )
    if health.model is not None:
        message.model = health.model.name
        message.model_trained = health.model.trained
        message.device = health.model.device
    statistics = health.statistics
    if statistics is not None:
        message.image_rate = statistics.frame_rate_hz
        message.track_rate = statistics.track_rate_hz
        message.track_latency = statistics.track_latency_s
        message.queued_requests = statistics.queued_queries
        message.frames_dropped = statistics.frames_dropped
        message.answers = statistics.answers
        message.failures = statistics.failures
    return message


def to_diagnostics(health: Health, now: Time, node_name: str) -> DiagnosticArray:
    """The entries of /diagnostics: images, tracker, model, positions."""
    hardware = health.model.device if health.model else ''
    entries = [
        _image_entry(health),
        _tracker_entry(health),
        _model_entry(health),
        _position_entry(health),
    ]
    for entry in entries:
        entry.name = f'{node_name}: {entry.name}'
        entry.hardware_id = hardware
    return DiagnosticArray(header=Header(stamp=now), status=entries)


def _image_entry(health: Health) -> DiagnosticStatus:
    # An inactive node takes no images, and that is no fault.
    fault = bool(health.reason) and health.state == 'active'
    values: dict[str, object] = {'topic': health.image_topic, 'publishers': health.image_publishers}
    if health.statistics is not None:
        values['rate [Hz]'] = f'{health.statistics.frame_rate_hz:.1f}'
        values['arrived'] = health.statistics.frames_offered
        values['dropped for a newer one'] = health.statistics.frames_dropped
    return _entry('images', DiagnosticStatus.WARN if fault else DiagnosticStatus.OK, health.reason, values)


def _tracker_entry(health: Health) -> DiagnosticStatus:
    values: dict[str, object] = {'tracker': health.tracker, 'objects': health.tracked_objects}
    if health.statistics is not None:
        values['rate [Hz]'] = f'{health.statistics.track_rate_hz:.1f}'
        values['latency [ms]'] = f'{1e3 * health.statistics.track_latency_s:.1f}'
    return _entry('tracker', DiagnosticStatus.OK, '', values)


def _position_entry(health: Health) -> DiagnosticStatus:
    # A camera without depth is no fault; depth that comes and cannot be used is one.
    fault = bool(health.positions.problem and health.depth_images)
    found = [item for item in health.positions.by_object.values() if item.is_valid]
    values: dict[str, object] = {
        'topic': health.depth_topic,
        'depth images': health.depth_images,
        'frame': health.positions.frame_id,
        'objects with a position': len(found),
    }
    level = DiagnosticStatus.WARN if fault else DiagnosticStatus.OK
    return _entry('positions', level, health.position_reason, values)


def _model_entry(health: Health) -> DiagnosticStatus:
    values: dict[str, object] = {'state': health.state, 'watches': health.watches}
    level, text = DiagnosticStatus.OK, ''
    if health.model is not None:
        values |= {'model': health.model.name, 'revision': health.model.revision, 'dtype': health.model.dtype}
        if not health.model.trained:
            level, text = DiagnosticStatus.WARN, 'random weights: the words of the answers have no meaning'
    if health.failure:
        level, text = DiagnosticStatus.ERROR, health.failure
    if health.statistics is not None:
        values |= {'answers': health.statistics.answers, 'queued': health.statistics.queued_queries}
        for code, count in sorted(health.statistics.failures_by_code.items()):
            values[f'failures {ErrorCode(code).name}'] = count
    return _entry('model', level, text, values)


def _entry(name: str, level: bytes, text: str, values: dict[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=text or 'ok', values=pairs)
