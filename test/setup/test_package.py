"""The package as a whole: what its files say about each other."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import pixelrefer_core
from pixelrefer_core.errors import ErrorCode
from pixelrefer_core.types import FinishReason, ObjectState, QueryKind

ROOT = Path(__file__).resolve().parents[2]
INTERFACES = sorted(path for kind in ('msg', 'srv', 'action') for path in (ROOT / kind).glob(f'*.{kind}'))
MESSAGE_PACKAGE = re.compile(r'[a-z_]+_(?:msgs|srvs|interfaces)')


def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / 'package.xml').getroot()


def dependencies(*tags: str) -> set[str]:
    return {element.text or '' for tag in tags for element in manifest().findall(tag)}


def packages_of_cmake() -> set[str]:
    found = re.search(r'set\(interface_packages ([^)]*)\)', (ROOT / 'CMakeLists.txt').read_text())
    assert found is not None
    return set(found[1].split())


def constants_of(message: str, prefix: str = '') -> dict[str, int]:
    text = (ROOT / 'msg' / f'{message}.msg').read_text()
    return {
        name: int(value)
        for name, value in re.findall(rf'^uint\d+ {prefix}([A-Z_]+)=(\d+)', text, re.MULTILINE)
    }


def test_package_xml_names_every_message_package_that_cmake_builds_with():
    assert packages_of_cmake() <= dependencies('depend')


def test_cmake_finds_every_package_whose_types_the_interfaces_use():
    used = {name for path in INTERFACES for name in re.findall(r'^(\w+)/\w+', path.read_text(), re.MULTILINE)}
    assert used <= packages_of_cmake()


def test_package_xml_names_every_message_package_that_the_nodes_import():
    sources = [path.read_text() for path in (ROOT / 'pixelrefer_ros').rglob('*.py')]
    used = {
        name
        for source in sources
        for name in re.findall(r'^ *(?:from|import) (\w+)', source, re.MULTILINE)
        if MESSAGE_PACKAGE.fullmatch(name)
    }
    assert used, 'the nodes import no messages: is this test looking at the right folder?'
    assert used <= dependencies('depend', 'exec_depend')


def test_cmake_requires_nothing_that_the_wheels_lack():
    lacking = {
        'cv_bridge',
        'diagnostic_updater',
        'launch',
        'launch_ros',
        'message_filters',
        'tf2_ros',
        'vision_msgs',
    }
    required = (
        set(re.findall(r'find_package\((\w+)', (ROOT / 'CMakeLists.txt').read_text())) | packages_of_cmake()
    )
    assert not required & lacking
    assert lacking <= dependencies('exec_depend')


def test_the_version_is_the_same_everywhere():
    assert manifest().findtext('version') == pixelrefer_core.__version__
    assert 'version = { attr = "pixelrefer_core.__version__" }' in (ROOT / 'pyproject.toml').read_text()


def test_every_installed_program_is_executable_and_runs_a_main_that_exists():
    programs = re.search(r'install\(PROGRAMS([^)]*?)DESTINATION', (ROOT / 'CMakeLists.txt').read_text())
    assert programs is not None
    for program in programs[1].split():
        source = ROOT / program
        assert source.stat().st_mode & 0o111, f'{program} is not executable'
        module = re.search(r'^from ([\w.]+) import main$', source.read_text(), re.MULTILINE)
        assert module is not None, f'{program} imports no main'
        relative = Path(*module[1].split('.')).with_suffix('.py')
        files = [folder / relative for folder in (ROOT, ROOT / 'model') if (folder / relative).is_file()]
        assert files, f'{program}: no module {module[1]}'
        functions = [
            node.name for node in ast.parse(files[0].read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert 'main' in functions, f'{files[0]} has no main'


@pytest.mark.parametrize(
    ('message', 'prefix', 'enum'),
    [
        ('ResultCode', '', ErrorCode),
        ('TrackedObject', 'STATE_', ObjectState),
        ('ObjectAnswer', 'KIND_', QueryKind),
        ('ObjectAnswer', 'FINISH_', FinishReason),
    ],
)
def test_the_constants_of_a_message_are_the_numbers_of_the_core(message, prefix, enum):
    assert constants_of(message, prefix) == {member.name: int(member) for member in enum}


@pytest.mark.parametrize('interface', INTERFACES, ids=lambda path: path.name)
def test_every_field_of_an_interface_is_explained(interface):
    lines = [line for line in interface.read_text().splitlines() if re.match(r'[A-Za-z]', line)]
    fields = [line for line in lines if '=' not in line.split('#')[0]]
    assert not [line for line in fields if '#' not in line]


def test_tracked_files_name_no_registry_and_no_path_of_one_machine():
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip('not a git checkout')
    hosts = ('pypi', 'python' + 'hosted', 'download.' + 'pytorch')
    forbidden = re.compile(
        r'https?://[^\s/]*(' + '|'.join(hosts) + r')|(?<![\w.~])/(work|farm|root|home/[a-z])/|/tmp/[a-z]'
    )
    guilty = [
        f'{name}:{number}: {line.strip()[:80]}'
        for name in listed.stdout.split('\0')
        if name and (ROOT / name).is_file() and is_text(ROOT / name)
        for number, line in enumerate((ROOT / name).read_text(encoding='utf-8').splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not guilty


def is_text(path: Path) -> bool:
    with path.open('rb') as file:
        head = file.read(1024)
    return b'\0' not in head and path.suffix not in {'.png', '.jpg', '.bag', '.pdf'}


@pytest.mark.ros
def test_sources_and_generated_messages_meet_whichever_comes_first_on_the_path(tmp_path):
    pytest.importorskip('rclpy', reason='needs ROS 2')
    messages = pytest.importorskip('pixelrefer_ros.msg', reason='needs the built workspace')
    installed = Path(messages.__file__).parents[2]
    for first in (ROOT, installed):
        code = (
            f'import sys; sys.path.insert(0, {str(first)!r}); import pixelrefer_ros.msg, pixelrefer_ros.qos'
        )
        done = subprocess.run(
            [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
