"""The clip of the demo: a scene of unseen seed in which something is about to happen, and what came of it.

python -m pixelrefer_sim.demo_tabletop --seed 0 --output DIR

A folder holds ``frames/`` up to the instant at which questions are asked, ``future/`` with the 1.5 s or more after
it, ``clip.json`` (see :mod:`.record`), ``objects.json`` and ``mask.png`` (what is pointed at on the first frame).
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np

from pixelrefer_core.clip_objects import OBJECTS_FILE
from pixelrefer_core.errors import InvalidImageError, UnsupportedError
from pixelrefer_core.types import ImageArray, MaskArray
from pixelrefer_train.mask_coding import decode_mask

from .exam import Exam, make_exam
from .opengl import choose_opengl
from .pointing import objects_file
from .record import HEIGHT, WIDTH, ClipRecord, load_record

log = logging.getLogger(__name__)

# What the three objects of an examination are called; their names in the record say nothing either.
OBJECT_IDS = ('obj_1', 'obj_2', 'obj_3')
_MASK_FILE = 'mask.png'
# Seeds that belong to one scene number: about every seventh shows something worth asking about.
_SEEDS_PER_SCENE = 100


def render_scene(number: int, folder: Path) -> Path:
    """Render scene ``number`` into ``folder``, if it is not there, and return the folder.

    Raises :class:`UnsupportedError` without MuJoCo or without OpenGL, saying what to do.
    """
    if (folder / OBJECTS_FILE).exists():
        return folder
    choose_opengl()
    _check_opengl()
    first = _first_seed() + number * _SEEDS_PER_SCENE
    for seed in range(first, first + _SEEDS_PER_SCENE):
        record = _render(seed, folder)
        exam = make_exam(record)
        if exam is not None:
            log.info('scene %d has seed %d', number, seed)
            _present(exam, folder)
            return folder
        shutil.rmtree(folder)
    raise UnsupportedError(
        f'in none of the scenes of number {number} does anything happen: take another number'
    )


def load_exam(folder: Path) -> Exam | None:
    """Return the examination on the clip in ``folder``, None when it is no such clip."""
    return make_exam(load_record(folder)) if (folder / 'clip.json').is_file() else None


def true_mask(record: ClipRecord, name: str, instant: int) -> MaskArray:
    """Return what the camera sees of an object, bool (H, W)."""
    counts = record.masks[instant][record.index(name)]
    if not counts:
        return np.zeros((HEIGHT, WIDTH), np.bool_)
    return decode_mask({'size': [HEIGHT, WIDTH], 'counts': counts}, HEIGHT, WIDTH)


def read_future(folder: Path, instant: int) -> ImageArray:
    """Read the picture of an instant after the questions. Raises :class:`InvalidImageError` when it is missing."""
    file = folder / 'future' / f'{instant:05d}.jpg'
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise InvalidImageError(f'{file} is missing or damaged: render the clip again')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _first_seed() -> int:
    from .generate import FIRST_SEED

    return FIRST_SEED['demo']


def _render(seed: int, folder: Path) -> ClipRecord:
    from .generate import make_clip

    return make_clip(seed, 'demo', folder)


def _check_opengl() -> None:
    # MuJoCo fails in many ways where there is no OpenGL, some of them while it is imported.
    try:
        import mujoco

        mujoco.GLContext(WIDTH, HEIGHT).free()
    except Exception as error:
        raise UnsupportedError(
            f'scenes cannot be rendered here ({error!r}): install MuJoCo and an OpenGL that needs no screen, '
            'see docs/troubleshooting.md, or leave out the seed to play the clip that is shipped'
        ) from error


def _present(exam: Exam, folder: Path) -> None:
    """Part what is shown from what comes after it, and point at the objects."""
    (folder / 'future').mkdir()
    for file in sorted((folder / 'frames').iterdir()):
        if int(file.stem) > exam.end:
            file.rename(folder / 'future' / file.name)
    masks = {
        called: true_mask(exam.view.record, name, 0)
        for called, name in zip(OBJECT_IDS, exam.objects, strict=True)
    }
    cv2.imwrite(str(folder / _MASK_FILE), masks[OBJECT_IDS[-1]].astype(np.uint8) * 255)
    # It comes last, so a folder that has one is complete.
    (folder / OBJECTS_FILE).write_text(objects_file(masks, _MASK_FILE))


def main() -> int:
    """Render a scene into a folder, and print what will be asked about it."""
    parser = argparse.ArgumentParser(prog='python -m pixelrefer_sim.demo_tabletop', description=__doc__)
    parser.add_argument('--seed', type=int, default=0, help='number of the scene')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR')
    options = parser.parse_args()
    try:
        exam = load_exam(render_scene(options.seed, options.output))
    except UnsupportedError as error:
        print(error, file=sys.stderr)
        return 1
    assert exam is not None
    print(
        f'seed {exam.view.record.seed}, shown up to {exam.view.end_s:g} s; asked about {", ".join(exam.objects)}'
    )
    for item in exam.questions:
        print(f'{", ".join(item.question.objects)}: {item.question.text} {item.question.answer}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
