"""Answers, token by token: prefill in chunks, streamed decode, and a way to stop between tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import torch
from transformers import DynamicCache, PreTrainedTokenizerBase

from .byte_text import TextStream
from .decoding import NOT_NUMBERS, DecodingRules, TokenChooser
from .errors import ModelError
from .language_model import LanguageModel, PromptEmbedding
from .prefix_cache import PrefixCache, cut
from .steps import ShouldStop, Steps, run_steps
from .stop_strings import StopStrings
from .types import FinishReason, Generation, GenerationOptions

OnText = Callable[[str], None]

# Positions read at a time: enough to keep a device busy, few enough that a tracker may step in between.
PREFILL_CHUNK = 256


@dataclass
class PartialAnswer:
    """What has been decoded so far. ``reason``: why it ended, None while it grows."""

    stream: TextStream
    stop: StopStrings
    chooser: TokenChooser
    rules: DecodingRules
    options: GenerationOptions
    on_text: OnText
    started_s: float
    reason: FinishReason | None = None
    first_token_s: float = math.nan
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def grow(self, logits: torch.Tensor) -> None:
        """Choose the next token from ``logits`` (S), say what text it completes, and see whether it is the last."""
        token, logprob = self.chooser.choose(logits)
        if not self.ids:
            self.first_token_s = monotonic() - self.started_s
        self.ids.append(token)
        self.logprobs.append(logprob)
        self._say(self.stop.push(self.stream.push(token)))
        if token in self.rules.eos_ids or self.stop.found:
            self.reason = FinishReason.STOP
        elif len(self.ids) >= self.options.max_new_tokens:
            self.reason = FinishReason.LENGTH

    def _say(self, piece: str) -> None:
        if piece:
            self.pieces.append(piece)
            self.on_text(piece)

    def finish(self, prompt_tokens: int) -> Generation:
        """Close the answer. ``reason`` must be set."""
        assert self.reason is not None
        self._say(self.stop.push(self.stream.finish()) + self.stop.finish())
        # The device works asynchronously, so the prompt is known to be read once the first token is there.
        prefill_s = self.first_token_s if self.ids else monotonic() - self.started_s
        return Generation(
            text=''.join(self.pieces).strip(),
            finish_reason=self.reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=len(self.ids),
            prefill_s=prefill_s,
            first_token_s=prefill_s,
            mean_logprob=sum(self.logprobs) / len(self.ids) if self.ids else math.nan,
            token_ids=tuple(self.ids),
        )


class Decoder:
    """Decodes answers; prompts that begin alike share their keys and values."""

    def __init__(
        self, model: LanguageModel, tokenizer: PreTrainedTokenizerBase, rules: DecodingRules
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.rules = rules
        self.prefixes = PrefixCache()

    def generate(
        self, prompt: PromptEmbedding, options: GenerationOptions, on_text: OnText, should_stop: ShouldStop
    ) -> Generation:
        """Decode at most ``options.max_new_tokens`` tokens, asking ``should_stop`` between steps."""
        return run_steps(self.generate_in_steps(prompt, options, on_text), should_stop)

    def generate_in_steps(
        self, prompt: PromptEmbedding, options: GenerationOptions, on_text: OnText
    ) -> Steps[Generation]:
        """Decode at most ``options.max_new_tokens`` tokens; a chunk of the prompt or a token is a step.

        ``on_text`` hears each new piece of text. Several answers may be under way, a step of one after a step of
        another. One that is sent a reason ends with what was decoded until then.
        ``completion_tokens`` counts the token that ends an answer, ``mean_logprob`` includes it.
        """
        answer = self._begin(prompt, options, on_text)
        prefix = self.prefixes.take(prompt.keys, self._model.new_cache())
        try:
            logits = yield from self._prefill(prompt.embeds[prefix.length :], prefix.cache, answer)
            while answer.reason is None:
                answer.grow(logits)
                if answer.reason is None:
                    answer.reason = yield
                if answer.reason is None:
                    logits = self._model.extend(self._model.embed_ids(answer.ids[-1:]), prefix.cache)
        finally:
            self.prefixes.keep(prompt.keys, prompt.sources, prefix.cache)
        return answer.finish(prompt_tokens=len(prompt.keys))

    def generate_batch(
        self, prompts: Sequence[PromptEmbedding], options: GenerationOptions, should_stop: ShouldStop
    ) -> list[Generation]:
        """Decode several answers side by side, so that each step reads the weights once for all of them."""
        answers = [self._begin(prompt, options, lambda piece: None) for prompt in prompts]
        batch = self._model.start_batch([prompt.embeds for prompt in prompts])
        logits = batch.logits
        while True:
            for answer, row in zip(answers, logits, strict=True):
                if answer.reason is None:
                    answer.grow(row)
            going = [answer for answer in answers if answer.reason is None]
            reason = should_stop() if going else None
            for answer in going:
                answer.reason = reason
            if reason is not None or not going:
                break
            # A row that has ended repeats its last token, which nobody reads.
            logits = batch.extend([answer.ids[-1] for answer in answers])
        return [
            answer.finish(prompt_tokens=len(prompt.keys))
            for answer, prompt in zip(answers, prompts, strict=True)
        ]

    def yes_shares(self, prompts: Sequence[PromptEmbedding], yes: int, no: int) -> list[float]:
        """Return how probable ``yes`` is as the next token, against ``no`` alone: one pass for all the prompts.

        Raises :class:`ModelError` when the logits are not numbers, as half precision can make them.
        """
        logits = self._model.next_logits(prompts)
        shares: list[float] = (logits[:, yes].double() - logits[:, no].double()).sigmoid().tolist()
        if any(map(math.isnan, shares)):
            raise ModelError(NOT_NUMBERS)
        return shares

    def score(self, prompt: PromptEmbedding, choices: Sequence[str]) -> list[float]:
        """Return the natural log probability with which the model would begin its answer with each choice."""
        prefix = self.prefixes.take(prompt.keys, self._model.new_cache())
        logits = self._model.extend(prompt.embeds[prefix.length :], prefix.cache)
        scores = [self._score(logits, choice, prefix.cache) for choice in choices]
        self.prefixes.keep(prompt.keys, prompt.sources, prefix.cache)
        return scores

    def _score(self, logits: torch.Tensor, choice: str, cache: DynamicCache) -> float:
        ids = self._tokenizer(choice, add_special_tokens=False)['input_ids']
        read = cache.get_seq_length()
        total = 0.0
        for position, token in enumerate(ids):
            total += float(logits.float().log_softmax(dim=-1)[token])
            if position + 1 < len(ids):
                logits = self._model.extend(self._model.embed_ids([token]), cache)
        cut(cache, read)
        return total

    def _begin(self, prompt: PromptEmbedding, options: GenerationOptions, on_text: OnText) -> PartialAnswer:
        return PartialAnswer(
            stream=TextStream(self._tokenizer),
            stop=StopStrings(options.stop),
            chooser=TokenChooser(self.rules, options, prompt.embeds.device),
            rules=self.rules,
            options=options,
            on_text=on_text,
            started_s=monotonic(),
        )

    def _prefill(
        self, embeds: torch.Tensor, cache: DynamicCache, answer: PartialAnswer
    ) -> Steps[torch.Tensor]:
        """Return the logits after the prompt, or stop ``answer`` before that."""
        chunks = torch.split(embeds, PREFILL_CHUNK)
        logits = self._model.extend(chunks[0], cache)
        for chunk in chunks[1:]:
            answer.reason = yield
            if answer.reason is not None:
                break
            logits = self._model.extend(chunk, cache)
        return logits
