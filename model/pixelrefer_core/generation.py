"""Answers, token by token: prefill in chunks, streamed decode, and a way to stop between tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import torch
from transformers import DynamicCache, PreTrainedTokenizerBase

from .byte_text import TextStream
from .decoding import DecodingRules, TokenChooser
from .language_model import LanguageModel, PromptEmbedding
from .prefix_cache import PrefixCache
from .types import FinishReason, Generation, GenerationOptions

OnText = Callable[[str], None]
ShouldStop = Callable[[], FinishReason | None]

# Positions read at a time: enough to keep a device busy, few enough that a tracker may step in between.
PREFILL_CHUNK = 256


@dataclass
class _Answer:
    """What has been decoded so far."""

    stream: TextStream
    on_text: OnText
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def add(self, token: int, logprob: float) -> None:
        self.ids.append(token)
        self.logprobs.append(logprob)
        self.say(self.stream.push(token))

    def say(self, piece: str) -> None:
        if piece:
            self.pieces.append(piece)
            self.on_text(piece)


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
        self,
        prompt: PromptEmbedding,
        options: GenerationOptions,
        on_text: OnText = lambda piece: None,
        should_stop: ShouldStop = lambda: None,
    ) -> Generation:
        """Decode at most ``options.max_new_tokens`` tokens.

        ``on_text`` hears each new piece of text. ``should_stop`` is asked between chunks of the prompt and
        between tokens, and ends the answer by returning a reason; what was decoded until then is returned.
        ``completion_tokens`` counts the token that ends an answer, ``mean_logprob`` includes it.
        """
        start = monotonic()
        answer = _Answer(TextStream(self._tokenizer), on_text)
        prefix = self.prefixes.take(prompt.keys, self._model.new_cache())
        try:
            logits, reason = self._prefill(prompt.embeds[prefix.length :], prefix.cache, should_stop)
            prefill_s = monotonic() - start
            if logits is not None:
                chooser = TokenChooser(self.rules, options, logits.device)
                answer.add(*chooser.choose(logits))
                prefill_s = monotonic() - start  # a device works asynchronously until its result is read
                reason = self._decode(answer, chooser, prefix.cache, options.max_new_tokens, should_stop)
        finally:
            self.prefixes.keep(prompt.keys, prompt.sources, prefix.cache)
        answer.say(answer.stream.finish())
        return Generation(
            text=''.join(answer.pieces).strip(),
            finish_reason=reason or FinishReason.STOP,
            prompt_tokens=len(prompt.keys),
            completion_tokens=len(answer.ids),
            prefill_s=prefill_s,
            first_token_s=prefill_s,
            mean_logprob=sum(answer.logprobs) / len(answer.ids) if answer.ids else math.nan,
        )

    def _prefill(
        self, embeds: torch.Tensor, cache: DynamicCache, should_stop: ShouldStop
    ) -> tuple[torch.Tensor | None, FinishReason | None]:
        """Return the logits after the prompt, or the reason to stop before that."""
        logits = None
        for chunk in embeds.split(PREFILL_CHUNK):
            reason = should_stop() if logits is not None else None
            if reason is not None:
                return None, reason
            logits = self._model.extend(chunk, cache)
        return logits, None

    def _decode(
        self,
        answer: _Answer,
        chooser: TokenChooser,
        cache: DynamicCache,
        max_new_tokens: int,
        should_stop: ShouldStop,
    ) -> FinishReason:
        while answer.ids[-1] not in self.rules.eos_ids:
            if len(answer.ids) >= max_new_tokens:
                return FinishReason.LENGTH
            reason = should_stop()
            if reason is not None:
                return reason
            logits = self._model.extend(self._model.embed_ids(answer.ids[-1:]), cache)
            answer.add(*chooser.choose(logits))
        return FinishReason.STOP
