"""What cameras do: they die, go back in time, change size and encoding."""

from __future__ import annotations

from stage import OBJECT, Stage, wait_for

from pixelrefer_core.errors import PixelReferError


def camera_dies_and_returns(stage: Stage) -> str:
    """Killed; started again after the node has said that nothing comes."""
    stage.crash('camera_node')
    said = stage.reason('nobody publishes', 'no image on')
    stage.start_camera()
    return said


def stamps_go_back(stage: Stage) -> str:
    """A clip that starts again with its own stamps, 1.8 s earlier."""
    mark = stage.mark()
    stage.stop('camera_node')
    stage.start_camera(stamps='source')
    words = 'image stamps went back'
    wait_for(lambda: words in stage.log_since(mark), words)
    said = _objects_are_gone(stage)
    stage.stop('camera_node')
    stage.start_camera()
    return f'{words}: all objects are dropped; {said}'


def size_changes(stage: Stage, other: str) -> str:
    """Another clip, of another size."""
    mark = stage.mark()
    stage.stop('camera_node')
    stage.start_camera(source=other)
    words = 'image size changed'
    wait_for(lambda: words in stage.log_since(mark), words)
    said = _objects_are_gone(stage)
    stage.stop('camera_node')
    stage.start_camera()
    return f'{words}: all objects are dropped; {said}'


def encoding_changes(stage: Stage) -> str:
    """Grey, and the other order of colours; objects stay."""
    said = []
    for encoding in ('mono8', 'bgr8', 'rgb8'):
        stage.stop('camera_node')
        before = stage.robot.status.newest_image
        stage.start_camera(encoding=encoding)
        wait_for(lambda before=before: stage.robot.status.newest_image != before, f'an image of {encoding}')
        (item,) = stage.robot.get_objects([OBJECT])
        said.append(f'{encoding} generation {item.generation}')
    return 'nothing to say: the object stays (' + ', '.join(said) + ')'


def _objects_are_gone(stage: Stage) -> str:
    try:
        stage.answered()
    except PixelReferError as error:
        return error.code.name
    return 'no error'
