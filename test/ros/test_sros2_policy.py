"""The security policy allows each node exactly the topics, services and actions that it has when it runs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

import pytest
from sensor_msgs.msg import Image

from pixelrefer_ros import qos
from pixelrefer_ros.camera_node import CameraNode
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.detector_node import DetectorNode
from pixelrefer_ros.operator_node import OperatorNode
from pixelrefer_ros.overlay_node import OverlayNode
from pixelrefer_ros.pixelrefer_node import PixelReferNode

from ..e2e.conftest import DEMO_CLIP, ROOT
from .waiting import wait_for

POLICY = ROOT / 'config' / 'sros2' / 'policy.xml'
CLIP = ROOT / 'config' / 'demo_tabletop'
CPU = {'model__device': 'cpu', 'model__path': 'random-nano', 'model__threads': 1}
# What a node has only with settings or packages that are not those of this test, and why it is allowed.
ONLY_AT_TIMES = {
    'camera_node': {
        'publish /depth/image': 'a clip with depth', 'publish /camera_info': 'a clip with depth',
    },
    'pixelrefer_node': {
        'subscribe /image/compressed': 'image.transport', 'subscribe /tf': 'tf2_ros', 'subscribe /tf_static': 'tf2_ros',
        'subscribe /detections': 'vision_msgs', 'publish /detections_2d': 'vision_msgs',
    },
    'detector_node': {'subscribe /image/compressed': 'transport'},
}  # fmt: skip
# Every node has it with use_sim_time; types are described since Jazzy.
EVERYWHERE = {'subscribe /clock', 'reply ~/get_type_description'}


@dataclass
class Rights:
    """What a node may do or does, as ``publish /image``: access and full name."""

    node: str
    items: set[str] = field(default_factory=set)

    def add(self, access: str, name: str) -> None:
        self.items.add(f'{access} {name.replace("/" + self.node + "/", "~/", 1)}')


def allowed(enclave: ElementTree.Element) -> Rights:
    """What the policy allows the one node of an enclave, which is in the root namespace."""
    (profile,) = enclave.iter('profile')
    assert profile.get('ns') == '/'
    rights = Rights(profile.get('node'))
    for group in profile:
        for access, word in group.attrib.items():
            assert word == 'ALLOW'
            for item in group:
                name = item.text if item.text.startswith(('/', '~')) else '/' + item.text
                rights.items.add(f'{access} {name}')
    return rights


def declared(node, namespace: str) -> Rights:
    """What a running node has, its namespace taken away; topics and services of an action are the action."""
    rights, prefix = Rights(node.get_name()), namespace.rstrip('/')
    ask = (node.get_name(), namespace)
    for access, found in (
        ('publish', node.get_publisher_names_and_types_by_node(*ask)),
        ('subscribe', node.get_subscriber_names_and_types_by_node(*ask)),
        ('reply', node.get_service_names_and_types_by_node(*ask)),
        ('request', node.get_client_names_and_types_by_node(*ask)),
    ):
        for name, _ in found:
            short = name.removeprefix(prefix)
            if action := re.fullmatch('(.*)/_action/.*', short):
                # Who replies to its goals executes it, who requests them calls it.
                access_of = {'reply': 'execute', 'request': 'call'}.get(access)
                if access_of:
                    rights.add(access_of, action[1])
            else:
                rights.add(access, short)
    return rights


@pytest.fixture(scope='module')
def policy():
    enclaves = ElementTree.parse(POLICY).getroot().iter('enclave')
    return {enclave.get('path').removeprefix('/pixelrefer/'): allowed(enclave) for enclave in enclaves}


def start_camera(graph):
    return graph.add(CameraNode, source=str(DEMO_CLIP), compressed=True, lockstep=True)


def start_active(kind, **parameters):
    def start(graph):
        node = graph.add(kind, **parameters)
        wait_for(lambda: node._state == 'active')
        return node

    return start


def start_overlay(graph):
    # It listens while somebody looks.
    graph.node('viewer').create_subscription(Image, 'annotated_image', print, qos.results())
    node = graph.add(OverlayNode)
    wait_for(lambda: node._inputs)
    return node


NODES = {
    'camera_node': start_camera,
    'pixelrefer_node': start_active(PixelReferNode, **CPU),
    'detector_node': start_active(DetectorNode, detector__path=str(CLIP)),
    'overlay_node': start_overlay,
    'operator_node': lambda graph: graph.add(OperatorNode),
}


@pytest.mark.parametrize('name', NODES)
def test_the_policy_allows_what_a_node_has_and_nothing_else(graph, policy, name):
    node = NODES[name](graph)
    expected = policy[name].items - EVERYWHERE - set(ONLY_AT_TIMES.get(name, ()))
    # Discovery of a node's own ends takes a moment.
    wait_for(lambda: expected <= declared(node, graph.namespace).items)
    assert declared(node, graph.namespace).items - EVERYWHERE == expected


def test_a_client_may_do_what_the_client_library_does_and_nothing_else(policy):
    with PixelReferClient() as client:
        expected = policy['client'].items - EVERYWHERE
        wait_for(lambda: expected <= declared(client.node, '/').items)
        assert declared(client.node, '/').items - EVERYWHERE == expected


def test_every_node_of_the_launch_files_has_an_enclave(policy):
    for file in (ROOT / 'launch').glob('*.launch.py'):
        named = {''.join(pair) for pair in re.findall(r"executable='(\w+)'|\('(\w+_node)'", file.read_text())}
        assert named - {'rviz2'} <= set(policy), file.name
