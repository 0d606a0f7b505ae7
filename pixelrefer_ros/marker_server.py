"""The server's end of interactive markers, as RViz speaks it: a service for all of them, a topic for what changes.

A client takes the markers from ``get_interactive_markers`` and then follows ``update``, whose sequence numbers are
without gaps; one that misses an update begins again with the service. That replaces the keep-alive messages of ROS 1,
of which the clients of ROS 2 warn. What a person does comes on ``feedback``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node
from visualization_msgs.msg import (
    InteractiveMarker,
    InteractiveMarkerFeedback,
    InteractiveMarkerPose,
    InteractiveMarkerUpdate,
)
from visualization_msgs.srv import GetInteractiveMarkers

from pixelrefer_ros import qos


class MarkerServer:
    """Keeps the clients' markers equal to those of the last :meth:`show`.

    ``namespace``: of the topics and the service. ``on_choice``: gets the name of a marker and the id of the entry that
    was chosen in its menu; other feedback is of no interest.
    """

    def __init__(self, node: Node, namespace: str, on_choice: Callable[[str, int], None]) -> None:
        self._id = node.get_fully_qualified_name()
        self._on_choice = on_choice
        self._shown: dict[str, InteractiveMarker] = {}
        self._sequence_number = 0
        self._updates = node.create_publisher(
            InteractiveMarkerUpdate, f'{namespace}/update', qos.interaction()
        )
        node.create_subscription(
            InteractiveMarkerFeedback, f'{namespace}/feedback', self._on_feedback, qos.interaction()
        )
        node.create_service(GetInteractiveMarkers, f'{namespace}/get_interactive_markers', self._get_all)

    def show(self, markers: Iterable[InteractiveMarker]) -> None:
        """Show these markers and no others; publish what is different from before, if anything is.

        A marker that has only moved is sent as a pose, which leaves what a client has made of it alone.
        """
        wanted = {marker.name: marker for marker in markers}
        update = InteractiveMarkerUpdate(
            server_id=self._id,
            type=InteractiveMarkerUpdate.UPDATE,
            erases=[name for name in self._shown if name not in wanted],
        )
        for name, marker in wanted.items():
            known = self._shown.get(name)
            if known is None or _look(known) != _look(marker):
                update.markers.append(marker)
            elif (known.header, known.pose) != (marker.header, marker.pose):
                update.poses.append(InteractiveMarkerPose(header=marker.header, pose=marker.pose, name=name))
        self._shown = wanted
        if update.markers or update.poses or update.erases:
            self._sequence_number += 1
            update.seq_num = self._sequence_number
            self._updates.publish(update)

    def _get_all(
        self, request: GetInteractiveMarkers.Request, response: GetInteractiveMarkers.Response
    ) -> GetInteractiveMarkers.Response:
        response.sequence_number = self._sequence_number
        response.markers = list(self._shown.values())
        return response

    def _on_feedback(self, message: InteractiveMarkerFeedback) -> None:
        if message.event_type == InteractiveMarkerFeedback.MENU_SELECT and message.marker_name in self._shown:
            self._on_choice(message.marker_name, message.menu_entry_id)


def _look(marker: InteractiveMarker) -> tuple[Any, ...]:
    """All of a marker but where it is."""
    return marker.description, marker.scale, marker.menu_entries, marker.controls
