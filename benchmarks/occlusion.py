"""Does a tracker notice that an object is hidden, and find it again when it returns?

Composed clips with exact truth: an object passes behind a panel or leaves the picture, for one second and for three,
while another object stays in view. Backgrounds and objects are rendered; with ``--data`` they are taken from real
clips with masks (``davis/NAME/frames``, ``davis/NAME/masks``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.clip import open_clip
from pixelrefer_core.clip_objects import read_mask
from pixelrefer_core.composed_clip import (
    SCENARIOS,
    SIZE,
    ComposedClip,
    Scenario,
    occlusion_clip,
    played_to_and_fro,
)
from pixelrefer_core.masks import mask_box, mask_iou
from pixelrefer_core.occlusion_metrics import OcclusionScore, occlusion_score
from pixelrefer_core.settings import Settings
from pixelrefer_core.settings_text import add_options, from_options
from pixelrefer_core.sheet import contact_sheet
from pixelrefer_core.tracker import Tracker, create_tracker
from pixelrefer_core.types import MaskArray, MaskEstimate, Prompt, TrackedObject

NAMES = ('vanishing', 'staying')


@dataclass(frozen=True)
class Result:
    """``staying``: mean J of the object that was never hidden. ``swapped``: one mask ended on the other object."""

    score: OcclusionScore
    staying: float
    swapped: bool


def follow(tracker: Tracker, clip: ComposedClip) -> dict[str, list[MaskEstimate]]:
    """Prompt both objects by their masks on the first frame and step to the end."""
    prompts = [Prompt(name, mask=masks[0]) for name, masks in zip(NAMES, clip.masks, strict=False)]
    found = {name: [item] for name, item in tracker.add(prompts, clip.frames[:1]).items()}
    for frame in clip.frames[1:]:
        for name, item in tracker.step(frame).items():
            found[name].append(item)
    return found


def judge(clip: ComposedClip, found: dict[str, list[MaskEstimate]]) -> Result:
    """Score both objects of a clip."""
    truth, stamps_ns = dict(zip(NAMES, clip.masks, strict=False)), [frame.stamp_ns for frame in clip.frames]
    covered = {
        (name, other): np.count_nonzero(found[name][-1].mask & truth[other][-1])
        for name in NAMES
        for other in NAMES
    }
    staying = [mask_iou(a, b.mask) for a, b in zip(truth['staying'][1:], found['staying'][1:], strict=True)]
    return Result(
        score=occlusion_score(truth['vanishing'], found['vanishing'], stamps_ns),
        staying=float(np.mean(staying)),
        swapped=any(covered[name, other] > covered[name, name] for name in NAMES for other in NAMES),
    )


def clips(scenario: Scenario, seeds: int, data: Path | None) -> Iterator[ComposedClip]:
    """Yield ``seeds`` clips; on real ones every background in turn, with the objects of the two that follow it."""
    folders = sorted(folder for folder in (data / 'davis').iterdir() if folder.is_dir()) if data else []
    for seed in range(seeds):
        if not folders:
            yield occlusion_clip(scenario, seed)
            continue
        ground, *sources = (folders[(seed + k) % len(folders)] for k in range(3))
        images = [frame.image for frame in open_clip(ground)]
        skins = [cut_out(folder, round(SIZE * images[0].shape[0])) for folder in sources]
        yield occlusion_clip(scenario, seed, background=played_to_and_fro(images), skins=skins)


def cut_out(folder: Path, side: int) -> tuple[MaskArray, np.ndarray]:
    """Return shape and colours of the object on the first frame of a clip, its longer side ``side`` pixels."""
    mask = read_mask(sorted((folder / 'masks').glob('*.png'))[0])
    image = next(iter(open_clip(folder))).image
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, 1, 1)
    scale = side / max(x1 - x0, y1 - y0)
    size = (round((x1 - x0) * scale), round((y1 - y0) * scale))
    cover = cv2.resize(mask[y0:y1, x0:x1].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    skin = cv2.resize(image[y0:y1, x0:x1].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cover >= 0.5), skin


def summary(scenario: Scenario, results: Sequence[Result]) -> dict[str, Any]:
    """Return a row of means over the clips of a scenario."""
    scores = [result.score for result in results]
    times_s = [score.reacquired_s for score in scores if score.reacquired_s is not None]
    return {
        'scenario': str(scenario),
        'J visible': f'{np.mean([score.region for score in scores]):.3f}',
        'mask while hidden': f'{np.mean([score.hidden_area for score in scores]):.1%}',
        'state while hidden': f'{np.mean([score.hidden_states for score in scores]):.0%}',
        'found again': f'{len(times_s)} of {len(scores)}',
        'after s': f'{np.median(times_s):.1f} (worst {max(times_s):.1f})' if times_s else '',
        'J other': f'{np.mean([result.staying for result in results]):.3f}',
        'swapped': sum(result.swapped for result in results),
    }


def save(output: Path, clip: ComposedClip, found: dict[str, list[MaskEstimate]], title: str) -> None:
    """Save eight frames of a clip with the masks found."""
    columns = []
    for number in np.linspace(0, len(clip.frames) - 1, 8).astype(int):
        items = [_shown(name, estimates[number]) for name, estimates in found.items()]
        columns.append((clip.frames[number].image, items, f'{clip.frames[number].stamp_ns / 1e9:.1f} s'))
    output.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(output), cv2.cvtColor(contact_sheet(title, columns, [], ''), cv2.COLOR_RGB2BGR))


def main() -> None:
    """Run all scenarios and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, default=5, help='clips a scenario')
    parser.add_argument('--data', type=Path, metavar='DIR', help='folder with davis/ in it')
    parser.add_argument('--output', type=Path, metavar='DIR', help='save a contact sheet of every clip here')
    add_options(parser, Settings, ('tracker',))
    options = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        results = []
        for seed, clip in enumerate(clips(scenario, options.seeds, options.data)):
            tracker = create_tracker(from_options(options, Settings()).tracker)
            found = follow(tracker, clip)
            results.append(judge(clip, found))
            if options.output:
                title = f'{tracker.name}: {scenario}, seed {seed}'
                save(options.output / f'{str(scenario).replace(" ", "_")}_{seed}.png', clip, found, title)
        rows.append(summary(scenario, results))
    print_rows(rows)


def _shown(name: str, estimate: MaskEstimate) -> TrackedObject:
    return TrackedObject(
        object_id=name,
        label='',
        state=estimate.state,
        score=estimate.score,
        mask=estimate.mask,
        box_xyxy=mask_box(estimate.mask),
        mask_area=int(estimate.mask.sum()),
        first_seen_ns=0,
        last_seen_ns=0,
    )


if __name__ == '__main__':
    main()
