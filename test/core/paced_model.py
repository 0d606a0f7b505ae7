"""A model that writes when it is told to, so that a test decides what happens between two tokens."""

from __future__ import annotations

import threading

from pixelrefer_core.types import FinishReason, Generation, ModelInfo, ObjectTokens


class PacedModel:
    """Writes ``w0 w1 w2 ...``, one word each time the test lets it; gives way to others just before it writes."""

    info = ModelInfo('paced', '', 'cpu', 'float32', False, 0, 100)

    def __init__(self):
        self.go = threading.Semaphore(0)
        self.written = threading.Semaphore(0)
        self.fault: Exception | None = None

    def encode_objects(self, views):
        return [ObjectTokens(None, view.frame.stamp_ns) for view in views]

    def generate_in_steps(self, instruction, objects, *, options, on_text=None):
        text, count = '', 0
        while True:
            assert self.go.acquire(timeout=60)
            if self.fault is not None:
                raise self.fault
            reason = yield
            if reason is None and count == options.max_new_tokens:
                reason = FinishReason.LENGTH
            if reason is not None:
                self.written.release()
                return Generation(text, reason, 1, count, 0.0, 0.0, 0.0)
            piece = f' w{count}' if count else 'w0'
            text, count = text + piece, count + 1
            if on_text:
                on_text(piece)
            self.written.release()

    def let(self, tokens: int) -> None:
        """Let so many words be written, and wait for them."""
        for _ in range(tokens):
            self.go.release()
            assert self.written.acquire(timeout=60)
