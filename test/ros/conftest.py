"""A private ROS graph for each test module: own context, own executor, own namespace."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

try:
    import rclpy
except ImportError:
    collect_ignore_glob = ['test_*.py']
    print('test/ros is skipped: rclpy is not installed (scripts/setup brings it)')
else:
    from rclpy.executors import MultiThreadedExecutor
    from rclpy.node import Node
    from rclpy.parameter import Parameter

    from pixelrefer_ros.spin import spin

    from .staging import Caller, Camera


class Graph:
    """Nodes of one context in one namespace, spun on a thread."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.namespace = f'/t{uuid.uuid4().hex[:12]}'
        self.executor = MultiThreadedExecutor(num_threads=4, context=self.context)
        self._thread = threading.Thread(target=spin, args=(self.executor,), daemon=True)
        self._thread.start()
        self._nodes: list[Node] = []

    def add(self, make: Callable[..., Node], **parameters: object) -> Node:
        """Make a node with these parameters ('.' written as '__') and spin it."""
        overrides = [Parameter(name.replace('__', '.'), value=value) for name, value in parameters.items()]
        node = make(context=self.context, namespace=self.namespace, parameter_overrides=overrides)
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def node(self, name: str) -> Node:
        """A plain node for the test's own ends."""
        return self.add(lambda **kwargs: Node(name, **kwargs))

    def remove(self, node: Node) -> None:
        """End one node."""
        self._nodes.remove(node)
        if hasattr(node, 'close'):
            node.close()
        self.executor.remove_node(node)
        node.destroy_node()

    def close(self) -> None:
        """End nodes, executor and context, in this order."""
        for node in self._nodes:
            if hasattr(node, 'close'):
                node.close()
        self.executor.shutdown(timeout_sec=5.0)
        for node in self._nodes:
            node.destroy_node()
        self.context.try_shutdown()
        self._thread.join(5.0)


@pytest.fixture(scope='module')
def graph() -> Iterator[Graph]:
    graph = Graph()
    yield graph
    graph.close()


@pytest.fixture(scope='module')
def call(graph: Graph) -> Caller:
    """Calls services and waits for their responses."""
    return Caller(graph)


@pytest.fixture(scope='module')
def camera(graph: Graph, node: Node) -> Camera:
    """A camera of which the module's node has tracked one image."""
    camera = Camera(graph)
    camera.shoot()
    return camera
