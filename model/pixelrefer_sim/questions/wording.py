"""Training questions in ever other words: with an opening or a close, with words left out or never heard before.

Five ways to ask a thing are soon learnt by heart, and the sixth is then not understood. A listener who has heard much
that does not matter goes by the words that do.
"""

from __future__ import annotations

import re

import numpy as np

_OPENINGS = (
    'Please: ',
    'Robot, ',
    'Hello. ',
    'Look closely. ',
    'Look at the {m}. ',
    'Have a look: ',
    'I wonder. ',
    'I cannot see it from here. ',
    'My question is this. ',
    'One more question: ',
    'Now this: ',
    'Take your time. ',
)
_CLOSES = (
    ' Please.',
    ' Thank you.',
    ' Be brief.',
    ' Say it in short.',
    ' What do you think?',
    ' I need to know.',
)
# Ways to ask whether something is so; each stands for any other.
_WHETHER = (
    'Tell me whether ',
    'Say whether ',
    'I want to know whether ',
    'Do you know whether ',
    'Can you see whether ',
    'Find out whether ',
    'Let me know whether ',
)
_THAT = (
    'Is it true that ',
    'Is it right that ',
    'Do you think that ',
    'Do you believe that ',
    'Could it be that ',
    'Am I right that ',
    'Is it so that ',
)
_OPENED, _CLOSED = 0.25, 0.15
# Of the words of a question, apart from objects and values: left out; another in its place; another before it.
_LEFT_OUT, _REPLACED, _ADDED = 0.07, 0.12, 0.06
# Without these a question would ask for something else.
_KEPT = re.compile(r'[{}]|^(not|or|and)$')
_STARTS = ('b', 'd', 'f', 'g', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'w', 'st', 'tr', 'pl')
_ENDS = ('a', 'e', 'i', 'o', 'u', 'an', 'er', 'ing', 'ul', 'ess')
_SYLLABLES = tuple(f'{start}{end}' for start in _STARTS for end in _ENDS)
_LONGEST = 3  # syllables


def vary(pattern: str, rng: np.random.Generator) -> str:
    """Return other words for a phrasing; its placeholders, negations and the punctuation at its end remain."""
    pattern = _ask_otherwise(pattern, rng)
    end = pattern[-1]
    words = []
    for word in pattern[:-1].split(' '):
        chance = rng.random()
        if _KEPT.search(word):
            words.append(word)
            continue
        if chance < _REPLACED:
            words.append(_unheard(rng))
        elif chance < _REPLACED + _ADDED:
            words += [_unheard(rng), word]
        elif chance >= _REPLACED + _ADDED + _LEFT_OUT:
            words.append(word)
    opening = str(rng.choice(_OPENINGS)) if rng.random() < _OPENED else ''
    close = str(rng.choice(_CLOSES)) if rng.random() < _CLOSED else ''
    return f'{opening}{" ".join(words)}{end}{close}'


def _ask_otherwise(pattern: str, rng: np.random.Generator) -> str:
    for ways in (_WHETHER, _THAT):
        if pattern.startswith(ways):
            way = next(way for way in ways if pattern.startswith(way))
            return str(rng.choice(ways)) + pattern.removeprefix(way)
    return pattern


def _unheard(rng: np.random.Generator) -> str:
    """Return a word that no language has."""
    return ''.join(str(part) for part in rng.choice(_SYLLABLES, int(rng.integers(1, _LONGEST + 1))))
