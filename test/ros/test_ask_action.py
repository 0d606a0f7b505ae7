"""The ask action: every way in which a goal goes on, is interrupted and ends, token by token.

The model writes when the test lets it; everything else is real.
"""

from __future__ import annotations

import threading

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from pixelrefer_core.errors import (
    BusyError,
    DeviceOutOfMemoryError,
    ErrorCode,
    ModelError,
    RequestTimeoutError,
    UnknownObjectError,
)
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import goals, qos
from pixelrefer_ros.action import Ask
from pixelrefer_ros.answer_stream import AnswerStream
from pixelrefer_ros.cli import main as ask_program
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.msg import GenerationOptions, NodeStatus, ObjectAnswer, ResultCode, TimeWindow
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, AskObjects, GetObjects
from pixelrefer_ros.stamps import to_duration, to_ns, to_seconds, to_time

from ..core.paced_model import PacedModel
from .staging import PATIENCE_S, START_NS, SentGoal, action_client, engines_with
from .waiting import wait_for


class Goal(SentGoal):
    """A goal that was accepted."""

    def end(self) -> tuple[str, str, list[str]]:
        """Wait for it: status, code, and the text of each answer."""
        status, code = self.ended()
        return status, code, [answer.text for answer in self.result.answers]


class Asker:
    def __init__(self, graph):
        self.node = graph.node('asker')
        self.client = action_client(self.node, Ask, 'ask')

    def __call__(self, *questions, tokens=0, **fields) -> Goal:
        fields = {
            'kind': ObjectAnswer.KIND_ANSWER,
            'object_ids': ['cup'],
            'questions': list(questions),
            'options': GenerationOptions(max_new_tokens=tokens),
        } | fields
        return Goal(self.client, Ask.Goal(**fields))


@pytest.fixture(scope='module')
def model():
    return PacedModel()


@pytest.fixture(scope='module')
def node(graph, model):
    with engines_with(model):
        yield graph.add(
            PixelReferNode,
            limits__queued_queries=2,
            limits__goal_questions=4,
            generation__timeout_s=300.0,
            image__reliability='reliable',
            image__timeout_s=300.0,
            publish__feedback_rate_hz=20.0,
            publish__status_rate_hz=20.0,
        )


@pytest.fixture(scope='module')
def asker(graph, node):
    return Asker(graph)


@pytest.fixture
def ask(asker, camera, node, call, model):
    """Goals about the square, which is tracked as 'cup'; afterwards the model finishes whatever it is at."""
    call(Trigger, 'pixelrefer_node/reset')
    camera.shoot()
    x = 20 + (camera.step - 1) % 60
    response = call(AddObjects, 'add_objects', prompts=[make_prompt('cup', box=(x, 40, 40, 40))])
    assert response.error_code == ResultCode.NONE, response.error_msg
    yield asker
    if node._worker is not None:
        node._worker.cancel_all()
    model.go.release(1000)
    wait_for(lambda: not node._ask._goals and (node._worker is None or not node._worker._tickets))
    model.go, model.written, model.fault = threading.Semaphore(0), threading.Semaphore(0), None


def queued(node) -> int:
    return node._worker.statistics().queued_queries


def cancel(node, goal) -> None:
    """Cancel a goal, and wait until the node has taken note."""
    goal.cancel()
    wait_for(lambda: ticket_of(node, goal).cancelled)


def ticket_of(node, goal):
    return next(open_goal._ticket for open_goal in node._ask._goals if open_goal.request_id == goal.id)


# --- how goals go on


def test_questions_are_answered_one_after_the_other(ask, model):
    goal = ask('What?', 'Where?', tokens=2)
    model.go.release(6)
    assert goal.end() == ('SUCCEEDED', 'NONE', ['w0 w1', 'w0 w1'])
    assert [answer.question for answer in goal.result.answers] == ['What?', 'Where?']
    assert {answer.request_id for answer in goal.result.answers} == {goal.id}


def test_text_is_told_as_it_is_written_and_nothing_is_told_twice(ask, model):
    goal = ask('What?', 'Where?', tokens=3)

    def heard(index):
        return [message for message in goal.feedback if message.question_index == index]

    model.let(2)
    wait_for(lambda: heard(0) and heard(0)[-1].text_so_far == 'w0 w1')
    assert heard(0)[-1].state == Ask.Feedback.STATE_DECODING
    model.let(2)
    model.go.release()  # the second question reads its prompt
    wait_for(lambda: heard(0)[-1].text_so_far == 'w0 w1 w2')
    model.let(1)
    wait_for(lambda: heard(1) and heard(1)[-1].text_so_far)
    for index in (0, 1):
        assert ''.join(message.text_delta for message in heard(index)) == heard(index)[-1].text_so_far
    model.go.release(2)
    assert goal.end()[0] == 'SUCCEEDED'


def test_feedback_keeps_its_rate_however_fast_the_text_comes(ask, model):
    goal = ask('What?', tokens=200)
    model.go.release(201)
    assert goal.end()[0] == 'SUCCEEDED'
    elapsed_s = to_seconds(goal.feedback[-1].elapsed)
    assert len(goal.feedback) <= 20 * elapsed_s + 4


def test_a_goal_that_waits_says_how_many_go_before_it(ask, model):
    first = ask('What?')
    model.let(1)
    second = ask('Where?')
    wait_for(lambda: second.feedback)
    assert second.feedback[0].state == Ask.Feedback.STATE_QUEUED
    assert second.feedback[0].queue_position == 1
    assert first.feedback[-1].state == Ask.Feedback.STATE_DECODING


def test_a_more_urgent_goal_interrupts_and_the_other_goes_on(ask, node, model):
    low = ask('What?', tokens=4)
    model.let(2)
    high = ask('Quick?', tokens=1, priority=1)
    wait_for(lambda: queued(node) == 1)
    model.go.release()
    model.let(1)
    interrupted = wait_for(
        lambda: next((m for m in low.feedback if m.state == Ask.Feedback.STATE_INTERRUPTED), None)
    )
    assert (interrupted.text_so_far, interrupted.queue_position) == ('w0 w1', 1)
    model.let(1)
    assert high.end() == ('SUCCEEDED', 'NONE', ['w0'])
    model.go.release(3)
    assert low.end() == ('SUCCEEDED', 'NONE', ['w0 w1 w2 w3'])


def test_a_goal_interrupts_a_service_too(ask, node, call, model):
    service = threading.Thread(
        target=call, args=(AskObjects, 'ask_objects'), kwargs={'object_ids': ['cup'], 'question': 'What?'}
    )
    service.start()
    model.let(1)
    goal = ask('Quick?', tokens=1, priority=9)
    wait_for(lambda: queued(node) == 1)
    model.go.release(3)
    assert goal.end()[0] == 'SUCCEEDED'
    assert service.is_alive()
    model.go.release(1000)
    service.join(PATIENCE_S)


# --- how goals end


def test_cancelling_stops_within_one_token_and_keeps_the_text(ask, node, model):
    goal = ask('What?', 'Where?')
    model.let(3)
    cancel(node, goal)
    model.let(1)
    assert goal.end() == ('CANCELED', 'CANCELED', ['w0 w1 w2'])
    assert goal.result.answers[0].finish_reason == ObjectAnswer.FINISH_CANCELED


def test_a_goal_cancelled_in_the_queue_ends_while_another_is_answered(ask, node, model):
    first = ask('What?', tokens=3)
    model.let(1)
    second = ask('Where?')
    wait_for(lambda: queued(node) == 1)
    cancel(node, second)
    model.let(1)
    assert second.end() == ('CANCELED', 'CANCELED', [])
    model.go.release(2)
    assert first.end()[2] == ['w0 w1 w2']


def test_a_full_queue_is_busy(ask, node, model):
    ask('What?')
    model.let(1)
    for count in (1, 2):
        ask('Where?')
        wait_for(lambda count=count: queued(node) == count)
    assert ask('Who?').end() == ('ABORTED', 'BUSY', [])


def test_a_goal_keeps_its_place_for_all_its_questions(ask, node, model):
    goal = ask('What?', 'Where?', tokens=1)
    model.let(1)
    others = [ask('Who?', tokens=1), ask('When?', tokens=1)]
    wait_for(lambda: queued(node) == 2)
    model.go.release(8)
    for ended in (goal, *others):
        assert ended.end()[:2] == ('SUCCEEDED', 'NONE')


def test_a_deadline_keeps_the_text_and_ends_the_goal(ask, node, model):
    goal = ask('What?', 'Where?')
    model.let(2)
    ticket_of(node, goal).deadline_s = 0.0
    model.let(1)
    assert goal.end() == ('ABORTED', 'TIMEOUT', ['w0 w1'])
    assert goal.result.answers[0].finish_reason == ObjectAnswer.FINISH_TIMEOUT


def test_a_deadline_that_passes_in_the_queue_is_a_timeout_without_text(ask, model):
    assert ask('What?', timeout=to_duration(1e-6)).end() == ('ABORTED', 'TIMEOUT', [])


def test_a_question_that_fails_ends_the_goal_with_the_answers_so_far(ask, model):
    goal = ask('What?', 'y' * 10000, 'Where?', tokens=1)
    model.go.release(2)
    assert goal.end() == ('ABORTED', 'QUESTION_TOO_LONG', ['w0'])


FAULTS = {
    'no questions': ({'questions': []}, 'INVALID_REQUEST', '0 questions in one goal; 1 to 4'),
    'too many questions': ({'questions': ['Why?'] * 5}, 'INVALID_REQUEST', 'limits.goal_questions'),
    'an unknown kind': ({'kind': 7}, 'INVALID_REQUEST', 'kind 7'),
    'a negative timeout': (
        {'timeout': to_duration(-1.0)}, 'INVALID_REQUEST', 'timeout and horizon cannot be negative',
    ),
    'no objects': ({'object_ids': []}, 'INVALID_REQUEST', 'no object is named'),
    'too hot': ({'options': GenerationOptions(temperature=9.0)}, 'INVALID_REQUEST', 'temperature must lie in'),
    'a wrong id': ({'object_ids': ['ghost']}, 'UNKNOWN_OBJECT', "no object 'ghost'"),
    'an empty question': ({'questions': ['']}, 'INVALID_QUESTION', 'the question is empty'),
    'an object that is not listed': (
        {'questions': ['Is <object2> red?']}, 'INVALID_QUESTION', '<object2> is not among the 1',
    ),
    'a long question': ({'questions': ['y' * 10000]}, 'QUESTION_TOO_LONG', 'has 10000 characters'),
    'a window before all memory': (
        {'window': TimeWindow(end=to_time(1))}, 'WINDOW_EMPTY', 'no frame in the window',
    ),
}  # fmt: skip


@pytest.mark.parametrize('fault', FAULTS)
def test_a_faulty_goal_is_aborted_with_its_own_code_and_a_sentence(ask, fault):
    fields, code, sentence = FAULTS[fault]
    goal = ask('What?', **fields)
    assert goal.end() == ('ABORTED', code, [])
    assert sentence in goal.result.error_msg


@pytest.mark.parametrize(
    ('fault', 'code'),
    [
        (DeviceOutOfMemoryError('the GPU ran out of memory'), 'OUT_OF_MEMORY'),
        (ModelError('the model refused its input'), 'MODEL_ERROR'),
        (ZeroDivisionError('a bug'), 'UNKNOWN'),
    ],
)
def test_a_fault_of_the_device_aborts_the_goal_and_the_next_is_served(ask, model, fault, code):
    model.fault = fault
    model.go.release()
    assert ask('What?').end()[:2] == ('ABORTED', code)
    model.fault = None
    model.go.release(2)
    assert ask('What?', tokens=1).end()[0] == 'SUCCEEDED'


def test_an_object_too_small_to_describe_was_never_seen(ask, call):
    def put(value):
        parameter = Parameter('window.minimum_area_px', value=value).to_parameter_msg()
        assert (
            call(SetParameters, 'pixelrefer_node/set_parameters', parameters=[parameter])
            .results[0]
            .successful
        )

    put(100000)
    call(AddObjects, 'add_objects', prompts=[make_prompt('speck', box=(5, 5, 20, 20))])
    assert ask('What?', object_ids=['speck']).end()[:2] == ('ABORTED', 'OBJECT_NEVER_SEEN')
    put(16)


def test_a_goal_before_the_first_image_says_so(ask, call, camera):
    assert call(Trigger, 'pixelrefer_node/reset').success
    assert ask('What?').end()[:2] == ('ABORTED', 'NO_IMAGE')
    camera.shoot()


def test_goals_that_have_ended_are_kept_within_bounds(ask, monkeypatch):
    monkeypatch.setattr(goals, 'KEPT_GOALS', 0)
    assert not ask('What?').handle.accepted
    monkeypatch.undo()
    assert ask('What?').handle.accepted


# --- time


def test_an_answer_rests_on_exactly_the_frames_of_its_window(ask, camera, model):
    first_ns = START_NS + (camera.step - 1) * NANOSECONDS // 10
    camera.shoot(35)
    zero, one, two, three = (first_ns + second * NANOSECONDS for second in range(4))
    windows = {
        (0, 0, 0): [zero, one, two, three],
        (one, 0, 0): [one, two, three],
        (zero + 1, two, 0): [one, two],
        (one, one, 0): [one],
        (0, two, 2): [zero, two],
    }
    model.go.release(2 * len(windows))
    for (start, end, most), expected in windows.items():
        window = TimeWindow(start=to_time(start), end=to_time(end), max_frames=most)
        goal = ask('What?', tokens=1, window=window)
        assert goal.end()[0] == 'SUCCEEDED'
        (answer,) = goal.result.answers
        assert [to_ns(stamp) for stamp in answer.frame_stamps] == expected
        assert to_ns(answer.header.stamp) == expected[-1]


def test_an_answer_about_two_objects_names_the_frames_of_both(ask, camera, call, model):
    first_ns = START_NS + (camera.step - 1) * NANOSECONDS // 10
    camera.shoot(5)
    call(AddObjects, 'add_objects', prompts=[make_prompt('ground', box=(0, 90, 60, 30))])
    model.go.release(2)
    goal = ask('Is <object1> under <object2>?', tokens=1, object_ids=['ground', 'cup'])
    assert goal.end()[0] == 'SUCCEEDED'
    stamps = [to_ns(stamp) for stamp in goal.result.answers[0].frame_stamps]
    assert stamps == [first_ns, first_ns + NANOSECONDS // 2]


def test_a_stream_that_starts_again_ends_what_is_not_begun_and_keeps_what_is(ask, camera, call, model):
    goal = ask('What?', 'Where?', tokens=2)
    model.let(1)
    newest = to_ns(camera.updates[-1].header.stamp)
    camera.step = 0
    camera.post()
    wait_for(lambda: model.go.release() or not camera.updates[-1].objects)
    model.go.release(3)
    assert goal.end() == ('ABORTED', 'UNKNOWN_OBJECT', ['w0 w1'])
    assert to_ns(goal.result.answers[0].header.stamp) == newest
    assert not call(GetObjects, 'get_objects').objects.objects


# --- states of the node


def enable(call, value):
    assert call(SetBool, 'pixelrefer_node/enable', data=value).success


def test_deactivating_ends_a_goal_with_its_text_and_the_next_is_not_ready(ask, camera, call, model):
    goal = ask('What?', 'Where?')
    model.let(2)
    enable(call, False)
    model.let(1)
    assert goal.end() == ('ABORTED', 'CANCELED', ['w0 w1'])
    refused = ask('What?')
    assert refused.end() == ('ABORTED', 'NOT_READY', [])
    assert 'inactive' in refused.result.error_msg
    enable(call, True)
    model.go.release(2)
    assert ask('What?', tokens=1).end()[0] == 'SUCCEEDED'


def test_cleaning_up_ends_what_is_answered_and_what_waits(ask, node, camera, call, model):
    def change(transition):
        done = call(ChangeState, 'pixelrefer_node/change_state', transition=Transition(id=transition))
        assert done.success

    answered = ask('What?')
    model.let(2)
    waiting = ask('Where?')
    wait_for(lambda: queued(node) == 1)
    change(Transition.TRANSITION_DEACTIVATE)
    model.go.release()
    change(Transition.TRANSITION_CLEANUP)
    assert answered.end() == ('ABORTED', 'CANCELED', ['w0 w1'])
    assert waiting.end()[:2] == ('ABORTED', 'CANCELED')
    assert ask('What?').end()[:2] == ('ABORTED', 'NOT_READY')
    change(Transition.TRANSITION_CONFIGURE)
    change(Transition.TRANSITION_ACTIVATE)
    camera.shoot()


def test_a_client_that_vanishes_leaves_its_answer_on_the_topic_and_a_node_that_goes_on(graph, ask, model):
    heard = []
    graph.node('listener').create_subscription(ObjectAnswer, 'answers', heard.append, qos.latched(depth=10))
    other = Asker(graph)
    goal = other('Who was that?', tokens=2)
    model.let(1)
    other.client.destroy()
    graph.remove(other.node)
    model.go.release(2)
    answer = wait_for(lambda: next((m for m in heard if m.request_id == goal.id), None))
    assert answer.text == 'w0 w1'
    model.go.release(2)
    assert ask('What?', tokens=1).end()[0] == 'SUCCEEDED'


# --- liveness


def test_a_frame_is_tracked_before_the_next_token_is_written(ask, node, camera, model):
    goal = ask('What?', tokens=8)
    model.let(1)
    for words in range(2, 8):
        offered = node._worker.statistics().frames_offered
        header = camera.post()
        wait_for(lambda n=offered: node._worker.statistics().frames_offered > n)
        model.let(1)
        wait_for(lambda h=header: camera.updates[-1].header == h)
        wait_for(lambda n=words: goal.feedback[-1].text_so_far.endswith(f'w{n - 1}'))
    model.go.release(3)
    assert goal.end()[0] == 'SUCCEEDED'


def test_the_newest_frame_wins_and_drops_are_counted(graph, ask, node, camera, model):
    status = []
    graph.node('watcher').create_subscription(NodeStatus, 'status', status.append, qos.latched())
    ask('What?')
    model.let(1)
    before = node._worker.statistics()
    for count in (1, 2, 3, 4):
        header = camera.post()
        wait_for(lambda c=count: node._worker.statistics().frames_offered == before.frames_offered + c)
    model.let(1)
    wait_for(lambda: camera.updates[-1].header == header)
    after = node._worker.statistics()
    assert after.frames_tracked == before.frames_tracked + 1
    assert after.frames_dropped == before.frames_dropped + 3
    wait_for(lambda: status and status[-1].frames_dropped == after.frames_dropped)


# --- the client


@pytest.fixture
def robot(graph, ask):
    node = graph.node('robot')
    yield PixelReferClient(node=node)
    graph.remove(node)


def limited(tokens):
    return GenerationOptions(max_new_tokens=tokens)


def test_the_client_gets_every_piece_of_the_text_in_order(robot, model):
    model.go.release(8)
    stream = robot.stream(['cup'], ['What?', 'Where?'], options=limited(3))
    pieces = list(stream)
    for index in (0, 1):
        assert ''.join(str(piece) for piece in pieces if piece.question_index == index) == 'w0 w1 w2'
    assert [answer.text for answer in stream.answers] == ['w0 w1 w2', 'w0 w1 w2']


def test_of_goals_that_come_all_at_once_none_is_lost(robot, model):
    streams = [robot.stream(['cup'], 'What?', options=limited(1), timeout_s=30.0) for _ in range(40)]
    model.go.release(100)
    ends = []
    for stream in streams:
        try:
            ends.append(len(stream.wait()))
        except BusyError:
            ends.append(0)
    assert len(ends) == 40
    assert 1 <= sum(ends) <= 40


def test_a_coroutine_gets_the_text_too(graph, robot, model):
    async def listen():
        return [str(piece) async for piece in robot.stream(['cup'], 'What?', options=limited(3))]

    task = graph.executor.create_task(listen)
    model.go.release(4)
    wait_for(task.done)
    assert ''.join(task.result()) == 'w0 w1 w2'


def test_the_client_can_cancel_in_the_middle(robot, node, model):
    model.go.release(2)
    with robot.stream(['cup'], 'What?') as stream:
        for piece in stream:
            if 'w1' in str(piece):
                stream.cancel()
                wait_for(lambda: node._ask._goals[0]._ticket.cancelled)
                model.go.release()
    assert stream.error.code is ErrorCode.CANCELED
    assert stream.answers[0].text == 'w0 w1'


def test_the_client_gets_errors_as_exceptions(robot, monkeypatch):
    with pytest.raises(UnknownObjectError, match="no object 'ghost'"):
        robot.stream(['ghost'], 'What?').wait()
    monkeypatch.setattr(goals, 'KEPT_GOALS', 0)
    with pytest.raises(BusyError, match='rejected'):
        robot.stream(['cup'], 'What?').wait()


def test_a_node_that_is_gone_is_given_up_in_a_loop_and_in_a_coroutine(graph, robot):
    goal = Ask.Goal(object_ids=['cup'], questions=['What?'], kind=ObjectAnswer.KIND_ANSWER)

    def lost():
        return AnswerStream(robot.node, robot._ask, goal, timeout_s=0.1)

    async def listen():
        return [piece async for piece in lost()]

    with pytest.raises(RequestTimeoutError, match='does not answer'):
        lost().wait()
    task = graph.executor.create_task(listen)
    wait_for(task.done)
    assert isinstance(task.exception(), RequestTimeoutError)


def test_the_program_prints_the_text_as_it_comes(graph, camera, ask, model, capsys):
    # Without a limit of its own an answer takes the node's default.
    model.go.release(200)
    arguments = [
        'What is it?',
        '--object',
        'cup',
        '--stream',
        '--namespace',
        graph.namespace,
        '--timeout',
        '60',
    ]
    assert ask_program(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('w0 w1 w2 ')
    assert lines[1] == 'cup: What is it?'


def test_the_program_asks_about_everything_that_is_tracked_when_nothing_is_named(graph, ask, model, capsys):
    model.go.release(200)
    assert ask_program(['What is it?', '--namespace', graph.namespace, '--timeout', '60']) == 0
    assert capsys.readouterr().out.startswith('cup: What is it?')
