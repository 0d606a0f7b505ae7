"""Pieces of clips as batches: cut out, varied, disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pixelrefer_core.tracker.sam2_pixels import DEVIATION, MEAN

from .sam2_clips import MaskClip, Masks, Picture
from .sam2_disturb import add_copy, pass_in_front, slide_panel
from .sam2_drawn import Window
from .sam2_travel import add_traveller

# Fewer pixels of the input than this, and an object is not worth a prompt; fewer than the second, and whether it
# is seen at all is a matter of taste.
PROMPT_PX, SEEN_PX = 16, 4
STRIDES = (1, 1, 2, 3)
# Shares of the clips that are disturbed in these ways.
TRAVEL_SHARE, COPY_SHARE, HIDE_SHARE, PANEL_SHARE = 0.7, 0.15, 0.35, 0.4
# How often the view moves, and its speed: standard deviation, in its own sides a frame.
PAN_SHARE, PAN_SPEED = 0.4, 0.03


@dataclass(frozen=True)
class Cut:
    """What is taken of a clip. ``size``: side of the model's input. ``zoom``: least part of the picture that is
    shown. ``frames``: how many. ``objects``: at most so many.
    """

    size: int
    zoom: float = 1.0
    frames: int = 1
    objects: int = 6


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """T frames of B clips with N objects in all; every object can be prompted on the first frame.

    ``pixels``: (T, B, 3, S, S), normalised. ``covers``: (T, N, S, S), how much of a pixel is the object's.
    ``owners``: (N,), the clip of each object.
    """

    pixels: torch.Tensor
    covers: torch.Tensor
    owners: torch.Tensor


@dataclass(frozen=True, eq=False)
class Piece:
    """T frames of one clip. ``pictures``: (T, S, S, 3), 0 to 255. ``covers``: (T, N, S, S)."""

    pictures: npt.NDArray[np.float32]
    covers: npt.NDArray[np.float32]


def make_batch(pieces: Sequence[Piece]) -> ClipBatch:
    """Put pieces of one length and size together."""
    pictures = torch.from_numpy(np.stack([piece.pictures for piece in pieces], axis=1)).permute(0, 1, 4, 2, 3)
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    owners = [index for index, piece in enumerate(pieces) for _ in range(piece.covers.shape[1])]
    return ClipBatch(
        pixels=((pictures / 255 - mean) / deviation).contiguous(),
        covers=torch.from_numpy(np.concatenate([piece.covers for piece in pieces], axis=1)),
        owners=torch.tensor(owners),
    )


def cut_piece(clip: MaskClip, cut: Cut, random: np.random.Generator) -> Piece | None:
    """Cut frames out of a clip, forwards or backwards, and vary them; None when nothing there can be prompted."""
    indices = choose_frames(clip.frames, cut.frames, random)
    frames = [clip.read(index) for index in indices]
    window = _window(frames[0][1], cut.zoom, random)
    if window is None:
        return None
    windows = _panned(window, frames[0][1].shape[1:], len(frames), random)
    piece = resize_frames(frames, cut.size, windows)
    chosen = promptable(piece.covers[0])
    if len(chosen) == 0:
        return None
    chosen = random.permutation(chosen)[: cut.objects]
    piece = Piece(piece.pictures, np.ascontiguousarray(piece.covers[:, chosen]))
    if cut.frames > 1:
        piece = disturbed(piece, cut.objects, random)
    return _varied(piece, random)


def choose_frames(available: int, wanted: int, random: np.random.Generator) -> list[int]:
    """Return ``wanted`` evenly spaced frames in a random place, direction and stride; short clips are repeated."""
    most = max(1, (available - 1) // max(1, wanted - 1))
    stride = min(int(random.choice(STRIDES)), most)
    start = int(random.integers(max(1, available - stride * (wanted - 1))))
    indices = [min(start + stride * step, available - 1) for step in range(wanted)]
    return indices[::-1] if random.random() < 0.5 else indices


def resize_frames(
    frames: Sequence[tuple[Picture, Masks]], size: int, windows: Sequence[Window] | None = None
) -> Piece:
    """Squash a window of each frame, or all of it, to the square that the model sees."""
    windows = windows or [(slice(None), slice(None))] * len(frames)
    side, area = (size, size), cv2.INTER_AREA
    pictures, covers = [], []
    for (picture, masks), window in zip(frames, windows, strict=True):
        pictures.append(cv2.resize(picture[window], side, interpolation=area))
        covers.append(
            [cv2.resize(mask[window].astype(np.float32), side, interpolation=area) for mask in masks]
        )
    # Averages of ones may round to more than one.
    return Piece(np.array(pictures, np.float32), np.minimum(np.array(covers, np.float32), 1))


def promptable(covers: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Return which of the objects (N, S, S) show enough of themselves to be pointed at."""
    return np.flatnonzero((covers >= 0.5).sum(axis=(1, 2)) >= PROMPT_PX)


def _window(masks: Masks, zoom: float, random: np.random.Generator) -> Window | None:
    """Return a random part of the picture with the middle of an object in it; None when there is no object."""
    seen = np.flatnonzero(masks.any(axis=(1, 2)))
    if len(seen) == 0:
        return None
    share = random.uniform(zoom, 1.0)
    middles = [float(axis.mean()) for axis in np.nonzero(masks[random.choice(seen)])]
    window = []
    for middle, side in zip(middles, masks.shape[1:], strict=True):
        length = round(share * side)
        start = round(middle - length * random.uniform(0.15, 0.85))
        start = min(max(start, 0), side - length)
        window.append(slice(start, start + length))
    return window[0], window[1]


def _panned(window: Window, shape: tuple[int, ...], count: int, random: np.random.Generator) -> list[Window]:
    """Return a window for each frame: it moves through the picture, as a camera may, as far as there is room."""
    if random.random() >= PAN_SHARE:
        return [window] * count
    panned = []
    speeds = PAN_SPEED * random.standard_normal(2)
    for frame in range(count):
        moved = []
        for part, side, speed in zip(window, shape, speeds, strict=True):
            length = part.stop - part.start
            start = min(max(part.start + round(speed * length * frame), 0), side - length)
            moved.append(slice(start, start + length))
        panned.append((moved[0], moved[1]))
    return panned


def disturbed(piece: Piece, objects: int, random: np.random.Generator) -> Piece:
    """Return a piece in which, by chance, things are laid in, move, hide others and vanish; at most ``objects``.

    It may be left without any object, when what was laid in hides all of them from the prompt.
    """
    pictures, covers = piece.pictures.copy(), piece.covers.copy()
    if random.random() < TRAVEL_SHARE:
        covers = add_traveller(pictures, covers, random)
        # The traveller comes last, and stays.
        covers = covers[:, -objects:]
    if random.random() < COPY_SHARE:
        add_copy(pictures, covers, random)
    if random.random() < HIDE_SHARE:
        pass_in_front(pictures, covers, random)
    if random.random() < PANEL_SHARE:
        slide_panel(pictures, covers, random)
    return Piece(pictures, np.ascontiguousarray(covers[:, promptable(covers[0])]))


def _varied(piece: Piece, random: np.random.Generator) -> Piece | None:
    """Vary light, contrast and colours, and mirror, alike on all frames."""
    if piece.covers.shape[1] == 0:
        return None
    pictures, covers = piece.pictures, piece.covers
    if random.random() < 0.5:
        pictures, covers = pictures[:, :, ::-1], covers[..., ::-1]
    gain = np.exp(random.uniform(-0.25, 0.25) + 0.08 * random.standard_normal(3))
    pictures = pictures * gain.astype(np.float32) + np.float32(random.uniform(-15, 15))
    if random.random() < 0.1:
        pictures = np.repeat(pictures.mean(axis=-1, keepdims=True), 3, axis=-1)
    return Piece(np.ascontiguousarray(pictures.clip(0, 255)), np.ascontiguousarray(covers))
