"""The settings as text: parameter files for ROS, tables for people, options for command lines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from itertools import groupby

from .setting import Group, Scalar, SettingInfo, describe, with_values

YAML_COMMENT_COLUMN = 44


def to_yaml(nodes: Mapping[str, type]) -> str:
    """Return a ROS parameter file that gives every setting of every node its default, with its help."""
    return '\n'.join(line for node, group in nodes.items() for line in _node_yaml(node, group)) + '\n'


def _node_yaml(node: str, group: type) -> Iterable[str]:
    yield f'/**/{node}:'
    yield '  ros__parameters:'
    for section, items in groupby(describe(group), key=lambda info: info.name.rpartition('.')[0]):
        if section:
            yield f'    {section}:'
        indent = '      ' if section else '    '
        for info in items:
            # JSON scalars are YAML scalars; 1.0 stays a float, which ROS insists on.
            line = f'{indent}{info.name.rpartition(".")[2]}: {json.dumps(info.default)}'
            yield f'{line:<{YAML_COMMENT_COLUMN}}# {_help(info)}'


def to_markdown(group: type) -> str:
    """Return a table of the settings of one node."""
    rows = ['| parameter | default | range | live | what it does |', '|---|---|---|---|---|']
    for info in describe(group):
        default = json.dumps(info.default) if info.default != '' else 'empty'
        live = 'yes' if info.live else ''
        rows.append(f'| `{info.name}` | {default} | {_range(info)} | {live} | {info.help} |')
    return '\n'.join(rows) + '\n'


def add_options(parser: argparse.ArgumentParser, group: type, sections: Iterable[str]) -> None:
    """Give a command line one option per setting of these sections, ``--section.name VALUE``.

    Those of the tracker get a short one as well, ``--tracker``, see :func:`tracker_values`.
    """
    options = parser.add_argument_group('settings')
    if 'tracker' in sections:
        options.add_argument(
            '--tracker', metavar='flow|sam2:PATH', help='backend and checkpoint of the tracker in one'
        )
    for info in describe(group):
        if info.name.partition('.')[0] in sections:
            options.add_argument(
                f'--{info.name}',
                type=_read_bool if info.type is bool else info.type,
                choices=info.choices or None,
                metavar=None if info.choices else info.type.__name__.upper(),
                help=f'{_help(info)} (default: {json.dumps(info.default)})'.replace('%', '%%'),
            )


def from_options(options: argparse.Namespace, defaults: Group) -> Group:
    """Return ``defaults`` with what was given on the command line. Raises :class:`SettingError`."""
    values = tracker_values(getattr(options, 'tracker', None) or '')
    values |= {
        info.name: getattr(options, info.name)
        for info in describe(type(defaults))
        if getattr(options, info.name, None) is not None
    }
    return with_values(defaults, values)


def tracker_values(text: str) -> dict[str, Scalar]:
    """Return the settings, by dotted name, that a short name of a tracker stands for.

    ``flow``, ``sam2:PATH``, or a checkpoint's folder or repository alone; empty = none.
    """
    if text in ('', 'flow', 'sam2'):
        return {'tracker.backend': text} if text else {}
    return {'tracker.backend': 'sam2', 'tracker.path': text.removeprefix('sam2:')}


def _read_bool(text: str) -> bool:
    if text not in ('true', 'false'):
        raise argparse.ArgumentTypeError(f'{text!r} is neither true nor false')
    return text == 'true'


def _help(info: SettingInfo) -> str:
    bounds = _range(info)
    return f'{info.help} [{bounds}]' if bounds else info.help


def _range(info: SettingInfo) -> str:
    if info.choices:
        return ', '.join(info.choices)
    if info.minimum is None or info.maximum is None:
        return info.unit
    return f'{info.minimum:.10g} to {info.maximum:.10g} {info.unit}'.strip()
