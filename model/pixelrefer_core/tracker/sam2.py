"""SAM 2 over a live stream: bounded memory, objects that come and go, many objects in one batch.

Transformers' model does the seeing; what is remembered, for how long and of which object is decided here. The image is
encoded once a frame; objects whose memories have one shape then share every call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from ..device import memory_guard
from ..errors import InvalidImageError, ModelError
from ..masks import mask_box
from ..settings import TrackerSettings
from ..track_state import Sighting, Standing, first_standing, next_standing
from ..types import Frame, MaskArray, MaskEstimate, Prompt
from .prompt_mask import prompt_mask
from .sam2_loading import load_sam2
from .sam2_memory import MemoryBank, Recall, memory_limits
from .sam2_network import Decoded, FrameFeatures, Sam2Network
from .sam2_pixels import to_mask, to_mask_input, to_pixels, to_point_prompt

# A prompt on an older frame is brought up to date over so many of the frames since then, evenly spaced.
CATCH_UP_FRAMES = 8


@dataclass(eq=False)
class _Track:
    """One object. ``mask``: on the newest frame, (H, W), empty while hidden. ``prompt``: the newest, made at
    ``prompt_ns``.
    """

    bank: MemoryBank
    standing: Standing
    mask: MaskArray
    score: float
    prompt: Prompt
    prompt_ns: int


class Sam2Tracker:
    """Implements :class:`~.base.Tracker`. Memory and time a frame depend on the number of objects alone."""

    name = 'sam2'

    def __init__(self, settings: TrackerSettings, model: PreTrainedModel) -> None:
        self.settings = settings
        self._network = Sam2Network(model)
        self._device = model.device
        self._limits = memory_limits(settings, model.config)
        self._tracks: dict[str, _Track] = {}
        self._size: tuple[int, int] | None = None
        self._encoded: tuple[Frame, FrameFeatures] | None = None

    @torch.inference_mode()
    def add(self, prompts: Sequence[Prompt], frames: Sequence[Frame]) -> Mapping[str, MaskEstimate]:
        """See :meth:`Tracker.add`. Raises :class:`InvalidImageError` when the size changes without a reset.

        A prompt that touches the visible mask of the object it names corrects it: what is remembered from earlier
        frames stays. One that points elsewhere starts the object afresh.
        """
        self._check_size(frames[0])
        with memory_guard():
            added = {prompt.object_id: self._prompted(prompt, frames[0]) for prompt in prompts}
            for frame in _spaced(frames[1:], CATCH_UP_FRAMES):
                self._follow(list(added.values()), frame)
        self._tracks |= added
        return {object_id: _estimate(track) for object_id, track in added.items()}

    @torch.inference_mode()
    def segment(self, prompt: Prompt, frame: Frame) -> MaskArray:
        """See :meth:`Tracker.segment`; never empty."""
        if prompt.mask is not None:
            return prompt.mask
        with memory_guard():
            decoded = self._decode_prompt(prompt, frame, None)
        mask = to_mask(_numpy(decoded.logits[0, 0]), frame.height, frame.width)
        return mask if mask.any() else prompt_mask(prompt, frame.image)

    def remove(self, object_ids: Sequence[str]) -> None:
        """See :meth:`Tracker.remove`."""
        for object_id in object_ids:
            del self._tracks[object_id]

    @torch.inference_mode()
    def step(self, frame: Frame) -> Mapping[str, MaskEstimate]:
        """See :meth:`Tracker.step`. Raises :class:`InvalidImageError` when the size changes without a reset."""
        self._check_size(frame)
        if self._tracks:
            with memory_guard():
                self._follow(list(self._tracks.values()), frame)
        return {object_id: _estimate(track) for object_id, track in self._tracks.items()}

    def reset(self) -> None:
        """See :meth:`Tracker.reset`."""
        self._tracks.clear()
        self._size, self._encoded = None, None

    def _check_size(self, frame: Frame) -> None:
        size = (frame.height, frame.width)
        if self._size not in (None, size):
            raise InvalidImageError(
                f'the image changed from {self._size[1]} x {self._size[0]} '
                f'to {frame.width} x {frame.height} pixels: reset the tracker first'
            )
        self._size = size

    def _encode(self, frame: Frame) -> FrameFeatures:
        """Encode a frame, once: a prompt usually comes for the frame that was just tracked."""
        if self._encoded is None or self._encoded[0] is not frame:
            pixels = to_pixels(frame.image, self._network.image_size, self._device)
            self._encoded = (frame, self._network.encode(pixels))
        return self._encoded[1]

    # --- prompts ---

    def _prompted(self, prompt: Prompt, frame: Frame) -> _Track:
        """Start an object, or correct one, on a frame."""
        bank, recall = MemoryBank(self._limits), None
        known = self._tracks.get(prompt.object_id)
        if known is not None:
            if known.prompt_ns == frame.stamp_ns:
                prompt = _with_earlier(prompt, known.prompt)
            recall = self._correction(prompt, known, frame)
            bank = known.bank
        features = self._encode(frame)
        decoded = self._decode_prompt(prompt, frame, recall)
        # Stored as a prompted frame even where the object was tracked already: a correction lasts.
        bank.remember_prompt(self._network.memorise(features, decoded, prompted=True)[0], frame.stamp_ns)
        logits, score = _numpy(decoded.logits[0, 0]), float(decoded.scores[0].sigmoid())
        standing = first_standing(Sighting.of(logits > 0, score), frame.stamp_ns)
        mask = prompt.mask if prompt.mask is not None else to_mask(logits, frame.height, frame.width)
        return _Track(bank, standing, mask, score, prompt, frame.stamp_ns)

    def _correction(self, prompt: Prompt, track: _Track, frame: Frame) -> Recall | None:
        """Forget what a new prompt overrules; return what is to be looked at together with it, None = nothing."""
        track.bank.rewind(frame.stamp_ns)
        if not track.mask.any():
            # Hidden until now: its memory says what it looks like, but would say that it is still hidden.
            return None
        if not _touches(prompt, track.mask):
            track.bank.clear()
        return track.bank.recall() if len(track.bank) else None

    def _decode_prompt(self, prompt: Prompt, frame: Frame, recall: Recall | None) -> Decoded:
        network, features = self._network, self._encode(frame)
        if prompt.mask is None:
            maps = network.conditioned(features, [recall]) if recall else network.unconditioned(features)
            points = to_point_prompt(prompt, frame.height, frame.width, network.image_size, self._device)
            decoded = network.decode(features, maps, points, first=recall is None)
            if bool(decoded.scores > 0) and bool((decoded.logits > 0).any()):
                return decoded
        # A mask, or something that the model does not see as an object: then its colours decide.
        mask = prompt_mask(prompt, frame.image)
        return network.adopt(features, to_mask_input(mask, network.image_size, self._device))

    # --- tracking ---

    def _follow(self, tracks: Sequence[_Track], frame: Frame) -> None:
        features = self._encode(frame)
        for track in tracks:
            track.bank.expire(frame.stamp_ns)
        for group, recalls in self._groups(tracks):
            decoded = self._network.decode(features, self._network.conditioned(features, recalls))
            logits, scores = _numpy(decoded.logits[:, 0]), _numpy(decoded.scores.float().sigmoid())
            for track, own_logits, score in zip(group, logits, scores, strict=True):
                self._settle(track, frame, own_logits, float(score))
            self._remember(group, frame, features, decoded)

    def _groups(self, tracks: Iterable[_Track]) -> Iterable[tuple[list[_Track], list[Recall]]]:
        """Yield the objects that can share a call, with what they attend to."""
        groups: dict[object, tuple[list[_Track], list[Recall]]] = {}
        for track in tracks:
            recall = track.bank.recall()
            key = recall.shape if self.settings.batched else id(track)
            group, recalls = groups.setdefault(key, ([], []))
            group.append(track)
            recalls.append(recall)
        return groups.values()

    def _settle(self, track: _Track, frame: Frame, logits: npt.NDArray[np.float32], score: float) -> None:
        sighting = Sighting.of(logits > 0, score)
        track.standing = next_standing(track.standing, sighting, frame.stamp_ns, self.settings)
        track.score = score
        if track.standing.is_seen:
            track.mask = to_mask(logits, frame.height, frame.width)
        else:
            track.mask = np.zeros((frame.height, frame.width), np.bool_)

    def _remember(
        self, tracks: Sequence[_Track], frame: Frame, features: FrameFeatures, decoded: Decoded
    ) -> None:
        """Remember the objects that the frame shows; a hidden one keeps the frames that last showed it."""
        seen = [k for k, track in enumerate(tracks) if track.standing.is_seen]
        if not seen:
            return
        memories = self._network.memorise(features, decoded.select(seen), prompted=False)
        for k, memory in zip(seen, memories, strict=True):
            tracks[k].bank.remember(memory, frame.stamp_ns)


def create_sam2(settings: TrackerSettings) -> Sam2Tracker:
    """Load the model that the settings name and run it once. Raises :class:`ModelError`."""
    tracker = Sam2Tracker(settings, load_sam2(settings))
    black = np.zeros((64, 64, 3), np.uint8)
    try:
        # A prompt and a tracked frame: everything that a first image would otherwise wait for.
        tracker.add([Prompt('warm-up', box_xyxy=(16, 16, 48, 48))], [Frame(black, 0)])
        tracker.step(Frame(black, 1))
    except RuntimeError as error:
        raise ModelError(f'{settings.path} does not run on {settings.device} ({error})') from error
    tracker.reset()
    return tracker


def _with_earlier(prompt: Prompt, earlier: Prompt) -> Prompt:
    """Add points to those of an earlier prompt on the same frame, which they refine."""
    if prompt.points is None or prompt.box_xyxy is not None or earlier.mask is not None:
        return prompt
    if earlier.points is None:
        return replace(prompt, box_xyxy=earlier.box_xyxy)
    return replace(
        prompt,
        box_xyxy=earlier.box_xyxy,
        points=np.concatenate((earlier.points, prompt.points)),
        point_labels=np.concatenate((_labels(earlier), _labels(prompt))),
    )


def _labels(prompt: Prompt) -> npt.NDArray[np.bool_]:
    assert prompt.points is not None
    return np.ones(len(prompt.points), np.bool_) if prompt.point_labels is None else prompt.point_labels


def _touches(prompt: Prompt, mask: MaskArray) -> bool:
    """Return whether a prompt points at a part of a mask (H, W), or at what lies within its box."""
    if prompt.mask is not None:
        return bool((prompt.mask & mask).any())
    box = mask_box(mask)
    if box is None:
        return False
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = prompt.box_xyxy
        return x0 < box[2] and x1 > box[0] and y0 < box[3] and y1 > box[1]
    assert prompt.points is not None
    on = prompt.points[_labels(prompt)]
    return bool(((on >= box[:2]) & (on < box[2:])).all(axis=1).any())


def _spaced(frames: Sequence[Frame], count: int) -> Sequence[Frame]:
    """Return at most ``count`` of the frames, evenly spaced, the last among them."""
    if len(frames) <= count:
        return frames
    return [frames[round((k + 1) * len(frames) / count) - 1] for k in range(count)]


def _numpy(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(tensor.float().cpu().numpy())


def _estimate(track: _Track) -> MaskEstimate:
    return MaskEstimate(track.mask, track.score, track.standing.state)
