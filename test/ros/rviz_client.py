"""What RViz's display of interactive markers does, and what its context menu sends: a client of their protocol."""

from __future__ import annotations

import copy

from visualization_msgs.msg import InteractiveMarker, InteractiveMarkerFeedback, InteractiveMarkerUpdate
from visualization_msgs.srv import GetInteractiveMarkers

from .waiting import wait_for

NAMESPACE = 'object_menus'


class RvizClient:
    """Follows the markers of a server; an update that is out of order fails."""

    def __init__(self, graph, call, name='rviz'):
        self._graph, self._call = graph, call
        self._node = graph.node(name)
        self.updates: list[InteractiveMarkerUpdate] = []
        self._first: GetInteractiveMarkers.Response | None = None
        self._updates = self._node.create_subscription(
            InteractiveMarkerUpdate, f'{NAMESPACE}/update', self.updates.append, 100
        )
        self._feedback = self._node.create_publisher(InteractiveMarkerFeedback, f'{NAMESPACE}/feedback', 1)

    def connect(self):
        """Take all markers from the service; from now on they follow the topic."""
        wait_for(lambda: self._feedback.get_subscription_count() and self._updates.get_publisher_count())
        self._first = self._call(GetInteractiveMarkers, f'{NAMESPACE}/get_interactive_markers')

    def close(self):
        self._graph.remove(self._node)

    def markers(self) -> dict[str, InteractiveMarker]:
        """The markers as they stand."""
        markers = {marker.name: copy.deepcopy(marker) for marker in self._first.markers}
        number = self._first.sequence_number
        for update in [item for item in self.updates if item.seq_num > number]:
            assert update.type == InteractiveMarkerUpdate.UPDATE
            assert update.seq_num == number + 1, 'an update is missing'
            number += 1
            markers |= {marker.name: copy.deepcopy(marker) for marker in update.markers}
            for moved in update.poses:
                markers[moved.name].header, markers[moved.name].pose = moved.header, moved.pose
            for name in update.erases:
                del markers[name]
        return markers

    def titles(self, name: str, parent: str = '') -> list[str]:
        """The entries of a menu, or of one of its submenus; none while there is no such marker."""
        entries = self.markers().get(name, InteractiveMarker()).menu_entries
        parents = {entry.id for entry in entries if entry.title == parent} if parent else {0}
        return [entry.title for entry in entries if entry.parent_id in parents]

    def entry(self, name: str, title: str) -> int:
        """The id of an entry."""
        (found,) = [item.id for item in self.markers()[name].menu_entries if item.title == title]
        return found

    def notice(self, name: str) -> str:
        """The text that stands at a marker."""
        return ' '.join(
            marker.text.replace('\n', ' ')
            for control in self.markers().get(name, InteractiveMarker()).controls
            for marker in control.markers
            if marker.text
        )

    def choose(self, name: str, title: str):
        """Open the menu of a marker and choose an entry."""
        self.send(name, self.entry(name, title))

    def send(self, name: str, entry: int, event_type: int = InteractiveMarkerFeedback.MENU_SELECT):
        self._feedback.publish(
            InteractiveMarkerFeedback(
                client_id='rviz',
                marker_name=name,
                control_name='menu',
                event_type=event_type,
                menu_entry_id=entry,
            )
        )
