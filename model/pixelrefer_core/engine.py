"""The whole of perception behind four calls: step, add_objects, remove_objects, answer. One thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from .errors import InvalidImageError, InvalidRequestError, StaleImageError
from .object_memory import ObjectMemory
from .object_registry import ObjectRegistry
from .prompting import checked_prompt
from .questions import compose, plain_text, question_of
from .recent_frames import RecentFrames
from .settings import Settings
from .tracker.base import Tracker
from .types import (
    NANOSECONDS,
    Answer,
    FinishReason,
    Frame,
    Generation,
    GenerationOptions,
    ModelInfo,
    ObjectTokens,
    ObjectView,
    Prompt,
    Query,
    Timing,
    TrackedObject,
    TrackUpdate,
)

log = logging.getLogger(__name__)

# A frame this much older than the newest means that the clock was set back (a bag that loops); less, that frames
# overtook each other on the way.
CLOCK_JUMP_NS = NANOSECONDS
TEMPERATURE_MAX = 2.0
STOP_STRINGS, STOP_CHARS = 8, 64

OnText = Callable[[str], None]
ShouldStop = Callable[[], FinishReason | None]


class Referrer(Protocol):
    """The model, as the engine sees it."""

    @property
    def info(self) -> ModelInfo:
        """What is loaded, and where it runs."""
        ...

    def encode_objects(self, views: Sequence[ObjectView]) -> list[ObjectTokens]:
        """Make the object tokens of each view, in one batch."""
        ...

    def generate(
        self,
        instruction: str,
        objects: Sequence[Sequence[ObjectTokens]],
        *,
        options: GenerationOptions,
        on_text: OnText | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Generation:
        """Answer ``instruction``, whose n-th ``<region>`` stands for the n-th object."""
        ...


class Engine:
    """Tracks objects, keeps their tokens, answers questions about them."""

    def __init__(self, settings: Settings, *, tracker: Tracker, model: Referrer) -> None:
        self.settings = settings
        self.tracker = tracker
        self.model = model
        self._memory = ObjectMemory(settings.window, model.encode_objects)
        self._objects = ObjectRegistry()
        self._recent = RecentFrames()
        self._frame_index = -1

    @property
    def newest(self) -> Frame:
        """The newest frame. Raises :class:`NoImageError` before the first."""
        return self._recent.newest

    def select_objects(self, object_ids: Sequence[str] = ()) -> tuple[TrackedObject, ...]:
        """Return the named objects, all of them when none is named. Raises :class:`UnknownObjectError`."""
        return self._objects.select(object_ids)

    def apply(self, settings: Settings) -> None:
        """Take over changed settings from the next frame or question on."""
        self.settings = settings
        self._memory.settings = settings.window

    def step(self, frame: Frame) -> TrackUpdate:
        """Track every object onto a frame and remember what it shows of them.

        A frame of another size, or one more than a second older than the newest, starts a new stream: all
        objects are dropped and the reason is logged. Raises :class:`InvalidImageError` for an image that is
        too large and :class:`StaleImageError` for a frame that others overtook.
        """
        self._check(frame)
        start = time.perf_counter()
        estimates = self.tracker.step(frame) if len(self._objects) else {}
        self._recent.append(frame, self.settings.window)
        for object_id, estimate in estimates.items():
            self._objects.update(object_id, estimate, frame)
        tracked = time.perf_counter()
        self._observe(frame, self._objects.select())
        self._frame_index += 1
        encode_s = time.perf_counter() - tracked
        return TrackUpdate(frame, self._frame_index, self._objects.select(), tracked - start, encode_s)

    def add_objects(
        self, prompts: Sequence[Prompt], *, stamp_ns: int = 0, replace_existing: bool = False
    ) -> tuple[str, ...]:
        """Start tracking; all prompts or none. Returns the object ids in the order of the prompts.

        ``stamp_ns``: the frame that the prompts were made on; 0 = the newest. An object prompted anew forgets
        what was seen of it before. Raises what :meth:`ObjectRegistry.admit` and :meth:`RecentFrames.since` raise.
        """
        frames = self._recent.since(stamp_ns)
        prompts = self._objects.admit(
            prompts,
            frames[0],
            replace_existing=replace_existing,
            max_objects=self.settings.tracker.max_objects,
        )
        estimates = self.tracker.add(prompts, frames)
        for prompt in prompts:
            self._memory.forget(prompt.object_id)
            self._objects.start(prompt, estimates[prompt.object_id], frames[-1])
        added = tuple(prompt.object_id for prompt in prompts)
        # Tokens at once, so that a new object can be asked about before the next frame.
        self._observe(frames[-1], self._objects.select(added))
        return added

    def remove_objects(self, object_ids: Sequence[str] = ()) -> tuple[str, ...]:
        """Forget objects, all of them when none is named. Raises :class:`UnknownObjectError` and removes none."""
        chosen = tuple(item.object_id for item in self._objects.select(object_ids))
        self.tracker.remove(chosen)
        for object_id in chosen:
            self._objects.remove(object_id)
            self._memory.forget(object_id)
        return chosen

    def reset(self) -> None:
        """Forget all objects and frames."""
        self.tracker.reset()
        self._memory.clear()
        self._objects.clear()
        self._recent.clear()

    def answer(
        self, query: Query, *, on_text: OnText | None = None, should_stop: ShouldStop | None = None
    ) -> Answer:
        """Answer a question from the tokens in memory; only a ``visual_prompt`` is encoded now.

        ``on_text``: gets the text piece by piece. ``should_stop``: asked between tokens; other calls of this
        engine may run inside it. Raises the :class:`PixelReferError` of whatever is wrong with the question.
        """
        start = time.perf_counter()
        limits = self.settings.limits
        question = question_of(query, max_chars=limits.question_chars, max_objects=limits.question_objects)
        options = self._checked_options(query)
        frame_id = self.newest.frame_id
        objects = self._object_frames(query)
        stamps_ns = tuple(sorted({tokens.stamp_ns for item in objects for tokens in item}))
        question, instruction = compose(query, question, count=len(objects), is_video=len(stamps_ns) > 1)
        vision_s = time.perf_counter() - start if query.visual_prompt is not None else 0.0
        before_s = time.perf_counter() - start
        deliver = None if on_text is None else lambda text: on_text(plain_text(text))
        result = self.model.generate(
            instruction, objects, options=options, on_text=deliver, should_stop=should_stop
        )
        return Answer(
            query=query,
            question=question,
            text=plain_text(result.text).strip(),
            object_ids=query.object_ids,
            frame_stamps_ns=stamps_ns,
            frame_id=frame_id,
            finish_reason=result.finish_reason,
            timing=Timing(
                vision_s=vision_s,
                prefill_s=result.prefill_s,
                first_token_s=before_s + result.first_token_s,
                total_s=time.perf_counter() - start,
            ),
            prompt_tokens=result.prompt_tokens,
            completion_tokens=result.completion_tokens,
            mean_logprob=result.mean_logprob,
        )

    def _check(self, frame: Frame) -> None:
        limit = self.settings.limits.image_pixels
        if frame.height * frame.width > limit:
            raise InvalidImageError(
                f'an image of {frame.width} x {frame.height} pixels; limits.image_pixels is {limit}'
            )
        if not len(self._recent):
            return
        newest, behind_ns = self.newest, self.newest.stamp_ns - frame.stamp_ns
        if frame.image.shape != newest.image.shape:
            log.warning(
                'image size changed from %d x %d to %d x %d: all objects are dropped',
                newest.width, newest.height, frame.width, frame.height,
            )  # fmt: skip
            self.reset()
        elif behind_ns > CLOCK_JUMP_NS:
            log.warning('image stamps went back by %.3f s: all objects are dropped', behind_ns / NANOSECONDS)
            self.reset()
        elif behind_ns > 0:
            raise StaleImageError(
                f'a frame came {behind_ns / NANOSECONDS:.3f} s behind a newer one and is skipped'
            )

    def _observe(self, frame: Frame, objects: Sequence[TrackedObject]) -> None:
        self._memory.observe(frame, objects)
        for item in objects:
            self._objects.set_window_frames(item.object_id, self._memory.count(item.object_id))

    def _object_frames(self, query: Query) -> list[Sequence[ObjectTokens]]:
        if query.visual_prompt is None:
            chosen = self._objects.select(query.object_ids)
            return [self._memory.select(item.object_id, query.window) for item in chosen]
        frame = self.newest
        prompt = checked_prompt(query.visual_prompt, height=frame.height, width=frame.width)
        return [self.model.encode_objects([ObjectView(frame, self.tracker.segment(prompt, frame))])]

    def _checked_options(self, query: Query) -> GenerationOptions:
        options, limit = query.options, self.settings.limits.new_tokens
        start, end = query.window.start_ns, query.window.end_ns
        if start is not None and end is not None and start > end:
            raise InvalidRequestError('the window ends before it starts')
        if not 0 <= options.temperature <= TEMPERATURE_MAX:
            raise InvalidRequestError(
                f'temperature must lie in [0, {TEMPERATURE_MAX:g}], got {options.temperature}'
            )
        if not 0 < options.top_p <= 1:
            raise InvalidRequestError(f'top_p must lie in (0, 1], got {options.top_p}')
        if len(options.stop) > STOP_STRINGS or any(len(text) > STOP_CHARS for text in options.stop):
            raise InvalidRequestError(
                f'at most {STOP_STRINGS} stop strings of {STOP_CHARS} characters are taken'
            )
        if options.max_new_tokens > limit:
            raise InvalidRequestError(
                f'max_new_tokens is {options.max_new_tokens}; limits.new_tokens is {limit}'
            )
        return replace(
            options, max_new_tokens=options.max_new_tokens or self.settings.generation.max_new_tokens
        )


def build_engine(settings: Settings) -> Engine:
    """Load the model and make the tracker that the settings name; the slow part of starting up.

    Raises :class:`ModelError` when the weights cannot be loaded.
    """
    # Imported here: they bring torch.
    from .checkpoint import load_model
    from .tracker import create_tracker

    model = settings.model
    return Engine(
        settings,
        tracker=create_tracker(settings.tracker),
        model=load_model(
            model.path, device=model.device, dtype=model.dtype, compat=model.compat, threads=model.threads
        ),
    )
