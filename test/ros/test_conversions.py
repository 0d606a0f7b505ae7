"""Messages and core types say the same thing: what goes out comes back, in every encoding, with its stamp."""

import math

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point32
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from pixelrefer_core.errors import InvalidImageError, InvalidPromptError, PixelReferError, UnsupportedError
from pixelrefer_core.types import (
    Answer,
    FinishReason,
    Frame,
    ModelInfo,
    ObjectState,
    Query,
    QueryKind,
    TimeWindow,
    Timing,
    TrackedObject,
)
from pixelrefer_ros import conversions
from pixelrefer_ros.msg import ObjectAnswer, ObjectPrompt
from pixelrefer_ros.srv import AskObjects

STAMP_NS = 1_700_000_000_123_456_789
HEADER = Header(stamp=conversions.to_time(STAMP_NS), frame_id='camera')
PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
FRAME = Frame(PICTURE, STAMP_NS, 'camera')
ENCODED = {
    'rgb8': PICTURE,
    'bgr8': PICTURE[..., ::-1],
    'rgba8': np.dstack([PICTURE, PICTURE[..., 0]]),
    'bgra8': np.dstack([PICTURE[..., ::-1], PICTURE[..., 0]]),
}


def tracked(object_id: str, box: tuple[int, int, int, int]) -> TrackedObject:
    mask = np.zeros((5, 7), np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return TrackedObject(
        object_id, 'thing', ObjectState.TRACKED, 0.5, mask, box, int(mask.sum()), STAMP_NS - 5, STAMP_NS, 2, 3
    )


@pytest.mark.parametrize('encoding', ENCODED)
def test_an_image_survives_the_round_trip_with_stamp_and_frame(encoding):
    message = conversions.to_image(ENCODED[encoding], HEADER, encoding)
    assert (message.height, message.width, message.step) == (5, 7, 7 * ENCODED[encoding].shape[2])
    frame = conversions.to_frame(message)
    np.testing.assert_array_equal(frame.image, PICTURE)
    assert (frame.stamp_ns, frame.frame_id) == (STAMP_NS, 'camera')
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize(('encoding', 'dtype', 'shift'), [('mono8', np.uint8, 0), ('mono16', np.uint16, 8)])
def test_grey_images_become_three_channels(encoding, dtype, shift):
    grey = PICTURE[..., 0].astype(dtype) << shift
    frame = conversions.to_frame(conversions.to_image(grey, HEADER, encoding))
    np.testing.assert_array_equal(frame.image, np.dstack([PICTURE[..., 0]] * 3))


def test_padded_rows_are_read_and_come_out_dense():
    padded = np.zeros((5, 32), np.uint8)
    padded[:, :21] = PICTURE.reshape(5, 21)
    message = Image(header=HEADER, height=5, width=7, encoding='rgb8', step=32, data=padded.tobytes())
    frame = conversions.to_frame(message)
    np.testing.assert_array_equal(frame.image, PICTURE)
    assert frame.image.flags.c_contiguous


def test_an_unpadded_rgb_image_is_not_copied():
    message = conversions.to_image(PICTURE, HEADER, 'rgb8')
    assert np.shares_memory(conversions.to_frame(message).image, np.frombuffer(message.data, np.uint8))


def test_a_compressed_image_is_decoded_with_its_stamp():
    png = cv2.imencode('.png', PICTURE[..., ::-1])[1].tobytes()
    frame = conversions.to_frame(CompressedImage(header=HEADER, format='png', data=png))
    np.testing.assert_array_equal(frame.image, PICTURE)
    assert frame.stamp_ns == STAMP_NS


def test_a_depth_image_is_no_camera_picture():
    depth = conversions.to_image(np.ones((5, 7), np.float32), HEADER, '32FC1')
    with pytest.raises(InvalidImageError, match='no colour or grey picture'):
        conversions.to_frame(depth)


@pytest.mark.parametrize('stamp_ns', [0, 1, STAMP_NS, 2**31 * 10**9 - 1])
def test_stamps_survive_to_the_nanosecond(stamp_ns):
    assert conversions.to_ns(conversions.to_time(stamp_ns)) == stamp_ns


@pytest.mark.parametrize('seconds', [0.0, 0.1, 2.5, 86400.25])
def test_durations_survive(seconds):
    assert conversions.to_seconds(conversions.to_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


def test_a_box_prompt_is_read_as_corners():
    roi = RegionOfInterest(x_offset=3, y_offset=4, width=10, height=20)
    prompt = conversions.to_prompt(ObjectPrompt(kind=1, object_id='a', label='cup', box=roi))
    assert (prompt.object_id, prompt.label, prompt.box_xyxy) == ('a', 'cup', (3, 4, 13, 24))
    assert prompt.points is None
    assert prompt.mask is None


def test_points_and_a_box_may_be_combined():
    message = ObjectPrompt(
        kind=3, box=RegionOfInterest(width=5, height=5), points=[Point32(x=1.5, y=2.0, z=9.0)]
    )
    message.point_labels = [True]
    prompt = conversions.to_prompt(message)
    np.testing.assert_array_equal(prompt.points, [[1.5, 2.0]])
    assert prompt.point_labels.tolist() == [True]
    assert prompt.box_xyxy == (0, 0, 5, 5)


def test_fields_of_other_kinds_are_ignored():
    message = ObjectPrompt(kind=1, points=[Point32()], point_labels=[False], text='cup')
    prompt = conversions.to_prompt(message)
    assert prompt.points is None
    assert prompt.point_labels is None


@pytest.mark.parametrize(
    ('prompt', 'expected'),
    [
        (ObjectPrompt(kind=ObjectPrompt.KIND_BOX), True),
        (ObjectPrompt(kind=ObjectPrompt.KIND_MASK, label='cup'), True),
        (ObjectPrompt(kind=ObjectPrompt.KIND_BOX, object_id='cup'), False),
        (ObjectPrompt(kind=ObjectPrompt.KIND_POINTS), False),
        (ObjectPrompt(kind=ObjectPrompt.KIND_BOX | ObjectPrompt.KIND_POINTS), False),
        (ObjectPrompt(kind=ObjectPrompt.KIND_TEXT), False),
    ],
)
def test_only_nameless_boxes_and_masks_are_detections(prompt, expected):
    assert conversions.is_detection(prompt) is expected


def test_a_detection_carries_class_and_confidence_and_one_that_was_not_said_is_full():
    box = RegionOfInterest(x_offset=3, y_offset=4, width=5, height=6)
    message = ObjectPrompt(kind=ObjectPrompt.KIND_BOX, label='cup', box=box, score=0.25)
    read = conversions.to_detection(message)
    assert (read.prompt.label, read.prompt.box_xyxy, read.score) == ('cup', (3, 4, 8, 10), 0.25)
    message.score = 0.0
    assert conversions.to_detection(message).score == 1.0


def test_a_mask_prompt_is_true_where_it_is_not_zero():
    mask = np.array([[0, 1], [255, 0]], np.uint8)
    message = ObjectPrompt(kind=4, mask=conversions.to_image(mask, Header(), 'mono8'))
    np.testing.assert_array_equal(conversions.to_prompt(message).mask, mask > 0)


@pytest.mark.parametrize(
    ('message', 'error'),
    [
        (ObjectPrompt(), InvalidPromptError),
        (ObjectPrompt(kind=5), InvalidPromptError),
        (ObjectPrompt(kind=16), InvalidPromptError),
        (ObjectPrompt(kind=8, text='cup'), UnsupportedError),
        (ObjectPrompt(kind=4, mask=conversions.to_image(PICTURE, Header(), 'rgb8')), InvalidPromptError),
        (ObjectPrompt(kind=4, mask=Image(encoding='mono8', height=9, width=9, step=9)), InvalidImageError),
    ],
)
def test_a_prompt_that_says_nothing_clear_is_refused(message, error):
    with pytest.raises(error):
        conversions.to_prompt(message)


def test_tracked_objects_survive_with_their_masks_in_the_label_image():
    objects = [tracked('a', (0, 0, 3, 2)), tracked('b', (4, 1, 7, 5))]
    message = conversions.to_tracked_objects(FRAME, objects)
    labels = conversions.from_label_image(conversions.to_label_image(FRAME, objects))
    back = conversions.from_tracked_objects(message, labels)
    assert conversions.to_ns(message.header.stamp) == STAMP_NS
    assert (message.image_width, message.image_height) == (7, 5)
    for before, after in zip(objects, back, strict=True):
        np.testing.assert_array_equal(after.mask, before.mask)
        for name in (
            'object_id',
            'label',
            'state',
            'score',
            'box_xyxy',
            'mask_area',
            'first_seen_ns',
            'last_seen_ns',
        ):
            assert getattr(after, name) == getattr(before, name), name
        assert (after.generation, after.window_frames) == (2, 3)


def test_an_object_without_depth_has_no_position():
    item = conversions.to_tracked_objects(FRAME, [tracked('a', (0, 0, 3, 2))]).objects[0]
    assert not item.position_valid
    assert math.isnan(item.position.z)


def test_a_region_mask_is_cut_to_the_box_and_compressed():
    item = tracked('a', (1, 2, 4, 5))
    message = conversions.to_region_mask(FRAME, item)
    png = cv2.imdecode(np.frombuffer(message.mask.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(png, np.full((3, 3), 255))
    assert (message.box.x_offset, message.box.y_offset, message.box.width, message.box.height) == (1, 2, 3, 3)


def test_a_request_becomes_a_query_with_open_ends_for_zero_stamps():
    request = AskObjects.Request(timeout=conversions.to_duration(2.5))
    request.window.end = conversions.to_time(7)
    request.options.temperature = 0.5
    request.options.stop = ['END']
    query = conversions.to_query(request, kind=QueryKind.ANSWER, object_ids=('a',))
    assert query.window == TimeWindow(None, 7, 0)
    assert (query.options.temperature, query.options.top_p, query.timeout_s) == (0.5, 1.0, 2.5)
    assert query.options.stop == ('END',)


def test_a_prediction_states_the_frames_it_rests_on_and_when_it_expires():
    query = Query(QueryKind.PREDICTION, ('a',), horizon_s=2.0, request_id='r')
    answer = Answer(
        query, 'What?', 'It falls.', ('a',), (STAMP_NS - 5, STAMP_NS), 'camera', FinishReason.STOP,
        Timing(0.1, 0.2, 0.3, 0.4, 0.5), 12, 3, -0.25,
    )  # fmt: skip
    info = ModelInfo('nano', '1', 'cpu', 'float32', False, 10, 4096)
    message = conversions.to_answer(answer, info)
    assert [conversions.to_ns(stamp) for stamp in message.frame_stamps] == [STAMP_NS - 5, STAMP_NS]
    assert conversions.to_ns(message.header.stamp) == STAMP_NS
    assert conversions.to_ns(message.expires) == STAMP_NS + 2_000_000_000
    assert (message.kind, message.text, message.model_trained) == (
        ObjectAnswer.KIND_PREDICTION,
        'It falls.',
        False,
    )
    timing = message.timing
    figures = (timing.queue, timing.vision, timing.prefill, timing.first_token, timing.total)
    assert figures == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))


@pytest.mark.parametrize('kind', PixelReferError.__subclasses__())
def test_every_error_comes_back_at_the_client_as_what_it_was(kind):
    from pixelrefer_ros.faults import error_of

    response = AskObjects.Response()
    assert error_of(response) is None
    conversions.fail(response, kind('do this instead'))
    error = error_of(response)
    assert type(error) is kind
    assert str(error) == 'do this instead'
