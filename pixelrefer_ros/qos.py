"""Quality of service by purpose, each with its reason."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

_RELIABILITY = {
    'best_effort': ReliabilityPolicy.BEST_EFFORT,
    'reliable': ReliabilityPolicy.RELIABLE,
}


def image(reliability: str, *, depth: int = 2) -> QoSProfile:
    """Images: only the newest counts. A best-effort subscriber hears reliable publishers too.

    ``depth``: a publisher holds more, so that a listener that wants every image can have it.
    """
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=_RELIABILITY[reliability])


def results() -> QoSProfile:
    """Tracked objects and prompts: none may be lost on a healthy network."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)


def services() -> QoSProfile:
    """Requests and responses: of those that come in one moment the middleware loses what is beyond the depth.

    ROS keeps ten. What is not lost is answered, with BUSY if there are too many.
    """
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE)


def feedback() -> QoSProfile:
    """What goals hear on their way, all goals of an action by one topic: a word to each in one moment must fit.

    ROS keeps ten, on either side.
    """
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE)


def interaction() -> QoSProfile:
    """Interactive markers: a client that misses an update begins again, so many are kept, as others do."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)


def latched(depth: int = 1) -> QoSProfile:
    """Status and answers: whoever joins late sees the last ones."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
