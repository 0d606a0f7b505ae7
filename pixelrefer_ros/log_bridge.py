"""Sends what the libraries log, tracebacks included, to the node's logger, and with it to /rosout."""

from __future__ import annotations

import logging
from typing import Any


class _NodeHandler(logging.Handler):
    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        # One call per severity on a line of its own: rclpy ties a severity to the line that logs.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def bridge_logging(logger: Any) -> None:
    """Forward the logs of the core and of this package, from INFO up, to a node's logger; one per process."""
    handler = _NodeHandler(logger)
    # A node that is run by python -m is called __main__.
    for name in ('pixelrefer_core', 'pixelrefer_ros', '__main__'):
        source = logging.getLogger(name)
        source.setLevel(logging.INFO)
        source.propagate = False
        source.handlers = [handler]
