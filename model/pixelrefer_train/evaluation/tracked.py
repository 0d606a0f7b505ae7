"""Questions about videos with the masks that a tracker finds, as on a robot, instead of the true ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pixelrefer_core.tracker import Tracker
from pixelrefer_core.types import Prompt

from .item import Appearance, EvaluationItem
from .media import region_mask


def track_masks(items: Iterable[EvaluationItem], tracker: Tracker) -> Iterator[EvaluationItem]:
    """Yield the items with tracked masks: each object is prompted with its first true mask and followed from there.

    Items that share their frames share the tracks, if they follow one another. Images, and items whose frames are
    not in memory, stay as they are. Raises what the tracker raises.
    """
    before: EvaluationItem | None = None
    tracked: tuple[tuple[Appearance, ...], ...] = ()
    for item in items:
        if not item.is_video or not item.frames:
            yield item
            continue
        if before is None or before.frames is not item.frames or len(before.objects) != len(item.objects):
            before, tracked = item, follow(item, tracker)
        yield replace(item, objects=tracked)


def follow(item: EvaluationItem, tracker: Tracker) -> tuple[tuple[Appearance, ...], ...]:
    """Track the objects of an item through its frames; an object is shown where the tracker sees it."""
    tracker.reset()
    found: list[list[Appearance]] = [[] for _ in item.objects]
    for number, frame in enumerate(item.frames):
        estimates = dict(tracker.step(frame))
        prompts = [
            Prompt(str(place), mask=region_mask(views[0].region, frame.height, frame.width))
            for place, views in enumerate(item.objects)
            if views[0].frame == number
        ]
        if prompts:
            estimates |= tracker.add(prompts, [frame])
        for name, estimate in estimates.items():
            if estimate.mask.any():
                found[int(name)].append(Appearance(number, estimate.mask))
    # A prompt is seen at least by the one who gave it.
    return tuple(tuple(own) or views[:1] for own, views in zip(found, item.objects, strict=True))
