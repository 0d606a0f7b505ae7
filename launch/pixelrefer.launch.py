r"""Start the nodes on a camera; detector_node only when there are classes to look for, RViz with rviz:=true.

Parameters come from config/pixelrefer.yaml, or from params_file; an argument that is given overrides its parameter.

    ros2 launch pixelrefer_ros pixelrefer.launch.py image:=/camera/color/image_raw model:=/path/to/checkpoint \
        tracker:=facebook/sam2.1-hiera-small detector:=google/owlv2-base-patch16-ensemble classes:="mug, red ball"
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from pixelrefer_core.settings_text import tracker_values
from pixelrefer_ros import rviz
from pixelrefer_ros.middleware import profile_environment

SHARE = get_package_share_directory('pixelrefer_ros')
# Launch argument -> parameter of pixelrefer_node; an empty argument leaves the parameter alone.
OVERRIDES = {
    'model': 'model.path',
    'detector': 'detector.path',
    'device': 'model.device',
    'image_transport': 'image.transport',
    'reliability': 'image.reliability',
    'autostart': 'autostart',
}
# What detector_node shares with it, and its own names of what concerns the camera.
DETECTOR = ('detector.path', 'detector.device')
CAMERA = {'image_transport': 'transport', 'reliability': 'reliability'}


def _nodes(context):
    given = context.launch_configurations
    overrides = {name: given[argument] for argument, name in OVERRIDES.items() if given[argument]}
    overrides |= tracker_values(given['tracker'])
    if given['device']:
        overrides['tracker.device'] = overrides['detector.device'] = given['device']
    if 'autostart' in overrides:
        overrides['autostart'] = overrides['autostart'].lower() == 'true'
    parameters = [given['params_file'], overrides, {'use_sim_time': given['use_sim_time'].lower() == 'true'}]
    remappings = [
        ('image', given['image']),
        ('image/compressed', given['image'] + '/compressed'),
        ('depth/image', given['depth']),
        ('camera_info', given['camera_info']),
    ]
    common = {'package': 'pixelrefer_ros', 'namespace': given['namespace'], 'output': 'screen'}
    nodes = [
        Node(executable='pixelrefer_node', parameters=parameters, remappings=remappings, **common),
        Node(executable='overlay_node', parameters=parameters[:1], remappings=remappings, **common),
        Node(executable='operator_node', parameters=parameters[:1], **common),
    ]
    if given['classes']:
        looking = {name: value for name, value in overrides.items() if name in ('autostart', *DETECTOR)}
        # Quoted, since one word alone could be a number or a truth value to YAML.
        looking['classes'] = ParameterValue(given['classes'], value_type=str)
        looking |= {name: given[argument] for argument, name in CAMERA.items() if given[argument]}
        parameters = [parameters[0], looking, parameters[2]]
        nodes.append(Node(executable='detector_node', parameters=parameters, remappings=remappings, **common))
    return nodes + _rviz(given)


def _rviz(given):
    if given['rviz'].lower() != 'true':
        return []
    if not rviz.is_installed():
        return [LogInfo(msg=rviz.MISSING)]
    camera = {name: given[name] for name in ('image', 'depth', 'camera_info')}
    return [
        Node(
            package='rviz2',
            executable='rviz2',
            arguments=rviz.arguments(SHARE, 'pixelrefer.rviz', given['fixed_frame']),
            remappings=rviz.remappings(given['namespace'], **camera),
            parameters=[{'use_sim_time': given['use_sim_time'].lower() == 'true'}],
        )
    ]


def generate_launch_description():
    """Describe the nodes."""
    arguments = {
        'image': ('image', 'image topic of the camera'),
        'depth': ('depth/image', 'topic of depth that is registered to the image; there may be none'),
        'camera_info': ('camera_info', 'calibration of the image, for 3D positions'),
        'params_file': (os.path.join(SHARE, 'config', 'pixelrefer.yaml'), 'parameters of all nodes'),
        'namespace': ('', 'namespace of the nodes'),
        'use_sim_time': ('false', 'follow /clock'),
        'classes': ('', 'words to look for, separated by commas: starts detector_node, which needs detector'),
        'rviz': ('false', 'start RViz with config/pixelrefer.rviz, where rviz2 is installed'),
        'fixed_frame': ('', "fixed frame of RViz; empty = that of the file, a RealSense's"),
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
