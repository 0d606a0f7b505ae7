"""SSim: cosine similarity of sentence embeddings (all-MiniLM-L6-v2), the score of LVIS and PACO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pixelrefer_core.errors import ModelError
from pixelrefer_core.hub import cached_folder

from .words import normalise

SENTENCE_ENCODER = 'sentence-transformers/all-MiniLM-L6-v2'
_FILES = ('*.json', '*.txt', 'model.safetensors')
_BATCH = 64

# texts -> float (texts, width) of length one
Embed: TypeAlias = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def sentence_similarity(embed: Embed, texts: Sequence[str], references: Sequence[str]) -> float:
    """Return the mean cosine of normalised texts and their references."""
    first = embed([normalise(text) for text in texts])
    second = embed([normalise(text) for text in references])
    return float((first * second).sum(axis=1).mean())


def load_sentence_encoder(path: str = SENTENCE_ENCODER) -> Embed:
    """Load a sentence encoder from a folder or the local hub cache.

    Mean of the last layer over the words, to length one, as all-MiniLM-L6-v2 was trained; at most 256 tokens.
    Raises :class:`ModelError` with the command that brings the weights.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = _find(path)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.no_grad()
    def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        batches = [list(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        rows = []
        for batch in batches:
            words = tokenizer(batch, padding=True, truncation=True, max_length=256, return_tensors='pt')
            states = model(**words).last_hidden_state
            mask = words['attention_mask'][..., None].to(states.dtype)
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            rows.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(rows)

    return embed


def _find(path: str) -> Path:
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    try:
        return cached_folder(path, _FILES)
    except ModelError as error:
        raise ModelError(
            f'SSim needs the sentence encoder {path}, which is neither a folder nor in the local hub cache: run '
            f'`hf download {path}` on a machine with a network, or name a folder with --sentence-encoder'
        ) from error
