"""The subscription to a camera, raw or compressed."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from pixelrefer_ros import qos


def subscribe_to_images(
    node: Node,
    callback: Callable[[Image | CompressedImage], None],
    *,
    transport: str,
    reliability: str,
    group: CallbackGroup,
    events: SubscriptionEventCallbacks | None = None,
) -> Subscription:
    """Hear ``image`` (``transport`` raw) or ``image/compressed``; ``reliability`` as for :func:`qos.image`."""
    compressed = transport == 'compressed'
    return node.create_subscription(
        CompressedImage if compressed else Image,
        'image/compressed' if compressed else 'image',
        callback,
        qos.image(reliability),
        callback_group=group,
        event_callbacks=events,
    )
