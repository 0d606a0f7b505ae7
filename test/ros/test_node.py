"""The node keeps its promises: typed answers, typed errors, true stamps, clean states; and it goes on after each."""

from __future__ import annotations

import math
import threading
from functools import partial

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import PointStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool, Trigger

from pixelrefer_core.errors import NoImageError, NotReadyError, UnknownObjectError
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.image_messages import from_label_image, to_image
from pixelrefer_ros.msg import GenerationOptions, NodeStatus, ObjectAnswer, ObjectPromptArray, ResultCode
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, AskObjects, DescribeObject, GetObjects, PredictEvent, RemoveObjects
from pixelrefer_ros.stamps import to_duration, to_ns, to_time

from .staging import HEIGHT, START_NS, WIDTH, scene
from .waiting import wait_for

PARAMETERS = {
    'generation__max_new_tokens': 8,
    'image__reliability': 'reliable',
    'model__path': 'random-nano',
    'model__device': 'cpu',
    'model__threads': 1,
}


@pytest.fixture(scope='module')
def node(graph):
    return graph.add(PixelReferNode, **PARAMETERS)


@pytest.fixture
def cup(camera, call):
    """The square, tracked as 'cup' and nothing else; its first frame's header."""
    call(Trigger, 'pixelrefer_node/reset')
    header = camera.shoot()
    x = 20 + (camera.step - 1) % 60
    response = call(
        AddObjects, 'add_objects', prompts=[make_prompt('cup', label='a cup', box=(x, 40, 40, 40))]
    )
    assert response.error_code == ResultCode.NONE, response.error_msg
    return header


def add(call, *prompts, **fields):
    return call(AddObjects, 'add_objects', prompts=list(prompts), **fields)


# --- objects


def test_added_objects_are_published_with_every_frame_and_its_own_stamp(camera, cup, call):
    header = camera.shoot(3)
    message = camera.updates[-1]
    assert message.header == header
    assert (message.image_width, message.image_height) == (WIDTH, HEIGHT)
    (item,) = message.objects
    assert (item.object_id, item.label, item.generation) == ('cup', 'a cup', 1)
    assert item.first_seen == cup.stamp
    assert item.last_seen == header.stamp
    assert item.score > 0
    x = 20 + (camera.step - 1) % 60
    assert abs(item.box.x_offset - x) <= 4
    assert abs(item.box.width - 40) <= 8


def test_ids_are_assigned_and_never_used_again(camera, cup, call):
    first = add(call, make_prompt(box=(0, 0, 20, 20))).object_ids[0]
    call(RemoveObjects, 'remove_objects', object_ids=[first])
    second = add(call, make_prompt(box=(0, 0, 20, 20))).object_ids[0]
    assert first.startswith('obj_')
    assert second != first


@pytest.mark.parametrize('kind', ['box', 'points', 'mask', 'box and points'])
def test_every_kind_of_prompt_finds_the_square(camera, cup, call, kind):
    x = 20 + (camera.step - 1) % 60
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[40:80, x : x + 40] = 1
    prompt = {
        'box': {'box': (x, 40, 40, 40)},
        'points': {'points': [(x + 20, 60), (5, 5)], 'point_labels': [True, False]},
        'mask': {'mask': mask},
        'box and points': {'box': (x, 40, 40, 40), 'points': [(x + 20, 60)]},
    }[kind]
    response = add(call, make_prompt('thing', **prompt))
    assert response.error_code == ResultCode.NONE, response.error_msg
    found = call(GetObjects, 'get_objects', object_ids=['thing'], include_masks=True)
    box = found.objects.objects[0].box
    assert abs(box.x_offset - x) <= 12
    assert abs(box.width - 40) <= 24
    png = cv2.imdecode(np.frombuffer(found.masks[0].mask.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert png.shape == (box.height, box.width)
    assert np.count_nonzero(png) == found.objects.objects[0].mask_area


def test_a_prompt_may_refer_to_an_earlier_image_by_its_stamp(camera, cup, call):
    early = camera.shoot()
    x = 20 + (camera.step - 1) % 60
    camera.shoot(4)
    response = add(call, make_prompt('late', box=(x, 40, 40, 40)), header=early)
    assert response.error_code == ResultCode.NONE, response.error_msg
    late = next(item for item in response.objects.objects if item.object_id == 'late')
    assert abs(late.box.x_offset - (x + 4)) <= 4


def test_an_object_prompted_anew_starts_a_new_generation(camera, cup, call):
    response = add(call, make_prompt('cup', box=(30, 40, 40, 40)), replace_existing=True)
    assert response.objects.objects[0].generation == 2


def test_removing_is_all_or_nothing(camera, cup, call):
    refused = call(RemoveObjects, 'remove_objects', object_ids=['cup', 'ghost'])
    assert refused.error_code == ResultCode.UNKNOWN_OBJECT
    assert not refused.removed_object_ids
    removed = call(RemoveObjects, 'remove_objects', object_ids=['cup'])
    assert removed.removed_object_ids == ['cup']


def test_an_object_that_is_named_twice_is_meant_once(camera, cup, call):
    found = call(GetObjects, 'get_objects', object_ids=['cup', 'cup'], include_masks=True)
    assert [mask.object_id for mask in found.masks] == ['cup']
    removed = call(RemoveObjects, 'remove_objects', object_ids=['cup', 'cup'])
    assert (removed.error_code, removed.removed_object_ids) == (ResultCode.NONE, ['cup'])


def test_adding_is_all_or_nothing(camera, cup, call):
    refused = add(call, make_prompt('good', box=(0, 0, 20, 20)), make_prompt('bad', box=(0, 0, 0, 0)))
    assert refused.error_code == ResultCode.EMPTY_PROMPT
    assert 'prompt 1' in refused.error_msg
    assert [item.object_id for item in call(GetObjects, 'get_objects').objects.objects] == ['cup']


def test_the_label_image_numbers_the_objects_as_the_list_does(graph, camera, cup, call):
    seen = []
    listener = graph.node('label_listener')
    listener.create_subscription(Image, 'label_image', seen.append, qos.results())
    wait_for(lambda: listener.count_publishers('label_image'))
    wait_for(lambda: camera.shoot() and seen)
    header = camera.shoot()
    labels = wait_for(lambda: next((m for m in seen if m.header == header), None))
    item = camera.updates[-1].objects[0]
    values = from_label_image(labels)
    assert np.count_nonzero(values == item.label_value) == item.mask_area


# --- answers


def test_a_description_names_the_frames_it_rests_on(camera, cup, call):
    camera.shoot(25)
    answer = call(DescribeObject, 'describe_object', object_id='cup').answer
    stamps = [to_ns(stamp) for stamp in answer.frame_stamps]
    assert stamps == [to_ns(cup.stamp) + k * NANOSECONDS for k in range(3)]
    assert to_ns(answer.header.stamp) == stamps[-1]
    assert answer.header.frame_id == 'eye'
    assert answer.kind == ObjectAnswer.KIND_CAPTION
    assert answer.question == 'Please describe in detail the marked object in the video.'
    assert answer.text
    assert 1 <= answer.completion_tokens <= 8
    assert not answer.model_trained


def test_a_question_costs_no_vision_and_its_times_add_up(camera, cup, call):
    timing = call(AskObjects, 'ask_objects', object_ids=['cup'], question='What is <object1>?').answer.timing
    assert timing.vision == 0
    assert 0 < timing.prefill <= timing.first_token <= timing.total


def test_a_question_about_two_objects_keeps_their_order(camera, cup, call):
    add(call, make_prompt('ground', box=(0, 90, 60, 30)))
    question = 'Is <object1> under <object2>?'
    answer = call(AskObjects, 'ask_objects', object_ids=['ground', 'cup'], question=question).answer
    assert answer.object_ids == ['ground', 'cup']
    assert answer.question == question


def test_the_same_question_gets_the_same_answer(camera, cup, call):
    texts = {
        call(AskObjects, 'ask_objects', object_ids=['cup'], question='What is <object1>?').answer.text
        for _ in range(2)
    }
    assert len(texts) == 1


def test_a_prediction_expires_at_the_end_of_its_horizon(camera, cup, call):
    horizon = to_duration(1.5)
    answer = call(PredictEvent, 'predict_event', object_ids=['cup'], horizon=horizon).answer
    assert answer.kind == ObjectAnswer.KIND_PREDICTION
    assert to_ns(answer.expires) == to_ns(answer.header.stamp) + 1_500_000_000


def test_a_region_can_be_described_once_without_being_tracked(camera, cup, call):
    response = call(DescribeObject, 'describe_object', prompt=make_prompt(box=(0, 0, 40, 40)))
    assert response.error_code == ResultCode.NONE, response.error_msg
    assert response.answer.timing.vision > 0
    assert [item.object_id for item in call(GetObjects, 'get_objects').objects.objects] == ['cup']


def test_only_frames_inside_the_requested_window_are_used(camera, cup, call):
    camera.shoot(25)
    request = AskObjects.Request(object_ids=['cup'], question='What?')
    request.window.start = to_time(to_ns(cup.stamp) + 1)
    answer = call(
        AskObjects, 'ask_objects', object_ids=['cup'], question='What?', window=request.window
    ).answer
    assert len(answer.frame_stamps) == 2
    request.window.max_frames = 1
    answer = call(
        AskObjects, 'ask_objects', object_ids=['cup'], question='What?', window=request.window
    ).answer
    assert len(answer.frame_stamps) == 1


def test_the_text_of_the_action_is_that_of_the_service(graph, camera, cup, call):
    question = 'What is <object1>?'
    whole = call(AskObjects, 'ask_objects', object_ids=['cup'], question=question).answer.text
    stream = PixelReferClient(node=graph.node('reader')).stream(['cup'], question)
    assert ''.join(map(str, stream)) == whole
    assert stream.answers[0].timing.vision == 0


def test_tracking_goes_on_while_a_long_answer_is_written(graph, camera, cup):
    robot = PixelReferClient(node=graph.node('watcher'))
    options = GenerationOptions(max_new_tokens=2000)
    with robot.stream(['cup'], 'What is <object1>?', options=options, timeout_s=300.0) as stream:
        next(iter(stream))
        camera.shoot(5)
        assert not stream.answers, 'the answer ended before the frames came: this shows nothing'
    assert stream.wait()[0].finish_reason == ObjectAnswer.FINISH_CANCELED


def test_a_late_subscriber_still_gets_the_last_answers(graph, camera, cup, call):
    answer = call(AskObjects, 'ask_objects', object_ids=['cup'], question='Who was that?').answer
    seen = []
    graph.node('late_listener').create_subscription(
        ObjectAnswer, 'answers', seen.append, qos.latched(depth=10)
    )
    wait_for(lambda: answer.request_id in [message.request_id for message in seen])


def test_a_question_on_the_topic_is_answered_on_the_topic(graph, camera, cup):
    seen = []
    asker = graph.node('asker')
    asker.create_subscription(ObjectAnswer, 'answers', seen.append, qos.latched(depth=10))
    publisher = asker.create_publisher(String, 'question', 10)
    wait_for(publisher.get_subscription_count)
    publisher.publish(String(data='Is it round?'))
    answer = wait_for(lambda: next((m for m in seen if m.question == 'Is it round?'), None))
    assert answer.object_ids == ['cup']


def test_a_click_and_a_detector_start_tracking(graph, camera, cup, call):
    hand = graph.node('hand')
    click = hand.create_publisher(PointStamped, 'clicked_pixel', 10)
    detector = hand.create_publisher(ObjectPromptArray, 'object_prompts', 10)
    wait_for(lambda: click.get_subscription_count() and detector.get_subscription_count())
    message = PointStamped()
    message.point.x, message.point.y = 40.0, 60.0
    click.publish(message)
    detector.publish(ObjectPromptArray(prompts=[make_prompt('seen', box=(0, 0, 30, 30))]))
    wait_for(lambda: len(call(GetObjects, 'get_objects').objects.objects) == 3)


def test_what_a_detector_keeps_seeing_becomes_one_object(graph, camera, call):
    detector = graph.node('hand').create_publisher(ObjectPromptArray, 'object_prompts', 10)
    wait_for(detector.get_subscription_count)

    call(RemoveObjects, 'remove_objects')

    def objects():
        camera.shoot()
        detector.publish(
            ObjectPromptArray(prompts=[make_prompt(label='plate', box=(5, 5, 30, 30), score=0.9)])
        )
        return call(GetObjects, 'get_objects').objects.objects

    wait_for(objects)
    for _ in range(5):
        found = objects()
    detector.publish(ObjectPromptArray())
    assert [(item.object_id[:4], item.label) for item in found] == [('obj_', 'plate')]


# --- errors: each has its own code, and the node goes on (the next test is served)

FAULTS = {
    'a wrong id': (
        DescribeObject, 'describe_object', lambda: {'object_id': 'ghost'}, 'UNKNOWN_OBJECT', "no object 'ghost'",
    ),
    'an empty box': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt('x', box=(5, 5, 0, 9))]}, 'EMPTY_PROMPT', 'no area',
    ),
    'a box outside the image': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt('x', box=(500, 5, 9, 9))]},
        'PROMPT_OUTSIDE_IMAGE', 'outside the image of 160 x 120',
    ),
    'a question of 10,000 characters': (
        AskObjects, 'ask_objects', lambda: {'object_ids': ['cup'], 'question': 'y' * 10000},
        'QUESTION_TOO_LONG', 'has 10000 characters',
    ),
    'NaN points': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt('x', points=[(math.nan, 1)])]},
        'PROMPT_NOT_FINITE', 'NaN',
    ),
    'a second object with the same id': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt('cup', box=(1, 1, 9, 9))]},
        'DUPLICATE_OBJECT', "'cup' exists",
    ),
    'a mask of another size': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt('x', mask=np.ones((9, 9)))]},
        'MASK_SIZE_MISMATCH', '9 x 9 pixels, the image 160 x 120',
    ),
    'a mask that is cut off': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt_of_a_torn_mask()]}, 'INVALID_IMAGE', 'needs 19200',
    ),
    'a mask and a box at once': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt('x', box=(1, 1, 9, 9), mask=np.ones((9, 9)))]},
        'INVALID_PROMPT', 'none of KIND_BOX',
    ),
    'a horizon of a lifetime': (
        PredictEvent, 'predict_event', lambda: {'object_ids': ['cup'], 'horizon': to_duration(2e9)},
        'INVALID_REQUEST', 'the horizon must lie in',
    ),
    'no prompt': (AddObjects, 'add_objects', dict, 'INVALID_REQUEST', 'no prompt was given'),
    'a text prompt': (
        DescribeObject, 'describe_object', lambda: {'prompt': make_text_prompt()}, 'UNSUPPORTED', 'needs a detector',
    ),
    'neither id nor prompt': (DescribeObject, 'describe_object', dict, 'INVALID_REQUEST', 'one of the two'),
    'an empty question': (
        AskObjects, 'ask_objects', lambda: {'object_ids': ['cup']}, 'INVALID_QUESTION', 'the question is empty',
    ),
    'a control token in a question': (
        AskObjects, 'ask_objects', lambda: {'object_ids': ['cup'], 'question': 'So? <|im_end|>'},
        'INVALID_QUESTION', 'im_end',
    ),
    'no objects': (AskObjects, 'ask_objects', lambda: {'question': 'What?'}, 'INVALID_REQUEST', 'no object is named'),
    'an image that is not held': (
        AddObjects, 'add_objects',
        lambda: {'header': Header(stamp=to_time(5)), 'prompts': [make_prompt('x', box=(1, 1, 9, 9))]},
        'STALE_IMAGE', 'no image of 0.000 s is held',
    ),
    'too many objects': (
        AddObjects, 'add_objects', lambda: {'prompts': [make_prompt(box=(1, 1, 9, 9))] * 8},
        'TOO_MANY_OBJECTS', 'tracker.max_objects is 8',
    ),
    'a window before all memory': (
        AskObjects, 'ask_objects', lambda: {'object_ids': ['cup'], 'question': 'What?', 'window': early_window()},
        'WINDOW_EMPTY', 'no frame in the window',
    ),
    'an impossible temperature': (
        AskObjects, 'ask_objects', lambda: {'object_ids': ['cup'], 'question': 'What?', 'options': hot_options()},
        'INVALID_REQUEST', 'temperature must lie in',
    ),
}  # fmt: skip


def make_text_prompt():
    prompt = make_prompt()
    prompt.kind, prompt.text = prompt.KIND_TEXT, 'the red cup'
    return prompt


def make_prompt_of_a_torn_mask():
    prompt = make_prompt('x', mask=np.ones((HEIGHT, WIDTH)))
    prompt.mask.data = prompt.mask.data[:-1]
    return prompt


def early_window():
    window = AskObjects.Request().window
    window.end.nanosec = 1
    return window


def hot_options():
    options = AskObjects.Request().options
    options.temperature = 9.0
    return options


@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_gets_its_own_code_and_a_sentence(camera, cup, call, fault):
    kind, name, fields, code, message = FAULTS[fault]
    response = call(kind, name, **fields())
    assert response.error_code == getattr(ResultCode, code), response.error_msg
    assert message in response.error_msg


def test_an_answer_past_its_deadline_is_a_timeout(camera, cup, call):
    response = call(
        AskObjects, 'ask_objects', object_ids=['cup'], question='What?', timeout=to_duration(1e-6)
    )
    assert response.error_code == ResultCode.TIMEOUT


def test_images_that_cannot_be_read_are_skipped_and_the_node_goes_on(camera, cup):
    camera.publisher.publish(Image(encoding='yuv422', height=4, width=4, step=8, data=bytes(32)))
    camera.publisher.publish(Image(encoding='rgb8', height=400, width=400, step=1200, data=bytes(5)))
    camera.shoot()


def test_an_image_of_another_size_starts_over_and_says_so(camera, cup, call):
    stamp = to_time(START_NS + camera.step * NANOSECONDS // 10)
    small = to_image(scene(0)[:60, :80], Header(stamp=stamp), 'rgb8')
    camera.publisher.publish(small)
    wait_for(lambda: camera.updates[-1].image_width == 80)
    assert not camera.updates[-1].objects
    camera.step += 1
    camera.shoot()
    assert not call(GetObjects, 'get_objects').objects.objects


def test_a_camera_whose_clock_goes_back_starts_over(camera, cup, call):
    camera.step = 0
    camera.shoot()
    assert not call(GetObjects, 'get_objects').objects.objects


def test_reset_forgets_objects_and_images(camera, cup, call):
    assert call(Trigger, 'pixelrefer_node/reset').success
    assert call(GetObjects, 'get_objects').error_code == ResultCode.NO_IMAGE


# --- states and parameters


def test_the_status_says_what_runs(graph, camera, cup):
    camera.shoot()
    seen = []
    graph.node('watcher').create_subscription(NodeStatus, 'status', seen.append, qos.latched())
    status = wait_for(lambda: next((m for m in seen if m.tracked_objects == 1), None))
    assert (status.model, status.model_trained, status.device) == ('random-nano', False, 'cpu')
    assert status.tracker == 'flow'


def test_a_live_parameter_acts_at_once_and_a_fixed_one_is_refused_with_a_reason(camera, cup, call):
    def put(name, value):
        parameter = Parameter(name, value=value).to_parameter_msg()
        return call(SetParameters, 'pixelrefer_node/set_parameters', parameters=[parameter]).results[0]

    refused = put('model.path', 'elsewhere')
    assert not refused.successful
    assert 'model.path cannot change now' in refused.reason
    assert put('tracker.max_objects', 1).successful
    assert add(call, make_prompt(box=(1, 1, 9, 9))).error_code == ResultCode.TOO_MANY_OBJECTS
    assert put('tracker.max_objects', 8).successful


def test_an_inactive_node_says_not_ready_keeps_its_objects_and_comes_back(camera, cup, call):
    assert call(SetBool, 'pixelrefer_node/enable', data=False).success
    refused = call(DescribeObject, 'describe_object', object_id='cup')
    assert refused.error_code == ResultCode.NOT_READY
    assert 'inactive' in refused.error_msg
    assert call(SetBool, 'pixelrefer_node/enable', data=True).success
    camera.shoot()
    assert call(DescribeObject, 'describe_object', object_id='cup').error_code == ResultCode.NONE


def test_the_life_cycle_can_be_walked_through_and_back(camera, cup, call):
    def change(transition):
        return call(ChangeState, 'pixelrefer_node/change_state', transition=Transition(id=transition)).success

    def state():
        return call(GetState, 'pixelrefer_node/get_state').current_state.id

    assert change(Transition.TRANSITION_DEACTIVATE)
    assert change(Transition.TRANSITION_CLEANUP)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert call(GetObjects, 'get_objects').error_code == ResultCode.NOT_READY
    assert change(Transition.TRANSITION_CONFIGURE)
    assert state() == State.PRIMARY_STATE_INACTIVE
    assert change(Transition.TRANSITION_ACTIVATE)
    before = call(GetObjects, 'get_objects')
    assert before.error_code == ResultCode.NO_IMAGE
    assert 'check the image topic' in before.error_msg
    camera.shoot()
    assert call(GetObjects, 'get_objects').error_code == ResultCode.NONE


def test_a_transition_that_is_not_possible_is_refused_and_changes_nothing(camera, cup, call):
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP, 200):
        done = call(ChangeState, 'pixelrefer_node/change_state', transition=Transition(id=transition))
        assert not done.success
    assert call(GetState, 'pixelrefer_node/get_state').current_state.id == State.PRIMARY_STATE_ACTIVE
    assert call(GetObjects, 'get_objects').error_code == ResultCode.NONE


@pytest.mark.parametrize(
    ('data', 'method', 'state'), [(False, '_close_tap', 'deactivating'), (True, '_open_tap', 'activating')]
)
def test_enabling_in_the_middle_of_a_transition_is_refused_in_words(
    camera, cup, call, node, monkeypatch, data, method, state
):
    assert call(SetBool, 'pixelrefer_node/enable', data=not data).success
    begun, may_end, whole = threading.Event(), threading.Event(), getattr(node, method)

    def slow():
        begun.set()
        assert may_end.wait(60.0)
        whole()

    monkeypatch.setattr(node, method, slow)
    enabled = []
    thread = threading.Thread(
        target=lambda: enabled.append(call(SetBool, 'pixelrefer_node/enable', data=data))
    )
    thread.start()
    try:
        assert begun.wait(60.0)
        for wanted in (False, True):
            refused = call(SetBool, 'pixelrefer_node/enable', data=wanted)
            assert not refused.success
            assert refused.message.startswith(f'NOT_READY: the node is {state}')
    finally:
        may_end.set()
        thread.join(60.0)
    assert enabled[0].success
    assert call(SetBool, 'pixelrefer_node/enable', data=data).message.startswith('already')
    assert call(SetBool, 'pixelrefer_node/enable', data=True).success


def test_enabling_a_node_that_is_not_configured_says_what_to_do(graph, call):
    elsewhere = graph.add(
        partial(PixelReferNode, cli_args=['--ros-args', '-r', '__node:=unconfigured']), autostart=False
    )
    try:
        refused = call(SetBool, 'unconfigured/enable', data=True)
        assert not refused.success
        assert refused.message == 'NOT_READY: the node is unconfigured: configure it first'
    finally:
        graph.remove(elsewhere)


def test_a_model_that_cannot_be_loaded_fails_configure_with_the_reason(graph, call):
    broken = graph.add(PixelReferNode, model__path='/no/such/checkpoint', autostart=False)
    try:
        assert broken.trigger_configure() != 0
        status = broken._health()
        assert '/no/such/checkpoint' in status.reason
    finally:
        graph.remove(broken)


def test_the_client_turns_error_codes_into_exceptions(graph, camera, cup, call):
    client = PixelReferClient(node=graph.node('robot'))
    assert client.describe('cup').text
    with pytest.raises(UnknownObjectError, match="no object 'ghost'"):
        client.describe('ghost')
    client.reset()
    assert call(SetBool, 'pixelrefer_node/enable', data=False).success
    with pytest.raises(NotReadyError, match=r'^the node is inactive'):
        client.reset()
    assert call(SetBool, 'pixelrefer_node/enable', data=True).success
    with pytest.raises(NoImageError):
        client.get_objects()
