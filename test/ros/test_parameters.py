"""ROS parameters are the settings: same names, defaults and ranges; changes are checked and refused with a reason."""

import pytest
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from pixelrefer_core.errors import SettingError
from pixelrefer_core.setting import describe, to_flat
from pixelrefer_core.settings import Settings
from pixelrefer_ros.parameters import NodeParameters


class Owner(Node):
    def __init__(self, **kwargs):
        super().__init__('owner', **kwargs)
        self.locked = True
        self.seen = []
        self.parameters = NodeParameters(
            self, Settings(), is_locked=lambda: self.locked, on_change=self.seen.append
        )


@pytest.fixture
def owner(graph):
    node = graph.add(Owner)
    yield node
    graph.remove(node)


def put(node, name, value):
    return node.set_parameters([Parameter(name, value=value)])[0]


def test_every_setting_is_a_parameter_with_its_default_help_and_range(owner):
    for info in describe(Settings):
        assert owner.get_parameter(info.name).value == info.default
        descriptor = owner.describe_parameter(info.name)
        assert info.help in descriptor.description
        bounds = list(descriptor.integer_range) + list(descriptor.floating_point_range)
        if info.minimum is not None:
            assert (bounds[0].from_value, bounds[0].to_value) == (info.minimum, info.maximum)


def test_a_live_setting_changes_at_once(owner):
    assert put(owner, 'window.duration_s', 5.0).successful
    assert owner.parameters.current.window.duration_s == 5.0
    assert owner.seen[-1].window.duration_s == 5.0


def test_other_settings_change_only_while_unlocked(owner):
    refused = put(owner, 'model.path', 'elsewhere')
    assert not refused.successful
    assert 'model.path cannot change now' in refused.reason
    assert owner.parameters.current.model.path == Settings().model.path
    owner.locked = False
    assert put(owner, 'model.path', 'elsewhere').successful
    assert owner.parameters.current.model.path == 'elsewhere'


def test_a_value_out_of_range_is_refused_with_a_reason_and_changes_nothing(owner):
    before = to_flat(owner.parameters.current)
    for name, value in (
        ('window.max_frames', 0),
        ('generation.timeout_s', -1.0),
        ('tracker.max_objects', 65),
    ):
        refused = put(owner, name, value)
        assert not refused.successful
        assert name in refused.reason
    assert to_flat(owner.parameters.current) == before


@pytest.mark.parametrize(
    ('name', 'value', 'error'),
    [
        ('window__max_frames', 999, InvalidParameterValueException),
        ('window__duration_s', 'long', InvalidParameterTypeException),
        ('model__dtype', 'float8', SettingError),
    ],
)
def test_a_wrong_value_at_start_stops_the_node_with_the_name(graph, name, value, error):
    with pytest.raises(error, match=name.replace('__', r'\.')):
        graph.add(Owner, **{name: value})
