"""The whole of perception behind four calls: step, add_objects, remove_objects, answer. One thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from .association import Region, overlap
from .detections import Detections
from .detector import Detector, create_detector
from .errors import InvalidImageError, PixelReferError, StaleImageError, UnsupportedError
from .object_memory import ObjectMemory
from .object_registry import ObjectRegistry
from .past_regions import PastRegions
from .prompting import checked_detection, checked_prompt
from .questions import checked_options, compose, plain_text, question_of
from .recent_frames import RecentFrames
from .settings import DetectorSettings, Settings
from .steps import ShouldStop, Steps, run_steps
from .text_prompts import located
from .tracker.base import Tracker
from .types import (
    NANOSECONDS,
    Answer,
    Detection,
    DetectionReport,
    Frame,
    Generation,
    GenerationOptions,
    ModelInfo,
    ObjectState,
    ObjectTokens,
    ObjectView,
    Prompt,
    Query,
    Timing,
    TrackedObject,
    TrackUpdate,
)
from .watch import WatchCheck, WatchRequest
from .watching import Watch, Watching

log = logging.getLogger(__name__)

# A frame this much older than the newest means that the clock was set back (a bag that loops); less, that frames
# overtook each other on the way.
CLOCK_JUMP_NS = NANOSECONDS
# A mask that overlaps another object's by more than this is that object.
TWIN_OVERLAP = 0.7

OnText = Callable[[str], None]


class Referrer(Protocol):
    """The model, as the engine sees it."""

    @property
    def info(self) -> ModelInfo:
        """What is loaded, and where it runs."""
        ...

    def encode_objects(self, views: Sequence[ObjectView]) -> list[ObjectTokens]:
        """Make the object tokens of each view, in one batch."""
        ...

    def generate_in_steps(
        self,
        instruction: str,
        objects: Sequence[Sequence[ObjectTokens]],
        *,
        options: GenerationOptions,
        on_text: OnText | None = None,
    ) -> Steps[Generation]:
        """Answer ``instruction``, whose n-th ``<region>`` stands for the n-th object, token by token."""
        ...

    @property
    def answers_yes_no(self) -> bool:
        """Whether :meth:`yes_probabilities` can tell yes from no."""
        ...

    def yes_probabilities(
        self, questions: Sequence[tuple[str, Sequence[Sequence[ObjectTokens]]]]
    ) -> list[float]:
        """Return how probable yes is against no for each ``(instruction, objects)``, in one batch."""
        ...


class Engine:
    """Tracks objects, keeps their tokens, answers questions about them."""

    def __init__(
        self, settings: Settings, *, tracker: Tracker, model: Referrer, detector: Detector | None = None
    ) -> None:
        self.settings = settings
        self.tracker = tracker
        self.model = model
        self.detector = detector
        self._memory = ObjectMemory(settings.window, model.encode_objects)
        self._objects = ObjectRegistry()
        self._recent = RecentFrames()
        self._past = PastRegions()
        self._detections = Detections()
        self.watching = Watching(
            settings.watches, self._memory, lambda questions: self.model.yes_probabilities(questions)
        )
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
        self.watching.settings = settings.watches
        self.tracker.settings = settings.tracker

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
        self._bury(frame)
        self._note(frame)
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
        what was seen of it before. Words are looked for by the detector on that frame. Raises what
        :func:`located`, :meth:`ObjectRegistry.admit` and :meth:`RecentFrames.since` raise.
        """
        frames = self._recent.since(stamp_ns)
        prompts = self._objects.admit(
            self._located(prompts, frames[0]),
            frames[0],
            replace_existing=replace_existing,
            max_objects=self.settings.tracker.max_objects,
        )
        for prompt in prompts:
            self._detections.disown(prompt.object_id)
        return self._start(prompts, frames)

    def detect(self, detections: Sequence[Detection], *, stamp_ns: int = 0) -> DetectionReport:
        """Take what a detector saw on the frame of ``stamp_ns`` (0 = the newest): :class:`Detections` decides.

        Objects that are tracked well are left alone, weak ones are prompted anew and keep their ids and their history,
        what keeps coming becomes an object. A detection that is malformed is skipped, and so are those for which there
        is no room: a detector goes on whatever it has sent. Raises what :meth:`RecentFrames.since` raises.
        """
        frames = self._recent.since(stamp_ns)
        seen, refused = _checked(detections, frames[0])
        most = self.settings.tracker.max_objects
        decision = self._detections.decide(
            seen,
            self._past.known(self._objects.select(), frames[0].stamp_ns),
            frames[0].stamp_ns,
            self.settings.detections,
            room=max(0, most - len(self._objects)),
        )
        for object_id, label in decision.relabelled:
            self._objects.relabel(object_id, label)
        if decision.removed:
            self.remove_objects(decision.removed)
        refreshed = self._refresh(decision.refreshed, frames)
        started: tuple[str, ...] = ()
        if decision.started:
            admitted = self._objects.admit(
                decision.started, frames[0], replace_existing=False, max_objects=most
            )
            started = self._without_twins(self._start(admitted, frames))
            self._detections.own([(item.object_id, item.label) for item in self._objects.select(started)])
        return DetectionReport(started, refreshed, decision.removed, decision.waiting, refused)

    def remove_objects(self, object_ids: Sequence[str] = ()) -> tuple[str, ...]:
        """Forget objects, all of them when none is named. Raises :class:`UnknownObjectError` and removes none."""
        chosen = tuple(item.object_id for item in self._objects.select(object_ids))
        self.tracker.remove(chosen)
        for object_id in chosen:
            self._objects.remove(object_id)
            self._memory.forget(object_id)
            self._detections.disown(object_id)
        self.watching.forget(chosen)
        return chosen

    def reset(self) -> None:
        """Forget all objects and frames."""
        self.watching.forget([item.object_id for item in self._objects.select()])
        self.tracker.reset()
        self._memory.clear()
        self._objects.clear()
        self._recent.clear()
        self._past.clear()
        self._detections.clear()

    def answer(
        self, query: Query, *, on_text: OnText | None = None, should_stop: ShouldStop | None = None
    ) -> Answer:
        """Answer a question from the tokens in memory; only a ``visual_prompt`` is encoded now.

        ``on_text``: gets the text piece by piece. ``should_stop``: asked between tokens; other calls of this
        engine may run inside it. Raises the :class:`PixelReferError` of whatever is wrong with the question.
        """
        return run_steps(self.answer_in_steps(query, on_text=on_text), should_stop or _never)

    def answer_in_steps(self, query: Query, *, on_text: OnText | None = None) -> Steps[Answer]:
        """Like :meth:`answer`, token by token; between two steps this engine may do anything else.

        The first step chooses the frames that the answer rests on; what is tracked or forgotten later changes nothing.
        """
        start = time.perf_counter()
        limits = self.settings.limits
        question = question_of(query, max_chars=limits.question_chars, max_objects=limits.question_objects)
        options = checked_options(query, self.settings)
        frame_id = self.newest.frame_id
        objects = self._object_frames(query)
        stamps_ns = tuple(sorted({tokens.stamp_ns for item in objects for tokens in item}))
        question, instruction = compose(query, question, count=len(objects), is_video=len(stamps_ns) > 1)
        vision_s = time.perf_counter() - start if query.visual_prompt is not None else 0.0
        before_s = time.perf_counter() - start
        deliver = None if on_text is None else lambda text: on_text(plain_text(text))
        result = yield from self.model.generate_in_steps(
            instruction, objects, options=options, on_text=deliver
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

    def watch(
        self, request: WatchRequest, *, on_check: Callable[[WatchCheck], None] = lambda check: None
    ) -> Watch:
        """Watch for a condition from now on, until it has triggered, its objects are gone, or it is ended.

        ``on_check`` hears every check. Raises what :func:`question_of` and :meth:`WatchRequest.check` raise,
        :class:`UnknownObjectError`, :class:`UnsupportedError` when the model cannot say yes or no, and
        :class:`BusyError` when there are too many.
        """
        limits = self.settings.limits
        request.check()
        question = question_of(
            request.query, max_chars=limits.question_chars, max_objects=limits.question_objects
        )
        self._objects.select(request.object_ids)
        if not self.model.answers_yes_no:
            raise UnsupportedError(
                f'{self.model.info.name} cannot tell yes from no by one token: watch with another'
            )
        return self.watching.add(request, question, on_check)

    def check_watches(self) -> int:
        """Make the next batch of checks, when some are due and it is time for them; return their number."""
        return self.watching.check(self.newest) if len(self._recent) else 0

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

    def _start(self, prompts: Sequence[Prompt], frames: Sequence[Frame]) -> tuple[str, ...]:
        """Start objects, or prompt them anew as others: what was seen of them is forgotten."""
        estimates = self.tracker.add(prompts, frames)
        for prompt in prompts:
            self._memory.forget(prompt.object_id)
            self._objects.start(prompt, estimates[prompt.object_id], frames[-1])
        added = tuple(prompt.object_id for prompt in prompts)
        self._past.renew(added, frames[-1].stamp_ns)
        self._note(frames[-1])
        # Tokens at once, so that a new object can be asked about before the next frame.
        self._observe(frames[-1], self._objects.select(added))
        return added

    def _refresh(self, prompts: Sequence[Prompt], frames: Sequence[Frame]) -> tuple[str, ...]:
        """Prompt objects anew as the same: what was seen of them stays."""
        if not prompts:
            return ()
        estimates = self.tracker.add(prompts, frames)
        for prompt in prompts:
            self._objects.update(prompt.object_id, estimates[prompt.object_id], frames[-1])
        refreshed = tuple(prompt.object_id for prompt in prompts)
        self._past.renew(refreshed, frames[-1].stamp_ns)
        self._note(frames[-1])
        return refreshed

    def _without_twins(self, started: Sequence[str]) -> tuple[str, ...]:
        """Remove what turned out, once brought up to the newest frame, to be an object that was there before."""
        regions = {item.object_id: Region.of(item.mask) for item in self._objects.select()}
        others = [region for key, region in regions.items() if region and key not in started]
        twins = {
            key
            for key in started
            for region in others
            if (own := regions[key]) and overlap(own, region) > TWIN_OVERLAP
        }
        if twins:
            self.remove_objects(tuple(twins))
        return tuple(key for key in started if key not in twins)

    def _located(self, prompts: Sequence[Prompt], frame: Frame) -> list[Prompt]:
        return located(prompts, frame, self.detector, threshold=self.settings.detector.threshold)

    def _bury(self, frame: Frame) -> None:
        """Remove the objects of a detector that have been gone for long."""
        keep_ns = self.settings.detections.keep_lost_s * NANOSECONDS
        gone = tuple(
            item.object_id
            for item in self._objects.select()
            if item.state is ObjectState.LOST
            and frame.stamp_ns - item.last_seen_ns > keep_ns
            and self._detections.owns(item.object_id)
        )
        if gone:
            self.remove_objects(gone)

    def _note(self, frame: Frame) -> None:
        self._past.append(frame.stamp_ns, self._objects.select(), frames=len(self._recent))

    def _observe(self, frame: Frame, objects: Sequence[TrackedObject]) -> None:
        self._memory.observe(frame, objects)
        for item in objects:
            self._objects.set_window_frames(item.object_id, self._memory.count(item.object_id))
        self.watching.look(time.monotonic())

    def _object_frames(self, query: Query) -> list[Sequence[ObjectTokens]]:
        if query.visual_prompt is None:
            chosen = self._objects.select(query.object_ids)
            return [self._memory.select(item.object_id, query.window) for item in chosen]
        frame = self.newest
        (prompt,) = self._located([query.visual_prompt], frame)
        prompt = checked_prompt(prompt, height=frame.height, width=frame.width)
        return [self.model.encode_objects([ObjectView(frame, self.tracker.segment(prompt, frame))])]


def _never() -> None:
    """Never stop."""


def _checked(detections: Sequence[Detection], frame: Frame) -> tuple[list[Detection], tuple[str, ...]]:
    """Return the detections that are well formed, and what is wrong with the others."""
    checked, refused = [], []
    for index, detection in enumerate(detections):
        try:
            checked.append(checked_detection(detection, height=frame.height, width=frame.width))
        except PixelReferError as error:
            refused.append(f'detection {index}: {error}')
    return checked, tuple(refused)


def build_engine(
    settings: Settings,
    *,
    make_detector: Callable[[DetectorSettings], Detector | None] = create_detector,
) -> Engine:
    """Load the model, the tracker and the detector that the settings name; the slow part of starting up.

    Raises :class:`ModelError` when weights cannot be loaded.
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
        detector=make_detector(settings.detector),
    )
