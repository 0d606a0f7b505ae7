"""What the simulator says is read back as what it meant, whatever the form of the question."""

import importlib
import pkgutil

import pytest

from pixelrefer_sim import questions
from pixelrefer_sim.questions.question import Topic
from pixelrefer_train.evaluation.choice import class_of

MODULES = [
    importlib.import_module(f'{questions.__name__}.{entry.name}')
    for entry in pkgutil.iter_modules(questions.__path__)
    if not entry.name.startswith('_')
]
TOPICS = {
    value.name: value for module in MODULES for value in vars(module).values() if isinstance(value, Topic)
}


def test_topics_are_found():
    assert {'category', 'colour'} <= TOPICS.keys()


@pytest.mark.parametrize('name', TOPICS)
def test_every_answer_names_its_own_class_and_no_other(name):
    topic = TOPICS[name]
    classes = tuple(topic.say(value) for value in topic.values)
    assert len(set(classes)) == len(classes)
    for said in classes:
        assert class_of(said, classes) == said
        assert class_of(f'I think: {said.upper()}', classes) == said
