"""Play a clip as a camera, track objects in it, ask about them, and save a contact sheet.

The shipped clip is a simulated scene: its answers are marked. Other clips are asked about, too, without marks.

    ros2 launch pixelrefer_ros demo.launch.py [clip:=/folder/or/video] [output:=demo_output]
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from pixelrefer_ros.middleware import profile_environment

SHARE = get_package_share_directory('pixelrefer_ros')
PARAMETERS = [os.path.join(SHARE, 'config', name) for name in ('pixelrefer.yaml', 'demo.yaml')]


def generate_launch_description():
    """Describe the three nodes and the operator, whose end is the end of the demo."""
    clip, output = LaunchConfiguration('clip'), LaunchConfiguration('output')
    nodes = [
        Node(package='pixelrefer_ros', executable=name, parameters=PARAMETERS + extra, output='screen')
        for name, extra in (
            ('camera_node', [{'source': clip}]),
            ('pixelrefer_node', []),
            ('overlay_node', []),
        )
    ]
    operator = ExecuteProcess(
        cmd=['python3', '-m', 'pixelrefer_ros.demo_operator', '--clip', clip, '--output', output],
        output='screen',
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument('clip', default_value=os.path.join(SHARE, 'config', 'demo_tabletop')),
            DeclareLaunchArgument('output', default_value='demo_output'),
            *[SetEnvironmentVariable(*item) for item in profile_environment(SHARE).items()],
            *nodes,
            operator,
            RegisterEventHandler(OnProcessExit(target_action=operator, on_exit=[Shutdown()])),
        ]
    )
