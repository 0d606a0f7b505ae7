"""What processes do: the node or a client is killed, weights are broken, memory is full, everybody calls at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from stage import OBJECT, Stage, wait_for

from pixelrefer_core.errors import ErrorCode, PixelReferError
from pixelrefer_ros.srv import GetObjects

FLOOD = 500


def node_is_killed(stage: Stage) -> str:
    """SIGKILL, no goodbye; the same client goes on with the next node."""
    stage.crash('pixelrefer_node')
    try:
        stage.robot.call('get_objects', GetObjects.Request(), timeout_s=5.0)
        said = 'no error'
    except PixelReferError as error:
        said = f'{error.code.name} at the client: {error}'
    stage.start_node()
    return said


def client_vanishes(stage: Stage) -> str:
    """The program ask is killed while its answer is written; the answer goes to the topic all the same."""
    before = stage.robot.status.answers
    command = ['-c', 'import sys; from pixelrefer_ros.cli import main; sys.exit(main())']
    client = subprocess.Popen(
        [sys.executable, *command, 'What happens?', '--object', OBJECT, '--stream'],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert client.stdout is not None
    # The first piece of text.
    client.stdout.read(1)
    client.kill()
    client.wait()
    wait_for(lambda: stage.robot.status.answers > before, 'the answer of the client that is gone')
    return 'nothing to say: the answer is finished and published'


def weights_are_cut(stage: Stage, weights: Path) -> str:
    """A checkpoint of which half is missing, then the whole one."""
    broken = stage.folder / 'broken'
    shutil.copytree(weights, broken)
    file = broken / 'model.safetensors'
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    said = _configure_fails(stage, str(broken))
    file.write_bytes(whole)
    assert stage.change('configure')
    assert stage.change('activate')
    return said


def weights_are_missing(stage: Stage, weights: str) -> str:
    """A folder that is not there, then one that is."""
    said = _configure_fails(stage, str(stage.folder / 'nowhere'))
    stage.set_parameter('model.path', weights)
    assert stage.change('configure')
    assert stage.change('activate')
    return said


def memory_is_full(stage: Stage, switch: Path, program: Path) -> str:
    """A node whose model runs out of memory for a while."""
    stage.stop('pixelrefer_node')
    stage.start_node(program=program)
    stage.ready()
    switch.touch()
    try:
        stage.answered()
        said = 'no error'
    except PixelReferError as error:
        said = f'{error.code.name}: {error}'
    switch.unlink()
    return said


def everybody_calls_at_once(stage: Stage) -> str:
    """Hundreds of requests in one moment: each is answered, or refused as BUSY."""
    heard: Counter[str] = Counter()
    for _ in range(FLOOD):
        future = stage.robot.call_async('get_objects', GetObjects.Request())
        future.add_done_callback(lambda done: heard.update([ErrorCode(done.result().error_code).name]))
    wait_for(lambda: heard.total() == FLOOD, f'{FLOOD} responses')
    return ', '.join(f'{count} {name}' for name, count in sorted(heard.items()))


def _configure_fails(stage: Stage, path: str) -> str:
    assert stage.change('deactivate')
    assert stage.change('cleanup')
    stage.set_parameter('model.path', path)
    assert not stage.change('configure')
    return stage.reason('configure failed')
