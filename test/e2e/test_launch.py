"""The launch files name executables, files and parameters that exist; with the launch package, they start."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess

import pytest

from pixelrefer_core.setting import describe
from pixelrefer_core.settings import Settings

from .conftest import ROOT

pytestmark = pytest.mark.e2e
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))


def has_launch() -> bool:
    """Whether the real package is there; the folder launch/ of a checkout also imports as one."""
    return importlib.util.find_spec('launch_ros') is not None


@pytest.mark.parametrize('file', LAUNCH_FILES, ids=lambda file: file.name)
def test_what_a_launch_file_names_exists(file):
    text = file.read_text()
    ast.parse(text)
    for name in re.findall(r"executable='(\w+_node)'|\('(\w+_node)'", text):
        assert (ROOT / 'scripts' / ''.join(name)).exists(), name
    for name in re.findall(r"'(\w+\.(?:yaml|xml|rviz))'", text):
        assert (ROOT / 'config' / name).exists(), name


def test_launch_arguments_override_parameters_that_exist():
    tree = ast.parse((ROOT / 'launch' / 'pixelrefer.launch.py').read_text())
    overrides = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'OVERRIDES'
    )
    assert set(overrides.values()) <= {info.name for info in describe(Settings)}


@pytest.mark.parametrize('file', LAUNCH_FILES, ids=lambda file: file.name)
def test_a_launch_file_shows_its_arguments(file):
    if not has_launch() or shutil.which('ros2') is None:
        pytest.skip('the launch package is not installed: it comes with a full ROS 2, not with the wheels')
    done = subprocess.run(
        ['ros2', 'launch', 'pixelrefer_ros', file.name, '--show-args'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
