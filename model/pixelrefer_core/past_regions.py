"""Where objects were on the newest frames: a detection arrives later than its image, and belongs to what was then."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from .association import Known, Region
from .types import NANOSECONDS, TrackedObject


class PastRegions:
    """Regions by stamp, of as many frames as are held; and where each object was last seen."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, dict[str, Region]]] = deque()
        self._last: dict[str, Region] = {}
        self._since_ns: dict[str, int] = {}

    def append(self, stamp_ns: int, objects: Sequence[TrackedObject], *, frames: int) -> None:
        """Note all objects of the newest frame and keep ``frames`` of them; a stamp that is known is written over."""
        regions = {item.object_id: Region.of(item.mask) for item in objects}
        visible = {object_id: region for object_id, region in regions.items() if region is not None}
        if self._frames and self._frames[-1][0] == stamp_ns:
            self._frames.pop()
        self._frames.append((stamp_ns, visible))
        while len(self._frames) > frames:
            self._frames.popleft()
        self._last = {key: region for key, region in (self._last | visible).items() if key in regions}
        self._since_ns = {key: self._since_ns.get(key, stamp_ns) for key in regions}

    def renew(self, object_ids: Iterable[str], stamp_ns: int) -> None:
        """Note that what is known of these objects before ``stamp_ns`` no longer holds: they were prompted anew."""
        self._since_ns.update(dict.fromkeys(object_ids, stamp_ns))

    def known(self, objects: Sequence[TrackedObject], stamp_ns: int) -> list[Known]:
        """Return the objects as they were on the frame of that stamp; those that were never seen are left out.

        An object of which that frame knows nothing, because it was prompted later, counts as where it is now.
        """
        then = next((regions for stamp, regions in self._frames if stamp == stamp_ns), {})
        found = []
        for item in objects:
            came_later = stamp_ns < self._since_ns.get(item.object_id, 0)
            region = None if came_later else then.get(item.object_id)
            last = self._last.get(item.object_id)
            if last is not None:
                found.append(
                    Known(
                        object_id=item.object_id,
                        region=region or last,
                        is_visible=region is not None or (came_later and item.mask_area > 0),
                        last_seen_ns=item.last_seen_ns,
                        label=item.label,
                        age_s=max(0, stamp_ns - item.first_seen_ns) / NANOSECONDS,
                        state=item.state,
                        score=item.score,
                    )
                )
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._frames.clear()
        self._last.clear()
        self._since_ns.clear()
