"""How RViz is started with the shipped configurations, where it is installed."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

MISSING = (
    'rviz:=true, but rviz2 is not installed: apt install ros-<distro>-rviz2, or run it on another machine'
)
# What the configurations show besides what cameras publish.
SHOWN = (
    'annotated_image',
    'markers',
    'object_menus/update',
    'object_menus/feedback',
    'object_menus/get_interactive_markers',
)


def is_installed() -> bool:
    """Whether there is an RViz to start."""
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        return False
    return True


def arguments(share: str | Path, config: str, fixed_frame: str = '') -> list[str]:
    """Return the command line of rviz2. ``config``: its file name; ``fixed_frame``: another than the file's."""
    frame = ['-f', fixed_frame] if fixed_frame else []
    return ['-d', str(Path(share) / 'config' / config), *frame]


def remappings(
    namespace: str = '', *, image: str = 'image', depth: str = 'depth/image', camera_info: str = 'camera_info'
) -> list[tuple[str, str]]:
    """Return what to remap so that a configuration, which knows the names of the root namespace, fits.

    ``image``, ``depth``, ``camera_info``: the topics of the camera, relative to ``namespace`` or absolute.
    """
    prefix = f'/{namespace.strip("/")}' if namespace.strip('/') else ''
    camera = {
        'image': image,
        'depth/image': depth,
        'camera_info': camera_info,
        # Where older versions of the display DepthCloud look for it.
        'depth/camera_info': camera_info,
    }
    pairs = [(f'/{name}', f'{prefix}/{name}') for name in SHOWN]
    pairs += [
        (f'/{name}', topic if topic.startswith('/') else f'{prefix}/{topic}')
        for name, topic in camera.items()
    ]
    return [pair for pair in pairs if pair[0] != pair[1]]
