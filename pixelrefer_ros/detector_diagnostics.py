"""What ``detector_node`` says about itself in /diagnostics. Pure: builds messages from figures."""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from pixelrefer_core.detector_worker import DetectorStatistics

# Silence of the camera for longer than this is a fault.
IMAGE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class DetectorHealth:
    """Everything that the message is made from.

    ``state``: lifecycle state. ``failure``: why configure failed, or ''. ``words``: what is looked for.
    """

    state: str
    failure: str
    image_topic: str
    image_publishers: int
    detector: str
    words: tuple[str, ...]
    statistics: DetectorStatistics | None

    @property
    def reason(self) -> str:
        """Why nothing comes out, in words; '' when all is well."""
        if self.failure:
            return self.failure
        if self.state != 'active' or self.statistics is None:
            return f'the node is {self.state}: configure and activate it'
        if not self.words:
            return 'there is nothing to look for: set the parameter classes'
        if not self.image_publishers:
            return f'nobody publishes {self.image_topic}: check the name of the image topic'
        if self.statistics.frame_age_s > IMAGE_TIMEOUT_S:
            return f'no image on {self.image_topic} for more than {IMAGE_TIMEOUT_S:g} s'
        return ''


def to_entry(health: DetectorHealth, node_name: str) -> DiagnosticStatus:
    """The entry of /diagnostics. An inactive node takes no images, and that is no fault."""
    level = DiagnosticStatus.OK
    if health.failure:
        level = DiagnosticStatus.ERROR
    elif health.reason and health.state == 'active':
        level = DiagnosticStatus.WARN
    values: dict[str, object] = {
        'detector': health.detector,
        'classes': ', '.join(health.words),
        'image topic': health.image_topic,
    }
    if health.statistics is not None:
        values['images looked at'] = health.statistics.frames_seen
        values['dropped for a newer one'] = health.statistics.frames_dropped
        values['failed'] = health.statistics.failures
        values['latency [ms]'] = f'{1e3 * health.statistics.latency_s:.0f}'
    return DiagnosticStatus(
        level=level,
        name=f'{node_name}: detector',
        message=health.reason or 'ok',
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
