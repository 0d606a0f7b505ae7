"""A clip as a question looks at it: some of its frames, and what is seen of each object on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..catalogue import is_held_out
from ..layout import HELD_OUT_LIGHT_DEG, HELD_OUT_TEXTURES
from ..record import MINIMUM_VISIBLE_PX, RATE_HZ, ClipRecord, Event, EventKind, SceneObject, Window

Array = npt.NDArray[np.float64]

# Covered by more than this, and its shape could be another's.
_RECOGNISED_SHARE = 0.5
_FALLEN_M = -0.02


@dataclass(frozen=True, eq=False)
class View:
    """``frames``: filmed instants, oldest first. ``window``: None for a still. N objects, T instants."""

    record: ClipRecord
    frames: tuple[int, ...]
    window: Window | None = None

    @property
    def medium(self) -> Literal['image', 'video']:
        """What people call it."""
        return 'video' if len(self.frames) > 1 else 'image'

    @property
    def start_s(self) -> float:
        """Time of the first frame."""
        return self.frames[0] / RATE_HZ

    @property
    def end_s(self) -> float:
        """Time of the last frame."""
        return self.frames[-1] / RATE_HZ

    def item(self, name: str) -> SceneObject:
        """Return the object called ``name``."""
        return self.record.objects[self.record.index(name)]

    def seen_frames(self, name: str) -> tuple[int, ...]:
        """Return the frames on which enough of an object is seen."""
        place = self.record.index(name)
        return tuple(f for f in self.frames if self.record.visible_px[f][place] >= MINIMUM_VISIBLE_PX)

    def seen_last(self, name: str) -> bool:
        """Tell whether the object is seen on the last frame."""
        return self.frames[-1] in self.seen_frames(name)

    def recognised(self, name: str) -> bool:
        """Tell whether at least half of the object is seen on some frame."""
        place = self.record.index(name)
        return any(
            self.record.visible_px[f][place] >= _RECOGNISED_SHARE * self.record.whole_px[f][place]
            for f in self.seen_frames(name)
        )

    def shown_share(self, name: str) -> float:
        """Return which share of the object is seen on the last frame, 0 when it is out of the picture."""
        place, last = self.record.index(name), self.frames[-1]
        whole = self.record.whole_px[last][place]
        return self.record.visible_px[last][place] / whole if whole else 0.0

    @cached_property
    def askable(self) -> tuple[str, ...]:
        """Names of the objects that are seen on at least one frame."""
        return tuple(item.name for item in self.record.objects if self.seen_frames(item.name))

    def events(self, kind: EventKind, name: str) -> tuple[Event, ...]:
        """Return what happens to an object, in the order of time, also before and after the frames."""
        found = (e for e in self.record.events if e.kind == kind and e.subject == name)
        return tuple(sorted(found, key=lambda event: event.start_s))

    def is_lively(self, name: str) -> bool:
        """Tell whether something happens to an object in the frames, or clearly will."""
        if self.window is None:
            return False
        return any(
            e.subject == name
            and e.kind != 'out_of_view'
            and e.start_s <= self.end_s
            and e.end_s >= self.start_s
            for e in self.record.events
        ) or any(o.name == name and o.clear and o.first in ('falls', 'hits') for o in self.window.outcomes)

    def path(self, name: str) -> Array:
        """Return the object's centre at every instant from the first frame to the last, metres (T, 3)."""
        return np.asarray(self._poses[:, self.record.index(name), :3])

    def pixels(self, name: str) -> Array:
        """Return where the camera sees the centre, pixels (T, 2), right and down."""
        seen = self.in_camera(name)
        camera = self.record.camera
        return np.asarray(camera.centre_px + camera.focal_px * seen[:, :2] / seen[:, 2:])

    def in_camera(self, name: str) -> Array:
        """Return the centre in the camera's axes, metres (T, 3): right, down, forward."""
        camera = self.record.camera
        return np.asarray((self.path(name) - camera.position_m) @ np.transpose(camera.rotation))

    def depth_along_table(self, name: str) -> float:
        """Return how far the object stands from the camera at the end, along the table, metres."""
        forward = np.array(self.record.camera.rotation[2][:2])
        away = self.path(name)[-1, :2] - self.record.camera.position_m[:2]
        return float(away @ forward / np.linalg.norm(forward))

    def on_table(self, name: str) -> bool:
        """Tell whether the object has not fallen off the table by the end."""
        return bool(self.path(name)[-1, 2] > _FALLEN_M)

    def tilts(self, name: str) -> Array:
        """Return how far the object leans from upright at every instant, degrees (T,)."""
        up = self._ups[:, self.record.index(name)]
        return np.degrees(np.arccos(np.clip(up[:, 2], -1, 1)))

    def held_out(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return what training never sees of this: ``pair``, ``texture``, ``light``."""
        low, high = HELD_OUT_LIGHT_DEG
        tags = {
            'pair': any(is_held_out(self.item(name).category, self.item(name).colour) for name in names),
            'texture': self.record.table_texture in HELD_OUT_TEXTURES,
            'light': low <= self.record.light_azimuth_deg <= high,
        }
        return tuple(tag for tag, applies in tags.items() if applies)

    @cached_property
    def _poses(self) -> Array:
        return np.array(self.record.poses[self.frames[0] : self.frames[-1] + 1])

    @cached_property
    def _ups(self) -> Array:
        """The objects' own z axes in the world (T, N, 3)."""
        w, x, y, z = np.moveaxis(self._poses[..., 3:], -1, 0)
        return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1)


def still(record: ClipRecord, frame: int = 0) -> View:
    """Return one frame of a clip as an image."""
    return View(record, (frame,))


def windows(record: ClipRecord) -> tuple[View, ...]:
    """Return what the windows of a clip show."""
    return tuple(View(record, window.frames, window) for window in record.windows)
