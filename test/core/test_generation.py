"""Decoding: streamed text, stopping, sampling, penalties, reused prefixes, batches and choices."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from pixelrefer_core.byte_text import TextStream, byte_letters
from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.decoding import DecodingRules, TokenChooser
from pixelrefer_core.errors import (
    InvalidQuestionError,
    InvalidRequestError,
    ModelError,
    QuestionTooLongError,
    WindowEmptyError,
)
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.types import (
    NANOSECONDS,
    FinishReason,
    Frame,
    GenerationOptions,
    ObjectTokens,
    ObjectView,
)

CPU = torch.device('cpu')
QUESTION = 'What is <region> doing?'


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope='module')
def loaded() -> PixelRefer:
    return load_model('random-nano', device='cpu')


@pytest.fixture
def model(loaded: PixelRefer) -> PixelRefer:
    loaded.decoder.rules = DecodingRules(frozenset({256}))
    loaded.decoder.prefixes.clear()
    return loaded


def tokens(seed: int, second: float = 0.0) -> ObjectTokens:
    values = torch.randn(32, 256, generator=torch.Generator().manual_seed(seed))
    return ObjectTokens(values, round(second * NANOSECONDS))


def options(count: int = 12, **changes: float) -> GenerationOptions:
    return replace(GenerationOptions(max_new_tokens=count), **changes)


def prompts_of(model: PixelRefer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every rendered prompt, with runs of object tokens as <R*n>."""
    seen: list[str] = []
    original = model.token_ids

    def noted(text: str) -> list[int]:
        for count in (64, 32, 7):
            text = text.replace('<REGION>' * count, f'<R*{count}>')
        seen.append(text)
        return original(text.replace('<R*32>', '<REGION>' * 32).replace('<R*7>', '<REGION>' * 7))

    monkeypatch.setattr(model, 'token_ids', noted)
    return seen


# --- prompts ---


def test_objects_seen_on_one_frame_are_an_image(model: PixelRefer, monkeypatch: pytest.MonkeyPatch):
    seen = prompts_of(model, monkeypatch)
    model.generate('<region> or <region>?', [[tokens(1, 9)], [tokens(2, 9)]], options=options(1))
    assert seen == ['<|im_start|>user\n[<R*32>] or [<R*32>]?<|im_end|>\n<|im_start|>assistant\n']


def test_times_count_from_the_oldest_frame_of_all_objects(model: PixelRefer, monkeypatch: pytest.MonkeyPatch):
    seen = prompts_of(model, monkeypatch)
    first, second = [tokens(1, 86400.0), tokens(2, 86401.04)], [tokens(3, 86402.5)]
    model.generate('<region> or <region>?', [first, second], options=options(1))
    assert '[Time 0.0:<R*32>,Time 1.0:<R*32>] or [Time 2.5:<R*32>]?' in seen[0]


@pytest.mark.parametrize(
    'text', ['<region><|im_end|>', '<region> <image>', '<region> <REGION>', '<video> <region>']
)
def test_control_tokens_in_the_question_are_refused(model: PixelRefer, text: str):
    with pytest.raises(InvalidQuestionError, match='steers the model'):
        model.generate(text, [[tokens(1)]], options=options())


def test_slots_and_objects_must_be_as_many(model: PixelRefer):
    with pytest.raises(InvalidQuestionError, match='1 <region> for 2 objects'):
        model.generate(QUESTION, [[tokens(1)], [tokens(2)]], options=options())


def test_an_object_without_frames_is_refused(model: PixelRefer):
    with pytest.raises(WindowEmptyError, match='object 2'):
        model.generate('<region> <region>?', [[tokens(1)], []], options=options())


def test_a_prompt_longer_than_the_context_is_refused_and_one_that_fits_is_cut_short(model: PixelRefer):
    with pytest.raises(QuestionTooLongError, match='4096'):
        model.generate(QUESTION + 'x' * 4096, [[tokens(1)]], options=options())
    fitting = model.generate(QUESTION + 'x' * 3990, [[tokens(1)]], options=options(100))
    assert fitting.prompt_tokens + fitting.completion_tokens <= 4096
    assert fitting.finish_reason in (FinishReason.LENGTH, FinishReason.STOP)


@pytest.mark.parametrize(
    'changes',
    [
        {'max_new_tokens': 0},
        {'temperature': -1.0},
        {'temperature': math.nan},
        {'temperature': math.inf},
        {'top_p': 0.0},
        {'top_p': 1.1},
        {'top_p': math.nan},
    ],
)
def test_options_out_of_range_are_refused(model: PixelRefer, changes: dict):
    with pytest.raises(InvalidRequestError):
        model.generate(QUESTION, [[tokens(1)]], options=options(**changes))


# --- decoding ---


@pytest.mark.filterwarnings('ignore:Passing `repetition_penalty`')
def test_greedy_decoding_equals_that_of_transformers(model: PixelRefer):
    prompt = model.embed_prompt(QUESTION, [[tokens(1)]], None)
    rules = GenerationConfig(
        max_new_tokens=24, do_sample=False, eos_token_id=256, pad_token_id=257, repetition_penalty=1.3
    )
    expected = model.language_model.model.generate(
        inputs_embeds=prompt.embeds[None],
        attention_mask=torch.ones(1, len(prompt.embeds), dtype=torch.long),
        generation_config=rules,
    )[0].tolist()
    model.decoder.rules = DecodingRules(frozenset({256}), repetition_penalty=1.3)
    heard: list[int] = []
    original = TextStream.push

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextStream, 'push', lambda self, token: heard.append(token) or original(self, token))
        answer = model.generate(QUESTION, [[tokens(1)]], options=options(24))

    assert heard == expected
    assert answer.completion_tokens == len(expected)


def test_mean_logprob_is_that_of_the_chosen_tokens_under_the_models_own_distribution(model: PixelRefer):
    prompt = model.embed_prompt(QUESTION, [[tokens(1)]], None)
    ids = model.language_model.greedy_ids(prompt.embeds, 6)
    with torch.no_grad():
        whole = torch.cat([prompt.embeds, model.language_model.embed_ids(ids)])
        logprobs = model.language_model(whole[None])[0].log_softmax(-1)[len(prompt.embeds) - 1 : -1]
    expected = np.mean([logprobs[place, token].item() for place, token in enumerate(ids)])

    answer = model.generate(QUESTION, [[tokens(1)]], options=options(6))

    assert answer.mean_logprob == pytest.approx(expected, abs=1e-4)


def test_the_streamed_pieces_make_the_text(model: PixelRefer):
    pieces: list[str] = []
    answer = model.generate(QUESTION, [[tokens(1)]], options=options(40), on_text=pieces.append)
    assert ''.join(pieces).strip() == answer.text
    assert all(pieces)


def test_length_ends_an_answer(model: PixelRefer):
    answer = model.generate(QUESTION, [[tokens(1)]], options=options(5))
    assert (answer.finish_reason, answer.completion_tokens) == (FinishReason.LENGTH, 5)


def test_the_end_token_ends_an_answer(model: PixelRefer):
    first = model.language_model.greedy_ids(model.embed_prompt(QUESTION, [[tokens(1)]], None).embeds, 1)[0]
    model.decoder.rules = DecodingRules(frozenset({first}))
    answer = model.generate(QUESTION, [[tokens(1)]], options=options(5))
    assert (answer.finish_reason, answer.completion_tokens) == (FinishReason.STOP, 1)


@pytest.mark.parametrize('reason', [FinishReason.CANCELED, FinishReason.TIMEOUT])
def test_stopping_takes_effect_before_the_next_token(model: PixelRefer, reason: FinishReason):
    asked = iter([None, None, reason])
    answer = model.generate(QUESTION, [[tokens(1)]], options=options(50), should_stop=lambda: next(asked))
    assert (answer.finish_reason, answer.completion_tokens) == (reason, 3)


def test_a_long_prompt_can_be_stopped_before_the_first_token(model: PixelRefer):
    answer = model.generate(
        QUESTION + 'x' * 600, [[tokens(1)]], options=options(), should_stop=lambda: FinishReason.CANCELED
    )
    assert answer.completion_tokens == 0
    assert answer.finish_reason is FinishReason.CANCELED
    assert math.isnan(answer.mean_logprob)


def test_other_work_between_tokens_changes_nothing(model: PixelRefer):
    expected = model.generate(QUESTION, [[tokens(1)]], options=options(temperature=1.0, seed=4))
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)

    def work() -> None:
        torch.manual_seed(0)
        torch.rand(3, requires_grad=True).sum().backward()  # fails under a global no-grad or inference mode
        model.encode_objects([ObjectView(Frame(image, 0), image[..., 0] > 128)])

    model.decoder.prefixes.clear()
    answer = model.generate(
        QUESTION, [[tokens(1)]], options=options(temperature=1.0, seed=4), should_stop=work
    )
    assert answer.text == expected.text


def test_answers_written_in_turns_are_those_written_one_after_the_other(model: PixelRefer):
    cases = [('What is <region>?', [[tokens(1)]]), ('What is <region>? Say more.', [[tokens(1)]])]
    expected = [model.generate(*case, options=options()).token_ids for case in cases]
    model.decoder.prefixes.clear()
    under_way = [model.generate_in_steps(*case, options=options()) for case in cases]
    written = {}
    while len(written) < len(cases):
        for index, steps in enumerate(under_way):
            try:
                steps.send(None)
            except StopIteration as end:
                written.setdefault(index, end.value and end.value.token_ids)
    assert [written[index] for index in range(len(cases))] == expected


def test_an_error_in_the_listener_leaves_the_model_usable(model: PixelRefer):
    expected = model.generate(QUESTION, [[tokens(1)]], options=options())

    def broken(piece: str) -> None:
        raise RuntimeError('listener')

    with pytest.raises(RuntimeError, match='listener'):
        model.generate(QUESTION, [[tokens(1)]], options=options(), on_text=broken)
    assert model.generate(QUESTION, [[tokens(1)]], options=options()).text == expected.text


# --- choosing tokens ---


def choose(logits: list[float], count: int = 1, **changes: float) -> list[int]:
    rules = DecodingRules(frozenset(), top_k=int(changes.pop('top_k', 0)))
    return [
        TokenChooser(rules, options(seed=seed, **changes), CPU).choose(torch.tensor(logits))[0]
        for seed in range(count)
    ]


def test_temperature_zero_takes_the_most_likely():
    assert choose([0.1, 2.0, 1.9], count=20) == [1] * 20


def test_sampling_follows_the_distribution():
    drawn = Counter(choose([math.log(0.5), math.log(0.3), math.log(0.2)], count=4000, temperature=1.0))
    for token, share in enumerate((0.5, 0.3, 0.2)):
        assert drawn[token] / 4000 == pytest.approx(share, abs=0.03)


def test_a_low_temperature_sharpens():
    logits = [math.log(0.5), math.log(0.3), math.log(0.2)]
    # 0.25 / (0.25 + 0.09 + 0.04)
    assert Counter(choose(logits, count=4000, temperature=0.5))[0] / 4000 == pytest.approx(0.658, abs=0.03)


def test_top_p_keeps_the_smallest_set_that_fills_it():
    logits = [math.log(0.5), math.log(0.3), math.log(0.2)]
    assert set(choose(logits, count=300, temperature=1.0, top_p=0.6)) == {0, 1}
    assert set(choose(logits, count=300, temperature=1.0, top_p=0.01)) == {0}


def test_top_k_of_the_checkpoint_bounds_sampling():
    assert set(choose([0.0, 0.1, 0.2, 0.3], count=300, temperature=1.0, top_k=2)) == {2, 3}


def test_a_seed_repeats_an_answer_and_another_one_does_not(model: PixelRefer):
    def ask(seed: int) -> str:
        warm = options(30, temperature=1.5, seed=seed)
        return model.generate(QUESTION, [[tokens(1)]], options=warm).text

    assert ask(3) == ask(3)
    assert ask(3) != ask(4)


def test_the_penalty_spares_the_prompt_and_tokens_not_yet_chosen():
    chooser = TokenChooser(DecodingRules(frozenset(), repetition_penalty=2.0), options(), CPU)
    logits = torch.tensor([1.0, 0.9, -0.1])
    assert [chooser.choose(logits)[0] for _ in range(3)] == [
        0,
        1,
        0,
    ]  # 0.5 against 0.9, then 0.5 against 0.45


def test_a_negative_score_is_penalised_downwards():
    chooser = TokenChooser(DecodingRules(frozenset(), repetition_penalty=2.0), options(), CPU)
    logits = torch.tensor([-1.0, -1.5])
    assert [chooser.choose(logits)[0] for _ in range(2)] == [0, 1]  # -2 against -1.5


def test_nan_from_the_weights_is_a_typed_error():
    with pytest.raises(ModelError, match='float32'):
        choose([math.nan, 1.0])


def test_generation_config_is_read():
    raw = {'eos_token_id': [151645, 151643], 'repetition_penalty': 1.1, 'top_k': 20, 'temperature': 0.7}
    rules = DecodingRules.parse(raw, 151645)
    assert rules == DecodingRules(frozenset({151645, 151643}), repetition_penalty=1.1, top_k=20)
    assert DecodingRules.parse({}, 256) == DecodingRules(frozenset({256}))
    assert (
        DecodingRules.parse({'eos_token_id': None, 'repetition_penalty': None}, None).eos_ids == frozenset()
    )


# --- text ---


def stream(data: bytes) -> list[str]:
    tokenizer = byte_tokenizer()
    text = TextStream(tokenizer)
    letters = byte_letters()
    pieces = [text.push(tokenizer.convert_tokens_to_ids(letters[byte])) for byte in data]
    return [*pieces, text.finish()]


def test_characters_come_whole():
    assert stream('aé🦆'.encode()) == ['a', '', 'é', '', '', '', '🦆', '']


def test_broken_bytes_become_replacement_characters():
    assert ''.join(stream(b'a\xff\xf0\x9f')) == 'a\ufffd\ufffd'


def test_special_tokens_make_no_text():
    assert [TextStream(byte_tokenizer()).push(token) for token in range(256, 263)] == [''] * 7


def test_a_token_past_the_vocabulary_makes_no_text():
    assert TextStream(byte_tokenizer()).push(99999) == ''


def test_the_byte_tokenizer_is_exact_on_any_text():
    tokenizer = byte_tokenizer()
    text = 'Größe?\n\t🦆 <region0> 这'
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer(text).input_ids) == len(text.encode())
    assert tokenizer('<|im_start|><REGION><|im_end|>').input_ids == [258, 262, 256]


# --- reused prefixes ---


def count_reads(model: PixelRefer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    read: list[int] = []
    original = model.language_model.extend

    def counted(embeds: torch.Tensor, cache: object) -> torch.Tensor:
        read.append(len(embeds))
        return original(embeds, cache)

    monkeypatch.setattr(model.language_model, 'extend', counted)
    return read


def test_a_second_question_about_the_same_objects_reads_only_what_is_new(
    model: PixelRefer, monkeypatch: pytest.MonkeyPatch
):
    seen = [tokens(1, 0), tokens(2, 1)]
    read = count_reads(model, monkeypatch)
    model.generate('There is <region>.\nWhat is it?', [seen], options=options(1))
    again = model.generate('There is <region>.\nWhere does it go?', [seen], options=options(8))
    assert read[0] > 100
    # From "re does it go?" on: "Wh" is common to both.
    assert read[1] == len('ere does it go?') + len('<|>\n<|>assistant\n') - 4

    model.decoder.prefixes.clear()
    fresh = model.generate('There is <region>.\nWhere does it go?', [seen], options=options(8))
    assert fresh.text == again.text
    assert fresh.mean_logprob == pytest.approx(again.mean_logprob, abs=1e-4)


def test_other_tokens_of_the_same_shape_are_not_taken_for_the_same(
    model: PixelRefer, monkeypatch: pytest.MonkeyPatch
):
    first = model.generate(QUESTION, [[tokens(1)]], options=options())
    second = model.generate(QUESTION, [[tokens(2)]], options=options())
    model.decoder.prefixes.clear()
    assert model.generate(QUESTION, [[tokens(2)]], options=options()).text == second.text
    assert first.mean_logprob != second.mean_logprob


def test_asking_the_same_twice_gives_the_same_answer(model: PixelRefer):
    seen = tokens(1)
    answers = [model.generate(QUESTION, [[seen]], options=options(20)) for _ in range(3)]
    assert answers[0].text == answers[1].text == answers[2].text


def test_a_cancelled_prompt_leaves_no_half_read_prefix(model: PixelRefer):
    seen = tokens(1)
    long = QUESTION + 'x' * 600
    model.generate(long, [[seen]], options=options(), should_stop=lambda: FinishReason.CANCELED)
    answer = model.generate(long, [[seen]], options=options())
    model.decoder.prefixes.clear()
    assert model.generate(long, [[seen]], options=options()).text == answer.text


def test_training_forgets_what_the_old_weights_made(model: PixelRefer, monkeypatch: pytest.MonkeyPatch):
    seen = tokens(1)
    model.generate(QUESTION, [[seen]], options=options(1))
    model.train()
    model.eval()
    read = count_reads(model, monkeypatch)
    answer = model.generate(QUESTION, [[seen]], options=options(1))
    assert read[0] == answer.prompt_tokens


# --- batches and choices ---


def test_a_batch_answers_as_one_by_one(model: PixelRefer):
    model.decoder.rules = DecodingRules(frozenset({256, 10}), repetition_penalty=1.2)
    questions = [
        (QUESTION, [[tokens(1)]]),
        (
            'Compare <region> with <region>, in as few words as you can.',
            [[tokens(2)], [tokens(3), tokens(4, 2)]],
        ),
        ('<region>?', [[tokens(5)]]),
    ]
    together = model.generate_batch(questions, options=options(24))
    for (question, objects), answer in zip(questions, together, strict=True):
        alone = model.generate(question, objects, options=options(24))
        assert answer.text == alone.text
        assert answer.finish_reason == alone.finish_reason
        assert answer.prompt_tokens == alone.prompt_tokens
        assert answer.mean_logprob == pytest.approx(alone.mean_logprob, abs=1e-3)


def test_a_batch_can_be_stopped_and_may_be_empty(model: PixelRefer):
    assert model.generate_batch([], options=options()) == []
    asked = iter([None, FinishReason.TIMEOUT])
    answers = model.generate_batch(
        [(QUESTION, [[tokens(1)]])] * 2, options=options(), should_stop=lambda: next(asked)
    )
    assert [answer.completion_tokens for answer in answers] == [2, 2]
    assert [answer.finish_reason for answer in answers] == [FinishReason.TIMEOUT] * 2


def test_choices_are_weighed_by_the_probability_of_all_their_tokens(model: PixelRefer):
    objects = [[tokens(1)]]
    prompt = model.embed_prompt(QUESTION, objects, None)

    def likelihood(choice: str) -> float:
        ids = model.tokenizer(choice).input_ids
        whole = torch.cat([prompt.embeds, model.language_model.embed_ids(ids)])
        with torch.no_grad():
            logprobs = model.language_model(whole[None])[0].log_softmax(-1)[len(prompt.embeds) - 1 :]
        return math.exp(sum(logprobs[place, token].item() for place, token in enumerate(ids)))

    expected = {choice: likelihood(choice) for choice in ('yes', 'no', 'nobody')}
    chosen = model.choose(QUESTION, objects, ['yes', 'no', 'nobody'])

    assert sum(chosen.values()) == pytest.approx(1.0)
    for choice, value in expected.items():
        assert chosen[choice] == pytest.approx(value / sum(expected.values()), rel=1e-3)


def test_letters_are_chosen_in_one_pass(model: PixelRefer, monkeypatch: pytest.MonkeyPatch):
    read = count_reads(model, monkeypatch)
    chosen = model.choose(QUESTION, [[tokens(1)]], ['A', 'B', 'C', 'D'])
    assert len(chosen) == 4
    assert len(read) == 1


@pytest.mark.parametrize('choices', [[], ['A', 'A'], ['A', '']])
def test_choices_must_differ(model: PixelRefer, choices: list[str]):
    with pytest.raises(InvalidRequestError, match='choices'):
        model.choose(QUESTION, [[tokens(1)]], choices)
