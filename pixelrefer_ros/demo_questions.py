"""What the demo's operator asks: about its own clips what is examined, about other clips what can always be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelrefer_core.errors import PixelReferError
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.msg import ObjectAnswer
from pixelrefer_sim.exam import Exam
from pixelrefer_sim.questions.question import SimQuestion

SERVICES = {'describe': 'describe_object', 'ask': 'ask_objects', 'predict': 'predict_event'}
# Seconds of a clip after which a question is asked, how, about which of the objects, and the question.
_ANY_CLIP = (
    (1.0, 'describe', (0,), ''),
    (1.0, 'describe', (1,), ''),
    (1.0, 'describe', (2,), ''),
    (2.0, 'ask', (0,), 'What colour is <object1>?'),
    (2.0, 'ask', (1,), 'What is <object1> used for?'),
    (2.0, 'ask', (0, 1), 'Which is bigger, <object1> or <object2>?'),
    (3.0, 'ask', (0,), 'Is <object1> moving?'),
    (3.0, 'ask', (0, 2), 'Where is <object1> relative to <object2>?'),
    (3.0, 'ask', (0,), 'What did <object1> do before?'),
    (4.0, 'predict', (0,), ''),
    (4.0, 'predict', (0, 1), 'Will <object1> hit <object2>?'),
    (4.0, 'predict', (2,), 'Will <object1> stay where it is?'),
)


@dataclass(frozen=True)
class Planned:
    """A question: when in the clip, by which service, about which objects. ``known``: what the simulator knows."""

    at_s: float
    service: str
    object_ids: tuple[str, ...]
    text: str
    known: SimQuestion | None = None

    def ask(self, robot: PixelReferClient) -> ObjectAnswer | PixelReferError:
        """Call the service and return its answer or what went wrong."""
        try:
            if self.service == 'describe':
                return robot.describe(self.object_ids[0], self.text)
            if self.service == 'predict':
                return robot.predict(self.object_ids, self.text)
            return robot.ask(self.object_ids, self.text)
        except PixelReferError as error:
            return error


def questions_for(object_ids: Sequence[str], exam: Exam | None) -> list[Planned]:
    """Return what to ask about the objects: the examination's questions, else those that suit any clip."""
    if exam is None:
        return [
            Planned(at_s, service, tuple(object_ids[number] for number in numbers), text)
            for at_s, service, numbers, text in _ANY_CLIP
            if max(numbers) < len(object_ids)
        ]
    called = dict(zip(exam.objects, object_ids, strict=True))
    return [
        Planned(
            exam.view.end_s,
            item.service,
            tuple(called[name] for name in item.question.objects),
            item.question.text,
            item.question,
        )
        for item in exam.questions
    ]
