"""The failures a caller can meet, each with its own code and a sentence that says what to do.

The numbers are those of ``msg/ResultCode.msg``; a test compares the two. Anything that is not a
:class:`PixelReferError` is a bug: the node logs its traceback and answers ``UNKNOWN``.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Result of a request; 0 is success, the rest lie in a range of their own (Nav2's habit)."""

    NONE = 0
    UNKNOWN = 7000
    NOT_READY = 7001
    NO_IMAGE = 7002
    STALE_IMAGE = 7003
    INVALID_IMAGE = 7004
    INVALID_CAMERA_INFO = 7005
    NO_TRANSFORM = 7006
    UNKNOWN_OBJECT = 7010
    DUPLICATE_OBJECT = 7011
    TOO_MANY_OBJECTS = 7012
    OBJECT_NEVER_SEEN = 7013
    WINDOW_EMPTY = 7014
    INVALID_PROMPT = 7020
    EMPTY_PROMPT = 7021
    PROMPT_OUTSIDE_IMAGE = 7022
    PROMPT_NOT_FINITE = 7023
    MASK_SIZE_MISMATCH = 7024
    NOTHING_FOUND = 7025
    INVALID_QUESTION = 7030
    QUESTION_TOO_LONG = 7031
    INVALID_REQUEST = 7032
    UNSUPPORTED = 7033
    BUSY = 7040
    TIMEOUT = 7041
    CANCELED = 7042
    OUT_OF_MEMORY = 7043
    MODEL_ERROR = 7044


class PixelReferError(Exception):
    """Base of every expected failure; ``str(error)`` is written for the person who asked."""

    code: ErrorCode = ErrorCode.UNKNOWN


class NotReadyError(PixelReferError):
    """The node is not active, or the model is still loading."""

    code = ErrorCode.NOT_READY


class NoImageError(PixelReferError):
    """No frame has arrived yet."""

    code = ErrorCode.NO_IMAGE


class StaleImageError(PixelReferError):
    """The frame that a prompt refers to is no longer (or not yet) held."""

    code = ErrorCode.STALE_IMAGE


class InvalidImageError(PixelReferError):
    """An image message or file cannot be decoded."""

    code = ErrorCode.INVALID_IMAGE


class InvalidCameraInfoError(PixelReferError):
    """What is known of the camera makes no camera, or belongs to another image."""

    code = ErrorCode.INVALID_CAMERA_INFO


class NoTransformError(PixelReferError):
    """tf does not know how two frames lie to each other at that time."""

    code = ErrorCode.NO_TRANSFORM


class UnknownObjectError(PixelReferError):
    """An object id is not among the tracked objects."""

    code = ErrorCode.UNKNOWN_OBJECT


class DuplicateObjectError(PixelReferError):
    """An object id is already in use."""

    code = ErrorCode.DUPLICATE_OBJECT


class TooManyObjectsError(PixelReferError):
    """The cap on tracked objects, or on the objects of one question, would be passed."""

    code = ErrorCode.TOO_MANY_OBJECTS


class ObjectNeverSeenError(PixelReferError):
    """The object exists, but no frame has shown enough of it to say anything."""

    code = ErrorCode.OBJECT_NEVER_SEEN


class WindowEmptyError(PixelReferError):
    """The object has been seen, but not inside the requested time window."""

    code = ErrorCode.WINDOW_EMPTY


class InvalidPromptError(PixelReferError):
    """A prompt is malformed: no kind, mixed kinds, labels that do not match the points."""

    code = ErrorCode.INVALID_PROMPT


class EmptyPromptError(PixelReferError):
    """A box without area, a mask without pixels, or no points."""

    code = ErrorCode.EMPTY_PROMPT


class PromptOutsideImageError(PixelReferError):
    """A box or point lies outside the image."""

    code = ErrorCode.PROMPT_OUTSIDE_IMAGE


class PromptNotFiniteError(PixelReferError):
    """A coordinate is NaN or infinite."""

    code = ErrorCode.PROMPT_NOT_FINITE


class MaskSizeMismatchError(PixelReferError):
    """A prompt mask does not have the size of the image."""

    code = ErrorCode.MASK_SIZE_MISMATCH


class NothingFoundError(PixelReferError):
    """The detector sees nothing that the words of a prompt name."""

    code = ErrorCode.NOTHING_FOUND


class InvalidQuestionError(PixelReferError):
    """A question is empty, holds the model's control tokens, or names an object it does not list."""

    code = ErrorCode.INVALID_QUESTION


class QuestionTooLongError(PixelReferError):
    """A question passes ``limits.question_chars``, or the rendered prompt the model's context."""

    code = ErrorCode.QUESTION_TOO_LONG


class InvalidRequestError(PixelReferError):
    """A field of a request is out of range (window, options, ids)."""

    code = ErrorCode.INVALID_REQUEST


class UnsupportedError(PixelReferError):
    """The request is well formed, but this build or configuration cannot serve it."""

    code = ErrorCode.UNSUPPORTED


class BusyError(PixelReferError):
    """The request queue is full."""

    code = ErrorCode.BUSY


class RequestTimeoutError(PixelReferError):
    """The deadline of a request passed before any text was there."""

    code = ErrorCode.TIMEOUT


class CanceledError(PixelReferError):
    """The request was cancelled, or the node was shut down under it."""

    code = ErrorCode.CANCELED


class DeviceOutOfMemoryError(PixelReferError):
    """The accelerator ran out of memory; the request is lost, the node lives."""

    code = ErrorCode.OUT_OF_MEMORY


class ModelError(PixelReferError):
    """A checkpoint cannot be loaded, or the model refused its input."""

    code = ErrorCode.MODEL_ERROR


class SettingError(ValueError):
    """A parameter has the wrong type or lies outside its range; the message names both."""
