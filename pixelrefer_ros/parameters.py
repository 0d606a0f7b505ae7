"""ROS parameters made from the settings classes; nothing about a parameter is written here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from pixelrefer_core.errors import SettingError
from pixelrefer_core.setting import SettingInfo, describe, with_values

Group = TypeVar('Group')


class NodeParameters(Generic[Group]):
    """Declares every setting as a parameter and keeps a checked, frozen copy in :attr:`current`.

    ``is_locked``: while it returns True, only settings marked live may change. ``on_change`` gets the new settings;
    with a :class:`SettingError` it refuses them.
    Raises :class:`SettingError` at construction when a given value does not fit.
    """

    def __init__(
        self,
        node: Node,
        defaults: Group,
        *,
        is_locked: Callable[[], bool] = lambda: True,
        on_change: Callable[[Group], None] = lambda settings: None,
    ) -> None:
        self._known = {info.name: info for info in describe(type(defaults))}
        self._is_locked = is_locked
        self._on_change = on_change
        given = {
            name: node.declare_parameter(name, info.default, _descriptor(info)).value
            for name, info in self._known.items()
        }
        self.current: Group = with_values(defaults, given)
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changes = {item.name: item.value for item in parameters if item.name in self._known}
        for name in changes:
            if not self._known[name].live and self._is_locked():
                reason = f'{name} cannot change now: clean the node up first, or set it at start'
                return SetParametersResult(successful=False, reason=reason)
        try:
            settings = with_values(self.current, changes)
            self._on_change(settings)
        except SettingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.current = settings
        return SetParametersResult(successful=True)


def _descriptor(info: SettingInfo) -> ParameterDescriptor:
    unit = f' [{info.unit}]' if info.unit else ''
    descriptor = ParameterDescriptor(name=info.name, description=info.help + unit)
    if info.choices:
        descriptor.additional_constraints = 'one of ' + ', '.join(info.choices)
    if info.minimum is None or info.maximum is None:
        return descriptor
    low, high = info.type(info.minimum), info.type(info.maximum)
    if info.type is int:
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    else:
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
