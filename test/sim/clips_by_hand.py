"""Records of clips that nobody simulated: every pose, event and pixel count is written down.

The camera hangs 2 m before and 2 m above the middle of the table and looks at it, 45 degrees down: there 10 cm on the
table are 21 pixels across and 15 pixels up and down.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from pixelrefer_sim.record import (
    FRAMES,
    GENERATOR_VERSION,
    HEIGHT,
    INSTANTS,
    WIDTH,
    Camera,
    ClipRecord,
    Event,
    Outcome,
    SceneObject,
    Window,
    save_record,
)
from pixelrefer_train.mask_coding import encode_rle

_HALF = 0.5**0.5
CAMERA = Camera(
    (0.0, -2.0, 2.0), ((1.0, 0.0, 0.0), (0.0, -_HALF, -_HALF), (0.0, _HALF, -_HALF)), 600.0, (192.0, 144.0)
)
UPRIGHT = (1.0, 0.0, 0.0, 0.0)
ON_ITS_SIDE = (_HALF, _HALF, 0.0, 0.0)

# Places at some times: (seconds, x, y), straight lines between, metres.
Path2 = Sequence[tuple[float, float, float]]


def thing(name: str, category: str, colour: str = 'red', size: str = 'large') -> SceneObject:
    return SceneObject(name, category, colour, size, 1.0 if size == 'large' else 0.62)


def clip(
    objects: Mapping[SceneObject, Path2],
    *,
    events: Sequence[Event] = (),
    outcomes: Sequence[Outcome] = (),
    end: int = 10,
    open_: bool = False,
    seen: Mapping[tuple[str, int], int] | None = None,
    turned: Mapping[tuple[str, int], tuple[float, ...]] | None = None,
    still: bool = False,
    texture: str = 'wood',
    light: float = 0.0,
    seed: int = 0,
) -> ClipRecord:
    """``seen``: visible pixels of an object from a frame on, of 400. ``turned``: its quaternion from then on."""
    frames = 1 if still else FRAMES
    visible = [[400] * len(objects) for _ in range(frames)]
    turns = [[UPRIGHT] * len(objects) for _ in range(INSTANTS)]
    names = [item.name for item in objects]
    for (name, start), count in (seen or {}).items():
        for row in visible[start:]:
            row[names.index(name)] = count
    for (name, start), turn in (turned or {}).items():
        for row in turns[start:]:
            row[names.index(name)] = turn
    instants = range(1 if still else INSTANTS)
    return ClipRecord(
        version=GENERATOR_VERSION,
        seed=seed,
        split='train',
        objects=tuple(objects),
        camera=CAMERA,
        table_texture=texture,
        table_size_m=(1.6, 1.2),
        light_azimuth_deg=light,
        actions=(),
        events=tuple(events),
        windows=() if still else (Window(end, open_, tuple(outcomes)),),
        poses=tuple(
            tuple((*_at(path, i / 10), *turns[i][k]) for k, path in enumerate(objects.values()))
            for i in instants
        ),
        visible_px=tuple(map(tuple, visible)),
        whole_px=tuple((400,) * len(objects) for _ in range(frames)),
        masks=tuple(tuple(_mask(k, count) for k, count in enumerate(row)) for row in visible),
    )


def save(record: ClipRecord, folder: Path) -> Path:
    """Write the record and grey frames to ``folder/<seed>``."""
    target = folder / str(record.seed)
    (target / 'frames').mkdir(parents=True)
    for number in range(len(record.masks)):
        grey = np.full((HEIGHT, WIDTH, 3), 60 + number, np.uint8)
        cv2.imwrite(str(target / 'frames' / f'{number:05d}.jpg'), grey)
    save_record(record, target)
    return target


def _at(path: Path2, time_s: float) -> tuple[float, float, float]:
    times, xs, ys = zip(*path, strict=True)
    return float(np.interp(time_s, times, xs)), float(np.interp(time_s, times, ys)), 0.04


def _mask(place: int, count: int) -> str:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[50 : 50 + count // 20, 40 * place + 10 : 40 * place + 30] = True
    return str(encode_rle(mask)['counts']) if count else ''
