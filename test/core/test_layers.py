"""The floors of the house: who may import whom in ``model/``. Only the source text is read."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

MODEL = Path(__file__).resolve().parents[2] / 'model'
CORE = 'pixelrefer_core'

# Lowest first. A module imports from its own floor and from those below. A package counts as one room.
FLOORS = (
    {'types', 'errors', 'setting', 'settings'},
    # pure functions and values, files, pictures
    {
        'accounting',
        'association',
        'byte_text',
        'clip',
        'clip_depth',
        'clip_objects',
        'clustering',
        'composed_clip',
        'cost_model',
        'decoding',
        'device',
        'drawing',
        'geometry',
        'hub',
        'image_headers',
        'images',
        'lettering',
        'masks',
        'measuring',
        'meters',
        'model_config',
        'occlusion_metrics',
        'pinhole',
        'positions',
        'preprocess',
        'pretrained',
        'prompt',
        'prompting',
        'questions',
        'rigid',
        'scene',
        'segmentation_metrics',
        'settings_text',
        'sheet',
        'shipped',
        'steps',
        'stop_strings',
        'synthetic_clip',
        'track_state',
        'watch',
        'watch_budget',
    },
    # the parts of the paper
    {
        'byte_tokenizer',
        'generation',
        'language_model',
        'object_infusion',
        'object_tokenizer',
        'object_views',
        'packed_linear',
        'prefix_cache',
        'projector',
        'vision_encoder',
        'visual_model',
    },
    # whole models, trackers, memory
    {
        'benchmark',
        'checkpoint',
        'detections',
        'detector',
        'object_memory',
        'object_registry',
        'official_query',
        'past_regions',
        'pixelrefer',
        'recent_frames',
        'reference_pipeline',
        'text_prompts',
        'tracker',
        'watching',
        'weights',
    },
    {'engine'},
    {'detector_worker', 'tickets', 'worker'},
    {'cli'},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ROS = re.compile(
    r'(rclpy|rosidl|ament|launch|cv_bridge|message_filters|tf2|diagnostic_updater|pixelrefer_ros)(_\w+)?'
    r'|\w+_(msgs|srvs)|\w+_interfaces'
)


def name_of(path: Path) -> str:
    return '.'.join(path.relative_to(MODEL).with_suffix('').parts).removesuffix('.__init__')


SOURCES = {name_of(path): path for path in sorted(MODEL.rglob('*.py'))}


def imports_of(module: str) -> set[str]:
    """Absolute names of all that a module imports, at its top or inside a function."""
    path = SOURCES[module]
    package = module.split('.') if path.stem == '__init__' else module.split('.')[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = '.'.join([*base, *(node.module or '').split('.')]).rstrip('.')
            names = {f'{start}.{alias.name}' for alias in node.names}
            found |= {name if name in SOURCES else start for name in names}
    return found


def room_of(module: str) -> str:
    """``pixelrefer_core.tracker.flow`` -> ``tracker``; empty for other packages and for the core itself."""
    package, _, rest = module.partition('.')
    return rest.split('.')[0] if package == CORE else ''


ROOMS = {module: room_of(module) for module in SOURCES if room_of(module)}


def test_every_room_of_the_core_has_a_floor():
    missing = sorted(set(ROOMS.values()) - FLOOR_OF.keys())
    assert not missing, f'give {", ".join(missing)} a floor in {Path(__file__).name}'
    gone = sorted(FLOOR_OF.keys() - set(ROOMS.values()))
    assert not gone, f'{", ".join(gone)} moved out: take the name off its floor'


@pytest.mark.parametrize('module', ROOMS)
def test_no_room_reaches_up(module):
    own = FLOOR_OF.get(ROOMS[module], len(FLOORS))
    rooms = {room_of(name) for name in imports_of(module)} & FLOOR_OF.keys()
    assert not {room for room in rooms if FLOOR_OF[room] > own}


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: imports_of(module) & SOURCES.keys() for module in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(' <- '.join(error.args[1]))


@pytest.mark.parametrize('module', SOURCES)
def test_nothing_in_model_knows_ros(module):
    assert not {name for name in imports_of(module) if ROS.fullmatch(name.split('.')[0])}


@pytest.mark.parametrize('module', [module for module, room in ROOMS.items() if room != 'cli'])
def test_only_the_command_line_of_the_core_knows_the_simulator_and_the_training(module):
    others = {name.split('.')[0] for name in imports_of(module)}
    assert not others & {'pixelrefer_sim', 'pixelrefer_train'}


@pytest.mark.parametrize('module', ['errors', 'types', 'settings', 'cli.main'])
def test_what_everybody_imports_is_quick_to_import(module):
    slow = {'torch', 'transformers', 'mujoco', 'scipy'}
    code = f'import sys, {CORE}.{module}; sys.exit(", ".join({slow} & sys.modules.keys()))'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=MODEL, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == '', f'{module} imports what is slow, or fails'
