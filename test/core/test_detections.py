"""What becomes of a detector's stream: births, duplicates, flips, returns, deaths; expectations by hand."""

from dataclasses import replace

import pytest

from pixelrefer_core.association import Known, Region
from pixelrefer_core.detections import Detections
from pixelrefer_core.settings import DetectionSettings
from pixelrefer_core.types import NANOSECONDS, Detection, ObjectState, Prompt

SETTINGS = DetectionSettings()


def box(x, side=40.0):
    return (x, 10.0, x + side, 10.0 + side)


def detection(x, label='cup', score=0.9):
    return Detection(Prompt(label=label, box_xyxy=box(x)), score)


def known(name, x, *, visible=True, last_seen_s=0.0, **fields):
    return Known(name, Region(box(x)), visible, round(last_seen_s * NANOSECONDS), 'cup', **fields)


class Stream:
    """One decision an image, a tenth of a second apart."""

    def __init__(self, settings=SETTINGS):
        self.detections, self.settings, self.image = Detections(), settings, 0

    def __call__(self, *seen, objects=(), room=8, again=False):
        self.image += not again
        stamp_ns = self.image * NANOSECONDS // 10
        return self.detections.decide(seen, objects, stamp_ns, self.settings, room=room)


def test_something_new_is_started_when_two_images_of_three_show_it():
    stream = Stream()
    assert stream(detection(0)).waiting == 1
    assert stream().started == ()
    (prompt,) = stream(detection(5)).started
    assert (prompt.object_id, prompt.label, prompt.box_xyxy) == ('', 'cup', box(5))
    assert stream().waiting == 0


def test_what_shows_in_one_image_of_three_is_forgotten():
    stream = Stream()
    for _ in range(5):
        assert stream(detection(0)).started == ()
        assert stream().started == ()
        assert stream().waiting == 0


def test_one_of_one_starts_at_once():
    stream = Stream(replace(SETTINGS, confirm_hits=1, confirm_of=1))
    assert len(stream(detection(0)).started) == 1


def test_a_burst_of_messages_about_one_image_counts_once():
    stream = Stream()
    stream(detection(0))
    for _ in range(20):
        assert stream(detection(0), again=True).started == ()
    assert len(stream(detection(0)).started) == 1


def test_a_burst_of_duplicates_starts_one_object():
    stream = Stream()
    burst = [detection(k / 2) for k in range(12)]  # 0 to 5.5 of 40: overlaps above 0.75
    assert stream(*burst).waiting == 1
    assert len(stream(*burst).started) == 1


def test_a_doubtful_detection_starts_nothing_but_counts_for_what_has_started():
    stream = Stream()
    stream(detection(0, score=0.2))
    assert stream(detection(0, score=0.2)).waiting == 0
    stream(detection(0, score=0.5))
    assert len(stream(detection(0, score=0.2)).started) == 1


def test_the_class_is_the_one_that_most_of_the_confidence_speaks_for():
    stream = Stream(replace(SETTINGS, confirm_hits=3, confirm_of=3))
    stream(detection(0, 'cup', 0.9))
    stream(detection(0, 'mug', 0.8))
    assert stream(detection(0, 'cup', 0.3)).started[0].label == 'cup'  # 1.2 against 0.8


def test_a_detection_of_a_well_tracked_object_changes_nothing():
    decision = Stream()(detection(3), objects=[known('a', 0)])
    assert (decision.refreshed, decision.started, decision.waiting) == ((), (), 0)


@pytest.mark.parametrize(
    ('fields', 'x'),
    [
        ({'score': 0.4}, 0),
        ({'state': ObjectState.OCCLUDED}, 0),
        ({}, 16),  # overlap 24 / 56 = 0.43: it drifts
    ],
)
def test_a_detection_of_a_weak_object_prompts_it_anew(fields, x):
    (prompt,) = Stream()(detection(x), objects=[known('a', 0, **fields)]).refreshed
    assert (prompt.object_id, prompt.box_xyxy) == ('a', box(x))


def test_an_object_that_was_just_prompted_is_left_alone():
    assert not Stream()(detection(16), objects=[known('a', 0, state=ObjectState.PENDING)]).refreshed


def test_what_another_detection_fits_better_is_a_duplicate_and_starts_nothing():
    stream = Stream()
    for _ in range(5):
        # Overlaps of 0.82 and 0.54 with the object, of 0.43 with each other.
        decision = stream(detection(-4), detection(12), objects=[known('a', 0)])
        assert (decision.started, decision.waiting) == ((), 0)


def test_two_objects_of_one_class_that_cross_start_nothing_and_keep_their_names():
    stream = Stream(replace(SETTINGS, refresh_below=1.0))  # so that every match is told
    for step in range(21):
        a, b = 4.0 * step, 80 - 4.0 * step
        decision = stream(detection(a + 4), detection(b - 4), objects=[known('a', a), known('b', b)])
        assert decision.started == ()
        matched = {prompt.object_id: prompt.box_xyxy[0] for prompt in decision.refreshed}
        if abs(a - b) > 8:
            assert matched == {'a': a + 4, 'b': b - 4}


def test_a_label_that_flips_renames_nothing_and_one_that_stays_does():
    stream = Stream()
    stream.detections.own([('a', 'cup')])
    flips = [stream(detection(0, label), objects=[known('a', 0)]) for label in ['cup', 'mug'] * 10]
    assert all(decision.relabelled == () for decision in flips)
    stays = [stream(detection(0, 'mug'), objects=[known('a', 0)]).relabelled for _ in range(8)]
    assert (('a', 'mug'),) in stays


def test_objects_of_a_person_keep_their_labels():
    stream = Stream()
    for _ in range(20):
        assert stream(detection(0, 'mug'), objects=[known('a', 0)]).relabelled == ()


def test_a_hidden_object_that_is_seen_again_keeps_its_id():
    stream = Stream()
    gone = known('a', 0, visible=False, state=ObjectState.OCCLUDED)
    assert stream(detection(50), objects=[gone]).refreshed == ()
    decision = stream(detection(52), objects=[gone])
    assert [(item.object_id, item.box_xyxy) for item in decision.refreshed] == [('a', box(52))]
    assert decision.started == ()


def test_what_was_in_view_together_with_the_object_is_another_one():
    stream = Stream(replace(SETTINGS, confirm_hits=3, confirm_of=4))
    stream(detection(100), objects=[known('a', 0)])
    gone = known('a', 0, visible=False, last_seen_s=0.1, state=ObjectState.OCCLUDED)
    stream(detection(100), objects=[gone])
    decision = stream(detection(100), objects=[gone])
    assert decision.refreshed == ()
    assert len(decision.started) == 1


def test_without_room_the_confirmed_wait():
    stream = Stream()
    stream(detection(0), detection(100), room=1)
    decision = stream(detection(0), detection(100), room=1)
    assert (len(decision.started), decision.waiting) == (1, 1)
    assert stream(detection(100), room=0).started == ()
    assert len(stream(detection(100), room=1).started) == 1


def test_lost_objects_of_the_detector_make_room_the_longest_lost_first_and_those_of_a_person_do_not():
    stream = Stream()
    stream.detections.own([('old', 'cup'), ('older', 'cup')])
    lost = [
        replace(
            known(name, 500 + 100 * k, visible=False, state=ObjectState.LOST, last_seen_s=seen_s),
            label='ball',
        )
        for k, (name, seen_s) in enumerate([('old', -5.0), ('older', -9.0), ('mine', -20.0)])
    ]
    stream(detection(0), objects=lost, room=0)
    decision = stream(detection(0), objects=lost, room=0)
    assert (len(decision.started), decision.removed) == (1, ('older',))


def test_a_thousand_detections_are_bounded_and_the_best_are_looked_at():
    stream = Stream()
    crowd = [detection(50.0 * k, score=0.3 + k / 2000) for k in range(1000)]
    assert stream(*crowd).waiting == 100
    assert len(stream(*crowd, room=3).started) == 3


def test_nothing_is_left_after_clearing():
    stream = Stream()
    stream.detections.own([('a', 'cup')])
    stream(detection(0))
    stream.detections.clear()
    assert not stream.detections.owns('a')
    assert stream(detection(0)).started == ()
