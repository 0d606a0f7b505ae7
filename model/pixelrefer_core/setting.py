"""What a setting is: declared as a field of a dataclass, described to others, changed by name, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, get_type_hints

from .errors import SettingError

Scalar = bool | int | float | str
Group = TypeVar('Group')


def setting(
    default: Any,
    help: str,
    *,
    unit: str = '',
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare one setting. ``live``: it may change while the node is active."""
    metadata = {
        'help': help,
        'unit': unit,
        'minimum': minimum,
        'maximum': maximum,
        'choices': choices,
        'live': live,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class SettingInfo:
    """One setting as others see it; ``name`` is dotted, as in a ROS parameter."""

    name: str
    type: type
    default: Scalar
    help: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    live: bool


def describe(group: type[Any], prefix: str = '') -> Iterator[SettingInfo]:
    """Yield every setting of a settings class, depth first, in the order of its text."""
    for item in fields(group):
        kind = get_type_hints(group)[item.name]
        name = prefix + item.name
        if isinstance(kind, type) and is_dataclass(kind):
            yield from describe(kind, name + '.')
        else:
            default: Any = item.default
            yield SettingInfo(name=name, type=kind, default=default, **item.metadata)


def to_flat(settings: Any, prefix: str = '') -> dict[str, Scalar]:
    """Return ``{dotted name: value}``."""
    flat: dict[str, Scalar] = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            flat.update(to_flat(value, prefix + item.name + '.'))
        else:
            flat[prefix + item.name] = value
    return flat


def with_values(settings: Group, values: Mapping[str, Scalar]) -> Group:
    """Return ``settings`` with dotted names replaced and checked.

    Raises :class:`SettingError` for an unknown name, a wrong type or a value outside its range.
    """
    kind: Any = type(settings)
    known = {info.name: info for info in describe(kind)}
    for name, value in values.items():
        if name not in known:
            raise SettingError(f'{name}: no such setting; known are {", ".join(known)}')
        check(known[name], value)
    return _with_checked(settings, values)


def _with_checked(settings: Any, values: Mapping[str, Scalar]) -> Any:
    changes: dict[str, Any] = {}
    for item in fields(settings):
        current = getattr(settings, item.name)
        if is_dataclass(current):
            inner = {
                name.split('.', 1)[1]: value
                for name, value in values.items()
                if name.startswith(item.name + '.')
            }
            changes[item.name] = _with_checked(current, inner)
        elif item.name in values:
            changes[item.name] = get_type_hints(type(settings))[item.name](values[item.name])
    return replace(settings, **changes)


def check(info: SettingInfo, value: Any) -> None:
    """Raise :class:`SettingError` unless ``value`` fits the setting. An int serves where a float is asked."""
    accepted = (int, float) if info.type is float else (info.type,)
    if not isinstance(value, accepted) or (info.type is not bool and isinstance(value, bool)):
        raise SettingError(f'{info.name} must be {info.type.__name__}, got {value!r}')
    if info.choices and value not in info.choices:
        raise SettingError(f'{info.name} must be one of {", ".join(info.choices)}, got {value!r}')
    if info.minimum is None or info.maximum is None:
        return
    low, high = info.minimum, info.maximum
    number: Any = value
    # Written so that NaN fails too.
    if not low <= number <= high:
        unit = f' {info.unit}' if info.unit else ''
        raise SettingError(f'{info.name} must lie in [{low:g}, {high:g}]{unit}, got {value!r}')
