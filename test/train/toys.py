"""Small samples to train on: discs on a noisy ground, and what can be said about them."""

from __future__ import annotations

import numpy as np
import torch

from pixelrefer_core.types import Frame
from pixelrefer_train.learner import Learner, PreparedBatch
from pixelrefer_train.samples import Sample, Turn

HEIGHT, WIDTH = 96, 128
COLOURS = {'red': (200, 30, 28), 'green': (34, 140, 52), 'blue': (36, 72, 196)}
ONE = 'There is one object in the video: <region>.\n'


def disc_sample(index: int, *, frames: int = 2, questions: int = 3) -> Sample:
    """One disc of a colour, which moves or does not; independent questions about it."""
    random = np.random.default_rng(index)
    colour = list(COLOURS)[index % len(COLOURS)]
    moves = bool(index // len(COLOURS) % 2)
    ground = random.integers(60, 200, 3)
    pictures, masks = [], []
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    start = random.integers(30, 60)
    for number in range(frames):
        mask = (rows - 48) ** 2 + (columns - start - 12 * moves * number) ** 2 < 14**2
        noisy = np.clip(ground + random.normal(0, 8, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
        noisy[mask] = COLOURS[colour]
        pictures.append(Frame(noisy, number * 500_000_000))
        masks.append((number, mask))
    turns = (
        Turn(ONE + 'What colour is the marked object?', colour, 'colour'),
        Turn(ONE + 'Is the marked object moving?', 'yes' if moves else 'no', 'motion'),
        Turn(ONE + 'What is the marked object?', f'a {colour} disc', 'caption'),
    )
    return Sample(tuple(pictures), (tuple(masks),), turns[:questions])


class Discs:
    """A source of them."""

    def __init__(self, count: int, first: int = 0, **options: int) -> None:
        self._count, self._first, self._options = count, first, options

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int, epoch: int) -> Sample:
        return disc_sample(self._first + index, **self._options)


def guided(learner: Learner, batch: PreparedBatch, *, steps: int) -> list[float]:
    """Train on one batch; returns what its guides add to the loss before each step."""
    optimizer = torch.optim.AdamW(learner.model.language_model.parameters(), lr=1e-3)
    extras = []
    for _ in range(steps):
        loss = learner(batch).loss
        learner.eval()
        with torch.no_grad():
            extras.append(loss.item() - learner(batch).loss.item())
        learner.train()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return extras
