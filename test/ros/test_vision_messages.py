"""Messages of vision_msgs, in the layouts of old and new distributions, by hand values.

The package is not needed: its messages are played by classes made from the definitions below, which have their fields.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from std_msgs.msg import Header

from pixelrefer_core.errors import InvalidPromptError, PromptNotFiniteError
from pixelrefer_core.prompting import checked_detection
from pixelrefer_core.types import Frame, ObjectState, TrackedObject
from pixelrefer_ros.vision_messages import to_detection_array, to_detections

# Message -> field -> default; the name of a message stands for a new one of it.
COMMON = {
    'BoundingBox2D': {'center': 'Pose2D', 'size_x': 0.0, 'size_y': 0.0},
    'Detection2DArray': {'header': Header, 'detections': list},
}
NEW = COMMON | {
    'Point2D': {'x': 0.0, 'y': 0.0},
    'Pose2D': {'position': 'Point2D', 'theta': 0.0},
    'ObjectHypothesis': {'class_id': '', 'score': 0.0},
    'ObjectHypothesisWithPose': {'hypothesis': 'ObjectHypothesis'},
    'Detection2D': {'header': Header, 'results': list, 'bbox': 'BoundingBox2D', 'id': ''},
}
OLD = COMMON | {
    'Pose2D': {'x': 0.0, 'y': 0.0, 'theta': 0.0},
    'ObjectHypothesisWithPose': {'id': '', 'score': 0.0},
    'Detection2D': {'header': Header, 'results': list, 'bbox': 'BoundingBox2D', 'tracking_id': ''},
}


class Message:
    """What rosidl makes: named fields with defaults, and no others."""

    fields: ClassVar[dict]
    messages: ClassVar[SimpleNamespace]

    def __init__(self, **given):
        for name, default in self.fields.items():
            if isinstance(default, str) and default:
                default = getattr(self.messages, default)
            object.__setattr__(self, name, given.pop(name, default() if callable(default) else default))
        assert not given, f'{type(self).__name__} has no {", ".join(given)}'

    def __setattr__(self, name, value):
        assert type(getattr(self, name)) is type(value), f'{name} = {value!r}'
        object.__setattr__(self, name, value)


def messages_of(definitions):
    made = SimpleNamespace()
    for name, fields in definitions.items():
        setattr(made, name, type(name, (Message,), {'fields': fields, 'messages': made}))
    return made


LAYOUTS = {'new': messages_of(NEW), 'old': messages_of(OLD)}


@pytest.fixture(params=LAYOUTS)
def messages(request):
    return LAYOUTS[request.param]


def detection(messages, x, y, width, height, *classes, theta=0.0):
    item = messages.Detection2D()
    centre = item.bbox.center.position if messages is LAYOUTS['new'] else item.bbox.center
    centre.x, centre.y = x, y
    item.bbox.center.theta, item.bbox.size_x, item.bbox.size_y = theta, width, height
    for name, score in classes:
        if messages is LAYOUTS['new']:
            result = messages.ObjectHypothesisWithPose(
                hypothesis=messages.ObjectHypothesis(class_id=name, score=score)
            )
        else:
            result = messages.ObjectHypothesisWithPose(id=name, score=score)
        item.results.append(result)
    return item


def read(messages, *items):
    return to_detections(messages.Detection2DArray(detections=list(items)))


def test_a_box_is_read_from_its_middle_and_its_size(messages):
    (found,) = read(messages, detection(messages, 30.0, 20.0, 10.0, 4.0, ('cup', 0.75)))
    assert found.prompt.box_xyxy == (25, 18, 35, 22)
    assert (found.prompt.label, found.score, found.prompt.object_id) == ('cup', 0.75, '')


def test_the_most_probable_class_counts(messages):
    (found,) = read(
        messages, detection(messages, 5.0, 5.0, 2.0, 2.0, ('cup', 0.2), ('mug', 0.7), ('can', 0.1))
    )
    assert (found.prompt.label, found.score) == ('mug', 0.7)


def test_what_was_not_said_is_no_doubt(messages):
    silent, vague = read(
        messages,
        detection(messages, 5.0, 5.0, 2.0, 2.0),
        detection(messages, 5.0, 5.0, 2.0, 2.0, ('cup', 0.0)),
    )
    assert (silent.prompt.label, silent.score) == ('', 1.0)
    assert (vague.prompt.label, vague.score) == ('cup', 1.0)


@pytest.mark.parametrize('theta', [math.pi / 2, -math.pi / 2])
def test_a_box_that_is_turned_gets_an_upright_one_around_it(messages, theta):
    (found,) = read(messages, detection(messages, 30.0, 20.0, 10.0, 4.0, theta=theta))
    assert found.prompt.box_xyxy == pytest.approx((28, 15, 32, 25))


def test_a_box_that_is_turned_by_45_degrees_is_as_wide_as_its_diagonals(messages):
    (found,) = read(messages, detection(messages, 30.0, 20.0, 10.0, 10.0, theta=math.pi / 4))
    half = 10 / math.sqrt(2)
    assert found.prompt.box_xyxy == pytest.approx((30 - half, 20 - half, 30 + half, 20 + half))


def test_nonsense_is_left_to_the_check_of_every_detection(messages):
    nowhere, sure = read(
        messages,
        detection(messages, math.nan, 5.0, 2.0, 2.0),
        detection(messages, 5.0, 5.0, 2.0, 2.0, ('cup', 1.5)),
    )
    with pytest.raises(PromptNotFiniteError):
        checked_detection(nowhere, height=10, width=10)
    with pytest.raises(InvalidPromptError, match='score'):
        checked_detection(sure, height=10, width=10)


def tracked(object_id, box):
    mask = np.zeros((40, 60), np.bool_)
    return TrackedObject(object_id, 'mug', ObjectState.TRACKED, 0.5, mask, box, 0, 0, 0)


def test_visible_objects_are_published_with_their_ids(messages):
    frame = Frame(np.zeros((40, 60, 3), np.uint8), 1_500_000_000, 'eye')
    made = to_detection_array(messages, frame, [tracked('a', (10, 20, 31, 30)), tracked('hidden', None)])
    assert (made.header.stamp.sec, made.header.stamp.nanosec, made.header.frame_id) == (1, 500_000_000, 'eye')
    (item,) = made.detections
    assert item.header == made.header
    assert (item.id if messages is LAYOUTS['new'] else item.tracking_id) == 'a'
    assert (item.bbox.size_x, item.bbox.size_y, item.bbox.center.theta) == (21, 10, 0)


def test_what_is_published_reads_back_the_same(messages):
    frame = Frame(np.zeros((40, 60, 3), np.uint8), 5)
    (found,) = to_detections(to_detection_array(messages, frame, [tracked('a', (10, 20, 31, 30))]))
    assert found.prompt.box_xyxy == (10, 20, 31, 30)
    assert (found.prompt.label, found.score) == ('mug', 0.5)
