"""The example behaviour decides by what the node answers, and outlives what the node refuses.

The model says what the test tells it to; node, actions and tracking are real.
"""

from __future__ import annotations

import threading

import pytest
from std_msgs.msg import String

from pixelrefer_core.types import FinishReason, Generation
from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.examples.put_away import PutAway, Status
from pixelrefer_ros.examples.put_away import main as put_away_program
from pixelrefer_ros.pixelrefer_node import PixelReferNode

from ..core.verdict_model import VerdictModel
from .staging import engines_with
from .waiting import wait_for


class Foreteller(VerdictModel):
    """Writes what it is told, once it may; until then its answer is under way."""

    def __init__(self):
        super().__init__()
        self.says = ''
        self.may_answer = threading.Event()
        self.asked = 0

    def generate_in_steps(self, instruction, objects, *, options, on_text=None):
        self.asked += 1
        reason = None
        while reason is None and not self.may_answer.is_set():
            reason = yield
        return Generation(self.says, reason or FinishReason.STOP, 1, 1, 0.0, 0.0, 0.0)


class Behaviour:
    """The example, ticked until the test has seen enough."""

    def __init__(self, robot, object_id='cup', **options):
        self.decisions: list[tuple[str, str, str]] = []
        self.leaf = PutAway(
            robot, object_id, lambda *told: self.decisions.append(told), pause_s=0.05, **options
        )

    def until(self, condition):
        return wait_for(lambda: self.leaf.tick() and condition())

    def end(self) -> tuple[Status, list[str]]:
        status = self.until(lambda: next((s for s in [self.leaf.tick()] if s is not Status.RUNNING), None))
        return status, [decision for _, decision, _ in self.decisions]


@pytest.fixture(scope='module')
def model():
    return Foreteller()


@pytest.fixture(scope='module')
def node(graph, model):
    with engines_with(model):
        yield graph.add(
            PixelReferNode,
            image__reliability='reliable',
            image__timeout_s=300.0,
            generation__timeout_s=300.0,
            watches__most=1,
            watches__share=1.0,
        )


@pytest.fixture(scope='module')
def client(graph, node):
    return PixelReferClient(node=graph.node('robot'))


@pytest.fixture
def robot(node, client, camera, model):
    """The client of a node that tracks the square as 'cup'; the model says that it moves and will fall."""
    client.reset()
    # From the beginning of its way, so that it does not jump back in the middle of a test.
    camera.step += -camera.step % 60
    camera.shoot()
    client.add_object('cup', box=(20, 40, 40, 40))
    model.verdict, model.says, model.asked = (lambda instruction: 0.9), 'Yes, it will.', 0
    model.may_answer.set()
    yield client
    model.may_answer.set()
    wait_for(lambda: not node._watch._goals and not node._ask._goals)


def test_what_moves_and_will_fall_is_put_away(robot):
    behaviour = Behaviour(robot)
    assert behaviour.end() == (Status.SUCCESS, ['PUT_AWAY'])
    assert behaviour.decisions == [('cup', 'PUT_AWAY', 'Will <object1> fall off the table? Yes, it will.')]


def test_nothing_is_asked_about_what_rests(robot, model, camera):
    model.verdict = lambda instruction: 0.1
    behaviour = Behaviour(robot)
    behaviour.until(lambda: model.batches)
    assert not model.asked
    model.verdict = lambda instruction: 0.9
    camera.shoot()
    assert behaviour.end() == (Status.SUCCESS, ['PUT_AWAY'])


def test_what_will_not_fall_is_watched_on(robot, model):
    model.says = 'No, it will stay.'
    behaviour = Behaviour(robot)
    behaviour.until(lambda: model.asked == 2)
    assert behaviour.decisions == []
    model.says = 'yes'
    assert behaviour.end() == (Status.SUCCESS, ['PUT_AWAY'])


@pytest.mark.parametrize('text', ['perhaps', 'Yesterday it fell.', 'Nothing is there.', ''])
def test_an_answer_that_is_neither_yes_nor_no_is_left_to_a_person(robot, model, text):
    model.says = text
    behaviour = Behaviour(robot)
    behaviour.until(lambda: behaviour.decisions)
    assert behaviour.decisions[0] == ('cup', 'CHECK', f'neither yes nor no: {text}')
    assert behaviour.leaf.tick() is Status.RUNNING
    behaviour.leaf.halt()


def test_an_answer_that_comes_too_late_is_not_waited_for(robot, model):
    model.may_answer.clear()
    behaviour = Behaviour(robot, answer_s=0.1)
    behaviour.until(lambda: behaviour.decisions)
    assert behaviour.decisions[0][1] == 'CHECK'
    assert behaviour.decisions[0][2].startswith('TIMEOUT: ')
    model.may_answer.set()
    behaviour.leaf.halt()


def test_a_watch_that_ends_without_an_event_begins_again(robot, model, node):
    model.verdict = lambda instruction: 0.1
    behaviour = Behaviour(robot, watch_s=0.1)
    begun = []

    def again():
        begun.extend(goal.handle.goal_id.uuid.tobytes() for goal in tuple(node._watch._goals))
        return len(set(begun)) > 1

    behaviour.until(again)
    assert behaviour.decisions == []
    behaviour.leaf.halt()


def test_a_node_that_is_busy_is_asked_again_later(robot, model, node):
    model.verdict = lambda instruction: 0.1
    other = robot.watch(['cup'], 'Is it red?')
    wait_for(lambda: node._watch.running == 1)
    refused = []
    behaviour = Behaviour(robot)
    fail = behaviour.leaf._fail
    behaviour.leaf._fail = lambda error, **fields: (refused.append(error.code.name), fail(error, **fields))
    behaviour.until(lambda: len(refused) >= 2)
    assert set(refused) == {'BUSY'}
    model.verdict = lambda instruction: 0.9
    other.cancel()
    assert behaviour.end() == (Status.SUCCESS, ['PUT_AWAY'])


def test_an_object_that_is_not_tracked_is_given_up(robot):
    behaviour = Behaviour(robot, 'ghost')
    assert behaviour.end() == (Status.FAILURE, ['GIVE_UP'])
    assert behaviour.decisions[0][2].startswith("UNKNOWN_OBJECT: no object 'ghost'")


@pytest.mark.parametrize('state', ['watching', 'asking'])
def test_a_behaviour_that_is_pre_empted_stops_the_node(robot, model, node, state):
    model.verdict = lambda instruction: 0.9 if state == 'asking' else 0.1
    model.may_answer.clear()
    behaviour = Behaviour(robot)
    running = (lambda: model.asked) if state == 'asking' else (lambda: node._watch.running)
    behaviour.until(running)
    behaviour.leaf.halt()
    wait_for(lambda: not node._watch._goals and not node._ask._goals)
    assert behaviour.decisions == []


def program(graph, *arguments):
    return put_away_program(['--namespace', graph.namespace, *arguments])


def test_the_program_publishes_what_it_decides(graph, robot, capsys):
    heard = []
    listener = graph.node('listener')
    listener.create_subscription(
        String, 'decisions', lambda message: heard.append(message.data), qos.results()
    )
    assert program(graph) == 0
    wait_for(lambda: heard == ['PUT_AWAY cup'])
    told = capsys.readouterr()
    assert told.out.startswith('PUT_AWAY cup: Will <object1> fall off the table?')
    assert 'random weights' in told.err
    graph.remove(listener)


def test_the_program_says_by_its_status_that_nothing_is_put_away(graph, robot, model):
    model.verdict = lambda instruction: 0.1
    assert program(graph, '--seconds', '0.3') == 1
    assert program(graph, '--object', 'ghost') == 2
