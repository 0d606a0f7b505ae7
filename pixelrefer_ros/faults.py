"""Where exceptions become the error_code and error_msg of responses and action results, and back.

The responses of std_srvs have no field for a code: their ``message`` begins with its name, as in ``NOT_READY: ...``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pixelrefer_core.errors import ErrorCode, PixelReferError
from pixelrefer_ros import conversions

log = logging.getLogger(__name__)


@contextmanager
def reported_in(response: Any) -> Iterator[None]:
    """Write what the body raises into ``response``; a bug is logged with its traceback."""
    with _caught(lambda error: conversions.fail(response, error)):
        yield


@contextmanager
def said_in(response: Any) -> Iterator[None]:
    """The same for a response of std_srvs, with ``success`` and ``message``."""

    def say(error: PixelReferError) -> None:
        response.success, response.message = False, f'{error.code.name}: {error}'

    with _caught(say):
        yield


def error_of(response: Any) -> PixelReferError | None:
    """The exception that a response's ``error_code``, or the ``message`` of std_srvs, stands for, or None."""
    if hasattr(response, 'success'):
        name, _, text = response.message.partition(': ')
        return None if response.success else _error(ErrorCode.__members__.get(name, ErrorCode.UNKNOWN), text)
    if not getattr(response, 'error_code', 0):
        return None
    return _error(response.error_code, response.error_msg)


def _error(code: int, text: str) -> PixelReferError:
    kinds = {int(kind.code): kind for kind in PixelReferError.__subclasses__()}
    return kinds.get(code, PixelReferError)(text)


@contextmanager
def _caught(tell: Callable[[PixelReferError], None]) -> Iterator[None]:
    try:
        yield
    except PixelReferError as error:
        tell(error)
    except Exception as error:
        # An exception that left a callback would end the executor: say it, and live.
        log.exception('a request failed')
        tell(PixelReferError(f'{type(error).__name__} inside the node; see its log'))
