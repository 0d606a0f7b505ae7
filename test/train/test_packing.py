"""Packed questions are exactly what they would be alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.errors import InvalidRequestError, QuestionTooLongError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.prompt import chat, fill_regions
from pixelrefer_core.types import GenerationOptions
from pixelrefer_train.dialogue import Dialogue
from pixelrefer_train.learner import Learner, prepare
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.packed_attention import lay_out, packed_attention
from pixelrefer_train.packing import Branch, pack
from pixelrefer_train.samples import Sample, Turn

sys.path.insert(0, str(Path(__file__).parent))
from toys import ONE, disc_sample

CPU = torch.device('cpu')
GOLDEN = Path(__file__).parents[1] / 'golden'
VARIANTS = ['checkpoint_lite', 'checkpoint_pixelrefer']


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope='module', params=[*VARIANTS, 'nano'])
def model(request: pytest.FixtureRequest) -> PixelRefer:
    if request.param == 'nano':
        tokenizer = byte_tokenizer()
        model = new_model(nano_config(len(tokenizer)), tokenizer, seed=3, device=CPU, name='nano')
    else:
        model = load_model(str(GOLDEN / request.param), device='cpu', dtype='float32')
    return model


def two_discs() -> Sample:
    """Both objects on the same frames; the second is seen on the last frame alone."""
    one = disc_sample(1)
    mask = np.zeros((96, 128), np.bool_)
    mask[60:80, 90:120] = True
    intro = 'There are 2 objects in the video: <object0><region>, <object1><region>.\n'
    turns = (
        Turn(intro + 'Which is larger?', 'the first', 'relation'),
        Turn(intro + 'Do they touch?', 'no', 'relation'),
    )
    return replace(one, objects=(one.objects[0], ((1, mask),)), turns=turns)


def alone(model: PixelRefer, sample: Sample, turn: Turn) -> torch.Tensor:
    """The loss of one question, read by itself through the model's own prompt, without mask or padding."""
    objects = [model.encode_objects(views) for views in sample.views()]
    scene = None
    if not model.config.rules.infusion_heads:
        scene = model.encode_scene(sample.frames, video=len(sample.frames) > 1)
    prompt = model.embed_prompt(turn.instruction, objects, scene)
    answer = model.token_ids(turn.answer + '<|im_end|>')
    embeds = torch.cat([prompt.embeds, model.language_model.embed_ids(answer)])
    logits = model.language_model(embeds[None])[0, len(prompt.keys) - 1 : -1]
    return functional.cross_entropy(logits, torch.tensor(answer))


def test_the_packed_loss_is_the_mean_of_separate_passes(model: PixelRefer):
    samples = [disc_sample(0), two_discs(), disc_sample(5, frames=1, questions=1)]
    with torch.no_grad():
        outcome = Learner(model)(prepare(samples, model.config, model.compat))
        losses = [alone(model, sample, turn) for sample in samples for turn in sample.turns]
    assert len(losses) == len(outcome.branches) == 6
    assert float(outcome.loss) == pytest.approx(float(torch.stack(losses).mean()), abs=1e-5)


def test_an_answer_counts_as_exact_when_greedy_decoding_would_write_it(model: PixelRefer):
    sample = disc_sample(2)
    objects = [model.encode_objects(views) for views in sample.views()]
    scene = None if model.config.rules.infusion_heads else model.encode_scene(sample.frames, video=True)
    instruction = sample.turns[0].instruction
    written = model.generate(
        instruction, objects, options=GenerationOptions(max_new_tokens=5), scene=scene
    ).token_ids
    dialogue = Dialogue(model.tokenizer)
    branch = dialogue.branches([sample.turns[0]], model.region_slots(objects))[0]
    learner = Learner(model)

    def verdict(ids: tuple[int, ...]) -> bool:
        start = int(branch.answers[0])
        forced = Branch(np.array([*branch.ids[:start], *ids]), np.arange(start, start + len(ids)))
        learner._dialogue.branches = lambda *_, **__: [_with_scene(model, forced, scene)]  # type: ignore[method-assign]
        with torch.no_grad():
            return bool(
                learner(
                    prepare([replace(sample, turns=sample.turns[:1])], model.config, model.compat)
                ).correct
            )

    assert verdict(written)
    assert not verdict((*written[:-1], (written[-1] + 1) % 250))


def _with_scene(model: PixelRefer, branch: Branch, scene) -> Branch:
    if scene is None:
        return branch
    from pixelrefer_core.prompt import scene_slot

    text = scene_slot([len(frame) for frame in scene.frames], scene.times_s)
    opening = model.token_ids('<|im_start|>user\n')
    extra = model.token_ids(text)
    ids = np.array([*opening, *extra, *branch.ids[len(opening) :]])
    return Branch(ids, branch.answers + len(extra))


def test_short_and_long_samples_in_one_batch_cost_what_they_cost_alone(model: PixelRefer):
    learner = Learner(model)
    samples = [disc_sample(0, frames=1, questions=1), disc_sample(1, frames=6), disc_sample(2, frames=1)]

    def outcome(*chosen: Sample):
        with torch.no_grad():
            return learner(prepare(chosen, model.config, model.compat))

    together = outcome(*samples)
    alone = [outcome(sample) for sample in samples]
    asked = [len(part.branches) for part in alone]
    expected = sum(part.loss.item() * count for part, count in zip(alone, asked, strict=True)) / sum(asked)
    assert together.loss.item() == pytest.approx(expected, abs=1e-5)
    assert len(together.correct) == len(together.branches) == sum(asked)


def test_what_questions_have_in_common_is_laid_out_once():
    def branch(*ids: int) -> Branch:
        return Branch(np.array(ids), np.array([len(ids) - 1]))

    packed = pack([branch(7, 9, 9, 1, 2), branch(7, 9, 9, 3, 4, 5), branch(7, 9, 9, 1, 6)], [9])
    assert packed.ids.tolist() == [7, 9, 9, 1, 2, 3, 4, 5, 1, 6]
    assert packed.positions.tolist() == [0, 1, 2, 3, 4, 3, 4, 5, 3, 4]
    assert packed.targets.tolist() == [2, 5, 6]
    assert packed.sources.tolist() == [3, 6, 8]
    assert packed.places.tolist() == [1, 2]
    assert packed.rows.tolist() == [0, 1]
    assert packed.segments.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


def test_each_token_attends_to_its_prefix_and_what_is_before_it_in_its_own_question():
    rows = [np.array([0, 0, 0, 1, 1, 2, 2, 2]), np.array([1, 1, 2]), np.array([0, 1])]
    tokens = sum(map(len, rows))
    level = torch.zeros(1, 4, tokens, 2)  # all scores alike: what is seen gets equal weight
    values = torch.eye(tokens).expand(1, 2, -1, -1)
    weights, _ = packed_attention(
        torch.nn.Identity(), level, level[:, :2], values, None, scaling=1.0, layout=lay_out(rows)
    )
    assert weights.shape == (1, tokens, 4, tokens)
    seen = [torch.nonzero(row).flatten().tolist() for row in weights[0, :, 3]]
    assert seen == [
        *([0], [0, 1], [0, 1, 2]),
        *([0, 1, 2, 3], [0, 1, 2, 3, 4]),
        *([0, 1, 2, 5], [0, 1, 2, 5, 6], [0, 1, 2, 5, 6, 7]),
        *([8], [8, 9], [10]),
        *([11], [11, 12]),
    ]
    assert torch.allclose(weights.sum(-1), torch.ones(1, tokens, 4))


def test_questions_that_name_the_object_late_each_get_its_tokens():
    def branch(*ids: int) -> Branch:
        return Branch(np.array(ids), np.array([len(ids) - 1]))

    packed = pack([branch(1, 9, 9, 4), branch(2, 9, 9, 5)], [9])
    assert packed.ids.tolist() == [1, 9, 9, 4, 2, 9, 9, 5]
    assert packed.places.tolist() == [1, 2, 5, 6]
    assert packed.rows.tolist() == [0, 1, 0, 1]


def test_the_same_question_with_two_answers_keeps_both():
    first = Branch(np.array([1, 2, 3]), np.array([2]))
    second = Branch(np.array([1, 2, 4]), np.array([2]))
    packed = pack([first, second], [9])
    assert packed.ids.tolist() == [1, 2, 3, 4]
    assert packed.sources.tolist() == [1, 1]
    assert packed.targets.tolist() == [3, 4]


def test_a_conversation_is_rendered_as_the_official_template_does():
    tokenizer = byte_tokenizer()
    turns = (Turn('Look: <region>.', 'ok'), Turn('And <region>?', 'yes'))
    (branch,) = Dialogue(tokenizer).branches(turns, ['[<REGION><REGION>]', '[<REGION>]'], chained=True)
    text = (
        '<|im_start|>user\nLook: [<REGION><REGION>].<|im_end|>\n<|im_start|>assistant\nok<|im_end|>\n'
        '<|im_start|>user\nAnd [<REGION>]?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>'
    )
    assert branch.ids.tolist() == tokenizer(text, add_special_tokens=False)['input_ids']
    assert tokenizer.decode(branch.ids[branch.answers]) == 'ok<|im_end|>yes<|im_end|>'


def test_a_prompt_of_training_is_that_of_answering(model: PixelRefer):
    sample = disc_sample(3)
    objects = [model.encode_objects(views) for views in sample.views()]
    slots = model.region_slots(objects)
    branch = Dialogue(model.tokenizer).branches(sample.turns[:1], slots)[0]
    asked = model.token_ids(chat(fill_regions(sample.turns[0].instruction, slots)))
    assert branch.ids[: branch.answers[0]].tolist() == asked


@pytest.mark.parametrize(
    ('turns', 'message'),
    [
        ((), 'needs a question'),
        ((Turn('What is it?', 'a cup'),), '0 <region> for 1 objects'),
        ((Turn(ONE + 'What is it?', ' '),), 'is empty'),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused(model: PixelRefer, turns: tuple[Turn, ...], message: str):
    with pytest.raises(InvalidRequestError, match=message):
        prepare([replace(disc_sample(0), turns=turns)], model.config, model.compat)


def test_a_conversation_longer_than_the_context_is_refused(model: PixelRefer):
    sample = replace(disc_sample(0), turns=(Turn(ONE + 'word ' * 40_000, 'yes'),))
    with pytest.raises(QuestionTooLongError, match='longer than'):
        Learner(model)(prepare([sample], model.config, model.compat))
