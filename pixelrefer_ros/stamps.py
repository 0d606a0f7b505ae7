"""Stamps and durations of messages, and seconds and nanoseconds. Pure."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time
from std_msgs.msg import Header

from pixelrefer_core.types import NANOSECONDS, Frame


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
