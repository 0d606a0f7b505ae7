"""Physics of the tabletop: pushes, falls, hits, and what is foretold of them."""

import numpy as np
import pytest

from pixelrefer_sim.actions import Pick, Push, Put
from pixelrefer_sim.events import list_events
from pixelrefer_sim.record import FRAMES, WINDOW_ENDS
from pixelrefer_sim.simulation import Course, Simulation, run
from pixelrefer_sim.stage import build_model

from .staging import scene, thing

pytest.importorskip('mujoco', reason='MuJoCo is not installed')


def play(layout, *actions):
    """Run a scene; returns its events, its windows by their end, and the course."""
    simulation = Simulation(build_model(layout, width=64, height=48), layout, actions)
    windows = {}

    def at(instant):
        if instant in WINDOW_ENDS:
            windows[instant] = simulation.window(instant)

    course = run(simulation, at)
    names = [placed.item.name for placed in layout.objects]
    seen = np.ones((FRAMES, len(names)), int)
    return list_events(course, names, actions, seen, seen), windows, course


def kinds(events, subject):
    return {event.kind for event in events if event.subject == subject}


def outcome(window, name):
    return next(item for item in window.outcomes if item.name == name)


def test_what_nobody_touches_stays():
    events, windows, _ = play(scene(thing('can', 'can', 0, 0), thing('ball', 'ball', 0.2, 0)))
    assert events == ()
    assert all(item.first == 'stays' and item.clear for w in windows.values() for item in w.outcomes)


def test_a_hard_push_to_the_edge_ends_on_the_floor_and_is_foretold():
    push = Push('book', 0.5, (1.0, 0.0), 1.1, 'edge')
    events, windows, _ = play(scene(thing('book', 'book', -0.15, 0)), push)
    assert kinds(events, 'book') == {'pushed', 'moving', 'fell'}
    assert 1.1 < next(event.start_s for event in events if event.kind == 'fell') < 2.0
    told = outcome(windows[10], 'book')
    assert (told.first, told.falls, told.hits, told.clear) == ('falls', True, False, True)
    assert windows[20].outcomes == ()  # it lies on the floor


def test_a_gentle_push_ends_at_rest_on_the_table():
    push = Push('box', 0.3, (1.0, 0.0), 0.3, 'away')
    events, windows, course = play(scene(thing('box', 'box', -0.1, 0)), push)
    assert kinds(events, 'box') == {'pushed', 'moving'}
    assert 0.02 < course.poses[-1, 0, 0] + 0.1 < 0.3
    assert outcome(windows[20], 'box').first in ('stops', 'stays')


def test_a_push_at_another_object_hits_it():
    layout = scene(thing('can', 'can', -0.15, 0), thing('box', 'box', 0.1, 0))
    events, _, _ = play(layout, Push('can', 0.3, (1.0, 0.0), 0.8, 'object'))
    hits = [event for event in events if event.kind == 'hit']
    assert {(event.subject, event.other) for event in hits} == {('can', 'box'), ('box', 'can')}
    assert 'pushed' not in kinds(events, 'box')
    assert 'moving' in kinds(events, 'box')


def test_a_hit_is_foretold_while_the_ball_rolls():
    layout = scene(thing('ball', 'ball', -0.25, 0), thing('box', 'box', 0.2, 0))
    events, windows, _ = play(layout, Push('ball', 0.4, (1.0, 0.0), 0.55, 'object'))
    hit = next(event.start_s for event in events if event.kind == 'hit')
    window = windows[max(end for end in WINDOW_ENDS if end / 10 < hit - 0.05 and not windows[end].open)]
    told = outcome(window, 'ball')
    assert (told.first, told.other, told.hits, told.clear) == ('hits', 'box', True, True)
    assert outcome(window, 'box').other == 'ball'


def test_nothing_is_foretold_while_the_rod_is_at_work():
    _, windows, _ = play(scene(thing('can', 'can', 0, 0)), Push('can', 1.1, (1.0, 0.0), 0.4, 'away'))
    assert windows[10].open
    assert windows[10].outcomes == ()
    assert not windows[16].open


def test_looking_ahead_changes_nothing():
    layout = scene(thing('ball', 'ball', -0.2, 0), thing('box', 'box', 0.2, 0.1))
    push = Push('ball', 0.4, (1.0, 0.0), 0.5, 'edge')
    _, _, watched = play(layout, push)
    simulation = Simulation(build_model(layout, width=64, height=48), layout, (push,))
    assert np.array_equal(run(simulation, lambda instant: None).poses, watched.poses)


def test_a_picked_object_rises_with_the_rod():
    events, _, course = play(scene(thing('mug', 'mug', 0, 0)), Pick('mug', 0.5, 1.4))
    assert 'lifted' in kinds(events, 'mug')
    assert course.poses[4, 0, 2] < 0.05
    assert course.poses[20, 0, 2] > 0.35


def test_an_object_that_is_put_on_another_stays_there():
    layout = scene(thing('box', 'box', 0, 0), thing('cone', 'cone', 0.2, 0.1, scale=0.6))
    put = Put('cone', 0.2, 1.1, (0.0, 0.0, 0.074), 'box')
    events, _, course = play(layout, put)
    placed = next(event for event in events if event.kind == 'placed')
    assert (placed.subject, placed.other) == ('cone', 'box')
    assert course.poses[-1, 1, 2] == pytest.approx(0.074 + 0.018, abs=0.006)
    assert not [event for event in events if event.kind == 'hit']


def test_events_are_read_from_the_course():
    poses = np.zeros((36, 2, 7))
    poses[5:, 0, 0] = np.minimum(np.arange(31) * 0.02, 0.2)  # 0.2 m/s from 0.5 s to 1.5 s
    course = Course(poses, ((1.0, 0, 1),), ((0, 0.45, 0.6),), (None, 2.0))
    whole = np.full((FRAMES, 2), 100)
    seen = whole.copy()
    seen[8:12, 1] = 30
    events = list_events(course, ['a', 'b'], [], seen, whole)
    found = {(e.kind, e.subject, e.other): (e.start_s, e.end_s) for e in events}
    assert found[('pushed', 'a', '')] == (0.45, 0.6)
    assert found[('moving', 'a', '')] == (0.5, 1.5)
    assert found[('hit', 'a', 'b')] == found[('hit', 'b', 'a')] == (1.0, 1.0)
    assert found[('hidden', 'b', '')] == (0.8, 1.2)
    assert found[('fell', 'b', '')] == (2.0, 2.0)
    assert len(found) == 6
