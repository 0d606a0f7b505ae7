"""The shipped weights are found wherever the package was installed, and their absence is said."""

import logging
from pathlib import Path

import pytest

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.errors import ModelError
from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.shipped import shipped_folder
from pixelrefer_core.tracker.sam2_loading import load_sam2

WEIGHTS = Path(__file__).parents[2] / 'model' / 'weights' / 'nano'


def put(folder: Path) -> Path:
    (folder / 'sam2_nano').mkdir(parents=True)
    (folder / 'sam2_nano' / 'config.json').write_text('{}')
    return folder / 'sam2_nano'


@pytest.mark.parametrize(
    ('package', 'weights'),
    [
        ('src/model/pixelrefer_core', 'src/model/weights/nano'),
        # pip: into an environment, with --target, and by Debian's Python
        ('env/lib/python3.12/site-packages/pixelrefer_core', 'env/share/pixelrefer_ros/weights/nano'),
        ('target/pixelrefer_core', 'target/share/pixelrefer_ros/weights/nano'),
        (
            'usr/local/lib/python3.12/dist-packages/pixelrefer_core',
            'usr/local/share/pixelrefer_ros/weights/nano',
        ),
        # colcon, each package in a prefix of its own
        (
            'install/pixelrefer_ros/local/lib/python3.12/dist-packages/pixelrefer_core',
            'install/pixelrefer_ros/share/pixelrefer_ros/weights/nano',
        ),
    ],
)
def test_weights_are_found_where_an_installation_puts_them(tmp_path, package, weights):
    expected = put(tmp_path / weights)
    assert shipped_folder('sam2_nano', tmp_path / package) == expected


def test_weights_of_a_linked_package_are_those_of_its_prefix(tmp_path):
    put(tmp_path / 'source' / 'weights' / 'nano')
    installed = put(tmp_path / 'install' / 'share' / 'pixelrefer_ros' / 'weights' / 'nano')
    (tmp_path / 'source' / 'pixelrefer_core').mkdir()
    (tmp_path / 'install' / 'lib').mkdir()
    link = tmp_path / 'install' / 'lib' / 'pixelrefer_core'
    link.symlink_to(tmp_path / 'source' / 'pixelrefer_core')
    assert shipped_folder('sam2_nano', link) == installed


def test_weights_that_did_not_come_along_are_named_with_what_to_do(tmp_path):
    put(tmp_path / 'weights' / 'nano')
    with pytest.raises(ModelError, match=r'pixelrefer_lite_nano.*complete checkout.*random-nano'):
        shipped_folder('pixelrefer_lite_nano', tmp_path / 'pixelrefer_core')


def test_the_shipped_model_is_loaded_by_name_and_says_what_it_is(caplog):
    if not (WEIGHTS / 'pixelrefer_lite_nano').is_dir():
        pytest.skip(f'there are no trained weights in {WEIGHTS}')
    with caplog.at_level(logging.INFO):
        info = load_model('nano', device='cpu').info
    assert info.trained
    assert info.name == 'nano'
    assert 'simulated tabletops only' in caplog.text


def test_the_shipped_tracker_is_loaded_by_name():
    if not (WEIGHTS / 'sam2_nano').is_dir():
        pytest.skip(f'there are no trained weights in {WEIGHTS}')
    model = load_sam2(TrackerSettings(backend='sam2', path='nano', device='cpu'))
    assert model.config.model_type == 'sam2_video'
