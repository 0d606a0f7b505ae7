"""What is asked about clips made by hand, and that the answers are those that a person would give."""

from collections.abc import Sequence

import numpy as np
import pytest

from pixelrefer_sim.questions.make import facts_about
from pixelrefer_sim.questions.question import Manner, put
from pixelrefer_sim.questions.view import View, still, windows
from pixelrefer_sim.record import ClipRecord, Event, Outcome

from .clips_by_hand import ON_ITS_SIDE, clip, thing

BALL, BOX, MUG = thing('ball', 'ball'), thing('box', 'box', 'blue'), thing('mug', 'mug', 'green', 'small')
HERE = [(0.0, 0.0, 0.0)]
# At rest until 0.4 s, then to the right at 0.4 m/s.
STARTS = [(0.4, 0.0, 0.0), (3.4, 1.2, 0.0)]


def answers(view: View, *marked: str) -> dict[tuple[str, ...], str]:
    """(topic, object, ...) -> the answer in words."""
    return {(f.topic.name, *f.objects): f.topic.say(f.value) for f in facts_about(view, marked)}


def of_window(record: ClipRecord, *marked: str) -> dict[tuple[str, ...], str]:
    return answers(windows(record)[0], *marked)


def one(objects: dict, **more: object) -> dict[str, str]:
    """Answers about the only object of a window, by topic."""
    (item,) = objects
    return {key[0]: said for key, said in of_window(clip(objects, **more), item.name).items()}


def test_a_still_tells_what_an_object_is():
    said = answers(still(clip({MUG: HERE}, still=True)), 'mug')
    assert said['category', 'mug'] == 'mug'
    assert said['colour', 'mug'] == 'green'
    assert said['size', 'mug'] == 'small'
    assert said['phrase', 'mug'] == 'a small green mug'
    assert said['position', 'mug'] == 'in the middle'
    assert said['caption', 'mug'] == 'A small green mug, in the middle of the image.'


def test_a_still_is_not_asked_what_happens():
    topics = {
        key[0] for key in answers(still(clip({BALL: HERE, BOX: [(0, 0.4, 0.0)]}, still=True)), 'ball', 'box')
    }
    assert not topics & {'doing', 'moving', 'history', 'why', 'next', 'will_fall', 'how_many_move'}


@pytest.mark.parametrize(('x', 'where'), [(-0.6, 'on the left'), (0.6, 'on the right')])
def test_the_place_is_a_third_of_the_picture(x, where):
    # 0.6 m are 127 pixels from the middle at 192 of 384.
    assert answers(still(clip({BALL: [(0, x, 0)]}, still=True)), 'ball')['position', 'ball'] == where


def test_near_the_line_between_two_thirds_nobody_is_asked_for_the_place():
    # 0.3 m are 64 pixels: the line is at 256.
    assert ('position', 'ball') not in answers(still(clip({BALL: [(0, 0.3, 0)]}, still=True)), 'ball')


def test_relations_are_those_of_the_camera():
    said = answers(still(clip({BALL: [(0, -0.3, 0.0)], BOX: [(0, 0.2, 0.1)]}, still=True)), 'ball', 'box')
    assert said['side', 'ball', 'box'] == 'to the left'
    assert said['side', 'box', 'ball'] == 'to the right'
    assert said['depth', 'ball', 'box'] == 'in front of it'
    assert said['depth', 'box', 'ball'] == 'behind it'
    assert said['where', 'ball', 'box'] == 'to the left of it'
    assert said['is_nearer', 'ball', 'box'] == 'Yes.'
    assert said['close', 'ball', 'box'] == 'No.'


def test_in_front_is_said_of_what_stands_straight_before_another():
    said = answers(still(clip({BALL: HERE, BOX: [(0, 0.02, 0.3)]}, still=True)), 'ball', 'box')
    assert said['where', 'ball', 'box'] == 'in front of it'
    assert ('side', 'ball', 'box') not in said


def test_relations_without_a_clear_margin_are_not_asked():
    # 10 cm across are 21 pixels, of 24; 5 cm deep, of 6.
    said = answers(still(clip({BALL: HERE, BOX: [(0, 0.1, 0.05)]}, still=True)), 'ball', 'box')
    assert not {'side', 'depth', 'where', 'nearer', 'is_nearer'} & {key[0] for key in said}


def test_bigger_is_what_is_bigger_in_every_way():
    book, small = thing('book', 'book'), thing('can', 'can', 'blue', 'small')
    said = answers(still(clip({book: HERE, small: [(0, 0.4, 0)]}, still=True)), 'book', 'can')
    assert said['bigger', 'book', 'can'] == 'the first'
    assert said['is_bigger', 'can', 'book'] == 'No.'
    # A plate is wider than a bottle, and the bottle taller.
    plate, bottle = thing('plate', 'plate'), thing('bottle', 'bottle')
    flat = answers(still(clip({plate: HERE, bottle: [(0, 0.4, 0)]}, still=True)), 'plate', 'bottle')
    assert ('bigger', 'plate', 'bottle') not in flat


def test_an_object_that_starts_is_moving_and_stood_still_before():
    said = one(
        {BALL: STARTS},
        events=[Event('moving', 'ball', 0.4, 2.0), Event('pushed', 'ball', 0.4, 0.6)],
    )
    assert said['moving'] == 'Yes.'
    assert said['still'] == 'No.'
    assert said['direction'] == 'to the right'
    assert said['doing'] == 'It is rolling to the right.'
    assert said['history'] == 'It stood still, then it moved.'
    assert said['before'] == 'It stood still.'
    assert said['moved'] == 'Yes.'
    assert said['started'] == 'Yes.'
    assert said['stopped'] == 'No.'
    assert said['why'] == 'The rod pushed it.'
    # At 0.24 m the ball is too near the line between two thirds, so there is no caption.
    assert 'caption' not in said


@pytest.mark.parametrize(
    ('x', 'y', 'doing'),
    [
        (-0.3, 0.0, 'It is sliding to the left.'),
        (0.0, 0.3, 'It is sliding away from the camera.'),
        (0.0, -0.3, 'It is sliding towards the camera.'),
    ],
)
def test_what_does_not_roll_slides(x, y, doing):
    assert one({BOX: [(0, 0, 0), (1.0, x, y)]})['doing'] == doing


def test_between_two_directions_none_is_asked_for():
    # 0.24 m to the right are 51 pixels, 0.3 m away 45.
    said = one({BOX: [(0, 0, 0), (1.0, 0.24, 0.3)]})
    assert said['moving'] == 'Yes.'
    assert 'direction' not in said
    assert 'doing' not in said


def test_an_object_at_rest_stands_still():
    said = one({BOX: HERE}, outcomes=[Outcome('box', 'stays', '', False, False, True)])
    assert said['doing'] == 'It is standing still.'
    assert said['history'] == 'It stood still all the time.'
    assert said['moved'] == 'No.'
    assert said['next'] == 'It will stay where it is.'
    assert said['caption'] == 'A large blue box, in the middle of the video. It is standing still.'
    assert 'why' not in said


def test_an_object_that_stops_has_moved_first():
    said = one({BALL: [(0, -0.1, 0), (0.5, 0.1, 0)]}, events=[Event('moving', 'ball', 0.0, 0.5)])
    assert said['doing'] == 'It has come to rest.'
    assert said['history'] == 'It moved, then it stopped.'
    assert said['before'] == 'It was rolling to the right.'
    assert said['started'] == 'No.'
    assert said['stopped'] == 'Yes.'


def test_creeping_is_neither_motion_nor_rest():
    # 4 cm/s: 0.8 cm from frame to frame.
    said = one({BALL: [(0, 0, 0), (1, 0.04, 0)]})
    assert not {'moving', 'still', 'doing', 'history', 'before'} & said.keys()


def test_a_ball_that_fell_has_fallen():
    said = one(
        {BALL: [(0, 0, 0), (1.0, 0.5, 0)]},
        events=[Event('moving', 'ball', 0, 0.9), Event('fell', 'ball', 0.8, 0.8)],
        seen={('ball', 9): 0},
    )
    assert said['fell'] == 'Yes.'
    assert said['history'] == 'It moved, then it fell off the table.'
    assert not {'doing', 'moving', 'next', 'at_edge', 'position'} & said.keys()


def test_a_bottle_on_its_side_has_tipped_over():
    said = one({thing('bottle', 'bottle'): HERE}, turned={('bottle', 5): ON_ITS_SIDE})
    assert said['tipped'] == 'Yes.'
    assert 'would_roll' not in said


def test_what_the_rod_has_is_being_lifted():
    events = [Event('lifted', 'mug', 0.2, 1.4), Event('moving', 'mug', 0.4, 1.4)]
    said = one({MUG: STARTS}, events=events)
    assert said['doing'] == 'It is being lifted.'
    assert said['why'] == 'The rod lifted it.'
    assert 'moving' not in said


def test_a_covered_object_was_hidden():
    said = one({BOX: HERE}, seen={('box', 6): 10})
    assert said['hid'] == 'Yes.'
    assert not {'doing', 'position', 'at_edge'} & said.keys()
    back = one({BOX: HERE}, seen={('box', 4): 10, ('box', 6): 400})
    assert back['hid'] == 'Yes.'
    assert one({BOX: HERE})['hid'] == 'No.'


def hit_by_ball() -> ClipRecord:
    events = [
        Event('pushed', 'ball', 0.2, 0.4),
        Event('moving', 'ball', 0.2, 0.7),
        Event('hit', 'ball', 0.7, 0.7, 'box'),
        Event('hit', 'box', 0.7, 0.7, 'ball'),
        Event('moving', 'box', 0.7, 1.5),
    ]
    paths = {
        BALL: [(0.2, -0.4, 0), (0.7, -0.2, 0)],
        BOX: [(0.7, 0, 0), (2.0, 0.5, 0)],
        MUG: [(0, 0, 0.4)],
    }
    outcomes = [
        Outcome('ball', 'stays', '', False, False, True),
        Outcome('box', 'falls', '', True, False, True),
        Outcome('mug', 'stays', '', False, False, True),
    ]
    return clip(paths, events=events, outcomes=outcomes)


def test_a_hit_explains_why_an_object_moves():
    said = of_window(hit_by_ball(), 'ball', 'box', 'mug')
    assert said['why', 'box'] == 'Another object hit it.'
    assert said['why', 'ball'] == 'The rod pushed it.'
    assert said['caused', 'ball', 'box'] == 'Yes.'
    assert said['caused', 'mug', 'box'] == 'No.'
    assert said['caused', 'box', 'ball'] == 'No.'
    assert said['first_mover', 'ball', 'box'] == 'the first'
    assert said['first_mover', 'box', 'ball'] == 'the second'


def test_several_objects_are_told_apart():
    said = of_window(hit_by_ball(), 'mug', 'box', 'ball')
    group = ('mug', 'box', 'ball')
    assert said[('which_moves', *group)] == 'the second'
    assert said[('which_falls', *group)] == 'the second'
    assert said[('how_many_move', *group)] == 'one'
    assert said[('leftmost', *group)] == 'the third'
    assert said[('rightmost', *group)] == 'the second'
    assert said[('same_colour', *group)] == 'No.'
    assert said[('same_size', *group)] == 'No.'
    assert said[('how_many_colour', *group)] == 'one'
    which = {
        f.detail: f.value
        for f in facts_about(windows(hit_by_ball())[0], group)
        if f.topic.name == 'which_colour'
    }
    assert which == {'green': 'first', 'blue': 'second', 'red': 'third'}


@pytest.mark.parametrize(
    ('first', 'falls', 'hits', 'next_', 'polar'),
    [
        ('falls', True, False, 'It will fall off the table.', ('Yes.', 'No.', 'No.')),
        ('hits', False, True, 'It will hit another object.', ('No.', 'Yes.', None)),
        ('stops', False, False, 'It will come to rest on the table.', ('No.', 'No.', 'Yes.')),
        ('moves', False, False, 'It will keep moving.', ('No.', 'No.', 'No.')),
    ],
)
def test_the_future_is_the_outcome(first, falls, hits, next_, polar):
    said = one({BALL: STARTS}, outcomes=[Outcome('ball', first, '', falls, hits, True)])
    assert said['next'] == next_
    assert tuple(said.get(topic) for topic in ('will_fall', 'will_hit', 'will_stop')) == polar


def test_which_object_will_be_hit_is_asked_of_what_moves():
    paths = {BALL: STARTS, BOX: [(0, 0.5, 0)], MUG: [(0, 0, 0.4)]}
    said = of_window(
        clip(paths, outcomes=[Outcome('ball', 'hits', 'box', False, True, True)]), 'ball', 'box', 'mug'
    )
    assert said['will_hit_it', 'ball', 'box'] == 'Yes.'
    assert said['will_hit_it', 'ball', 'mug'] == 'No.'
    assert ('will_hit_it', 'box', 'mug') not in said


@pytest.mark.parametrize(
    'unknown',
    [
        {'open_': True},
        {'outcomes': [Outcome('ball', 'falls', '', True, False, False)]},
        {'outcomes': [Outcome('ball', 'stays', '', False, False, True)]},  # it seems to move, and has stopped
    ],
)
def test_an_unclear_future_is_not_asked_for(unknown):
    assert (
        not {'next', 'will_fall', 'will_hit', 'will_stop', 'will_stay'}
        & one({BALL: STARTS}, **unknown).keys()
    )


def test_use_and_danger_follow_from_what_is_seen():
    # The table ends at 0.8 m; the box is 6 cm wide from its middle.
    said = of_window(clip({BOX: [(0, 0.72, 0)], BALL: HERE}), 'box', 'ball')
    assert said['at_edge', 'box'] == 'Yes.'
    assert said['at_edge', 'ball'] == 'No.'
    assert said['stackable', 'box'] == 'Yes.'
    assert said['stackable', 'ball'] == 'No.'
    assert said['would_roll', 'ball'] == 'Yes.'
    assert said['would_roll', 'box'] == 'No.'


def test_what_is_hardly_seen_is_not_asked_about():
    view = still(clip({BOX: HERE, MUG: HERE}, seen={('box', 0): 29, ('mug', 0): 150}, still=True))
    assert view.askable == ('mug',)
    topics = {key[0] for key in answers(view, 'mug')}
    assert 'colour' in topics
    assert not topics & {'category', 'size', 'phrase', 'caption'}  # less than half of it is seen


def test_what_training_never_sees_is_noted():
    pair = thing('ball', 'ball', 'orange')  # the ball's held-out colour
    record = clip({pair: HERE, BOX: HERE}, texture='marble', light=120.0)
    assert windows(record)[0].held_out(('ball',)) == ('pair', 'texture', 'light')
    assert windows(clip({pair: HERE, MUG: HERE}))[0].held_out(('mug',)) == ()


def asked(record: ClipRecord, topic: str, marked: Sequence[str], manner: Manner, seed: int = 0):
    view = windows(record)[0]
    fact = next(f for f in facts_about(view, marked) if f.topic.name == topic)
    return put(fact, marked, manner, np.random.default_rng(seed), medium=view.medium)


def test_options_hold_the_answer_at_the_letter():
    question = asked(clip({BALL: HERE}), 'colour', ['ball'], Manner('choice', letter=2))
    assert question.answer == question.label == 'C'
    assert question.choices[2] == '(C) red'
    assert question.classes == ('A', 'B', 'C', 'D')
    assert len({option[4:] for option in question.choices}) == 4
    expected = (
        ' '.join(question.choices) + ". Answer with the option's letter from the given choices directly."
    )
    assert question.text.endswith(expected)


@pytest.mark.parametrize(('true', 'answer'), [(True, 'Yes.'), (False, 'No.')])
def test_claims_are_true_or_false_as_wanted(true, answer):
    for seed in range(10):
        question = asked(clip({BALL: HERE}), 'colour', ['ball'], Manner('yes_no', true=true), seed)
        assert question.answer == answer
        assert ('red' in question.text) is true


def test_ordinals_count_the_marked_objects_whatever_the_order_of_the_question():
    paths = {MUG: HERE, BOX: [(0, 0.2, 0.3)], BALL: [(0, -0.2, -0.3)]}
    view = still(clip(paths, still=True))
    marked = ['mug', 'box', 'ball']
    fact = next(
        f for f in facts_about(view, marked) if (f.topic.name, *f.objects) == ('nearer', 'ball', 'box')
    )
    question = put(fact, marked, Manner('open'), np.random.default_rng(0), medium='image')
    assert question.answer == 'the third'
    assert question.classes == ('the second', 'the third')


def test_a_question_about_one_of_several_says_which():
    record = clip({BOX: HERE, MUG: [(0, 0.4, 0)]}, outcomes=[Outcome('mug', 'stays', '', False, False, True)])
    for seed in range(30):
        assert '<object2>' in asked(record, 'next', ['box', 'mug'], Manner('open'), seed).text
