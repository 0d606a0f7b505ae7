"""What is known about a simulated clip: the truth that questions are made from, and how it lies on disk.

A clip is a folder ``<split>/<seed>/`` with ``frames/00000.jpg`` ... and ``clip.json``, a :class:`ClipRecord`.
Metres, seconds, pixels; the table's top is z = 0, x runs to the right of the camera, y away from it.
Instants are numbered at ``RATE_HZ``; the first ``FRAMES`` of them were filmed, the rest is the future.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

GENERATOR_VERSION = 1
WIDTH, HEIGHT = 384, 288
RATE_HZ = 10
FRAMES = 21  # filmed: instants 0 ... 20
INSTANTS = 36  # simulated: 3.5 s
# Questions look at some frames of the last second before one of these instants.
WINDOW_ENDS = (10, 12, 14, 16, 18, 20)
WINDOW_FRAMES, WINDOW_STRIDE = 6, 2
FUTURE_S = 1.5
# Fewer visible pixels than this, and nobody could tell what it is.
MINIMUM_VISIBLE_PX = 30

EventKind = Literal[
    'pushed',  # the rod pushes the subject, from start to end
    'moving',  # the subject moves, however it came to that
    'hit',  # subject and other touch for the first time; an instant
    'fell',  # the subject drops below the table's edge; an instant
    'lifted',  # the rod carries the subject up and away
    'placed',  # the rod puts the subject down; ``other`` = what it is put on, '' = the table
    'hidden',  # the subject is covered by something, at least half of it
    'out_of_view',  # the subject is not in the picture
]


@dataclass(frozen=True)
class SceneObject:
    """An object as it was made. ``name`` is unique in the clip; ``scale`` is relative to a large one."""

    name: str
    category: str
    colour: str
    size: str
    scale: float


@dataclass(frozen=True)
class Event:
    """Something that happens to ``subject`` from ``start_s`` to ``end_s``; ``other``: another object, or ''."""

    kind: EventKind
    subject: str
    start_s: float
    end_s: float
    other: str = ''


@dataclass(frozen=True)
class Outcome:
    """What one object does in the ``FUTURE_S`` after a window, if nobody interferes.

    ``first``: what comes first: ``falls`` off the table, ``hits`` an object (``other``), ``stops`` (it moved
    and comes to rest), ``moves`` (it is still moving then), or ``stays`` (it never moved). ``falls`` and
    ``hits``: whether it does so at all. ``clear``: a tenth more or less of speed changes none of this; only
    then can a camera know it.
    """

    name: str
    first: Literal['falls', 'hits', 'stops', 'moves', 'stays']
    other: str
    falls: bool
    hits: bool
    clear: bool


@dataclass(frozen=True)
class Window:
    """The end of what a question may look at.

    ``open``: the rod is at work then, or will be, so there are no outcomes. ``outcomes``: of the objects that
    have not fallen yet.
    """

    end: int
    open: bool
    outcomes: tuple[Outcome, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """The filmed instants that are looked at, oldest first."""
        return tuple(self.end - WINDOW_STRIDE * back for back in reversed(range(WINDOW_FRAMES)))


@dataclass(frozen=True)
class Camera:
    """A pinhole. ``position_m`` (3), ``rotation`` 3 x 3 rows: x right, y down, z forward, in world axes."""

    position_m: tuple[float, ...]
    rotation: tuple[tuple[float, ...], ...]
    focal_px: float
    centre_px: tuple[float, float]


@dataclass(frozen=True)
class ClipRecord:
    """All of it.

    ``poses``: [instant][object] = x y z of its centre of mass, quaternion w x y z. ``visible_px``: [frame][object]
    pixels seen. ``whole_px``: [frame][object] pixels if nothing stood in front. ``masks``: [frame][object],
    compressed COCO RLE counts of (HEIGHT, WIDTH), '' = nothing seen. ``actions``: what was staged, for balance.
    """

    version: int
    seed: int
    split: str
    objects: tuple[SceneObject, ...]
    camera: Camera
    table_texture: str
    table_size_m: tuple[float, float]
    light_azimuth_deg: float
    actions: tuple[str, ...]
    events: tuple[Event, ...]
    windows: tuple[Window, ...]
    poses: tuple[tuple[tuple[float, ...], ...], ...]
    visible_px: tuple[tuple[int, ...], ...]
    whole_px: tuple[tuple[int, ...], ...]
    masks: tuple[tuple[str, ...], ...]

    def index(self, name: str) -> int:
        """Return the place of the object called ``name``."""
        return [item.name for item in self.objects].index(name)


def save_record(record: ClipRecord, folder: Path) -> None:
    """Write ``clip.json``; it comes last, so a folder that has one is complete."""
    partial = folder / 'clip.json.partial'
    partial.write_text(json.dumps(asdict(record), separators=(',', ':')))
    partial.rename(folder / 'clip.json')


def load_record(folder: Path) -> ClipRecord:
    """Read ``clip.json``. Raises :class:`ValueError` when another version of the generator wrote it."""
    raw = json.loads((folder / 'clip.json').read_text())
    if raw['version'] != GENERATOR_VERSION:
        raise ValueError(
            f'{folder} was made by version {raw["version"]} of the generator, '
            f'this is {GENERATOR_VERSION}: render it again'
        )
    return _record(raw)


def _record(raw: dict[str, Any]) -> ClipRecord:
    made: dict[str, Any] = {
        'objects': tuple(SceneObject(**item) for item in raw['objects']),
        'camera': Camera(**{key: _tuples(value) for key, value in raw['camera'].items()}),
        'events': tuple(Event(**item) for item in raw['events']),
        'windows': tuple(_window(item) for item in raw['windows']),
    }
    return ClipRecord(**{key: made.get(key, _tuples(value)) for key, value in raw.items()})


def _window(raw: dict[str, Any]) -> Window:
    return Window(raw['end'], raw['open'], tuple(Outcome(**item) for item in raw['outcomes']))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
