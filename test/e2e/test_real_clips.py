"""Real clips over real ROS, three processes: every kind of prompt, masks against ground truth, an answer at the end."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Clip, kind of prompt, least mean of J and F: below what is measured when no frame is dropped.
CASES = [
    ('blackswan', 'mask', 0.85),
    ('car-shadow', 'mask', 0.6),
    ('dog', 'mask', 0.55),
    ('libby', 'mask', 0.4),
    ('motocross-jump', 'mask', 0.45),
    ('car-shadow', 'box', 0.5),
    ('blackswan', 'point', 0.3),
]


@pytest.mark.parametrize(('name', 'kind', 'least'), CASES)
def test_an_object_of_a_real_clip_is_followed_and_described(session, real_clips, name, kind, least):
    clip = real_clips / 'davis' / name
    outcome = session.track(clip, clip / 'masks', kind, play_hz=4.0)
    print(
        f'{name} by {kind}: J {outcome.region:.3f}, F {outcome.boundary:.3f} over {outcome.frames} of 40 frames'
    )
    assert outcome.frames >= 35
    assert (outcome.region + outcome.boundary) / 2 > least
    assert outcome.answer.text
    assert outcome.answer.object_ids == ['target']
