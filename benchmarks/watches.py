"""Does a watch notice what happens, how late, and how often does it cry wolf?

Simulated clips, whose records say what happens when; render held-out ones before:
``python -m pixelrefer_sim.generate --split heldout --count 150 --output DIR``, and name ``DIR/heldout``. Every object
of a clip is watched for every condition, through the engine; the conditions are asked in the words of the training
questions. The probabilities of one run are judged by several rules, beside two that need no model: always yes, never.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.engine import Engine
from pixelrefer_core.measuring import append_result, circumstances, load_average
from pixelrefer_core.setting import with_values
from pixelrefer_core.settings import Settings
from pixelrefer_core.settings_text import add_options, from_options
from pixelrefer_core.tracker import Tracker, create_tracker
from pixelrefer_core.types import NANOSECONDS, Frame, MaskArray, MaskEstimate, ObjectState, Prompt
from pixelrefer_core.watch import Hysteresis, WatchCheck, WatchRequest, WatchRule
from pixelrefer_sim.questions.future import WILL_FALL
from pixelrefer_sim.questions.motion import FELL, HID, MOVED, MOVING
from pixelrefer_sim.questions.question import Topic
from pixelrefer_sim.questions.view import View
from pixelrefer_sim.record import FUTURE_S, MINIMUM_VISIBLE_PX, RATE_HZ, ClipRecord, load_record
from pixelrefer_sim.samples import find_clips, mask_of, read_frames

RESULTS = Path(__file__).parent / 'results'
# As in training: six frames of the last second.
SAMPLE_RATE_HZ, WINDOW_S = 5.0, 1.0
# An event that is told of so much too early or too late is told of: two checks.
SLACK_S = 0.4
# Covered by less than this nobody calls it hidden, and by more it is: what lies between is unclear to training, too.
COVERED_SHARE = 0.2

Span = tuple[float, float]


@dataclass(frozen=True)
class Condition:
    """``spans``: when it is true of an object of a clip, seconds of the clip."""

    topic: Topic
    spans: Callable[[View, str], list[Span]]

    @property
    def text(self) -> str:
        """The condition as it is given to a watch."""
        return self.topic.asked.training[0].format(a='<object1>', m='video')


@dataclass
class Series:
    """A watch that was: what each check said, (seconds, probability), and when it was true."""

    condition: Condition
    spans: list[Span]
    begins_s: float
    ends_s: float
    checks: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Score:
    """Counts over many watches. ``quiet_s``: how long nothing was there to tell of."""

    found: int = 0
    events: int = 0
    right: int = 0
    triggers: int = 0
    quiet_s: float = 0.0
    delays_s: list[float] = field(default_factory=list)


class TruthTracker:
    """Shows the masks of a record; stamps count from one second."""

    name = 'truth'

    def __init__(self, record: ClipRecord, settings: Settings) -> None:
        self.settings = settings.tracker
        self._record = record
        self._names: list[str] = []

    def add(self, prompts: Sequence[Prompt], frames: Sequence[Frame]) -> Mapping[str, MaskEstimate]:
        """Show these objects, too."""
        self._names += [prompt.object_id for prompt in prompts]
        return self.step(frames[-1])

    def segment(self, prompt: Prompt, frame: Frame) -> MaskArray:
        """Return the mask of an object."""
        return mask_of(self._record, prompt.object_id, _instant(frame))

    def remove(self, object_ids: Sequence[str]) -> None:
        """Show these no longer."""
        self._names = [name for name in self._names if name not in object_ids]

    def step(self, frame: Frame) -> Mapping[str, MaskEstimate]:
        """Return the true masks."""
        masks = {name: mask_of(self._record, name, _instant(frame)) for name in self._names}
        return {
            name: MaskEstimate(mask, 1.0, ObjectState.TRACKED if mask.any() else ObjectState.OCCLUDED)
            for name, mask in masks.items()
        }

    def reset(self) -> None:
        """Show nothing."""
        self._names.clear()


def _instant(frame: Frame) -> int:
    return round((frame.stamp_ns / NANOSECONDS - 1.0) * RATE_HZ)


def during(kind: str, view: View, name: str, *, after_s: float = 0.0) -> list[Span]:
    """Spans of events of a kind, each ``after_s`` longer: so long a window still shows it."""
    return [(event.start_s, event.end_s + after_s) for event in view.events(kind, name)]  # type: ignore[arg-type]


def covered(view: View, name: str) -> list[Span]:
    """Spans in which a window shows that an object was covered."""
    place, record = view.record.index(name), view.record
    shares = [
        seen[place] / whole[place] if whole[place] else 1.0
        for seen, whole in zip(record.visible_px, record.whole_px, strict=True)
    ]
    return [
        span
        for span in during('hidden', view, name, after_s=WINDOW_S)
        if min(shares[int(span[0] * RATE_HZ) : int((span[1] - WINDOW_S) * RATE_HZ) + 1]) < COVERED_SHARE
    ]


def about_to_fall(view: View, name: str) -> list[Span]:
    """Spans before an object falls, as long as predictions look ahead."""
    return [(event.start_s - FUTURE_S, event.start_s) for event in view.events('fell', name)]


CONDITIONS = (
    Condition(MOVING, partial(during, 'moving')),
    Condition(MOVED, partial(during, 'moving', after_s=WINDOW_S)),
    Condition(FELL, partial(during, 'fell', after_s=WINDOW_S)),
    Condition(HID, covered),
    Condition(WILL_FALL, about_to_fall),
)


def watch_clip(clip: Path, model: Any, options: argparse.Namespace, settings: Settings) -> Iterator[Series]:
    """Play a clip through an engine that watches every object for every condition; yield what was seen."""
    record = load_record(clip)
    view = View(record, tuple(range(len(record.masks))))
    frames = [
        Frame(frame.image, frame.stamp_ns + NANOSECONDS, frame.frame_id) for frame in read_frames(view, clip)
    ]
    tracker: Tracker = TruthTracker(record, settings)
    if options.masks == 'tracked':
        tracker = create_tracker(settings.tracker)
    engine = Engine(settings, tracker=tracker, model=model)
    engine.step(frames[0])
    names = [item.name for item in record.objects if is_plain(view, item.name)]
    if not names:
        return
    engine.add_objects([Prompt(name, mask=mask_of(record, name, 0)) for name in names])
    watched: list[Series] = []
    for number, frame in enumerate(frames):
        if number:
            engine.step(frame)
        if number == round(options.settle * RATE_HZ):
            watched = [begin(engine, view, name, condition) for name in names for condition in CONDITIONS]
        while engine.watching.wait_s(time.monotonic()) is not None:
            engine.check_watches()
    yield from watched


def is_plain(view: View, name: str) -> bool:
    """Tell whether an object is seen at the start and is never carried: of such the training questions speak."""
    carried = view.events('lifted', name) + view.events('placed', name)
    return not carried and view.record.visible_px[0][view.record.index(name)] >= MINIMUM_VISIBLE_PX


def begin(engine: Engine, view: View, name: str, condition: Condition) -> Series:
    """Begin to watch; every check is noted."""
    now_s = engine.newest.stamp_ns / NANOSECONDS - 1.0
    series = Series(condition, condition.spans(view, name), now_s, view.end_s)

    def note(check: WatchCheck) -> None:
        series.checks.append((check.frame_stamps_ns[-1] / NANOSECONDS - 1.0, check.probability))

    rule = WatchRule(on=1.0, off=0.0)
    engine.watch(WatchRequest(condition.text, (name,), rule, window_s=WINDOW_S, once=False), on_check=note)
    return series


def triggers_of(series: Series, rule: WatchRule, judge: Callable[[float], float]) -> list[float]:
    """When a watch of this rule would have triggered, seconds; ``judge`` may replace the probability."""
    machine = Hysteresis(rule)
    return [
        time_s
        for time_s, probability in series.checks
        if machine.push(judge(probability), round(time_s * NANOSECONDS))
    ]


def add_up(score: Score, series: Series, triggers: Sequence[float]) -> None:
    """Count what a watch told of, and what it should have."""
    # Whoever cannot have been seen to begin, because the watch was over, is not missed.
    spans = [
        (max(start, series.begins_s), end)
        for start, end in series.spans
        if end >= series.begins_s and start <= series.ends_s - SLACK_S
    ]
    loose = [(start - SLACK_S, end + SLACK_S) for start, end in series.spans]
    score.events += len(spans)
    score.triggers += len(triggers)
    score.right += sum(any(start <= t <= end for start, end in loose) for t in triggers)
    for start, end in spans:
        heard = [t for t in triggers if start - SLACK_S <= t <= end + SLACK_S]
        score.found += bool(heard)
        score.delays_s += [heard[0] - start] if heard else []
    grid = np.arange(series.begins_s, series.ends_s, 0.01)
    busy = np.zeros(len(grid), np.bool_)
    for start, end in loose:
        busy |= (grid >= start) & (grid <= end)
    score.quiet_s += 0.01 * float((~busy).sum())


def row(name: str, rule: str, score: Score) -> dict[str, Any]:
    """A line of the table."""
    wrong = score.triggers - score.right
    return {
        'condition': name,
        'rule': rule,
        'events': score.events,
        'recall': f'{score.found / score.events:.2f}' if score.events else '',
        'triggers': score.triggers,
        'precision': f'{score.right / score.triggers:.2f}' if score.triggers else '',
        'delay s': f'{np.median(score.delays_s):.2f}' if score.delays_s else '',
        'false alarms /h': f'{wrong / score.quiet_s * 3600:.0f}' if score.quiet_s else '',
        'quiet min': f'{score.quiet_s / 60:.1f}',
    }


def table(every: Sequence[Series], rules: Sequence[WatchRule]) -> list[dict[str, Any]]:
    """Score every rule, and the two that need no model, on every condition."""
    judges: list[tuple[str, WatchRule, Callable[[float], float]]] = [
        (f'{rule.on:g}/{rule.off:g} {rule.hits} of {rule.of}', rule, lambda p: p) for rule in rules
    ]
    judges += [('always', rules[0], lambda p: 1.0), ('never', rules[0], lambda p: 0.0)]
    rows = []
    for condition in CONDITIONS:
        for name, rule, judge in judges:
            score = Score()
            for series in every:
                if series.condition is condition:
                    add_up(score, series, triggers_of(series, rule, judge))
            rows.append(row(condition.text.replace('<object1>', 'it'), name, score))
    return rows


def main() -> None:
    """Watch every clip, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--clips', type=Path, required=True, metavar='DIR', help='folder of rendered clips')
    parser.add_argument('--limit', type=int, default=0, help='only the first so many clips; 0 = all')
    parser.add_argument('--settle', type=float, default=1.0, help='seconds of tracking before watches begin')
    parser.add_argument(
        '--masks', choices=('truth', 'tracked'), default='truth', help='where masks come from'
    )
    parser.add_argument(
        '--on', type=float, nargs='+', default=[0.5, 0.7, 0.9], help='thresholds; off = 1 - on'
    )
    parser.add_argument('--hits', type=int, default=1, help='so many ...')
    parser.add_argument('--of', type=int, default=1, help='... of so many last checks')
    parser.add_argument('--save', action='store_true', help=f'append to {RESULTS.name}/MACHINE.jsonl')
    add_options(parser, Settings, ('model', 'tracker'))
    parser.set_defaults(**{'model.path': 'nano'})
    options = parser.parse_args()
    fixed = {
        'window.sample_rate_hz': SAMPLE_RATE_HZ,
        'watches.share': 1.0,
        'watches.turn_s': 10.0,
        'watches.batch': 64,
    }
    settings = with_values(from_options(options, Settings()), fixed)
    model = load_model(
        settings.model.path,
        device=settings.model.device,
        dtype=settings.model.dtype,
        threads=settings.model.threads,
    )
    clips, ours = find_clips(options.clips)[: options.limit or None], circumstances(model.device)
    started_s = time.monotonic()
    every = [series for clip in clips for series in watch_clip(clip, model, options, settings)]
    took_s = time.monotonic() - started_s
    rules = [WatchRule(on, 1.0 - on, options.hits, options.of) for on in options.on]
    rows = table(every, rules)
    about = {
        'benchmark': 'watches',
        **ours,
        'load_average': load_average(),
        'settings': {
            'model': model.info.name,
            'masks': options.masks if options.masks == 'truth' else settings.tracker.backend,
            'clips': len(clips),
            'settle_s': options.settle,
        },
        'watches': len(every),
        'checks': sum(len(series.checks) for series in every),
        'seconds': round(took_s, 1),
    }
    print(', '.join(f'{key} {value}' for key, value in about.items()), end='\n\n')
    print_rows(rows)
    if options.save:
        print(f'appended to {append_result(RESULTS, {**about, "rows": rows})}')


if __name__ == '__main__':
    main()
