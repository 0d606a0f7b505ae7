"""Readers of the public video benchmarks; prompts are those of the official evaluation.

Each takes the annotation file, the folder of the videos and the model's variant. PixelRefer sees each object on
one frame (``frame_idx``) beside the scene, PixelRefer-Lite on every annotated one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelrefer_core.errors import InvalidRequestError

from .choice import choice_prompt, letter_of, letters_of
from .item import Appearance, EvaluationItem
from .records import Record, frames_of, read_records

DESCRIBE = 'Please describe in detail the marked object <region> in the video.'
DESCRIBE_LITE = (
    'There is one object in the video: <region>.\nPlease describe in detail the marked object in the video.'
)
BRIEF = 'Please describe the object <region> in brief in the video.'
BRIEF_LITE = (
    'There is one object in the video: <region>.\nPlease give a description of the highlighted object in the '
    'video. Using only one sentense.'
)


def read_videorefer_q(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read VideoRefer-Bench-Q: multiple choice about objects of a video, in five types."""
    keys = ('video', 'Question', 'options', 'Answer', 'type', 'annotation')
    items = []
    for number, record in enumerate(read_records(file, *keys)):
        objects = [
            {frame: entry['segmentation'] for frame, entry in masks.items()} for masks in record['annotation']
        ]
        items.append(
            EvaluationItem(
                item_id=str(number),
                type=record['type'],
                instruction=choice_prompt(record['Question'], record['options']),
                objects=tuple(_appearances(masks, record, variant, number) for masks in objects),
                media=media / record['video'],
                is_video=True,
                expected=letter_of(record['Answer']),
                classes=letters_of(record['options']),
                scene=record['video'],
            )
        )
    return items


def read_videorefer_d(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read VideoRefer-Bench-D: detailed descriptions of one object of a video."""
    instruction = DESCRIBE_LITE if variant == 'lite' else DESCRIBE
    items = []
    for number, record in enumerate(read_records(file, 'video', 'annotation', 'caption')):
        masks = {frame: entry['segmentation'] for frame, entry in record['annotation'][0].items()}
        items.append(_caption(number, 'description', media, record, masks, instruction, variant))
    return items


def read_hc_stvg(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read HC-STVG: ``hc_stvg_val.json``, one mask, or ``hc-stvg-val-allframe.json``, masks on many frames."""
    instruction = BRIEF_LITE if variant == 'lite' else BRIEF
    items = []
    for number, record in enumerate(read_records(file, 'video')):
        if 'masks' in record:
            masks = record['masks'][0]
            record = {**record, 'caption': record['conversations'][1]['value']}
        elif 'mask' in record and 'frame_idx' in record:
            masks = {str(record['frame_idx']): record['mask']}
        else:
            raise InvalidRequestError(f'{file}: record {number} has neither masks nor mask and frame_idx')
        items.append(_caption(number, 'caption', media, record, masks, instruction, variant))
    return items


def _caption(
    number: int,
    kind: str,
    media: Path,
    record: Record,
    masks: Mapping[str, Any],
    instruction: str,
    variant: str,
) -> EvaluationItem:
    video = record['video'] if isinstance(record['video'], str) else record['video'][0]
    return EvaluationItem(
        item_id=str(number),
        type=kind,
        instruction=instruction,
        objects=(_appearances(masks, record, variant, number),),
        media=media / video,
        is_video=True,
        references=(str(record['caption']),),
        scene=video,
    )


def _appearances(
    masks: Mapping[str, Any], record: Record, variant: str, number: int
) -> tuple[Appearance, ...]:
    frames: Sequence[str] = frames_of(masks)
    if variant != 'lite' and 'frame_idx' in record:
        frames = [str(record['frame_idx'])]
    if not frames or not set(frames) <= masks.keys():
        raise InvalidRequestError(f'record {number} ({record["video"]}): an object has no mask on its frame')
    return tuple(Appearance(int(frame), masks[frame]) for frame in frames)
