"""How the next token is chosen: greedy or sampled, with the checkpoint's own repetition penalty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .errors import InvalidRequestError, ModelError
from .types import GenerationOptions

NOT_NUMBERS = 'the model produced NaN; its weights overflow in this precision, try dtype float32'


@dataclass(frozen=True)
class DecodingRules:
    """What generation_config.json fixes for a model.

    ``repetition_penalty`` acts on generated tokens only, in greedy decoding too. ``top_k`` 0 = no bound;
    it acts when sampling.
    """

    eos_ids: frozenset[int]
    repetition_penalty: float = 1.0
    top_k: int = 0

    @staticmethod
    def parse(raw: Mapping[str, Any], eos_id: int | None) -> DecodingRules:
        """Read generation_config.json; ``eos_id``: the tokenizer's, which ends an answer too."""
        named = raw.get('eos_token_id')
        ids = set(named) if isinstance(named, list) else {named}
        return DecodingRules(
            eos_ids=frozenset(token for token in {*ids, eos_id} if token is not None),
            repetition_penalty=float(raw.get('repetition_penalty') or 1.0),
            top_k=int(raw.get('top_k') or 0),
        )

    def to_official(self) -> dict[str, Any]:
        """Return the entries of generation_config.json."""
        return {
            'eos_token_id': sorted(self.eos_ids),
            'repetition_penalty': self.repetition_penalty,
            'top_k': self.top_k,
        }


def check_options(options: GenerationOptions) -> None:
    """Raise :class:`InvalidRequestError` for values out of range. Written so that NaN fails."""
    if not options.max_new_tokens > 0:
        raise InvalidRequestError(f'max_new_tokens must be positive, got {options.max_new_tokens}')
    if not 0.0 <= options.temperature < math.inf:
        raise InvalidRequestError(f'temperature must be finite and not negative, got {options.temperature}')
    if not 0.0 < options.top_p <= 1.0:
        raise InvalidRequestError(f'top_p must lie in (0, 1], got {options.top_p}')


class TokenChooser:
    """Chooses the tokens of one answer, one after the other; its randomness is its own."""

    def __init__(self, rules: DecodingRules, options: GenerationOptions, device: torch.device) -> None:
        self._rules = rules
        self._options = options
        self._chosen: list[int] = []
        # Drawn on the host: the same seed gives the same answer on every device.
        self._random = torch.Generator().manual_seed(options.seed & (2**63 - 1))
        self._device = device

    def choose(self, logits: torch.Tensor) -> tuple[int, float]:
        """Return the next token and its natural log probability under the unaltered ``logits`` (vocabulary).

        Raises :class:`ModelError` when the logits are not numbers, as half precision can make them.
        """
        logits = logits.float()
        scores = self._penalised(logits)
        token = scores.argmax() if self._options.temperature == 0 else self._draw(scores)
        # One transfer for both values: this is the only wait for the device per token.
        chosen, logprob = torch.stack((token.float(), logits.log_softmax(dim=-1)[token])).tolist()
        if math.isnan(logprob):
            raise ModelError(NOT_NUMBERS)
        self._chosen.append(int(chosen))
        return int(chosen), logprob

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        penalty = self._rules.repetition_penalty
        if penalty == 1.0 or not self._chosen:
            return logits
        seen = torch.tensor(self._chosen, device=self._device)
        values = logits[seen]
        return logits.index_copy(0, seen, torch.where(values < 0, values * penalty, values / penalty))

    def _draw(self, scores: torch.Tensor) -> torch.Tensor:
        scores, order = (scores / self._options.temperature).sort(descending=True)
        if self._rules.top_k:
            scores, order = scores[: self._rules.top_k], order[: self._rules.top_k]
        shares = scores.softmax(dim=-1)
        # A token stays while the ones before it have not filled top_p; the first one always does.
        kept = shares * (shares.cumsum(dim=-1) - shares < self._options.top_p)
        threshold = torch.rand((), generator=self._random).to(self._device) * kept.sum()
        return order[(kept.cumsum(dim=-1) <= threshold).sum().clamp(max=len(order) - 1)]
