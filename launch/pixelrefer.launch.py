r"""Start pixelrefer_node and overlay_node on a camera.

Parameters come from config/pixelrefer.yaml, or from params_file; an argument that is given overrides its parameter.

    ros2 launch pixelrefer_ros pixelrefer.launch.py image:=/camera/color/image_raw model:=/path/to/checkpoint \
        tracker:=facebook/sam2.1-hiera-small
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from pixelrefer_core.settings_text import tracker_values
from pixelrefer_ros.middleware import profile_environment

SHARE = get_package_share_directory('pixelrefer_ros')
# Launch argument -> parameter of pixelrefer_node; an empty argument leaves the parameter alone.
OVERRIDES = {
    'model': 'model.path',
    'device': 'model.device',
    'image_transport': 'image.transport',
    'reliability': 'image.reliability',
    'autostart': 'autostart',
}


def _nodes(context):
    given = context.launch_configurations
    overrides = {name: given[argument] for argument, name in OVERRIDES.items() if given[argument]}
    overrides |= tracker_values(given['tracker'])
    if given['device']:
        overrides['tracker.device'] = given['device']
    if 'autostart' in overrides:
        overrides['autostart'] = overrides['autostart'].lower() == 'true'
    parameters = [given['params_file'], overrides, {'use_sim_time': given['use_sim_time'].lower() == 'true'}]
    remappings = [('image', given['image']), ('image/compressed', given['image'] + '/compressed')]
    common = {'package': 'pixelrefer_ros', 'namespace': given['namespace'], 'output': 'screen'}
    return [
        Node(executable='pixelrefer_node', parameters=parameters, remappings=remappings, **common),
        Node(executable='overlay_node', parameters=parameters[:1], remappings=remappings, **common),
    ]


def generate_launch_description():
    """Describe the two nodes."""
    arguments = {
        'image': ('image', 'image topic of the camera'),
        'params_file': (os.path.join(SHARE, 'config', 'pixelrefer.yaml'), 'parameters of all nodes'),
        'namespace': ('', 'namespace of the nodes'),
        'use_sim_time': ('false', 'follow /clock'),
        'tracker': ('', 'flow, or a checkpoint of SAM 2: overrides tracker.backend and tracker.path'),
        **{name: ('', f'overrides parameter {parameter}') for name, parameter in OVERRIDES.items()},
    }
    return LaunchDescription(
        [
            *[SetEnvironmentVariable(*item) for item in profile_environment(SHARE).items()],
            *[
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in arguments.items()
            ],
            OpaqueFunction(function=_nodes),
        ]
    )
