"""Where exceptions become the error_code and error_msg of responses and action results, and back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pixelrefer_core.errors import PixelReferError
from pixelrefer_ros import conversions

log = logging.getLogger(__name__)


@contextmanager
def reported_in(response: Any) -> Iterator[None]:
    """Write what the body raises into ``response``; a bug is logged with its traceback."""
    try:
        yield
    except PixelReferError as error:
        conversions.fail(response, error)
    except Exception as error:
        # An exception that left a callback would end the executor: say it, and live.
        log.exception('a request failed')
        conversions.fail(response, PixelReferError(f'{type(error).__name__} inside the node; see its log'))


def error_of(response: Any) -> PixelReferError | None:
    """The exception that a response's ``error_code`` stands for, or None."""
    if not getattr(response, 'error_code', 0):
        return None
    kinds = {int(kind.code): kind for kind in PixelReferError.__subclasses__()}
    return kinds.get(response.error_code, PixelReferError)(response.error_msg)
