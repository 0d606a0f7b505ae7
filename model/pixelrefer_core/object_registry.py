"""Which objects are tracked, under which ids, and how each of them stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .errors import (
    DuplicateObjectError,
    InvalidPromptError,
    InvalidRequestError,
    PixelReferError,
    TooManyObjectsError,
    UnknownObjectError,
)
from .masks import mask_box
from .prompting import checked_prompt
from .types import Frame, MaskEstimate, Prompt, TrackedObject

OBJECT_ID_CHARS = 64


class ObjectRegistry:
    """Objects in the order in which they were added. Ids that it assigned are never used again."""

    def __init__(self) -> None:
        self._objects: dict[str, TrackedObject] = {}
        self._next_id = 1

    def __len__(self) -> int:
        return len(self._objects)

    def select(self, object_ids: Sequence[str] = ()) -> tuple[TrackedObject, ...]:
        """Return the named objects, each once; all of them when none is named. Raises :class:`UnknownObjectError`."""
        for object_id in object_ids:
            if object_id not in self._objects:
                known = ', '.join(self._objects) or 'none'
                raise UnknownObjectError(f'no object {object_id!r} is tracked; tracked are: {known}')
        chosen = dict.fromkeys(object_ids) or self._objects
        return tuple(self._objects[object_id] for object_id in chosen)

    def admit(
        self, prompts: Sequence[Prompt], frame: Frame, *, replace_existing: bool, max_objects: int
    ) -> list[Prompt]:
        """Check every prompt against its frame and give an id to those without; nothing is registered yet.

        Raises what :func:`~.prompting.checked_prompt` raises, with the index of the prompt,
        :class:`DuplicateObjectError`, :class:`TooManyObjectsError` or :class:`InvalidRequestError`.
        """
        if not prompts:
            raise InvalidRequestError('no prompt was given')
        taken = set() if replace_existing else set(self._objects)
        checked: list[Prompt] = []
        for index, prompt in enumerate(prompts):
            try:
                checked.append(checked_prompt(prompt, height=frame.height, width=frame.width))
                _check_object_id(prompt.object_id, taken)
            except PixelReferError as error:
                raise type(error)(f'prompt {index}: {error}') from error
            taken |= {prompt.object_id} - {''}
        total = len({*self._objects, *(item.object_id for item in checked)} - {''})
        total += sum(not item.object_id for item in checked)
        if total > max_objects:
            raise TooManyObjectsError(
                f'{total} objects would be tracked; tracker.max_objects is {max_objects}'
            )
        taken |= set(self._objects)
        return [item if item.object_id else replace(item, object_id=self._new_id(taken)) for item in checked]

    def start(self, prompt: Prompt, estimate: MaskEstimate, frame: Frame) -> None:
        """Register an object that the tracker has taken on, or begin a new generation of a known one."""
        known = self._objects.get(prompt.object_id)
        started = TrackedObject(
            object_id=prompt.object_id,
            label=prompt.label,
            state=estimate.state,
            score=estimate.score,
            mask=estimate.mask,
            box_xyxy=None,
            mask_area=0,
            first_seen_ns=0,
            last_seen_ns=0,
            generation=known.generation + 1 if known else 1,
        )
        self._objects[prompt.object_id] = _seen(started, estimate, frame)

    def update(self, object_id: str, estimate: MaskEstimate, frame: Frame) -> None:
        """Take over what the tracker believes of an object on a new frame."""
        self._objects[object_id] = _seen(self._objects[object_id], estimate, frame)

    def relabel(self, object_id: str, label: str) -> None:
        """Change the word that people see."""
        self._objects[object_id] = replace(self._objects[object_id], label=label)

    def set_window_frames(self, object_id: str, count: int) -> None:
        """Note how many frames a question about this object would rest on."""
        self._objects[object_id] = replace(self._objects[object_id], window_frames=count)

    def remove(self, object_id: str) -> None:
        """Drop one object."""
        del self._objects[object_id]

    def clear(self) -> None:
        """Drop all objects; assigned ids stay used."""
        self._objects.clear()

    def _new_id(self, taken: set[str]) -> str:
        while True:
            object_id = f'obj_{self._next_id}'
            self._next_id += 1
            if object_id not in taken:
                return object_id


def _check_object_id(object_id: str, taken: set[str]) -> None:
    if len(object_id) > OBJECT_ID_CHARS or not object_id.isprintable() or '<' in object_id:
        raise InvalidPromptError(
            f'object_id must be printable, without "<", and of at most {OBJECT_ID_CHARS} characters'
        )
    if object_id in taken:
        raise DuplicateObjectError(f'object {object_id!r} exists: set replace_existing, or choose another id')


def _seen(item: TrackedObject, estimate: MaskEstimate, frame: Frame) -> TrackedObject:
    box = mask_box(estimate.mask)
    return replace(
        item,
        state=estimate.state,
        score=estimate.score,
        mask=estimate.mask,
        box_xyxy=box,
        mask_area=int(estimate.mask.sum()),
        first_seen_ns=item.first_seen_ns or (frame.stamp_ns if box else 0),
        last_seen_ns=frame.stamp_ns if box else item.last_seen_ns,
    )
