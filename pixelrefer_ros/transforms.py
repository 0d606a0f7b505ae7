"""tf, where it is installed: how two frames lie to each other. Never waits."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from pixelrefer_core.errors import NoTransformError, UnsupportedError
from pixelrefer_core.rigid import RigidTransform, from_quaternion
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros.stamps import to_ns


class Transforms:
    """Listens to tf from :meth:`listen` or the first look-up on. Thread-safe."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._buffer: Any = None
        self._listener: Any = None

    def listen(self) -> None:
        """Begin to listen, so that a later look-up finds something; nothing happens where tf2_ros is not installed."""
        tf2 = _tf2_ros()
        with self._lock:
            if tf2 is not None and self._buffer is None:
                self._buffer = tf2.Buffer()
                self._listener = tf2.TransformListener(self._buffer, self._node)

    def lookup(self, target: str, source: str, stamp_ns: int, *, tolerance_s: float = 0.0) -> RigidTransform:
        """Return what takes points of frame ``source`` to frame ``target`` at a time; 0 = the newest that is known.

        Where tf has nothing for that time, one that is up to ``tolerance_s`` older counts. Raises
        :class:`NoTransformError`, or :class:`UnsupportedError` where tf2_ros is not installed.
        """
        self.listen()
        if self._buffer is None:
            raise UnsupportedError(
                f'from {source!r} to {target!r} it takes tf2_ros, which is not installed: install it, or stay in the '
                "camera's frame"
            )
        try:
            found = self._find(target, source, stamp_ns, tolerance_s)
        except _tf2_ros().TransformException as error:
            raise NoTransformError(f'no transform from {source!r} to {target!r}: {error}') from error
        rotation, translation = found.transform.rotation, found.transform.translation
        return from_quaternion(
            (rotation.x, rotation.y, rotation.z, rotation.w), (translation.x, translation.y, translation.z)
        )

    def _find(self, target: str, source: str, stamp_ns: int, tolerance_s: float) -> Any:
        try:
            return self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        except _tf2_ros().TransformException:
            newest = self._buffer.lookup_transform(target, source, Time())
            if not 0 <= stamp_ns - to_ns(newest.header.stamp) <= tolerance_s * NANOSECONDS:
                raise
            return newest


def _tf2_ros() -> Any:
    try:
        module = importlib.import_module('tf2_ros')
    except ImportError:
        return None
    # A folder of that name can be imported, too.
    return module if hasattr(module, 'TransformListener') else None
