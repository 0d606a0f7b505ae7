"""Play a clip as a camera, track objects in it, ask about them, and save a contact sheet.

The shipped clip is a simulated scene: its answers are marked. Other clips are asked about, too, without marks.

    ros2 launch pixelrefer_ros demo.launch.py [clip:=/folder/or/video] [output:=demo_output] [rviz:=true]
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch_ros.actions import Node

from pixelrefer_ros import rviz
from pixelrefer_ros.middleware import profile_environment

SHARE = get_package_share_directory('pixelrefer_ros')
PARAMETERS = [os.path.join(SHARE, 'config', name) for name in ('pixelrefer.yaml', 'demo.yaml')]


def _nodes(context):
    """The nodes, RViz if it is wanted and there, and the operator, whose end is the end of the demo without RViz."""
    given = context.launch_configurations
    wanted = given['rviz'].lower() == 'true'
    shown = wanted and rviz.is_installed()
    # With RViz, overlay_node listens to the images, too: the clip begins when somebody sees it.
    camera = {'source': given['clip'], 'wait_for_subscribers': 3 if shown else 2}
    nodes = [
        Node(package='pixelrefer_ros', executable=name, parameters=PARAMETERS + extra, output='screen')
        for name, extra in (
            ('camera_node', [camera]),
            ('pixelrefer_node', []),
            ('overlay_node', []),
            ('operator_node', []),
        )
    ]
    command = ['python3', '-m', 'pixelrefer_ros.demo_operator', '--clip', given['clip']]
    operator = ExecuteProcess(cmd=[*command, '--output', given['output']], output='screen')
    if shown:
        nodes.append(Node(package='rviz2', executable='rviz2', arguments=rviz.arguments(SHARE, 'demo.rviz')))
    else:
        nodes.append(RegisterEventHandler(OnProcessExit(target_action=operator, on_exit=[Shutdown()])))
    notes = [LogInfo(msg=rviz.MISSING)] if wanted and not shown else []
    return [*notes, *nodes, operator]


def generate_launch_description():
    """Describe the demo."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('clip', default_value=os.path.join(SHARE, 'config', 'demo_tabletop')),
            DeclareLaunchArgument('output', default_value='demo_output'),
            DeclareLaunchArgument(
                'rviz',
                default_value='false',
                description='start RViz with config/demo.rviz, where rviz2 is installed, and stay until interrupted',
            ),
            *[SetEnvironmentVariable(*item) for item in profile_environment(SHARE).items()],
            OpaqueFunction(function=_nodes),
        ]
    )
