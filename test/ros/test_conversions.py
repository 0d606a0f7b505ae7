"""Messages and core types say the same thing: what goes out comes back, in every encoding, with its stamp."""

import math

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point32
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from pixelrefer_core.errors import (
    EmptyPromptError,
    InvalidCameraInfoError,
    InvalidImageError,
    InvalidPromptError,
    PixelReferError,
)
from pixelrefer_core.types import (
    Answer,
    Detection,
    FinishReason,
    Frame,
    Intrinsics,
    ModelInfo,
    ObjectState,
    Position,
    Positions,
    Prompt,
    Query,
    QueryKind,
    TimeWindow,
    Timing,
    TrackedObject,
)
from pixelrefer_ros import conversions
from pixelrefer_ros.image_messages import (
    from_label_image,
    to_camera_info,
    to_depth,
    to_frame,
    to_image,
    to_intrinsics,
)
from pixelrefer_ros.msg import ObjectAnswer, ObjectPrompt
from pixelrefer_ros.srv import AskObjects
from pixelrefer_ros.stamps import to_duration, to_ns, to_seconds, to_time

STAMP_NS = 1_700_000_000_123_456_789
HEADER = Header(stamp=to_time(STAMP_NS), frame_id='camera')
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
    message = to_image(ENCODED[encoding], HEADER, encoding)
    assert (message.height, message.width, message.step) == (5, 7, 7 * ENCODED[encoding].shape[2])
    frame = to_frame(message)
    np.testing.assert_array_equal(frame.image, PICTURE)
    assert (frame.stamp_ns, frame.frame_id) == (STAMP_NS, 'camera')
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize(('encoding', 'dtype', 'shift'), [('mono8', np.uint8, 0), ('mono16', np.uint16, 8)])
def test_grey_images_become_three_channels(encoding, dtype, shift):
    grey = PICTURE[..., 0].astype(dtype) << shift
    frame = to_frame(to_image(grey, HEADER, encoding))
    np.testing.assert_array_equal(frame.image, np.dstack([PICTURE[..., 0]] * 3))


def test_padded_rows_are_read_and_come_out_dense():
    padded = np.zeros((5, 32), np.uint8)
    padded[:, :21] = PICTURE.reshape(5, 21)
    message = Image(header=HEADER, height=5, width=7, encoding='rgb8', step=32, data=padded.tobytes())
    frame = to_frame(message)
    np.testing.assert_array_equal(frame.image, PICTURE)
    assert frame.image.flags.c_contiguous


def test_an_unpadded_rgb_image_is_not_copied():
    message = to_image(PICTURE, HEADER, 'rgb8')
    assert np.shares_memory(to_frame(message).image, np.frombuffer(message.data, np.uint8))


def test_a_compressed_image_is_decoded_with_its_stamp():
    png = cv2.imencode('.png', PICTURE[..., ::-1])[1].tobytes()
    frame = to_frame(CompressedImage(header=HEADER, format='png', data=png))
    np.testing.assert_array_equal(frame.image, PICTURE)
    assert frame.stamp_ns == STAMP_NS


def test_a_depth_image_is_no_camera_picture():
    depth = to_image(np.ones((5, 7), np.float32), HEADER, '32FC1')
    with pytest.raises(InvalidImageError, match='no colour or grey picture'):
        to_frame(depth)


@pytest.mark.parametrize('stamp_ns', [0, 1, STAMP_NS, 2**31 * 10**9 - 1])
def test_stamps_survive_to_the_nanosecond(stamp_ns):
    assert to_ns(to_time(stamp_ns)) == stamp_ns


@pytest.mark.parametrize('seconds', [0.0, 0.1, 2.5, 86400.25])
def test_durations_survive(seconds):
    assert to_seconds(to_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


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


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('point', [(1e300, 2.0), (1.0, -1e39)])
def test_a_point_beyond_what_its_type_holds_is_refused(point):
    x, y = point
    message = ObjectPrompt(kind=ObjectPrompt.KIND_POINTS, points=[Point32(x=1.0, y=1.0), Point32(x=x, y=y)])
    with pytest.raises(InvalidPromptError, match='beyond float32'):
        conversions.to_prompt(message)


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


def test_a_prompt_of_words_keeps_them_with_its_id_and_label():
    prompt = conversions.to_prompt(ObjectPrompt(kind=8, object_id='a', label='mine', text='red cup'))
    assert (prompt.object_id, prompt.label, prompt.text) == ('a', 'mine', 'red cup')
    assert prompt.box_xyxy is None


def test_the_boxes_of_a_detector_become_whole_pixels_that_hold_them():
    seen = [
        Detection(Prompt(label='cup', box_xyxy=(1.2, 0.0, 5.1, 4.0)), 0.5),
        Detection(Prompt(label='mug', box_xyxy=(0.0, 1.0, 7.0, 5.0))),
    ]
    message = conversions.to_prompt_array(FRAME, seen)
    assert message.header == HEADER
    first, second = message.prompts
    assert (first.kind, first.label, first.score, first.object_id) == (ObjectPrompt.KIND_BOX, 'cup', 0.5, '')
    assert first.box == RegionOfInterest(x_offset=1, y_offset=0, width=5, height=4)
    assert second.box == RegionOfInterest(x_offset=0, y_offset=1, width=7, height=4)
    assert conversions.to_detection(second).score == 1.0


def test_a_mask_prompt_is_true_where_it_is_not_zero():
    mask = np.array([[0, 1], [255, 0]], np.uint8)
    message = ObjectPrompt(kind=4, mask=to_image(mask, Header(), 'mono8'))
    np.testing.assert_array_equal(conversions.to_prompt(message).mask, mask > 0)


@pytest.mark.parametrize(
    ('message', 'error'),
    [
        (ObjectPrompt(), InvalidPromptError),
        (ObjectPrompt(kind=5), InvalidPromptError),
        (ObjectPrompt(kind=16), InvalidPromptError),
        (ObjectPrompt(kind=8, text=' '), EmptyPromptError),
        (ObjectPrompt(kind=4, mask=to_image(PICTURE, Header(), 'rgb8')), InvalidPromptError),
        (ObjectPrompt(kind=4, mask=Image(encoding='mono8', height=9, width=9, step=9)), InvalidImageError),
    ],
)
def test_a_prompt_that_says_nothing_clear_is_refused(message, error):
    with pytest.raises(error):
        conversions.to_prompt(message)


def test_tracked_objects_survive_with_their_masks_in_the_label_image():
    objects = [tracked('a', (0, 0, 3, 2)), tracked('b', (4, 1, 7, 5))]
    message = conversions.to_tracked_objects(FRAME, objects)
    labels = from_label_image(conversions.to_label_image(FRAME, objects))
    back = conversions.from_tracked_objects(message, labels)
    assert to_ns(message.header.stamp) == STAMP_NS
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


def test_a_position_goes_with_its_object_and_its_frame():
    found = Position((0.1, -0.2, 1.5), (0.05, 0.06, 0.07), 0.004, 300)
    positions = Positions('map', {'a': found, 'b': Position(problem='it is not visible')})
    objects = [tracked('a', (0, 0, 3, 2)), tracked('b', (4, 1, 7, 5))]
    message = conversions.to_tracked_objects(FRAME, objects, positions)
    first, second = message.objects
    assert message.position_frame == 'map'
    assert first.position_valid
    assert (first.position.x, first.position.y, first.position.z) == (0.1, -0.2, 1.5)
    assert (first.extent.x, first.extent.y, first.extent.z) == (0.05, 0.06, 0.07)
    assert first.position_stddev == pytest.approx(0.004)
    assert not second.position_valid
    assert math.isnan(second.extent.x)


def test_a_calibration_survives_and_rectified_images_have_that_of_p():
    camera = Intrinsics(64, 48, 50.0, 51.0, 31.5, 23.5)
    info = to_camera_info(camera, Header())
    assert to_intrinsics(info) == camera
    info.d[0], info.p[0] = 0.1, 45.0
    assert to_intrinsics(info).distortion == (0.1, 0.0, 0.0, 0.0, 0.0)
    rectified = to_intrinsics(info, rectified=True)
    assert (rectified.fx, rectified.distortion) == (45.0, ())


def test_the_right_camera_of_a_pair_is_refused():
    info = to_camera_info(Intrinsics(64, 48, 50.0, 51.0, 31.5, 23.5), Header())
    info.p[3] = -5.0
    with pytest.raises(InvalidCameraInfoError, match='baseline'):
        to_intrinsics(info, rectified=True)


def test_depth_is_viewed_with_its_padding_and_byte_order():
    data = np.array([[1, 2, 9], [3, 4, 9]], '>u2')
    message = Image(height=2, width=2, encoding='16UC1', step=6, is_bigendian=1, data=data.tobytes())
    depth = to_depth(message, Intrinsics(2, 2, 1.0, 1.0, 0.5, 0.5))
    np.testing.assert_array_equal(depth.pixels, [[1, 2], [3, 4]])


def test_a_picture_is_no_depth_image():
    with pytest.raises(InvalidImageError, match='rgb8'):
        to_depth(to_image(PICTURE, Header(), 'rgb8'), Intrinsics(7, 5, 1, 1, 0, 0))


def test_a_region_mask_is_cut_to_the_box_and_compressed():
    item = tracked('a', (1, 2, 4, 5))
    message = conversions.to_region_mask(FRAME, item)
    png = cv2.imdecode(np.frombuffer(message.mask.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(png, np.full((3, 3), 255))
    assert (message.box.x_offset, message.box.y_offset, message.box.width, message.box.height) == (1, 2, 3, 3)


def test_a_request_becomes_a_query_with_open_ends_for_zero_stamps():
    request = AskObjects.Request(timeout=to_duration(2.5))
    request.window.end = to_time(7)
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
    assert [to_ns(stamp) for stamp in message.frame_stamps] == [STAMP_NS - 5, STAMP_NS]
    assert to_ns(message.header.stamp) == STAMP_NS
    assert to_ns(message.expires) == STAMP_NS + 2_000_000_000
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
