"""Gives a small vision encoder its eyes before it meets a language model.

A vision transformer from scratch learns what things are slowly when words are its only teacher. Here every
patch is asked what object it shows and of what colour, on the very pictures that the model makes: crops, local
views, whole frames. The heads that answer are thrown away.

python -m pixelrefer_sim.encoder_pretraining --clips DIR [--clips DIR] --output FOLDER --minutes 30
``T`` patches, ``C`` channels, ``N`` object crops.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pixelrefer_core.geometry import Grid
from pixelrefer_core.model_config import COMPATIBILITY, ModelConfig
from pixelrefer_core.object_tokenizer import ObjectCrop, crop_object
from pixelrefer_core.preprocess import Normalizer, grid_of, resize_area, to_patches
from pixelrefer_core.types import ImageArray, MaskArray
from pixelrefer_core.vision_encoder import VisionEncoder
from pixelrefer_train.mask_coding import decode_mask
from pixelrefer_train.nano import nano_config

from .catalogue import CATEGORIES, COLOURS
from .record import HEIGHT, MINIMUM_VISIBLE_PX, WIDTH, ClipRecord, load_record

_KINDS, _COLOURS = list(CATEGORIES), list(COLOURS)
_FRAMES = 4  # pictures of a step
_WARM_UP = 300
_LEARNING_RATE, _WEIGHT_DECAY = 6e-4, 0.02
_CLIP_NORM = 1.0


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture as the encoder sees it. ``kinds``, ``colours``: int64 (h * w), 0 = background, -1 = mixed.

    ``cells``: (h * w) bool of the object that the picture was cut out for, None for other views.
    ``truth``: that object's category and colour as numbers.
    """

    picture: ImageArray
    kinds: npt.NDArray[np.int64]
    colours: npt.NDArray[np.int64]
    cells: npt.NDArray[np.bool_] | None = None
    truth: tuple[int, int] | None = None


class Heads(nn.Module):
    """Questions to patches and to whole objects, as linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kind = nn.Linear(channels, len(_KINDS) + 1)
        self.colour = nn.Linear(channels, len(_COLOURS) + 1)
        self.object_kind = nn.Linear(channels, len(_KINDS))
        self.object_colour = nn.Linear(channels, len(_COLOURS))


class Teacher:
    """Draws pictures with labels from rendered clips and stills; re-reads the folders to find new ones."""

    def __init__(self, folders: Sequence[Path], config: ModelConfig, *, seed: int) -> None:
        self._folders, self._config = folders, config
        self._rng = np.random.default_rng(seed)
        self._known: list[Path] = []
        self._records: dict[Path, ClipRecord] = {}

    def refresh(self) -> int:
        """Look for clips; returns how many there are."""
        self._known = sorted(file.parent for folder in self._folders for file in folder.glob('*/clip.json'))
        if not self._known:
            raise FileNotFoundError(f'no clip.json in {", ".join(str(folder) for folder in self._folders)}')
        return len(self._known)

    def draw(self) -> list[Labelled]:
        """Draw a frame: the whole view, the crops of its objects, and the local view of one of them."""
        folder = self._known[int(self._rng.integers(len(self._known)))]
        record = self._records.setdefault(folder, load_record(folder))
        frame = int(self._rng.integers(len(record.masks)))
        image = cv2.imread(str(folder / 'frames' / f'{frame:05d}.jpg'))
        if image is None:
            raise OSError(f'{folder}: frame {frame} cannot be read')
        picture = augment(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), self._rng)
        masks = [decode_mask(_rle(code), HEIGHT, WIDTH) if code else None for code in record.masks[frame]]
        if self._rng.random() < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
            masks = [None if mask is None else np.ascontiguousarray(mask[:, ::-1]) for mask in masks]
        return self._views(record, picture, masks)

    def _views(
        self, record: ClipRecord, image: ImageArray, masks: Sequence[MaskArray | None]
    ) -> list[Labelled]:
        rules = self._config.rules
        kinds, colours = _paint(record, masks)
        whole = resize_area(image, rules.global_px, rules.global_px)
        views = [_labelled_view(whole, kinds, colours)]
        for index, mask in enumerate(masks):
            if mask is None or mask.sum() < MINIMUM_VISIBLE_PX:
                continue
            item = record.objects[index]
            crop = crop_object(image, _shaken(mask, self._rng), rules, COMPATIBILITY['fixed'])
            box = crop.box
            window = (slice(box.top, box.bottom + 1), slice(box.left, box.right + 1))
            truth = (_KINDS.index(item.category), _COLOURS.index(item.colour))
            views.append(_labelled_crop(crop, kinds[window], colours[window], truth))
            if self._rng.random() < 0.3:
                local = resize_area(crop.context, rules.local_px, rules.local_px)
                views.append(_labelled_view(local, kinds[window], colours[window]))
        return views


def _rle(code: str) -> dict[str, Any]:
    return {'size': [HEIGHT, WIDTH], 'counts': code}


def augment(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Change exposure, white balance, sharpness and noise a little, never the name of a colour."""
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.94, 1.06, 3)
    pixels = image.astype(np.float32) * gain.astype(np.float32) + rng.uniform(-8, 8)
    if rng.random() < 0.5:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    if rng.random() < 0.5:
        pixels = pixels + rng.normal(0, rng.uniform(1, 6), pixels.shape).astype(np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _shaken(mask: MaskArray, rng: np.random.Generator) -> MaskArray:
    """Return the mask as a tracker might have it: a little larger, smaller or aside."""
    choice = rng.random()
    pixels = mask.astype(np.uint8)
    block = np.ones((3, 3), np.uint8)
    if choice < 0.25:
        return np.asarray(cv2.dilate(pixels, block), bool)
    if choice < 0.5:
        smaller = np.asarray(cv2.erode(pixels, block), bool)
        return smaller if smaller.any() else mask
    if choice < 0.75:
        down, right = rng.integers(-2, 3, 2)
        return np.roll(mask, (int(down), int(right)), axis=(0, 1))
    return mask


def _paint(
    record: ClipRecord, masks: Sequence[MaskArray | None]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return what each pixel shows, (H, W): category and colour, 0 = neither."""
    kinds, colours = (np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2))
    for item, mask in zip(record.objects, masks, strict=True):
        if mask is not None:
            kinds[mask] = _KINDS.index(item.category) + 1
            colours[mask] = _COLOURS.index(item.colour) + 1
    return kinds, colours


def _labels(plane: npt.NDArray[np.uint8], grid: Grid) -> npt.NDArray[np.int64]:
    """Return the value that fills most of each cell, -1 where none fills 40 % of it; (h * w)."""
    values = np.unique(plane)
    planes = ((plane == value).astype(np.float32) for value in values)
    shares = np.stack([cv2.resize(p, grid[::-1], interpolation=cv2.INTER_AREA) for p in planes])
    best = shares.argmax(axis=0)
    return np.where(shares.max(axis=0) >= 0.4, values.astype(np.int64)[best], -1).reshape(-1)


def _labelled_crop(
    crop: ObjectCrop,
    kinds: npt.NDArray[np.uint8],
    colours: npt.NDArray[np.uint8],
    truth: tuple[int, int],
) -> Labelled:
    view = _labelled_view(crop.picture, kinds, colours)
    return replace(view, cells=(crop.mask_grid > 0).reshape(-1), truth=truth)


def _labelled_view(
    picture: ImageArray, kinds: npt.NDArray[np.uint8], colours: npt.NDArray[np.uint8]
) -> Labelled:
    grid = grid_of(picture)
    return Labelled(picture, _labels(kinds, grid), _labels(colours, grid))


class Pretraining:
    """Encoder, heads and optimizer; one step at a time."""

    def __init__(self, config: ModelConfig, *, seed: int, total_s: float) -> None:
        torch.manual_seed(seed)
        self.encoder, self.heads = VisionEncoder(config.vision), Heads(config.vision.hidden_size)
        self._normalize = Normalizer(config.vision.image_mean, config.vision.image_std)
        parameters = [*self.encoder.parameters(), *self.heads.parameters()]
        self._optimizer = torch.optim.AdamW(
            parameters, _LEARNING_RATE, (0.9, 0.98), weight_decay=_WEIGHT_DECAY
        )
        self._parameters, self._total_s = parameters, total_s
        self.steps, self.spent_s = 0, 0.0

    def step(self, views: Sequence[Labelled]) -> dict[str, float]:
        """Learn from pictures; returns losses and shares of right answers."""
        started = time.process_time()
        rate = min(1.0, (self.steps + 1) / _WARM_UP)
        rate *= 0.5 + 0.5 * math.cos(math.pi * min(self.spent_s / self._total_s, 1.0))
        for group in self._optimizer.param_groups:
            group['lr'] = _LEARNING_RATE * max(rate, 0.01)
        loss, report = self.judge(views)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, _CLIP_NORM)
        self._optimizer.step()
        self.steps += 1
        self.spent_s += time.process_time() - started
        return report

    def judge(self, views: Sequence[Labelled]) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss and the report of some pictures."""
        features, sizes = self._encode(views)  # (T, C)
        kinds = torch.from_numpy(np.concatenate([view.kinds for view in views]))
        colours = torch.from_numpy(np.concatenate([view.colours for view in views]))
        loss = functional.cross_entropy(self.heads.kind(features), kinds, ignore_index=-1)
        loss = loss + functional.cross_entropy(self.heads.colour(features), colours, ignore_index=-1)
        parts = features.split(sizes)
        pooled = torch.stack(
            [
                part[torch.from_numpy(view.cells)].mean(dim=0)
                for part, view in zip(parts, views, strict=True)
                if view.cells is not None and view.cells.any()
            ]
        )  # (N, C)
        rows = [view.truth for view in views if view.cells is not None and view.cells.any()]
        truth = torch.tensor([row for row in rows if row is not None])  # (N, 2)
        report = {'pixels': float(loss.detach()), 'objects': float(len(truth))}
        heads = {'kind': self.heads.object_kind, 'colour': self.heads.object_colour}
        for column, (name, head) in enumerate(heads.items()):
            logits = head(pooled)
            loss = loss + functional.cross_entropy(logits, truth[:, column])
            report[name] = float((logits.argmax(dim=1) == truth[:, column]).float().mean())
        return loss, report

    def _encode(self, views: Sequence[Labelled]) -> tuple[torch.Tensor, list[int]]:
        grids = [grid_of(view.picture) for view in views]
        weight = self.heads.kind.weight
        patches = self._normalize([to_patches(view.picture) for view in views], weight.device, weight.dtype)
        return self.encoder(patches, grids, [1] * len(grids)), [grid.cells for grid in grids]

    def save(self, folder: Path) -> None:
        """Write ``encoder.safetensors`` (for the model) and ``state.pt`` (to go on from)."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.encoder.model.state_dict(), folder / 'encoder.safetensors')
        state = {
            'encoder': self.encoder.state_dict(),
            'heads': self.heads.state_dict(),
            'optimizer': self._optimizer.state_dict(),
            'steps': self.steps,
            'spent_s': self.spent_s,
        }
        torch.save(state, folder / 'state.pt')

    def load(self, folder: Path) -> None:
        """Go on from where :meth:`save` was."""
        state = torch.load(folder / 'state.pt', weights_only=True)
        self.encoder.load_state_dict(state['encoder'])
        self.heads.load_state_dict(state['heads'])
        self._optimizer.load_state_dict(state['optimizer'])
        self.steps, self.spent_s = state['steps'], state['spent_s']


def train(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train until the time is up; yields averages of a hundred steps, and validation now and then."""
    config = nano_config(1024)
    teacher = Teacher(options.clips, config, seed=options.seed)
    run = Pretraining(config, seed=options.seed, total_s=options.minutes * 60)
    if (options.output / 'state.pt').exists():
        run.load(options.output)
    recent: list[dict[str, float]] = []
    while run.spent_s < options.minutes * 60:
        if run.steps % 500 == 0:
            teacher.refresh()
        recent.append(run.step([view for _ in range(_FRAMES) for view in teacher.draw()]))
        if len(recent) == 100:
            yield {'steps': run.steps, 'minutes': run.spent_s / 60, **_means(recent)}
            recent = []
            if run.steps % 500 == 0:
                run.save(options.output)
    run.save(options.output)


def _means(reports: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([report[name] for report in reports])) for name in reports[0]}


def main() -> None:
    """Train, printing a line every hundred steps."""
    parser = argparse.ArgumentParser(
        prog='python -m pixelrefer_sim.encoder_pretraining', description=(__doc__ or '').split('\n')[0]
    )
    parser.add_argument('--clips', type=Path, action='append', required=True, metavar='DIR')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR')
    parser.add_argument('--minutes', type=float, default=30.0, help='of processor time')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / 'metrics.jsonl').open('a') as log:
        for report in train(options):
            line = json.dumps({key: round(value, 4) for key, value in report.items()})
            print(line, flush=True)
            log.write(line + '\n')


if __name__ == '__main__':
    main()
