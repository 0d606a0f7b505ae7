"""Caption scores by the packages of the COCO caption evaluation: CIDEr, BLEU, ROUGE-L and METEOR.

SPICE is left out: it fetches a parser over the network when it runs.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from pixelrefer_core.errors import UnsupportedError

# The official evaluation scores no more of a caption.
MAX_WORDS = 100


def cut(caption: str) -> str:
    """Return the first :data:`MAX_WORDS` words of a caption, split at spaces."""
    return ' '.join(caption.split(' ')[:MAX_WORDS])


def has_java() -> bool:
    """Tell whether the PTB tokenizer and METEOR, which are Java programs, can run."""
    return shutil.which('java') is not None


def caption_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return CIDEr, BLEU-1 to BLEU-4, ROUGE-L and, with Java, METEOR of captions against their references.

    With Java captions are split by the PTB tokenizer, as in the official evaluation, else at what is no letter or
    digit, which gives slightly other figures. Raises :class:`UnsupportedError` without pycocoevalcap.
    """
    if find_spec('pycocoevalcap') is None:
        raise UnsupportedError(
            'caption scores need pycocoevalcap: run `pip install -r requirements/eval.txt`, or install the extra '
            "'eval' of this package"
        )
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    given = {str(index): [cut(caption)] for index, caption in enumerate(captions)}
    right = {str(index): list(texts) for index, texts in enumerate(references)}
    split = _ptb if has_java() else _simple
    given, right = split(given), split(right)
    with contextlib.redirect_stdout(io.StringIO()):  # they report lengths
        bleu = Bleu(4).compute_score(right, given)[0]
        scores = {'CIDEr': float(Cider().compute_score(right, given)[0])}
        scores |= {f'BLEU-{order}': float(value) for order, value in enumerate(bleu, start=1)}
        scores['ROUGE-L'] = float(Rouge().compute_score(right, given)[0])
        if has_java():
            scores['METEOR'] = _meteor(right, given)
    return scores


def _meteor(right: dict[str, list[str]], given: dict[str, list[str]]) -> float:
    from pycocoevalcap.meteor.meteor import Meteor

    meteor = Meteor()
    try:
        return float(meteor.compute_score(right, given)[0])
    finally:
        meteor.meteor_p.stdin.close()  # ends the Java process now, not with the interpreter
        meteor.meteor_p.wait()


def _ptb(texts: dict[str, list[str]]) -> dict[str, list[str]]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    lines = {key: [{'caption': text} for text in values] for key, values in texts.items()}
    found: dict[str, list[str]] = PTBTokenizer().tokenize(lines)
    return found


def _simple(texts: dict[str, list[str]]) -> dict[str, Any]:
    return {
        key: [' '.join(re.findall(r'[^\W_]+', text.lower())) for text in values]
        for key, values in texts.items()
    }
