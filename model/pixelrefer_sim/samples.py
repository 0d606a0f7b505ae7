"""Simulated clips as a source of training samples: true questions about marked objects, masks a little off.

A recipe names it ``simulated``; its options are the parameters of :func:`open_source`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from pixelrefer_core.errors import InvalidImageError, InvalidRequestError
from pixelrefer_core.questions import compose
from pixelrefer_core.types import NANOSECONDS, Frame, MaskArray, Query, QueryKind
from pixelrefer_train.mask_coding import decode_mask
from pixelrefer_train.samples import Sample, Turn

from .disturb import Look, Rng, disturb_mask
from .questions.balance import Chooser
from .questions.make import MOST_OBJECTS, facts_about, question_about
from .questions.question import Fact, Form, Kind, Manner, SimQuestion
from .questions.view import View, still, windows
from .record import HEIGHT, RATE_HZ, WIDTH, WINDOW_STRIDE, ClipRecord, load_record

# The paper's first stage: what is there, before anything about it.
FOUNDATIONAL: tuple[Kind, ...] = ('category', 'colour', 'size', 'position', 'phrase')
_FORM_SHARES: dict[Form, float] = {'open': 0.45, 'yes_no': 0.3, 'choice': 0.25}
# An object is marked in a window when it is seen on so many frames.
MINIMUM_FRAMES = 3
_LIVELY_WEIGHT = 20.0
_SURVEYED_CLIPS = 600
# Reading a record costs as much as half of a sample's questions; a thousand of them take 0.2 GB.
_RECORDS_KEPT = 2048


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn from clips.

    ``kinds``: what is asked, empty = everything; ``forms``: how, empty = in all forms. ``questions``: at most so
    many a sample, about ``most_objects`` objects at most. ``stills``: share of samples that show one frame of a
    clip instead of a window. ``exact_masks``: share of objects whose masks are left as they are.
    ``plain_pictures``: share of samples whose pictures are. ``looks``: so many different looks, and faults of
    masks, has each clip, 0 = always new ones; features of pictures that come again can be kept. ``repeats``: how
    often each fact is asked for, in other forms and words. ``varied``: share of questions in words that are on no
    list.
    """

    kinds: tuple[Kind, ...] = ()
    forms: tuple[Form, ...] = ()
    questions: int = 16
    stills: float = 0.2
    exact_masks: float = 0.4
    plain_pictures: float = 0.3
    looks: int = 0
    most_objects: int = MOST_OBJECTS
    repeats: int = 1
    varied: float = 0.0


_record = lru_cache(_RECORDS_KEPT)(load_record)


def open_source(
    clips: str | Sequence[str],
    *,
    stage: int = 2,
    questions: int = 16,
    exact_masks: float = 0.4,
    plain_pictures: float = 0.3,
    stills: float = 0.2,
    looks: int = 0,
    kinds: Sequence[Kind] = (),
    forms: Sequence[Form] = (),
    most_objects: int = MOST_OBJECTS,
    repeats: int = 1,
    varied: float = 0.0,
    limit: int = 0,
    seed: int = 0,
) -> ClipSource:
    """Open folders of rendered clips; ``limit``: only the first so many of each.

    ``stage`` 1 asks openly for category, colour, size, place and a short phrase on single frames, 2 for everything.
    Further options as in :class:`Drawing`. Raises :class:`InvalidRequestError` when there are no clips.
    """
    folders = [Path(folder) for folder in ([clips] if isinstance(clips, str) else clips)]
    found = [clip for folder in folders for clip in find_clips(folder)[: limit or None]]
    is_first = stage == 1
    drawing = Drawing(
        kinds=FOUNDATIONAL if is_first else tuple(kinds),
        forms=('open',) if is_first else tuple(forms),
        questions=questions,
        stills=1.0 if is_first else stills,
        exact_masks=exact_masks,
        plain_pictures=plain_pictures,
        looks=looks,
        most_objects=most_objects,
        repeats=repeats,
        varied=varied,
    )
    return ClipSource(found, drawing, seed)


def find_clips(folder: Path) -> list[Path]:
    """Return the complete clips in a folder, by seed. Raises :class:`InvalidRequestError` when it has none."""
    found = [file.parent for file in folder.glob('*/clip.json')]
    if not found:
        raise InvalidRequestError(
            f'there are no clips in {folder}: render some with python -m pixelrefer_sim.generate'
        )
    return sorted(found, key=lambda clip: (len(clip.name), clip.name))


class ClipSource:
    """Samples of clips, one of each clip an epoch; a :class:`pixelrefer_train.samples.SampleSource`."""

    def __init__(self, clips: Sequence[Path], drawing: Drawing, seed: int = 0) -> None:
        self._clips, self._drawing, self._seed = list(clips), drawing, seed
        self._chooser = Chooser(drawing.questions)
        self._chooser.fit(list(self._survey()), np.random.default_rng(seed))

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._clips)

    def sample(self, index: int, epoch: int) -> Sample:
        """Return a sample of clip ``index``; ``epoch`` decides about frames, objects, questions and faults."""
        rng = np.random.default_rng([self._seed, index, epoch])
        folder = self._clips[index]
        view, marked, questions = self._draw(_record(folder), rng)
        looks = self._drawing.looks
        # Drawn last, from numbers of their own: what is seen is then the same whatever is asked.
        fault = [self._seed, index, int(rng.integers(looks)) if looks else epoch]
        first = np.random.default_rng(fault)
        look = None if first.random() < self._drawing.plain_pictures else Look(first)
        frames = read_frames(view, folder, look)
        objects = tuple(self._masks(view, name, fault) for name in marked)
        return Sample(frames, objects, tuple(turn_of(view, question) for question in questions))

    def questions(self, index: int, epoch: int) -> tuple[View, tuple[SimQuestion, ...]]:
        """Return what :meth:`sample` of the same numbers asks, without its pictures."""
        rng = np.random.default_rng([self._seed, index, epoch])
        view, _, questions = self._draw(_record(self._clips[index]), rng)
        return view, tuple(questions)

    def _draw(self, record: ClipRecord, rng: Rng) -> tuple[View, tuple[str, ...], list[SimQuestion]]:
        # Most views allow many questions; in the rare one that allows none, another is drawn.
        while True:
            view, marked = self._view(record, rng)
            chosen = self._chooser.choose(list(self._facts(view, marked)), rng)
            if chosen:
                break
        chosen = chosen * self._drawing.repeats
        manners = [self._manner(fact, rng) for fact in chosen]
        questions = [
            question_about(view, fact, marked, manner, rng)
            for fact, manner in zip(chosen, manners, strict=True)
        ]
        return view, marked, questions

    def _manner(self, fact: Fact, rng: Rng) -> Manner:
        form = _draw_form(fact, self._drawing.forms, rng)
        return Manner(form, varied=bool(rng.random() < self._drawing.varied))

    def _facts(self, view: View, marked: tuple[str, ...]) -> Iterator[Fact]:
        kinds, forms = self._drawing.kinds, self._drawing.forms
        return (
            fact
            for fact in facts_about(view, marked)
            if (not kinds or fact.topic.kind in kinds) and (not forms or set(forms) & set(fact.topic.forms))
        )

    def _survey(self) -> Iterator[list[Fact]]:
        rng = np.random.default_rng(self._seed)
        step = max(len(self._clips) // _SURVEYED_CLIPS, 1)
        for folder in self._clips[::step]:
            record = _record(folder)
            for _ in range(2):
                yield list(self._facts(*self._view(record, rng)))

    def _view(self, record: ClipRecord, rng: Rng) -> tuple[View, tuple[str, ...]]:
        drawing = self._drawing
        return draw_view(record, rng, stills=drawing.stills, most_objects=drawing.most_objects)

    def _masks(self, view: View, name: str, fault: Sequence[int]) -> tuple[tuple[int, MaskArray], ...]:
        place = view.record.index(name)
        exact = np.random.default_rng([*fault, place]).random() < self._drawing.exact_masks
        masks = []
        for frame in view.seen_frames(name):
            mask = mask_of(view.record, name, frame)
            if not exact:
                mask = disturb_mask(mask, np.random.default_rng([*fault, place, frame]))
            masks.append((view.frames.index(frame), mask))
        return tuple(masks)


def draw_view(
    record: ClipRecord, rng: Rng, *, stills: float, most_objects: int = MOST_OBJECTS
) -> tuple[View, tuple[str, ...]]:
    """Draw frames of a clip and some objects on them, rather such that something happens to them."""
    views = windows(record)
    if not views or rng.random() < stills:
        view = still(record, WINDOW_STRIDE * int(rng.integers((len(record.masks) + 1) // WINDOW_STRIDE)))
        if not view.askable:  # all of it fell down or was covered
            view = still(record)
    else:
        chances = np.array([_LIVELY_WEIGHT if any(map(v.is_lively, v.askable)) else 1.0 for v in views])
        view = views[rng.choice(len(views), p=chances / chances.sum())]
    return view, draw_marked(view, rng, most_objects)


def draw_marked(view: View, rng: Rng, most_objects: int = MOST_OBJECTS) -> tuple[str, ...]:
    """Draw one to ``most_objects`` objects that are seen well enough, none where there are none."""
    enough = min(MINIMUM_FRAMES, len(view.frames))
    names = [name for name in view.askable if len(view.seen_frames(name)) >= enough]
    chances = np.array([_LIVELY_WEIGHT if view.is_lively(name) else 1.0 for name in names])
    count = min(int(rng.integers(1, most_objects + 1)), len(names))
    if not count:
        return ()
    return tuple(str(name) for name in rng.choice(names, count, replace=False, p=chances / chances.sum()))


def read_frames(view: View, folder: Path, look: Look | None = None) -> tuple[Frame, ...]:
    """Read the frames of a view. Raises :class:`InvalidImageError` when one is missing or damaged."""
    frames = []
    for number in view.frames:
        file = folder / 'frames' / f'{number:05d}.jpg'
        read = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if read is None:
            raise InvalidImageError(f'{file} is missing or damaged: render the clip again')
        image = np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)
        stamp = round((number - view.frames[0]) * NANOSECONDS / RATE_HZ)
        frames.append(Frame(look.apply(image) if look else image, stamp))
    return tuple(frames)


def mask_of(record: ClipRecord, name: str, frame: int) -> MaskArray:
    """Return the mask of an object on a frame, bool (HEIGHT, WIDTH)."""
    counts = record.masks[frame][record.index(name)]
    if not counts:
        return np.zeros((HEIGHT, WIDTH), np.bool_)
    return decode_mask({'size': [HEIGHT, WIDTH], 'counts': counts}, HEIGHT, WIDTH)


def turn_of(view: View, question: SimQuestion) -> Turn:
    """Return a question as the model reads it."""
    query = Query(QueryKind.ANSWER, question.objects, question.text)
    _, instruction = compose(query, question.text, count=len(question.objects), is_video=len(view.frames) > 1)
    return Turn(instruction, question.answer, question.kind, question.meaning)


def _draw_form(fact: Fact, wanted: tuple[Form, ...], rng: Rng) -> Form:
    forms = [form for form in fact.topic.forms if not wanted or form in wanted]
    shares = np.array([_FORM_SHARES[form] for form in forms])
    return forms[rng.choice(len(forms), p=shares / shares.sum())]
