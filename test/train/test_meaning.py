"""Before it says yes, no or a letter, a small model is asked what is true."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_sim.questions.question import ORDINALS, Fact, Manner, Phrasings, Topic, put
from pixelrefer_train.dialogue import Dialogue
from pixelrefer_train.learner import Learner, prepare
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.options import Choices, Marks, Options, find_choices, find_options
from pixelrefer_train.packed_attention import use_packed_attention
from pixelrefer_train.packing import Branch, PackedBatch, join, pack
from pixelrefer_train.samples import Sample, Turn
from pixelrefer_train.tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from toys import ONE, disc_sample, guided

TURNS = (
    Turn(ONE + 'Is the marked object red?', 'No.', 'colour', 'blue'),
    Turn(ONE + 'Which colour? (A) blue (B) red', 'A', 'colour', 'blue'),
    Turn(ONE + 'Is the marked object moving?', 'No.', 'motion'),
)
PAINT = Topic(
    'paint',
    'colour',
    'Basic',
    ('red', 'blue'),
    Phrasings(('Which colour has {a}?',), ()),
    said={'red': 'It is red.', 'blue': 'It is blue.'},
    claimed=Phrasings(('Is {a} {v}?',), ()),
)


@pytest.fixture(scope='module')
def model() -> PixelRefer:
    torch.set_num_threads(1)
    texts = [turn.instruction + ' ' + turn.answer for turn in TURNS]
    tokenizer = train_tokenizer(texts * 8, 500)
    return new_model(nano_config(len(tokenizer)), tokenizer, seed=2, device=torch.device('cpu'), name='nano')


def sample() -> Sample:
    return replace(disc_sample(2), turns=TURNS)


def test_a_meaning_is_written_as_it_stands_in_questions(model: PixelRefer):
    branches = Dialogue(model.tokenizer).branches(TURNS, ['[<REGION>]'])
    assert [model.tokenizer.decode(branch.meaning) for branch in branches] == [' blue', ' blue', '']


def test_it_is_asked_for_where_the_answer_begins():
    first = Branch(np.array([1, 2, 3, 4]), np.array([3]), meaning=np.array([70, 71]))
    second = Branch(np.array([1, 2, 5, 6, 7]), np.array([3, 4]))
    rows = join([pack([first, second], [9]), pack([second, first], [9])], [0, 0])
    assert rows.ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 1, 2, 5, 6, 7, 3, 4]
    assert rows.meant.tolist() == [[2, 70], [2, 71], [12, 70], [12, 71]]
    assert rows.ids[rows.meant[:, 0]].tolist() == [3] * 4


def test_it_is_learnt_beside_the_answers(model: PixelRefer):
    batch = prepare([sample()], model.config, model.compat)
    learner = Learner(model)
    learner.guide(meaning=1.0)
    extras = guided(learner, batch, steps=12)
    assert extras[-1] < 0.3 * extras[0]


def test_answers_without_a_meaning_cost_nothing_more(model: PixelRefer):
    batch = prepare([replace(sample(), turns=TURNS[2:])], model.config, model.compat)
    learner = Learner(model)
    before = learner(batch).loss.item()
    learner.guide(meaning=1.0)
    assert learner(batch).loss.item() == before


@pytest.mark.parametrize('form', ['open', 'yes_no', 'choice'])
def test_every_form_of_a_question_means_the_answer_to_the_open_one(form: str):
    fact = Fact(PAINT, ('cup',), 'blue')
    for seed in range(6):
        asked = put(fact, ['cup'], Manner(form), np.random.default_rng(seed))  # type: ignore[arg-type]
        assert asked.meaning == 'It is blue'


def test_a_topic_that_is_yes_or_no_by_itself_has_no_meaning():
    topic = replace(PAINT, values=('yes', 'no'), said={}, claimed=None)
    asked = put(Fact(topic, ('cup',), 'yes'), ['cup'], Manner('open'), np.random.default_rng(0))
    assert asked.meaning == ''


def test_behind_yes_or_no_may_be_a_fact_that_is_known_by_other_words():
    ways = replace(PAINT, said=ORDINALS, values=('first', 'second'), claimed=None)
    behind = Fact(ways, ('cup', 'jar'), 'second')
    polar = replace(PAINT, values=('yes', 'no'), said={}, claimed=None)
    asked = put(
        Fact(polar, ('cup', 'jar'), 'no', openly=behind),
        ['pot', 'cup', 'jar'],
        Manner('yes_no'),
        np.random.default_rng(0),
    )
    assert (asked.answer, asked.meaning) == ('No.', 'the third')


def test_the_words_of_each_option_belong_to_its_letter():
    marks = Marks(torch.tensor([30, 31, 32, 33]), opening=40, closing=41, stop=42)
    #                   What ? ( A ) to left ( B ) red ( C ) . Answer A  (no words, no option C)
    ids = torch.tensor([1, 2, 40, 30, 41, 5, 6, 40, 31, 41, 7, 40, 32, 41, 42, 8, 30])
    words, letters = find_options(ids, marks)
    assert torch.nonzero(words).flatten().tolist() == [5, 6, 10]
    assert letters.tolist() == [0, 0, 1]


CHOICES = (
    Turn('Which colour? (A) blue (B) red.', 'B'),
    Turn('Is it so?', 'A'),
    Turn('Which colour is it then? (A) red (B) blue red.', 'B'),
)


def packed(model: PixelRefer) -> tuple[PackedBatch, list[Branch]]:
    branches = Dialogue(model.tokenizer).branches(CHOICES, [])
    return join([pack(branches, (model.region_id,))], [0]), branches


def choices(model: PixelRefer, rows: PackedBatch) -> Choices:
    opening, letter, closing, stop = model.token_ids(' (A).')
    marks = Marks(torch.tensor([letter, *model.token_ids('B')]), opening, closing, stop)
    return find_choices(rows, marks, *find_options(rows.ids, marks))


def test_an_answer_by_letter_chooses_among_the_words_of_its_own_question(model: PixelRefer):
    rows, _ = packed(model)
    found = choices(model, rows)
    assert found.letters.tolist() == [1, 1]
    said = [model.tokenizer.decode(token) for token in rows.ids[found.words]]
    assert said == [' blue', ' red', ' red', ' blue', ' red']
    assert found.questions.tolist() == [0, 0, 1, 1, 1]
    assert found.numbers.tolist() == [0, 1, 0, 1, 1]


@torch.no_grad()
def test_the_right_option_is_looked_for_by_the_attention_of_the_last_layer_but_one(model: PixelRefer):
    rows, branches = packed(model)
    language, table = model.language_model.model, model.language_model.model.get_input_embeddings()
    use_packed_attention(language)
    options = Options(model)
    language.model(inputs_embeds=table(rows.ids)[None], position_ids=rows.positions[None], use_cache=False,
                   layout=rows.layout, attention_mask=dict.fromkeys(language.config.layer_types))  # fmt: skip
    asked = options.matching(rows, choices(model, rows)).item()
    options.close()
    implementation = language.config._attn_implementation
    language.set_attn_implementation('eager')
    expected = []
    for branch, right in ((branches[0], [' red']), (branches[2], [' blue', ' red'])):
        end = int(branch.answers[0])
        seen = language.model(
            inputs_embeds=table(torch.tensor(branch.ids[:end]))[None], output_attentions=True
        )
        attention = seen.attentions[-2][0, ::3, -1]  # 6 heads, 3 of them a key head
        words = [model.tokenizer.decode(token) for token in branch.ids[:end]]
        start = words.index(' (')
        places = [k for k in range(start, end) if words[k] in (' red', ' blue')]
        chosen = places[-len(right) :]
        assert [words[k] for k in chosen] == right
        expected.append(
            -(attention[:, chosen].sum(dim=1) / attention[:, places].sum(dim=1)).log().mean().item()
        )
    language.set_attn_implementation(implementation)
    assert asked == pytest.approx(np.mean(expected), rel=1e-4)


def test_letters_are_learnt_where_there_are_options_and_cost_nothing_elsewhere(model: PixelRefer):
    asked = prepare([replace(sample(), turns=TURNS[1:2])], model.config, model.compat)
    plain = prepare([replace(sample(), turns=TURNS[2:])], model.config, model.compat)
    learner = Learner(model)
    losses = [learner(batch).loss.item() for batch in (asked, plain)]
    learner.guide(options=1.0)
    assert learner(asked).loss.item() > losses[0]
    assert learner(plain).loss.item() == losses[1]


def test_options_need_letters_that_stand_alone():
    tokenizer = train_tokenizer(['Which? (A)(B)(C)(D).'] * 20, 500)
    cut = new_model(nano_config(len(tokenizer)), tokenizer, seed=2, device=torch.device('cpu'), name='nano')
    with pytest.raises(InvalidRequestError, match='options need a tokenizer'):
        Learner(cut).guide(options=1.0)
