"""An answer ends before a stop string, and no part of that string is ever shown."""

from __future__ import annotations

import pytest

from pixelrefer_core.stop_strings import StopStrings


def shown(text: str, stops: list[str]) -> tuple[list[str], bool]:
    """Push letter by letter; what came out, and whether a stop string was met."""
    stop = StopStrings(stops)
    pieces = [stop.push(letter) for letter in text]
    pieces.append('' if stop.found else stop.finish())
    return [piece for piece in pieces if piece], stop.found


@pytest.mark.parametrize(
    ('text', 'stops', 'expected', 'found'),
    [
        ('A red cup. Then', ['. '], 'A red cup', True),
        ('aab', ['ab'], 'a', True),
        ('ababac', ['abac'], 'ab', True),
        ('one\ntwo', ['\n', 'o\n'], 'one', True),
        ('one END', ['zz', 'END'], 'one ', True),
        ('almost EN', ['END'], 'almost EN', False),
        ('nothing', [], 'nothing', False),
        ('nothing', [''], 'nothing', False),
    ],
)
def test_text_ends_before_the_first_stop_string(text, stops, expected, found):
    pieces, met = shown(text, stops)
    assert ''.join(pieces) == expected
    assert met is found


def test_text_that_cannot_become_a_stop_string_is_shown_at_once():
    stop = StopStrings(['END'])
    assert [stop.push(letter) for letter in 'EaEN'] == ['', 'Ea', '', '']
    assert stop.push('x') == 'ENx'


def test_the_earliest_of_several_stop_strings_counts_in_one_piece():
    stop = StopStrings(['late', 'early'])
    assert stop.push('so early and late') == 'so '
    assert stop.found
    assert stop.push('more') == ''
