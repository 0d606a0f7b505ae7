"""Which detection is which object; every expectation is worked out by hand."""

import numpy as np
import pytest

from pixelrefer_core.association import (
    Known,
    Region,
    Seen,
    affinity,
    assign,
    likely_return,
    overlap,
    without_duplicates,
)
from pixelrefer_core.types import NANOSECONDS, ObjectState


def box(x, y=0.0, width=10.0, height=10.0):
    return Region((x, y, x + width, y + height))


def square_mask(x, y, side=4, shape=(20, 30)):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def known(name, region, **fields):
    return Known(name, region, True, 0, **fields)


def hidden(name, region, *, last_seen_s=0.0, **fields):
    fields = {'state': ObjectState.OCCLUDED, **fields}
    return Known(name, region, False, round(last_seen_s * NANOSECONDS), **fields)


def test_boxes_overlap_by_their_common_area():
    # 5 x 10 of 10 x 10 + 10 x 10 - 50.
    assert overlap(box(0), box(5)) == pytest.approx(50 / 150)
    assert overlap(box(0), box(10)) == 0.0
    assert overlap(box(0.5, width=1.0, height=1.0), box(0.5, width=1.0, height=1.0)) == 1.0


def test_masks_overlap_by_their_common_pixels_even_where_their_boxes_agree():
    upper, lower = np.zeros((16, 21), bool), np.zeros((16, 21), bool)
    upper[2:8, 3:17] = np.triu(np.ones((6, 14), bool))
    lower[2:8, 3:17] = ~np.triu(np.ones((6, 14), bool), 1)
    lower[2, 16] = True  # the same box for both
    first, second = Region.of(upper), Region.of(lower)
    assert first.box == second.box
    common, union = (upper & lower).sum(), (upper | lower).sum()
    assert overlap(first, second) == pytest.approx(common / union)


def test_masks_at_odd_places_overlap_as_the_whole_images_do():
    random = np.random.default_rng(0)
    for _ in range(50):
        masks = []
        for _ in range(2):
            mask = np.zeros((40, 50), bool)
            (y0, y1), (x0, x1) = np.sort(random.integers(0, 41, 2)), np.sort(random.integers(0, 51, 2))
            mask[y0 : y1 + 1, x0 : x1 + 1] = random.random(mask[y0 : y1 + 1, x0 : x1 + 1].shape) < 0.7
            mask[20, 25] = True
            masks.append(mask)
        expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        assert overlap(*map(Region.of, masks)) == pytest.approx(expected)


def test_a_box_and_a_mask_are_compared_by_their_boxes():
    assert overlap(Region.of(square_mask(4, 4)), box(4, 4, 4, 8)) == pytest.approx(0.5)


def test_an_empty_mask_is_nowhere():
    assert Region.of(np.zeros((5, 5), bool)) is None


def test_the_best_sum_wins_over_the_best_pair():
    # Greedy takes 0.6 and leaves 0.1, which does not count: one object without its detection.
    values = np.array([[0.6, 0.55], [0.5, 0.1]])
    assert assign(values, 0.3) == [(0, 1), (1, 0)]


def test_pairs_below_the_least_never_count_whatever_the_sum():
    assert assign(np.array([[0.29]]), 0.3) == []
    assert assign(np.array([[0.9, 0.29], [0.29, 0.0]]), 0.3) == [(0, 0)]
    assert assign(np.zeros((0, 3)), 0.3) == []
    assert assign(np.zeros((2, 0)), 0.3) == []


def test_a_wrong_class_costs_but_place_can_outweigh_it():
    track = [known('a', box(0), label='cup')]
    same, other, unsaid = (affinity(track, [Seen(box(0), label)])[0, 0] for label in ('cup', 'mug', ''))
    assert (same, other, unsaid) == pytest.approx((1.0, 0.8, 1.0))
    # Half of it: 1/3 - 0.2 is no match any more, and never below nothing.
    assert affinity(track, [Seen(box(5), 'mug')])[0, 0] == pytest.approx(1 / 3 - 0.2)
    assert affinity(track, [Seen(box(9), 'mug')])[0, 0] == 0.0


def test_crossing_objects_of_different_classes_are_told_apart_by_class():
    tracks = [known('a', box(0), label='cup'), known('b', box(4), label='ball')]
    # Both boxes lie between the two: overlaps (2): 8/12, 8/12; the class decides.
    seen = [Seen(box(2), 'ball'), Seen(box(2.001), 'cup')]
    assert assign(affinity(tracks, seen), 0.3) == [(0, 1), (1, 0)]


def test_crossing_objects_of_one_class_keep_the_best_sum():
    # Objects at 0 and 4 move on to 3 and 4. Overlaps of 10-wide boxes at distance d: (10 - d) / (10 + d).
    tracks = [known('a', box(0), label='cup'), known('b', box(4), label='cup')]
    values = affinity(tracks, [Seen(box(3), 'cup'), Seen(box(4), 'cup')])
    assert values == pytest.approx(np.array([[7 / 13, 6 / 14], [9 / 11, 1.0]]))
    # Straight: 0.538 + 1; swapped: 0.429 + 0.818.
    assert assign(values, 0.3) == [(0, 0), (1, 1)]


def test_of_two_that_fit_alike_the_older_one_keeps_it():
    tracks = [known('young', box(0), age_s=0.1), known('old', box(0), age_s=9.0)]
    assert assign(affinity(tracks, [Seen(box(1))]), 0.3) == [(1, 0)]


def test_the_most_confident_of_duplicates_stays_whatever_its_class():
    burst = [Seen(box(0), 'cup', 0.6), Seen(box(0.5), 'mug', 0.9), Seen(box(1), 'cup', 0.6), Seen(box(30))]
    assert without_duplicates(burst, 0.7) == [1, 3]
    assert without_duplicates([Seen(box(0))] * 50, 0.7) == [0]


def test_neighbours_that_overlap_less_are_no_duplicates():
    assert without_duplicates([Seen(box(0)), Seen(box(2))], 0.7) == [0, 1]  # 8 / 12


@pytest.mark.parametrize(
    ('x', 'seconds', 'possible'),
    # Size 10: within 20 + 40 a second.
    [(0.0, 0.0, True), (20.0, 0.0, True), (21.0, 0.0, False), (59.0, 1.0, True), (61.0, 1.0, False)],
)
def test_a_hidden_object_returns_within_reach_of_where_it_was(x, seconds, possible):
    values = likely_return([hidden('a', box(0))], [Seen(box(x))], round(seconds * NANOSECONDS))
    assert (values[0, 0] > 0) == possible


def test_a_lost_object_returns_anywhere_but_only_as_its_own_class():
    far = box(1000)
    lost = hidden('a', box(0), label='cup', state=ObjectState.LOST)
    assert likely_return([lost], [Seen(far, 'cup')], NANOSECONDS)[0, 0] > 0
    assert likely_return([lost], [Seen(far, 'mug')], NANOSECONDS)[0, 0] == 0
    assert likely_return([lost], [Seen(far, '')], NANOSECONDS)[0, 0] == 0
    unnamed = hidden('a', box(0), state=ObjectState.LOST)
    assert likely_return([unnamed], [Seen(box(0), '')], NANOSECONDS)[0, 0] == 0


def test_what_is_far_larger_or_smaller_is_no_return():
    item = [hidden('a', box(0))]
    sizes = [
        Seen(box(0, width=20.0, height=20.0)),
        Seen(box(0, width=21.0, height=20.0)),
        Seen(box(0, width=4.0, height=5.0)),
    ]
    assert (likely_return(item, sizes, 0) > 0).tolist() == [[True, False, False]]


def test_the_nearer_of_two_hidden_objects_returns():
    items = [hidden('far', box(0), label='cup'), hidden('near', box(30), label='cup')]
    values = likely_return(items, [Seen(box(40), 'cup')], NANOSECONDS)
    assert assign(values, 0.0) == [(1, 0)]
