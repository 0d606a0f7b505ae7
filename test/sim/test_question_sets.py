"""Training samples and evaluation sets made of clips: even, repeatable, and apart from one another."""

import importlib
import itertools
import pickle
import pkgutil
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_sim import questions, suite
from pixelrefer_sim.catalogue import CATEGORIES, COLOURS
from pixelrefer_sim.disturb import Look, disturb_mask
from pixelrefer_sim.export import export
from pixelrefer_sim.questions.balance import Chooser
from pixelrefer_sim.questions.make import facts_about
from pixelrefer_sim.questions.question import Fact, Manner, Phrasings, Topic, put
from pixelrefer_sim.questions.quota import Shown, balanced
from pixelrefer_sim.questions.view import View, windows
from pixelrefer_sim.questions.wording import vary
from pixelrefer_sim.record import HEIGHT, WIDTH, Event, Outcome, load_record
from pixelrefer_sim.samples import FOUNDATIONAL, open_source
from pixelrefer_train.official_json import OfficialSource
from pixelrefer_train.samples import check_sample

from .clips_by_hand import clip, save, thing

MODULES = [
    importlib.import_module(f'{questions.__name__}.{entry.name}')
    for entry in pkgutil.iter_modules(questions.__path__)
    if not entry.name.startswith('_')
]
TOPICS = {v.name: v for module in MODULES for v in vars(module).values() if isinstance(v, Topic)}
PHRASINGS = [
    pytest.param(phrasings, id=f'{topic.name} {form}')
    for topic in TOPICS.values()
    for form, phrasings in (('asked', topic.asked), ('claimed', topic.claimed))
    if phrasings
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Twelve clips: a ball pushed to the right that falls or stops, a box, a mug that stands to its left or right."""
    root = tmp_path_factory.mktemp('clips') / 'heldout'
    for seed in range(12):
        falls = seed % 2 == 0
        ball = thing('ball', 'ball', list(COLOURS)[seed % 8], 'small' if seed % 3 else 'large')
        box = thing('box', 'box', list(COLOURS)[(seed + 3) % 8])
        mug = thing('mug', 'mug', list(COLOURS)[(seed + 5) % 8], 'small')
        paths = {
            ball: [(0.4, 0, 0), (3.4, 1.2 if falls else 0.9, 0)],
            box: [(0, 0.5, 0.1)],
            mug: [(0, (-1) ** seed * 0.5, 0.3)],
        }
        outcomes = [
            Outcome('ball', 'falls' if falls else 'stops', '', falls, False, True),
            Outcome('box', 'stays', '', False, False, True),
            Outcome('mug', 'stays', '', False, False, True),
        ]
        events = [Event('moving', 'ball', 0.4, 3.0), Event('pushed', 'ball', 0.4, 0.6)]
        save(clip(paths, events=events, outcomes=outcomes, seed=seed), root)
    return root


@pytest.mark.parametrize('phrasings', PHRASINGS)
def test_everything_can_be_asked_in_many_ways_and_some_are_kept_for_tests(phrasings: Phrasings):
    assert len(set(phrasings.training)) >= 5
    assert len(set(phrasings.held_out)) >= 2
    assert not set(phrasings.training) & set(phrasings.held_out)
    for pattern in phrasings.training + phrasings.held_out:
        assert pattern[0].isupper()
        assert pattern[-1] in '.?'


@pytest.mark.parametrize('name', ['caption', 'next'])
def test_the_standard_question_of_the_node_is_among_those_trained(name):
    standard = {'caption': 'Please describe in detail {a} in the {m}.', 'next': 'What will happen next?'}
    assert standard[name] in TOPICS[name].asked.training


def test_a_sample_fits_the_trainer_and_shows_masks_on_frames(folder):
    source = open_source(str(folder))
    assert len(source) == 12
    for index in range(len(source)):
        sample = source.sample(index, 0)
        check_sample(sample)
        assert 1 <= len(sample.turns) <= 16
        assert len(sample.frames) in (1, 6)
        for frame in sample.frames:
            assert frame.image.shape == (HEIGHT, WIDTH, 3)
        stamps = [frame.stamp_ns for frame in sample.frames]
        assert stamps == [200_000_000 * number for number in range(len(stamps))]
        assert all(mask.any() for masks in sample.objects for _, mask in masks)
        text = ' '.join(turn.instruction + turn.answer for turn in sample.turns)
        assert not re.search(r'[{}]', text)


def test_the_same_numbers_give_the_same_sample_and_another_epoch_another(folder):
    def texts(epoch: int) -> list[str]:
        source = open_source(str(folder))
        return [t.instruction + t.answer for i in range(12) for t in source.sample(i, epoch).turns]

    assert texts(0) == texts(0)
    assert texts(0) != texts(1)


def test_with_looks_a_clip_is_seen_in_so_many_ways_and_asked_in_ever_new_ones(folder):
    source = open_source(str(folder), looks=2, stills=0.0, plain_pictures=0.0)
    samples = [source.sample(0, epoch) for epoch in range(30)]
    assert len({sample.turns for sample in samples}) > 10
    assert len({sample.frames[-1].image.tobytes() for sample in samples}) == 2


def test_a_source_can_be_sent_to_another_process(folder):
    source = open_source(str(folder))
    sent = pickle.loads(pickle.dumps(source))
    assert sent.sample(3, 1).turns == source.sample(3, 1).turns


def test_what_is_exported_is_read_back_the_same(folder, tmp_path):
    file = export(folder, tmp_path, limit=3)
    read = OfficialSource(file, tmp_path, scene=False, max_frames=8)
    source = open_source(str(folder), exact_masks=1.0, plain_pictures=1.0, limit=3)
    made = [(sample, turn) for sample in (source.sample(i, 0) for i in range(3)) for turn in sample.turns]
    assert len(read) == len(made)
    for number, (sample, turn) in enumerate(made):
        other = read.sample(number, 0)
        assert other.turns == (turn,)
        for masks, others in zip(sample.objects, other.objects, strict=True):
            assert all((a == b).all() for (_, a), (_, b) in zip(masks, others, strict=True))


def test_the_first_stage_asks_what_there_is_on_single_frames(folder):
    source = open_source(str(folder), stage=1)
    samples = [source.sample(index, 0) for index in range(12)]
    assert {turn.kind for sample in samples for turn in sample.turns} <= set(FOUNDATIONAL)
    assert {len(sample.frames) for sample in samples} == {1}


def texts_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """What matches any of the phrasings, whatever stands in their places."""
    return re.compile('|'.join(re.sub(r'\\{\w\\}', '.+', re.escape(pattern)) for pattern in patterns))


def test_a_source_asks_what_it_is_told_about_as_many_objects_as_it_is_told(folder):
    source = open_source(str(folder), stills=1.0, kinds=['colour', 'size'], most_objects=1)
    samples = [source.sample(index, epoch) for index in range(12) for epoch in range(3)]
    assert {turn.kind for sample in samples for turn in sample.turns} == {'colour', 'size'}
    assert {len(sample.objects) for sample in samples} == {1}
    assert {len(sample.frames) for sample in samples} == {1}


def test_a_fact_is_asked_for_as_often_as_it_is_told_in_the_forms_it_is_told(folder):
    source = open_source(
        str(folder), stills=1.0, kinds=['colour'], forms=['yes_no'], most_objects=1, repeats=6
    )
    turns = source.sample(0, 0).turns
    assert len(turns) == 6
    assert {turn.answer for turn in turns} == {'Yes.', 'No.'}


@pytest.mark.parametrize('varied', [0.0, 1.0])
def test_training_never_hears_a_phrasing_of_the_test(folder, varied):
    source = open_source(str(folder), varied=varied)
    groups = [group for topic in TOPICS.values() for group in (topic.asked, topic.claimed) if group]
    trained = texts_of(pattern for group in groups for pattern in group.training)
    kept = texts_of(pattern for group in groups for pattern in group.held_out)
    heard = {question.text for i in range(12) for e in range(6) for question in source.questions(i, e)[1]}
    assert len(heard) > 100
    for text in heard:
        stem = text.split(' (A) ')[0]
        assert trained.fullmatch(stem) or not kept.fullmatch(stem), text


@pytest.mark.parametrize('phrasings', PHRASINGS)
def test_other_words_name_the_same_objects_and_values(phrasings: Phrasings):
    rng = np.random.default_rng(0)
    for pattern in phrasings.training:
        made = {vary(pattern, rng) for _ in range(20)}
        assert len(made) > 5
        for text in made:
            stem = text.replace('Look at the {m}. ', '')
            for kept in ('{a}', '{b}', '{v}', '{m}', ' not'):
                assert stem.count(kept) == pattern.count(kept), text


def test_a_source_varies_as_many_questions_as_it_is_told(folder):
    known = texts_of(
        pattern
        for topic in TOPICS.values()
        for group in (topic.asked, topic.claimed)
        if group
        for pattern in group.training
    )

    def share(varied: float) -> float:
        source = open_source(str(folder), varied=varied)
        stems = [
            q.text.split(' (A) ')[0] for i in range(12) for e in range(4) for q in source.questions(i, e)[1]
        ]
        return float(np.mean([known.fullmatch(stem) is None for stem in stems]))

    assert share(0.0) == 0.0
    assert 0.3 < share(0.5) < share(1.0) < 1.0


def test_without_clips_the_source_says_how_to_get_some(tmp_path):
    with pytest.raises(InvalidRequestError, match=r'pixelrefer_sim\.generate'):
        open_source(str(tmp_path))


def test_a_chooser_makes_answers_even():
    words = Phrasings(('?',) * 5, ('??',) * 2)
    always = Fact(Topic('what', 'caption', 'Basic', (), words), ('a',), 'a thing')
    moves = Topic('moves', 'motion', 'Basic', ('yes', 'no'), words)
    views = [[always, Fact(moves, ('a',), 'yes' if number % 10 == 0 else 'no')] for number in range(1000)]
    rng = np.random.default_rng(0)
    chooser = Chooser(4)
    chooser.fit(views, rng)
    asked = Counter(fact.value for view in views for fact in chooser.choose(view, rng))
    assert asked['a thing'] == 1000
    assert asked['yes'] > 90
    assert 70 < asked['no'] < 130


def offers(folder: Path) -> list[tuple[Shown, Fact]]:
    made = []
    for number in range(12):
        (view,) = windows(load_record(folder / str(number)))
        shown = Shown(view, ('ball', 'box', 'mug'))
        made += [(shown, fact) for fact in facts_about(view, shown.marked)]
    return made


def test_behind_yes_or_no_is_the_open_fact_about_the_same_objects(folder):
    told = {
        'is_bigger': lambda value: value == 'first',
        'is_nearer': lambda value: value == 'first',
        'moving': lambda value: value.startswith(('rolling', 'sliding')),
        'still': lambda value: value in ('still', 'stopped'),
        'moved': lambda value: value != 'stayed',
        'stopped': lambda value: value in ('stopped', 'brief'),
        'will_stay': lambda value: value == 'stays',
        'would_roll': lambda value: value == 'ball',  # of ball, box and mug
    }
    facts = [fact for _, fact in offers(folder) if fact.openly and fact.topic.name in told]
    assert {fact.topic.name for fact in facts} == set(told)
    for fact in facts:
        assert fact.openly.objects == fact.objects
        assert 'open' in fact.openly.topic.forms
        assert (fact.value == 'yes') == told[fact.topic.name](fact.openly.value), fact


def test_an_evaluation_set_has_as_many_yes_as_no_in_every_topic(folder):
    chosen = balanced(offers(folder), 60, np.random.default_rng(0))
    polar: dict[str, Counter[str]] = {}
    for asked in chosen:
        if asked.fact.topic.values == ('yes', 'no'):
            polar.setdefault(asked.fact.topic.name, Counter())[asked.fact.value] += 1
    assert polar['will_fall']['yes'] == 6  # the balls of six clips
    for topic, counts in polar.items():
        assert counts['yes'] == counts['no'], topic
    assert max(Counter(asked.fact.topic.kind for asked in chosen).values()) == 60


def test_letters_forms_and_claims_take_turns(folder):
    chosen = [
        a for a in balanced(offers(folder), 36, np.random.default_rng(0)) if a.fact.topic.kind == 'colour'
    ]
    forms = Counter(a.manner.form for a in chosen)
    assert all(11 <= count <= 13 for count in (forms['open'], forms['yes_no'], forms['choice']))
    claims = Counter(a.manner.true for a in chosen if a.manner.form == 'yes_no')
    assert abs(claims[True] - claims[False]) <= 2
    made = [put(a.fact, a.shown.marked, a.manner, np.random.default_rng(0)) for a in chosen]
    letters = Counter(question.answer for question in made if question.form == 'choice')
    assert set(letters) == set('ABCD')
    assert max(letters.values()) - min(letters.values()) <= 1


def test_the_suite_gives_items_of_every_kind_the_same_each_time(folder, monkeypatch):
    monkeypatch.setenv(suite.CLIPS_VARIABLE, str(folder.parent))

    def made(seed: int) -> list[tuple[str, ...]]:
        return [(i.item_id, i.instruction, i.expected, *i.tags) for i in suite.items('heldout', seed, 20)]

    items = list(suite.items('heldout', 3, 20))
    assert made(3) == made(3) != made(4)
    assert len({item.item_id for item in items}) == len(items)
    for item in items:
        assert item.expected in item.classes or not item.classes
        assert item.instruction.count('<region>') == len(item.objects)
        assert all(item.objects)
    changes = sum(one.frames is not other.frames for one, other in itertools.pairwise(items))
    assert changes < 2 * len({item.scene for item in items})  # a window and a still of each
    assert any('phrasing' in item.tags for item in items)


def test_an_unknown_split_is_refused():
    with pytest.raises(InvalidRequestError, match='heldout'):
        next(suite.items('nowhere', 0, 1))


def test_disturbed_masks_stay_near_the_object():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[100:130, 200:240] = True
    rng = np.random.default_rng(0)
    disturbed = [disturb_mask(mask, rng) for _ in range(100)]
    shares = [np.count_nonzero(m & mask) / np.count_nonzero(m | mask) for m in disturbed]
    assert min(shares) > 0.4
    assert sum(share < 1 for share in shares) > 80
    assert not disturb_mask(np.zeros_like(mask), rng).any()


def test_no_look_turns_a_colour_into_another():
    palette = np.array(list(COLOURS.values()), np.uint8)
    image = np.repeat(np.repeat(palette[None], 40, axis=0), 40, axis=1)  # stripes of 40 pixels
    for seed in range(50):
        seen = Look(np.random.default_rng(seed)).apply(image)[20, 20::40].astype(float)
        nearest = ((seen[:, None] - palette[None].astype(float)) ** 2).sum(axis=2).argmin(axis=1)
        assert nearest.tolist() == list(range(len(COLOURS)))


def test_claims_are_made_of_every_category():
    (view,) = windows(clip({thing('ball', 'ball'): [(0, 0, 0)]}))
    assert isinstance(view, View)
    fact = next(f for f in facts_about(view, ['ball']) if f.topic.name == 'category')
    rng = np.random.default_rng(0)
    texts = [put(fact, ['ball'], Manner('yes_no', true=False), rng).text for _ in range(300)]
    named = {kind for kind in CATEGORIES for text in texts if re.search(rf'\b{kind}\b', text)}
    assert named == set(CATEGORIES) - {'ball'}
