"""The text around the tokens: chat template, object slots, scene slots, and what a user may not write.

Pure functions on strings. In a rendered prompt every ``<REGION>`` stands for one object token and every
``<image>`` for one scene token; in an instruction every ``<region>`` stands for one object.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .errors import InvalidQuestionError

REGION_SLOT = '<region>'
REGION_TOKEN = '<REGION>'
IMAGE_TOKEN = '<image>'
# What the official tokenizer adds to Qwen's, in the order of their ids.
ADDED_TOKENS = (IMAGE_TOKEN, '<|stream_start|>', '<|stream_end|>', REGION_TOKEN)


def chat(content: str) -> str:
    """Wrap a user's turn so that the assistant's answer comes next; there is no system prompt."""
    return f'<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n'


def seconds_text(time_s: float) -> str:
    """Write a time as the weights were trained to read it: ``0.5``, ``2.0``."""
    return f'{round(float(time_s), 1)}'


def region_slot(token_counts: Sequence[int], times_s: Sequence[float] | None = None) -> str:
    """Return the slot of one object: ``[RR..]``, or ``[Time 0.5:RR..,Time 2.0:RR..]`` with ``times_s``.

    ``token_counts``: object tokens of each of its frames. Without times each frame has brackets of its own.
    """
    frames = [REGION_TOKEN * count for count in token_counts]
    if times_s is None:
        return ''.join(f'[{frame}]' for frame in frames)
    timed = (f'Time {seconds_text(t)}:{frame}' for t, frame in zip(times_s, frames, strict=True))
    return f'[{",".join(timed)}]'


def scene_slot(token_counts: Sequence[int], times_s: Sequence[float] | None = None) -> str:
    """Return the slot of a scene: the image, or with ``times_s`` the frames of a video, and a new line."""
    frames = [IMAGE_TOKEN * count for count in token_counts]
    if times_s is not None:
        frames = [f'Time {seconds_text(t)}s:{frame}' for t, frame in zip(times_s, frames, strict=True)]
    return ','.join(frames) + '\n'


def fill_regions(instruction: str, slots: Sequence[str]) -> str:
    """Replace each ``<region>`` of an instruction, left to right, by the slot of its object.

    Raises :class:`InvalidQuestionError` when there are more or fewer of them than objects.
    """
    pieces = instruction.split(REGION_SLOT)
    if len(pieces) - 1 != len(slots):
        raise InvalidQuestionError(
            f'the instruction has {len(pieces) - 1} {REGION_SLOT} for {len(slots)} objects; '
            'it needs one for each'
        )
    return pieces[0] + ''.join(slot + piece for slot, piece in zip(slots, pieces[1:], strict=True))


def check_text(text: str, control_tokens: Collection[str]) -> None:
    """Raise :class:`InvalidQuestionError` for text that is empty, not Unicode, or holds control tokens."""
    if not text.replace(REGION_SLOT, '').strip():
        raise InvalidQuestionError('the question is empty')
    if any('\ud800' <= character <= '\udfff' for character in text):
        raise InvalidQuestionError('the question is not valid Unicode: it holds a lone surrogate')
    found = sorted(token for token in control_tokens if token in text)
    if found:
        raise InvalidQuestionError(
            f'the question holds {", ".join(found)}, which steers the model; leave it out'
        )
