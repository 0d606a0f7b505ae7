"""What a judge is asked about texts, how its replies are read, and how scores add up.

The questions are in our own words: figures are comparable with each other, not with those of the papers, whose
prompts and judges are others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixelrefer_core.errors import InvalidRequestError

ASPECTS = (
    'Subject Correspondence',
    'Appearance Description',
    'Temporal Description',
    'Hallucination Detection',
)
_ASPECT_SYSTEM = """\
You compare a description of one object of a video with a reference that people wrote. Give four marks from 0 (worst) to
5 (best), halves allowed:
"Subject Correspondence": is it about the same subject?
"Appearance Description": do colour, shape, texture and other looks agree with the reference?
"Temporal Description": do actions, motion and their order agree?
"Hallucination Detection": is everything true that is said and is not in the reference? 5 = nothing invented.
Reply with one JSON object that has these four keys and numbers as values, nothing else."""

_PAIR_SYSTEM = """\
Two assistants answered a question about a region of an image. You see facts about the image instead of the image.
Mark how helpful, relevant, accurate and detailed each answer is, from 1 to 10; order must not matter. Write on the
first line the mark of assistant 1 and the mark of assistant 2, two numbers with a space between them, nothing else."""

_CLAIR_SYSTEM = """\
You are given a caption and reference captions. How likely is it that they describe the same object of the same image?
Reply with one JSON object: "score", a number from 0 (surely not) to 100 (surely), and "reason", a short sentence."""

_CONDENSE_SYSTEM = """\
Shorten the description of an object to one noun phrase with its kind and its most telling features. Reply with the
phrase alone. For instance "There is a tall white mug with a blue rim. It stands near the edge." becomes "a tall white
mug with a blue rim"."""
# Longer captions of Ref-L4 are condensed before they are compared with its short references.
MAX_PHRASE_WORDS = 5
_FAILED = (-1.0, -1.0)


# --- four aspects (VideoRefer-Bench-D) ---


def aspect_question(caption: str, reference: str) -> tuple[str, str]:
    """Return system and user message that ask for the four marks of a description."""
    return _ASPECT_SYSTEM, f'Reference: {reference}\nDescription: {caption}'


def parse_aspects(reply: str) -> dict[str, float]:
    """Read the four marks. Raises :class:`InvalidRequestError` when one is missing or not in 0 to 5."""
    found = _json_object(reply)
    return {aspect: _number(found, aspect, 5.0) for aspect in ASPECTS}


def mean_aspects(marks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each aspect and, as ``total``, the mean of the four."""
    means = {aspect: sum(mark[aspect] for mark in marks) / len(marks) for aspect in ASPECTS}
    return {**means, 'total': sum(means.values()) / len(ASPECTS)}


# --- pairs (Ferret-Bench) ---


@dataclass(frozen=True)
class RatioScore:
    """``official``: 100 * mean mark / mean mark of the reference, unread replies counted as -1 and -1, as upstream
    does; ``ratio``: the same without them; ``failures``: how many there are."""

    official: float
    ratio: float
    failures: int


def pair_question(context: str, question: str, answer: str, reference: str) -> tuple[str, str]:
    """Return the messages that ask for the marks of an answer (first) and of the reference answer (second)."""
    return _PAIR_SYSTEM, (
        f'Facts: {context}\n\nQuestion: {question}\n\nAssistant 1: {answer}\n\nAssistant 2: {reference}'
    )


def parse_pair(reply: str) -> tuple[float, float]:
    """Read two numbers from the first line; (-1, -1) when there are not just two, as upstream does."""
    words = reply.strip().split('\n')[0].replace(',', ' ').split()
    try:
        first, second = map(float, words)
    except ValueError:
        return _FAILED
    return first, second


def ratio_score(pairs: Sequence[tuple[float, float]]) -> RatioScore:
    """Add up the marks of (answer, reference) pairs."""
    read = [pair for pair in pairs if pair != _FAILED]
    return RatioScore(_ratio(pairs), _ratio(read), len(pairs) - len(read))


# --- likeness (CLAIR on Ref-L4) ---


def clair_question(caption: str, references: Sequence[str]) -> tuple[str, str]:
    """Return the messages that ask how likely a caption and references mean one object (Chan et al., 2023).

    The references are whole captions; the official script passes a text where a list is wanted, so that its judge
    reads single characters.
    """
    lines = '\n'.join(f'- {reference}' for reference in references)
    return _CLAIR_SYSTEM, f'Caption: {caption}\nReferences:\n{lines}'


def parse_clair(reply: str) -> float:
    """Read the score, in [0, 1]. Raises :class:`InvalidRequestError` when there is none in 0 to 100."""
    return _number(_json_object(reply), 'score', 100.0) / 100


def condense_question(caption: str) -> tuple[str, str]:
    """Return the messages that ask for a caption as a short phrase."""
    return _CONDENSE_SYSTEM, caption


def is_long(caption: str) -> bool:
    """Tell whether a caption is condensed before it is compared with the phrases of Ref-L4."""
    return len(caption.split()) > MAX_PHRASE_WORDS


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    given, reference = (sum(pair[index] for pair in pairs) for index in (0, 1))
    return 100 * given / reference if reference else float('nan')


def _json_object(reply: str) -> Mapping[str, object]:
    match = re.search(r'\{.*\}', reply, re.DOTALL)
    try:
        found = json.loads(match[0]) if match else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidRequestError(f'the judge did not reply with a JSON object: {reply[:80]!r}')
    return found


def _number(found: Mapping[str, object], key: str, maximum: float) -> float:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
        raise InvalidRequestError(f'the judge gave {value!r} for {key}, not a number from 0 to {maximum:g}')
    return float(value)
