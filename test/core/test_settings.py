"""Settings have one source: what is generated from it is up to date, and what is set is checked against it."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pixelrefer_core.errors import SettingError
from pixelrefer_core.setting import describe, to_flat, with_values
from pixelrefer_core.settings import CameraSettings, OperatorSettings, OverlaySettings, Settings
from pixelrefer_core.settings_text import add_options, from_options, tracker_values

ROOT = Path(__file__).resolve().parents[2]
NODES = {
    'pixelrefer_node': Settings,
    'camera_node': CameraSettings,
    'overlay_node': OverlaySettings,
    'operator_node': OperatorSettings,
}


@pytest.mark.parametrize('node', NODES)
def test_the_parameter_file_gives_every_setting_its_default_and_no_other(node):
    file = yaml.safe_load((ROOT / 'config' / 'pixelrefer.yaml').read_text())
    assert flatten(file[f'/**/{node}']['ros__parameters']) == to_flat(NODES[node]())


def test_the_demo_sets_only_what_exists_and_lies_in_range():
    for name, node in yaml.safe_load((ROOT / 'config' / 'demo.yaml').read_text()).items():
        with_values(NODES[name.rpartition('/')[2]](), flatten(node['ros__parameters']))


def test_generated_files_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / 'scripts' / 'make_docs', '--check'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('group', NODES.values())
def test_every_setting_has_help_a_default_in_range_and_a_range_where_it_is_a_number(group):
    for info in describe(group):
        assert info.help, info.name
        assert (info.minimum is not None) == (info.type in (int, float)), info.name
    assert with_values(group(), to_flat(group())) == group()


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('window.size', 1, r'window\.size: no such setting; known are autostart, '),
        ('window.max_frames', 0, r'window\.max_frames must lie in \[1, 180\] frames, got 0'),
        ('window.max_frames', 2.0, 'must be int, got 2.0'),
        ('window.max_frames', True, 'must be int, got True'),
        ('window.duration_s', float('nan'), r'must lie in \[0\.1, 3600\] s, got nan'),
        ('model.dtype', 'float8', 'must be one of auto, float32, bfloat16, float16'),
        ('model.path', 3, 'must be str, got 3'),
    ],
)
def test_a_wrong_value_is_refused_with_name_bound_and_value(name, value, message):
    with pytest.raises(SettingError, match=message):
        with_values(Settings(), {name: value})


def test_a_change_leaves_everything_else_and_the_original_alone():
    before = Settings()
    after = with_values(before, {'window.duration_s': 5, 'model.device': 'cpu'})
    assert (after.window.duration_s, after.model.device) == (5.0, 'cpu')
    assert isinstance(after.window.duration_s, float)
    assert {name for name, value in to_flat(after).items() if value != to_flat(before)[name]} == {
        'window.duration_s',
        'model.device',
    }


def test_the_command_line_has_the_same_names_and_checks():
    parser = argparse.ArgumentParser()
    add_options(parser, Settings, ('window', 'model'))
    options = parser.parse_args(['--window.max_frames', '4', '--model.dtype', 'float32'])
    settings = from_options(options, Settings())
    assert (settings.window.max_frames, settings.model.dtype) == (4, 'float32')
    with pytest.raises(SettingError, match='frames, got 999'):
        from_options(parser.parse_args(['--window.max_frames', '999']), Settings())
    assert '[1 to 180 frames] (default: 16)' in ' '.join(parser.format_help().split())


def flatten(tree: dict, prefix: str = '') -> dict:
    flat = {}
    for key, value in tree.items():
        flat |= flatten(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
    return flat


@pytest.mark.parametrize(
    ('text', 'backend', 'path'),
    [
        ('flow', 'flow', ''),
        ('sam2:/models/sam2', 'sam2', '/models/sam2'),
        ('facebook/sam2.1-hiera-small', 'sam2', 'facebook/sam2.1-hiera-small'),
        ('', 'flow', ''),
    ],
)
def test_a_tracker_has_a_short_name(text, backend, path):
    tracker = with_values(Settings(), tracker_values(text)).tracker
    assert (tracker.backend, tracker.path) == (backend, path)


def test_the_short_name_of_a_tracker_gives_way_to_its_settings():
    parser = argparse.ArgumentParser()
    add_options(parser, Settings, ('tracker',))
    options = parser.parse_args(['--tracker', 'sam2:/models/sam2', '--tracker.path', '/models/other'])
    tracker = from_options(options, Settings()).tracker
    assert (tracker.backend, tracker.path) == ('sam2', '/models/other')
