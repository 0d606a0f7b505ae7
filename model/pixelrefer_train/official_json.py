"""Training data in PixelRefer's own format: a list of records in JSON or JSON lines, beside their pictures.

A record has ``image`` (a file) or ``video`` (a file, a folder of frames, or a list of frame files with
``timestamps``, seconds), ``conversations`` (``from`` human and gpt in turn, ``value``) and ``masks``: for an image a
mask for each object, for a video ``{frame number: mask}`` for each. A mask is COCO run lengths or polygons. Where
upstream replaces a record that it cannot read by another one, this says what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pixelrefer_core.errors import InvalidRequestError, PixelReferError
from pixelrefer_core.types import NANOSECONDS, Frame

from .evaluation.media import read_image, read_video
from .evaluation.records import Record, frames_of, read_records
from .mask_coding import decode_mask, encode_rle
from .samples import ObjectMask, Sample, Turn, check_sample

# Media tags that upstream inserts or removes itself.
_TAGS = ('<image>', '<video>')
_ROLES = ('human', 'gpt')


def open_source(file: str, *, media: str = '', scene: bool = False, max_frames: int = 180) -> OfficialSource:
    """Open a file of records; ``media``: the folder of the pictures, the file's own when empty.

    ``scene``: also read one frame a second of each video, at most ``max_frames``, for PixelRefer (Vision-Object).
    Raises :class:`InvalidRequestError` for a record that is wrong in itself; pictures are read later.
    """
    path = Path(file).expanduser()
    folder = Path(media).expanduser() if media else path.parent
    return OfficialSource(path, folder, scene=scene, max_frames=max_frames)


class OfficialSource:
    """A :class:`~.samples.SampleSource` of the records of a file."""

    def __init__(self, file: Path, media: Path, *, scene: bool, max_frames: int) -> None:
        self._file, self._media, self._scene, self._max_frames = file, media, scene, max_frames
        self._records = read_records(file, 'conversations')
        for number in range(len(self._records)):
            self._guarded(number, _check_record)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._records)

    def sample(self, index: int, epoch: int) -> Sample:
        """Return a record as a sample, the same in every epoch.

        Raises :class:`InvalidRequestError` naming the record when a picture or a mask is missing or damaged.
        """
        return self._guarded(index, self._read)

    def _guarded(self, number: int, read: Callable[[Record], Any]) -> Any:
        try:
            return read(self._records[number])
        except (PixelReferError, OSError) as error:
            raise InvalidRequestError(f'{self._file}: record {number}: {error}') from error

    def _read(self, record: Record) -> Sample:
        masks = _masks(record)
        if 'image' in record:
            frames = {0: read_image(self._media / record['image'])}
            scene: tuple[Frame, ...] = ()
            masks = [{'0': mask} for mask in masks]
        else:
            frames, scene = self._video(record, {int(frame) for own in masks for frame in own})
        numbers = sorted(frames)
        objects = tuple(_object(own, numbers, frames, index) for index, own in enumerate(masks, start=1))
        sample = Sample(
            tuple(frames[number] for number in numbers), objects, _turns(record), chained=True, scene=scene
        )
        check_sample(sample)
        return sample

    def _video(self, record: Record, wanted: set[int]) -> tuple[dict[int, Frame], tuple[Frame, ...]]:
        files = record['video']
        if isinstance(files, list) and len(files) > 1:
            shown = _frame_files([self._media / file for file in files], record.get('timestamps'))
            found = {number: shown[number] for number in wanted if number < len(shown)}
        else:
            file = files[0] if isinstance(files, list) else files
            found, shown = read_video(self._media / file, wanted, with_scene=self._scene)
        lost = sorted(wanted - found.keys())
        if lost:
            raise InvalidRequestError(f'a mask is on frame {lost[0]}, which the video lacks')
        if not self._scene:
            return found or dict(enumerate(shown)), ()
        chosen = np.linspace(0, len(shown) - 1, min(len(shown), self._max_frames)).astype(int)
        return found, tuple(shown[index] for index in chosen)


def _frame_files(files: Sequence[Path], times_s: Any) -> tuple[Frame, ...]:
    if not isinstance(times_s, list) or len(times_s) != len(files):
        raise InvalidRequestError(f'a video of {len(files)} frame files needs as many timestamps, in seconds')
    return tuple(
        Frame(read_image(file).image, round(float(time_s) * NANOSECONDS))
        for file, time_s in zip(files, times_s, strict=True)
    )


def _object(
    masks: Mapping[str, Any], numbers: Sequence[int], frames: Mapping[int, Frame], index: int
) -> tuple[ObjectMask, ...]:
    """Decode the masks of one object, without the frames on which it has no pixels."""
    seen = []
    for number in frames_of(masks):
        coded, frame = masks[number], frames[int(number)]
        if coded is None:
            continue
        if isinstance(coded, Mapping) and 'segmentation' in coded:
            coded = coded['segmentation']
        mask = decode_mask(coded, frame.height, frame.width)
        if mask.any():
            seen.append((numbers.index(int(number)), mask))
    if not seen:
        raise InvalidRequestError(f'object {index} has no pixels on any frame')
    return tuple(seen)


def _turns(record: Record) -> tuple[Turn, ...]:
    messages = record['conversations']
    kind = str(record.get('kind', ''))
    return tuple(
        Turn(_without_tags(asked['value']), told['value'].strip(), kind, str(told.get('meaning', '')))
        for asked, told in zip(messages[::2], messages[1::2], strict=True)
    )


def _without_tags(text: str) -> str:
    for tag in _TAGS:
        text = text.replace(tag, '')
    return text.strip()


def _masks(record: Record) -> list[Any]:
    masks = record.get('masks') or []
    if not isinstance(masks, list):
        raise InvalidRequestError(f'masks must be a list, one entry for each object, got {masks!r:.60}')
    return masks


# --- checks that need no picture ---


def _check_record(record: Record) -> None:
    if ('image' in record) == ('video' in record):
        raise InvalidRequestError('a record has either image or video')
    _check_conversation(record['conversations'])
    masks = _masks(record)
    if 'video' in record:
        if 'masked_video' in record:
            raise InvalidRequestError('masked_video is not supported: list the marked frames under video')
        for own in masks:
            if not isinstance(own, Mapping) or not all(str(frame).isdecimal() for frame in own):
                raise InvalidRequestError('each entry of masks must be {frame number: mask} for a video')
    named = sum(turn.instruction.count('<region>') for turn in _turns(record))
    if named != len(masks):
        raise InvalidRequestError(f'the conversation has {named} <region> for {len(masks)} masks')


def _check_conversation(messages: Any) -> None:
    if not isinstance(messages, list) or not messages or len(messages) % 2:
        raise InvalidRequestError('conversations must be questions and answers in turn')
    for number, message in enumerate(messages):
        role = _ROLES[number % 2]
        if not isinstance(message, Mapping) or message.get('from') != role:
            raise InvalidRequestError(f'message {number} of the conversation must be from {role}')
        if not isinstance(message.get('value'), str) or not _without_tags(message['value']):
            raise InvalidRequestError(f'message {number} of the conversation has no text')


# --- writing ---


def write_samples(samples: Iterable[Sample], folder: Path, name: str = 'samples.json') -> Path:
    """Write samples and their pictures (PNG) in the official format; returns the file of records.

    Independent questions become records of their own, since upstream reads several turns as a conversation.
    ``kind`` and ``meaning`` are kept under keys that upstream ignores.
    """
    (folder / 'pictures').mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    for number, sample in enumerate(samples):
        files = [
            _write_picture(frame, folder, f'{number:06d}_{i:02d}') for i, frame in enumerate(sample.frames)
        ]
        talks = [sample.turns] if sample.chained else [(turn,) for turn in sample.turns]
        records += [_media(sample, files) | _talk(turns) for turns in talks]
    file = folder / name
    file.write_text(json.dumps(records), encoding='utf-8')
    return file


def _write_picture(frame: Frame, folder: Path, name: str) -> str:
    file = f'pictures/{name}.png'
    if not cv2.imwrite(str(folder / file), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)):
        raise InvalidRequestError(f'{folder / file} cannot be written')
    return file


def _media(sample: Sample, files: Sequence[str]) -> dict[str, Any]:
    height, width = sample.frames[0].height, sample.frames[0].width
    size = {'height': height, 'width': width}
    if len(files) == 1:
        return {'image': files[0], 'masks': [encode_rle(own[0][1]) for own in sample.objects]} | size
    masks = [{str(index): encode_rle(mask) for index, mask in own} for own in sample.objects]
    times = [frame.stamp_ns / NANOSECONDS for frame in sample.frames]
    return {'video': list(files), 'timestamps': times, 'masks': masks} | size


def _talk(turns: Sequence[Turn]) -> dict[str, Any]:
    messages = []
    for turn in turns:
        messages.append({'from': 'human', 'value': turn.instruction})
        meaning = {'meaning': turn.meaning} if turn.meaning else {}
        messages.append({'from': 'gpt', 'value': turn.answer} | meaning)
    return {'conversations': messages, 'kind': turns[0].kind}
