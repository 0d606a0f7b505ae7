"""The watch action: every way in which a condition is told of, and in which a goal ends.

The model says yes or no as the test tells it to; everything else is real. The camera takes ten images a second of its
own time, and each of them makes object tokens.
"""

from __future__ import annotations

import threading

import pytest
from std_srvs.srv import SetBool, Trigger

from pixelrefer_core.errors import NotReadyError, RequestTimeoutError, UnknownObjectError
from pixelrefer_ros import goal_stream, goals, qos
from pixelrefer_ros.action import Watch
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.msg import NodeStatus, ResultCode, WatchEvent
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, AskObjects, RemoveObjects
from pixelrefer_ros.stamps import to_duration, to_seconds
from pixelrefer_ros.watch_cli import main as watch_program

from ..core.verdict_model import VerdictModel
from .staging import PATIENCE_S, SentGoal, action_client, engines_with
from .waiting import wait_for

MOST = 50
RATE_HZ = 20.0
# For a machine that is busy with other things.
LONG_S = 600.0


class Watcher:
    def __init__(self, graph):
        self.node = graph.node('watcher')
        self.client = action_client(self.node, Watch, 'watch')
        self.open: list[SentGoal] = []

    def __call__(self, condition='Is it red?', **fields) -> SentGoal:
        goal = SentGoal(self.client, Watch.Goal(**({'condition': condition, 'object_ids': ['cup']} | fields)))
        self.open.append(goal)
        return goal


@pytest.fixture(scope='module')
def model():
    return VerdictModel()


@pytest.fixture(scope='module')
def node(graph, model):
    with engines_with(model):
        yield graph.add(
            PixelReferNode,
            image__reliability='reliable',
            image__timeout_s=300.0,
            generation__timeout_s=300.0,
            window__sample_rate_hz=10.0,
            publish__feedback_rate_hz=RATE_HZ,
            publish__status_rate_hz=20.0,
            watches__most=MOST,
            watches__share=1.0,
            watches__turn_s=10.0,
        )


@pytest.fixture(scope='module')
def watcher(graph, node):
    return Watcher(graph)


@pytest.fixture
def watch(watcher, camera, node, call, model):
    """Watches of the square, which is tracked as 'cup'; afterwards all of them are cancelled."""
    model.verdict = lambda instruction: 0.1
    call(Trigger, 'pixelrefer_node/reset')
    # From the beginning of its way, so that it does not jump back, and is lost, in the middle of a test.
    camera.step += -camera.step % 60
    camera.shoot()
    response = call(AddObjects, 'add_objects', prompts=[make_prompt('cup', box=(20, 40, 40, 40))])
    assert response.error_code == ResultCode.NONE, response.error_msg
    yield watcher
    for goal in watcher.open:
        if goal.handle.accepted:
            goal.cancel()
    wait_for(lambda: not node._watch._goals)
    watcher.open.clear()


@pytest.fixture
def events(graph):
    """What is heard on the topic from now on, and the last ten before."""
    heard: list[WatchEvent] = []
    node = graph.node('listener')
    node.create_subscription(WatchEvent, 'events', heard.append, qos.latched(depth=10))
    yield heard
    graph.remove(node)


def of(goal, events):
    return [event for event in events if event.request_id == goal.id]


def say(model, camera, probability: float):
    """From the next image on the model says this; return that image's header once it has been checked."""
    model.verdict = lambda instruction: probability
    checks = sum(map(len, model.batches))
    header = camera.shoot()
    wait_for(lambda: sum(map(len, model.batches)) > checks)
    return header


def checked(goal, count: int = 1):
    wait_for(lambda: len(goal.feedback) >= count)


# --- how a condition is told of


def test_a_condition_that_begins_to_hold_ends_the_goal_with_its_evidence(watch, model, camera, events):
    first = camera.updates[-1].header
    goal = watch('the cup is red', window=to_duration(0.2))
    checked(goal)
    stamps = [first.stamp] + [say(model, camera, 0.2).stamp for _ in range(3)]
    header = say(model, camera, 0.9)
    assert goal.ended() == ('SUCCEEDED', 'NONE')
    result = goal.result
    assert (result.triggered, result.triggers) == (True, 1)
    event = result.event
    assert event.header == header
    assert event.probability == pytest.approx(0.9)
    assert list(event.frame_stamps) == [*stamps[-2:], header.stamp]
    assert (event.request_id, event.object_ids, event.condition) == (goal.id, ['cup'], 'the cup is red')
    assert (event.number, event.model, event.model_trained) == (1, 'paced', False)
    assert model.batches[-1][0].endswith('Is it true that the cup is red?')
    wait_for(lambda: of(goal, events) == [event])


def test_what_holds_at_once_triggers_at_once(watch, model):
    model.verdict = lambda instruction: 0.8
    assert watch().ended() == ('SUCCEEDED', 'NONE')


def test_thresholds_of_the_goal_count_and_otherwise_those_of_the_node(watch, model, camera):
    configured, low = watch(repeat=True), watch(on_threshold=0.4)
    checked(configured)
    say(model, camera, 0.5)
    assert low.ended() == ('SUCCEEDED', 'NONE')
    wait_for(lambda: configured.feedback[-1].probability == 0.5)
    assert configured.feedback[-1].triggers == 0


def test_feedback_tells_probability_state_and_evidence(watch, model, camera):
    goal = watch(repeat=True, cooldown=to_duration(1.0))
    checked(goal)
    told = []
    for probability in (0.5, 0.9, 0.6, 0.1):
        header = say(model, camera, probability)
        feedback = wait_for(
            lambda h=header: next((f for f in goal.feedback if f.frame_stamps[-1] == h.stamp), None)
        )
        told.append((round(feedback.probability, 3), feedback.state, feedback.triggers))
    watching, holding, cooling = (
        Watch.Feedback.STATE_WATCHING,
        Watch.Feedback.STATE_HOLDING,
        Watch.Feedback.STATE_COOLING,
    )
    assert told == [(0.5, watching, 0), (0.9, holding, 1), (0.6, holding, 1), (0.1, cooling, 1)]


def test_a_goal_that_repeats_triggers_again_only_after_its_cooldown(watch, model, camera, events):
    goal = watch(repeat=True, cooldown=to_duration(0.5))
    checked(goal)
    headers = [say(model, camera, probability) for probability in (0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.1)]
    wait_for(lambda: len(of(goal, events)) == 2)
    assert [event.header for event in of(goal, events)] == [headers[0], headers[5]]
    assert [event.number for event in of(goal, events)] == [1, 2]
    goal.cancel()
    assert goal.ended() == ('CANCELED', 'CANCELED')
    assert (goal.result.triggered, goal.result.triggers) == (True, 2)
    assert goal.result.event.header == headers[5]


def test_so_many_of_the_last_checks_must_agree(watch, model, camera):
    goal = watch(hits=2, of=3)
    checked(goal)
    for probability in (0.9, 0.1):
        say(model, camera, probability)
    header = say(model, camera, 0.9)
    assert goal.ended() == ('SUCCEEDED', 'NONE')
    assert goal.result.event.header == header


def test_feedback_keeps_its_rate_however_fast_checks_come(watch, model, camera):
    goal = watch()
    checked(goal)
    camera.shoot(25)
    model.verdict = lambda instruction: 0.9
    camera.shoot()
    assert goal.ended()[0] == 'SUCCEEDED'
    elapsed_s = to_seconds(goal.feedback[-1].elapsed)
    assert len(goal.feedback) <= RATE_HZ * elapsed_s + 3


def test_whoever_joins_late_hears_the_last_events_and_not_more(watch, model, camera, graph):
    goal = watch(repeat=True)
    checked(goal)
    for _ in range(11):
        for probability in (0.9, 0.1):
            say(model, camera, probability)
    wait_for(lambda: goal.feedback[-1].triggers == 11)
    heard: list[WatchEvent] = []
    late = graph.node('late')
    late.create_subscription(WatchEvent, 'events', heard.append, qos.latched(depth=10))
    wait_for(lambda: heard and heard[-1].number == 11)
    assert [event.number for event in of(goal, heard)] == list(range(2, 12))
    graph.remove(late)


# --- several


def test_several_watches_are_one_batch(watch, model, camera):
    goals = [watch(f'Is it {number}?') for number in range(5)]
    for goal in goals:
        checked(goal)

    def all_together() -> bool:
        say(model, camera, 0.1)
        return len(model.batches[-1]) == 5

    wait_for(all_together)  # batches grow step by step


@pytest.mark.timeout(LONG_S)
def test_fifty_watches_are_checked_in_bounded_batches_while_the_camera_goes_on(watch, model, camera, node):
    model.batches.clear()
    conditions = [f'Is it {number}?' for number in range(MOST)]
    many = [watch(condition) for condition in conditions]
    refused = watch('One more?')
    assert refused.ended() == ('ABORTED', 'BUSY')
    assert f'{MOST} conditions' in refused.result.error_msg
    before = node._worker.statistics()
    camera.shoot(8)
    assert node._worker.statistics().frames_tracked == before.frames_tracked + 8
    shoot_and_check(conditions, model, camera)
    wait_for(lambda: all(goal.feedback for goal in many), LONG_S)
    assert max(map(len, model.batches)) <= node.settings.watches.batch
    many[0].cancel()
    assert many[0].ended()[0] == 'CANCELED'
    watch('Is there room?')
    shoot_and_check(['Is there room?'], model, camera)


def shoot_and_check(conditions, model, camera):
    """Take the next image and wait until every condition has been checked on it."""
    done = len(model.batches)
    camera.shoot()

    def all_are_checked() -> bool:
        asked = '\n'.join(instruction for batch in model.batches[done:] for instruction in batch)
        return all(condition in asked for condition in conditions)

    wait_for(all_are_checked, LONG_S)


def test_the_status_counts_the_watches_that_run(graph, watch, model):
    heard: list[NodeStatus] = []
    listener = graph.node('status_listener')
    listener.create_subscription(NodeStatus, 'status', heard.append, qos.latched())
    goals = [watch(f'Is it {number}?') for number in range(3)]
    wait_for(lambda: heard and heard[-1].watches == 3)
    assert watch(' ').ended() == ('ABORTED', 'INVALID_QUESTION')
    for left, goal in zip((2, 1, 0), goals, strict=True):
        goal.cancel()
        wait_for(lambda count=left: heard[-1].watches == count)
    graph.remove(listener)


# --- how goals end


def test_cancelling_ends_the_watch(watch, model, camera, node):
    goal = watch()
    checked(goal)
    goal.cancel()
    assert goal.ended() == ('CANCELED', 'CANCELED')
    assert not goal.result.triggered
    checks = sum(map(len, model.batches))
    camera.shoot(2)
    assert sum(map(len, model.batches)) == checks


def test_one_trigger_that_does_not_come_in_time_is_a_timeout(watch):
    goal = watch(timeout=to_duration(0.05))
    assert goal.ended() == ('ABORTED', 'TIMEOUT')
    assert not goal.result.triggered


def test_a_goal_that_repeats_has_done_its_work_when_the_time_is_over(watch, model, camera):
    model.verdict = lambda instruction: 0.9
    goal = watch(repeat=True, timeout=to_duration(0.5))
    assert goal.ended() == ('SUCCEEDED', 'NONE')
    assert (goal.result.triggered, goal.result.triggers) == (True, 1)


@pytest.mark.parametrize('end', ['remove', 'reset'])
def test_a_watch_ends_when_its_object_is_removed(watch, call, end):
    goal = watch()
    checked(goal)
    if end == 'remove':
        assert call(RemoveObjects, 'remove_objects', object_ids=['cup']).error_code == ResultCode.NONE
    else:
        assert call(Trigger, 'pixelrefer_node/reset').success
    assert goal.ended() == ('ABORTED', 'UNKNOWN_OBJECT')
    assert 'no longer tracked' in goal.result.error_msg


def test_deactivating_ends_watches_and_the_next_is_not_ready(watch, call, camera):
    def enable(value):
        assert call(SetBool, 'pixelrefer_node/enable', data=value).success

    watches = [watch(), watch('Is it blue?', repeat=True)]
    for goal in watches:
        checked(goal)
    enable(False)
    for goal in watches:
        assert goal.ended() == ('ABORTED', 'NOT_READY')
        assert 'deactivated' in goal.result.error_msg
    refused = watch()
    assert refused.ended() == ('ABORTED', 'NOT_READY')
    assert 'inactive' in refused.result.error_msg
    enable(True)
    camera.shoot()
    checked(watch())


FAULTS = {
    'an empty condition': ({'condition': ' '}, 'INVALID_QUESTION', 'is empty'),
    'a long condition': ({'condition': 'y' * 10000}, 'QUESTION_TOO_LONG', 'limits.question_chars'),
    'an object that is not listed': ({'condition': 'Is <object2> red?'}, 'INVALID_QUESTION', '<object2>'),
    'no objects': ({'object_ids': []}, 'INVALID_REQUEST', 'no object is named'),
    'a wrong id': ({'object_ids': ['cup', 'ghost']}, 'UNKNOWN_OBJECT', "no object 'ghost'"),
    'thresholds that cross': ({'on_threshold': 0.2, 'off_threshold': 0.8}, 'INVALID_REQUEST', 'thresholds'),
    'a threshold that is no number': ({'on_threshold': float('nan')}, 'INVALID_REQUEST', 'thresholds'),
    'more hits than checks': ({'hits': 3, 'of': 2}, 'INVALID_REQUEST', '3 of 2'),
    'a negative window': ({'window': to_duration(-1.0)}, 'INVALID_REQUEST', 'window'),
    'a negative cooldown': ({'cooldown': to_duration(-1.0)}, 'INVALID_REQUEST', 'cooldown'),
    'a negative timeout': ({'timeout': to_duration(-1.0)}, 'INVALID_REQUEST', 'timeout'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_faulty_goal_is_aborted_with_its_own_code_and_a_sentence(watch, fault):
    fields, code, sentence = FAULTS[fault]
    goal = watch(**fields)
    assert goal.ended() == ('ABORTED', code)
    assert sentence in goal.result.error_msg


def test_a_model_that_cannot_say_yes_or_no_is_unsupported(watch, monkeypatch):
    monkeypatch.setattr(VerdictModel, 'answers_yes_no', False)
    assert watch().ended() == ('ABORTED', 'UNSUPPORTED')


def test_a_fault_of_the_model_ends_its_watch_and_no_other(watch, model, camera):
    def verdict(instruction):
        return 1 / ('broken' not in instruction) - 0.9

    broken, sound = watch('Is it broken?'), watch()
    checked(broken)
    checked(sound)
    model.verdict = verdict
    camera.shoot()
    assert broken.ended() == ('ABORTED', 'UNKNOWN')
    heard = len(sound.feedback)
    camera.shoot()
    checked(sound, heard + 1)


def test_too_many_goals_are_rejected(watch, monkeypatch):
    monkeypatch.setattr(goals, 'KEPT_GOALS', 0)
    assert not watch().handle.accepted


def test_an_answer_and_a_watch_go_on_side_by_side(watch, model, camera, call):
    goal = watch()
    checked(goal)
    model.go.release(1000)
    response = call(AskObjects, 'ask_objects', object_ids=['cup'], question='What?')
    assert response.error_code == ResultCode.NONE
    model.go = threading.Semaphore(0)
    say(model, camera, 0.9)
    assert goal.ended()[0] == 'SUCCEEDED'


# --- the client


@pytest.fixture
def robot(graph, watch):
    node = graph.node('robot')
    yield PixelReferClient(node=node)
    graph.remove(node)


def test_the_client_waits_for_an_event(robot, model, camera):
    probabilities = []
    stream = robot.watch(
        ['cup'], 'Is it red?', on_check=lambda feedback: probabilities.append(feedback.probability)
    )
    wait_for(lambda: probabilities)
    header = say(model, camera, 0.9)
    assert stream.wait().header == header
    assert probabilities[0] == pytest.approx(0.1)


def test_the_client_gets_every_event_until_it_cancels(robot, model, camera):
    seen = []
    with robot.watch(['cup'], 'Is it red?', repeat=True) as stream:
        thread = threading.Thread(target=lambda: seen.extend(stream))
        thread.start()
        for _ in range(3):
            say(model, camera, 0.9)
            say(model, camera, 0.1)
        wait_for(lambda: len(seen) == 3)
    thread.join(PATIENCE_S)
    assert [event.number for event in seen] == [1, 2, 3]
    assert stream.wait().number == 3


def test_a_coroutine_gets_events_too(graph, robot, model, camera):
    async def listen():
        return [event.number async for event in robot.watch(['cup'], 'Is it red?')]

    task = graph.executor.create_task(listen)
    model.verdict = lambda instruction: 0.9
    wait_for(task.done)
    assert task.result() == [1]


def test_the_client_gets_errors_as_exceptions(robot):
    with pytest.raises(UnknownObjectError, match="no object 'ghost'"):
        robot.watch(['ghost'], 'Is it red?').wait()
    with pytest.raises(RequestTimeoutError, match='did not begin'):
        robot.watch(['cup'], 'Is it red?', timeout_s=0.05).wait()
    assert robot.watch(['cup'], 'Is it red?', repeat=True, timeout_s=0.05).wait() is None


def test_a_watch_without_an_end_is_given_up_when_the_node_is_gone(robot, watch, monkeypatch):
    monkeypatch.setattr(goal_stream, 'GONE_S', 0.1)
    stream = robot.watch(['cup'], 'Is it red?')
    monkeypatch.setattr(robot._watch, 'server_is_ready', lambda: False)
    with pytest.raises(NotReadyError, match='gone'):
        stream.wait()
    wait_for(lambda: stream._handle).cancel_goal_async()


def test_a_goal_without_a_client_ends_with_its_timeout(graph, watch, node):
    other = Watcher(graph)
    other('Is it red?', timeout=to_duration(0.3))
    wait_for(lambda: node._watch._goals)
    other.client.destroy()
    graph.remove(other.node)
    wait_for(lambda: not node._watch._goals)


# --- the program


def program(graph, *arguments):
    return watch_program(['Is it red?', '--object', 'cup', '--namespace', graph.namespace, *arguments])


def test_the_program_prints_the_event(graph, watch, model, capsys):
    model.verdict = lambda instruction: 0.9
    assert program(graph, '--verbose', '--timeout', '60') == 0
    told = capsys.readouterr()
    stamp, probability, rest = told.out.split(maxsplit=2)
    assert float(stamp) >= 100.0
    assert (probability, rest) == ('0.90', 'cup: Is it red?\n')
    assert 'random weights' in told.err


def test_the_program_says_by_its_status_that_nothing_happened(graph, watch, capsys):
    assert program(graph, '--timeout', '0.2') == 1
    assert program(graph, '--timeout', '0.2', '--repeat') == 1
    assert program(graph, '--object', 'ghost') == 2
    assert 'UNKNOWN_OBJECT' in capsys.readouterr().err
