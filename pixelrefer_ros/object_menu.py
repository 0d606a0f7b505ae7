"""What a person can choose in the menu of an object: standing questions, the last ones asked of it, the end."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from visualization_msgs.msg import MenuEntry

from pixelrefer_core.questions import named
from pixelrefer_ros.msg import ObjectAnswer

DESCRIBE, DOING, NEXT, STOP, ASKED = 1, 2, 3, 4, 5
# Ids of questions asked before begin here.
_FIRST_ASKED = 100
_TITLE_CHARS = 60


@dataclass(frozen=True)
class Question:
    """What an entry asks. ``kind``: one of ``ObjectAnswer.KIND_*``; an empty text is the standard one of its kind."""

    kind: int
    object_ids: tuple[str, ...]
    text: str = ''


class ObjectMenu:
    """The menu of one object. The id of an entry means the same for ever, since a menu may be open while it changes.

    ``most``: of the questions asked before.
    """

    def __init__(self, object_id: str, most: int) -> None:
        self._most = most
        ids = (object_id,)
        self._standing = {
            DESCRIBE: ('Describe', Question(ObjectAnswer.KIND_CAPTION, ids)),
            DOING: (
                'What is it doing?',
                Question(ObjectAnswer.KIND_ANSWER, ids, 'What is <object1> doing?'),
            ),
            NEXT: (
                'What will happen next?',
                Question(ObjectAnswer.KIND_PREDICTION, ids, 'What will happen next?'),
            ),
        }
        self._asked: dict[int, Question] = {}
        self._next_id = _FIRST_ASKED

    def note(self, answer: ObjectAnswer) -> None:
        """Remember the question of an answer, unless it is a standing one; the oldest give way."""
        question = Question(answer.kind, tuple(answer.object_ids), answer.question)
        # A caption may have been asked for in other words than those that stood in for it.
        if answer.kind == ObjectAnswer.KIND_CAPTION or question in [
            item for _, item in self._standing.values()
        ]:
            return
        entry = next((key for key, known in self._asked.items() if known == question), None)
        if entry is None:
            entry, self._next_id = self._next_id, self._next_id + 1
        self._asked.pop(entry, None)
        self._asked[entry] = question
        for oldest in list(self._asked)[: max(0, len(self._asked) - self._most)]:
            del self._asked[oldest]

    def question(self, entry: int) -> Question | None:
        """What an entry asks; None for an entry that asks nothing or is no more."""
        return self._standing[entry][1] if entry in self._standing else self._asked.get(entry)

    def entries(self) -> list[MenuEntry]:
        """The menu as RViz wants it, newest questions first; a parent comes before its children."""
        entries = [_entry(key, title) for key, (title, _) in self._standing.items()]
        if self._asked:
            entries.append(_entry(ASKED, 'Ask again'))
            entries += [
                _entry(key, named(question.text, question.object_ids), ASKED)
                for key, question in reversed(self._asked.items())
            ]
        return [*entries, _entry(STOP, 'Stop tracking')]


def _entry(key: int, title: str, parent: int = 0) -> MenuEntry:
    return MenuEntry(
        id=key,
        parent_id=parent,
        title=textwrap.shorten(title, _TITLE_CHARS, placeholder=' ...'),
        command_type=MenuEntry.FEEDBACK,
    )
