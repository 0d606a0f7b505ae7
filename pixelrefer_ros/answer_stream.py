"""What a client holds while the ask action writes: text as it comes, the answers at the end, a way to cancel."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.action import ActionClient
from rclpy.node import Node

from pixelrefer_ros.action import Ask
from pixelrefer_ros.goal_stream import GoalStream
from pixelrefer_ros.msg import ObjectAnswer


@dataclass(frozen=True)
class Piece:
    """A piece of text, and the question (from 0) that it belongs to. ``str(piece)`` is the text."""

    question_index: int
    text: str

    def __str__(self) -> str:
        return self.text


class AnswerStream(GoalStream[Piece]):
    """A goal of the ask action; iterate over it for its :class:`Piece`\\ s.

    ``answers``: complete in the end, and what was written until then when it was cancelled.
    """

    def __init__(self, node: Node, client: ActionClient, goal: Ask.Goal, *, timeout_s: float) -> None:
        self.answers: list[ObjectAnswer] = []
        self._heard = [''] * len(goal.questions)
        super().__init__(node, client, goal, timeout_s=timeout_s)

    def wait(self) -> list[ObjectAnswer]:
        """Block until the goal has ended; return its answers. Raises as iterating does."""
        for _ in self:
            pass
        return self.answers

    def _hear_feedback(self, feedback: Ask.Feedback) -> None:
        self._hear(feedback.question_index, feedback.text_so_far)

    def _hear_result(self, result: Ask.Result) -> None:
        self.answers = list(result.answers)
        for index, answer in enumerate(self.answers):
            self._hear(index, answer.text)

    def _hear(self, index: int, text: str) -> None:
        """Note the whole text of a question; feedback may have been lost, or have come late."""
        with self._news:
            heard = self._heard[index]
            if self._done or len(text) <= len(heard):
                return
            self._heard[index] = text
            self._items.append(Piece(index, text[len(heard) :]))
        self._tell()
