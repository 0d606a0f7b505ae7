"""What RViz shows of tracked objects: a box where each is, and its name, state and last answer above it."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable, Sequence

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from rclpy.node import Node
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from pixelrefer_core.drawing import object_colour
from pixelrefer_core.settings import Settings
from pixelrefer_core.types import Frame, Position, Positions, TrackedObject
from pixelrefer_ros import qos
from pixelrefer_ros.msg import ObjectAnswer
from pixelrefer_ros.stamps import to_duration, to_time

BOX, TEXT = 0, 1
# A box without depth in one direction could not be seen from there.
THINNEST_M = 0.005
_TEXT_M, _TEXT_GAP_M = 0.03, 0.02
_LINE_CHARS, _ANSWER_CHARS = 32, 96
_OPACITY = 0.5
# How REP 103 has the names of frames end whose z runs along the view.
_OPTICAL = '_optical_frame'


class Markers:
    """Publishes ``markers`` while somebody listens; each object is a namespace with a box and a text."""

    def __init__(self, node: Node, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._publisher = node.create_publisher(MarkerArray, 'markers', qos.results())
        self._shown: set[str] = set()
        self._answers: dict[str, str] = {}
        self._lock = threading.Lock()  # answers come from the executor, images from the device thread

    def note(self, answer: ObjectAnswer) -> None:
        """Remember an answer as the last one about its objects."""
        with self._lock:
            self._answers |= dict.fromkeys(answer.object_ids, answer.text)

    def publish(self, frame: Frame, objects: Sequence[TrackedObject], positions: Positions) -> None:
        """Show the objects that have a position; take those away that had one and have none now."""
        tracked = {item.object_id for item in objects}
        with self._lock:
            answers = {key: text for key, text in self._answers.items() if key in tracked}
            self._answers = dict(answers)
        if not (self._settings().publish.markers and self._publisher.get_subscription_count()):
            self._shown = set()
            return
        header = Header(stamp=to_time(frame.stamp_ns), frame_id=positions.frame_id or frame.frame_id)
        lifetime = to_duration(self._settings().publish.marker_lifetime_s)
        shown: dict[str, list[Marker]] = {}
        for item in objects:
            position = positions.by_object.get(item.object_id)
            if position is not None and position.is_valid:
                text = caption(item, answers.get(item.object_id, ''))
                shown[item.object_id] = to_markers(item.object_id, position, text, header, lifetime)
        gone = [_deletion(key, header) for key in sorted(self._shown - shown.keys())]
        self._shown = set(shown)
        if gone or shown:
            markers = [marker for pair in (*gone, *shown.values()) for marker in pair]
            self._publisher.publish(MarkerArray(markers=markers))

    def clear(self) -> None:
        """Take everything away."""
        self._shown = set()
        self._publisher.publish(MarkerArray(markers=[Marker(action=Marker.DELETEALL)]))


def caption(item: TrackedObject, answer: str) -> str:
    """What is written above an object."""
    lines = [f'{item.label or item.object_id} {item.state.name.lower()}']
    if answer:
        lines += textwrap.wrap(textwrap.shorten(answer, _ANSWER_CHARS, placeholder=' ...'), _LINE_CHARS)
    return '\n'.join(lines)


def is_optical(frame_id: str) -> bool:
    """Whether a frame has the axes of an image: x right, y down, z forward. Its name says so."""
    return frame_id.endswith(_OPTICAL)


def to_markers(
    object_id: str, position: Position, text: str, header: Header, lifetime: Duration
) -> list[Marker]:
    """The box and the text of one object that has a position."""
    x, y, z = position.xyz_m
    size = [max(THINNEST_M, side) for side in position.extent_m]
    red, green, blue = (level / 255 for level in object_colour(object_id))
    common = {'header': header, 'ns': object_id, 'action': Marker.ADD, 'lifetime': lifetime}
    box = Marker(
        id=BOX,
        type=Marker.CUBE,
        pose=_upright(x, y, z),
        scale=Vector3(x=size[0], y=size[1], z=size[2]),
        color=ColorRGBA(r=red, g=green, b=blue, a=_OPACITY),
        **common,
    )
    # Above is where the frame has it: -y in a camera's, +z in all others.
    optical = is_optical(header.frame_id)
    gap = (size[1] if optical else size[2]) / 2 + _TEXT_GAP_M
    label = Marker(
        id=TEXT,
        type=Marker.TEXT_VIEW_FACING,
        pose=_upright(x, y - gap, z) if optical else _upright(x, y, z + gap),
        scale=Vector3(z=_TEXT_M),
        color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
        text=text,
        **common,
    )
    return [box, label]


def _deletion(object_id: str, header: Header) -> list[Marker]:
    return [Marker(header=header, ns=object_id, id=part, action=Marker.DELETE) for part in (BOX, TEXT)]


def _upright(x: float, y: float, z: float) -> Pose:
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=1.0))
