"""Where the objects can be taken hold of in a 3D view: a box around each, slightly larger than it, with a menu."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import InteractiveMarker, InteractiveMarkerControl, Marker, MenuEntry

from pixelrefer_core.drawing import object_colour
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros.markers import THINNEST_M, is_optical
from pixelrefer_ros.msg import TrackedObjectArray
from pixelrefer_ros.stamps import to_ns

# Outside of the box of ``markers``, which would take the clicks otherwise.
_MARGIN_M = 0.005
# A box is made so much larger than needed, and stays while it is not half as large again: a box that follows every
# measurement would be built anew with each, and its menu with it.
_ROOM, _LOOSEST = 1.2, 1.5
_OPACITY = 0.25
_TEXT_M, _TEXT_GAP_M, _LINE_CHARS = 0.03, 0.02, 32
# What takes a frame whose y runs down and whose z runs forward to one whose z runs up: a quarter turn about x.
_UPRIGHT = Quaternion(x=math.sqrt(0.5), w=math.sqrt(0.5))


@dataclass(frozen=True)
class Place:
    """Where an object was last seen. ``xyz_m``, ``size_m``: middle and sides of its box in frame ``frame_id``."""

    frame_id: str
    xyz_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    seen_ns: int


class Places:
    """The place of each object that has one. An object without a valid position stays a while where it was."""

    def __init__(self) -> None:
        self._by_object: dict[str, Place] = {}

    def items(self) -> list[tuple[str, Place]]:
        """Every object's id and place."""
        return list(self._by_object.items())

    def update(self, message: TrackedObjectArray, hold_s: float) -> None:
        """Take over the positions of an image. ``hold_s``: how long without one, in the time of the images."""
        now_ns = to_ns(message.header.stamp)
        tracked = {item.object_id for item in message.objects}
        known = self._by_object
        places = {
            key: place
            for key, place in known.items()
            if key in tracked and 0 <= now_ns - place.seen_ns <= hold_s * NANOSECONDS
        }
        for item in message.objects:
            if item.position_valid:
                position, extent, place = item.position, item.extent, known.get(item.object_id)
                size = _fitted((extent.x, extent.y, extent.z), place.size_m if place else None)
                xyz = (position.x, position.y, position.z)
                places[item.object_id] = Place(message.position_frame, xyz, size, now_ns)
        self._by_object = places

    def forget(self, object_ids: Sequence[str]) -> None:
        """Forget the places of these objects."""
        for object_id in object_ids:
            self._by_object.pop(object_id, None)

    def clear(self) -> None:
        """Forget every place."""
        self._by_object = {}


def to_interactive_marker(
    object_id: str, place: Place, entries: Sequence[MenuEntry], notice: str
) -> InteractiveMarker:
    """The box of an object with its menu, and a notice below it."""
    optical = is_optical(place.frame_id)
    x, y, z = place.xyz_m
    across, deep, high = place.size_m
    if optical:  # in axes of its own, whose z runs up
        deep, high = high, deep
    controls = [_box(object_id, Vector3(x=across, y=deep, z=high))]
    if notice:
        controls.append(_text(notice, high))
    return InteractiveMarker(
        # Without a stamp: it stands still in its frame until it is moved.
        header=Header(frame_id=place.frame_id),
        pose=Pose(position=Point(x=x, y=y, z=z), orientation=_UPRIGHT if optical else Quaternion(w=1.0)),
        name=object_id,
        scale=max(place.size_m),
        menu_entries=list(entries),
        controls=controls,
    )


def _box(object_id: str, size: Vector3) -> InteractiveMarkerControl:
    red, green, blue = (level / 255 for level in object_colour(object_id))
    box = Marker(type=Marker.CUBE, scale=size, color=ColorRGBA(r=red, g=green, b=blue, a=_OPACITY))
    return InteractiveMarkerControl(
        name='menu',
        interaction_mode=InteractiveMarkerControl.MENU,
        always_visible=True,
        markers=[box],
    )


def _text(notice: str, high: float) -> InteractiveMarkerControl:
    lines = textwrap.wrap(notice, _LINE_CHARS)
    below = high / 2 + _TEXT_GAP_M + _TEXT_M * len(lines) / 2
    text = Marker(
        type=Marker.TEXT_VIEW_FACING,
        pose=Pose(position=Point(z=-below), orientation=Quaternion(w=1.0)),
        scale=Vector3(z=_TEXT_M),
        color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
        text='\n'.join(lines),
    )
    return InteractiveMarkerControl(
        name='notice',
        interaction_mode=InteractiveMarkerControl.NONE,
        always_visible=True,
        markers=[text],
    )


def _fitted(
    extent: tuple[float, float, float], size: tuple[float, float, float] | None
) -> tuple[float, float, float]:
    """Return the sides of a box around ``extent``: those of ``size``, if they still suit it."""
    x, y, z = (max(THINNEST_M, side) + 2 * _MARGIN_M for side in extent)
    if size and all(need <= side <= _LOOSEST * need for need, side in zip((x, y, z), size, strict=True)):
        return size
    return _ROOM * x, _ROOM * y, _ROOM * z
