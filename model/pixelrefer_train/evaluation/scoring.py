"""From answered items to the figures of a suite."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixelrefer_core.errors import PixelReferError

from .captions import caption_scores
from .choice import decide
from .classification import (
    ClassificationReport,
    Decision,
    brier_score,
    expected_calibration_error,
    report,
)
from .item import Answered
from .judge import Judge
from .judged import condense_question, is_long
from .sentence_similarity import Embed, sentence_similarity
from .words import normalise, semantic_iou, typical

_YES_NO = {'yes', 'no'}


@dataclass(frozen=True)
class Tools:
    """What scores need beside the answers; None = not there, and its scores are left out.

    ``data``: the annotation file. ``references``, ``context``: files of Ferret-Bench. ``by_probability``: how
    closed questions are decided. ``on_step``: called with what is done and how much there is of it.
    """

    embed: Embed | None = None
    judge: Judge | None = None
    data: Path = Path()
    references: Path | None = None
    context: Path | None = None
    by_probability: bool = False
    seed: int = 0
    on_step: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class SuiteScores:
    """What came out.

    ``types``: closed questions by type, ``tags``: the same by what was held out of training. ``texts``: other
    scores by name, ``constant``: those of one sentence as the answer to everything. ``missing``: which scores
    were left out, and why.
    """

    types: Mapping[str, ClassificationReport] = field(default_factory=dict)
    tags: Mapping[str, ClassificationReport] = field(default_factory=dict)
    texts: Mapping[str, float] = field(default_factory=dict)
    constant: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


Scorer = Callable[[Sequence[Answered], Tools], SuiteScores]


def score_closed(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Score questions with classes by type and by tag, and calibrate yes and no where probabilities are there."""
    closed = [item for item in answered if item.item.classes]
    types: dict[str, list[Decision]] = defaultdict(list)
    tags: dict[str, list[Decision]] = defaultdict(list)
    for entry in closed:
        chosen = decide(entry, by_probability=tools.by_probability)
        item = entry.item
        decision = Decision(item.expected, chosen, item.classes, item.scene or item.item_id)
        types[item.type].append(decision)
        for tag in item.tags:
            tags[f'{tag}: {item.type}'].append(decision)
    reports = {name: report(entries, seed=tools.seed) for name, entries in sorted(types.items())}
    tagged = {name: report(entries, seed=tools.seed) for name, entries in sorted(tags.items())}
    micro = [decision.chosen == decision.expected for entries in types.values() for decision in entries]
    texts = {'micro accuracy': sum(micro) / len(micro)} if micro else {}
    return SuiteScores(reports, tagged, {**texts, **_calibration(closed)})


def score_sim(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Score closed questions as such, free ones by their words; no average over the types."""
    closed = score_closed(answered, tools)
    free = [item for item in answered if not item.item.classes]
    texts = {name: value for name, value in closed.texts.items() if name != 'micro accuracy'}
    constant: dict[str, float] = {}
    for kind in sorted({item.item.type for item in free}):
        own, other = _word_scores([item for item in free if item.item.type == kind])
        texts |= {f'{kind} {name}': value for name, value in own.items()}
        constant |= {f'{kind} {name}': value for name, value in other.items()}
    return SuiteScores(closed.types, closed.tags, texts, constant)


def score_categories(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Score categories in words: SIoU, and SSim where the sentence encoder is there (LVIS, PACO)."""
    texts, constant = _word_scores(answered)
    if tools.embed is None:
        return SuiteScores(texts=texts, constant=constant, missing={'SSim': 'no sentence encoder'})
    said, right = _texts(answered)
    same = [typical(right)] * len(right)
    texts = {'SSim': sentence_similarity(tools.embed, said, right), **texts}
    constant = {'SSim': sentence_similarity(tools.embed, same, right), **constant}
    return SuiteScores(texts=texts, constant=constant)


def score_captions(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Score captions by CIDEr, BLEU, ROUGE-L, METEOR (VG, HC-STVG)."""
    return _caption_scores([item.prediction.text for item in answered], answered, {})


def score_ref_l4(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Score captions of Ref-L4, long ones condensed by the judge first; without one, as they are."""
    said = [item.prediction.text for item in answered]
    judge = tools.judge
    if judge is None:
        return _caption_scores(
            said, answered, {'condensed captions': 'no judge; captions are scored as they are'}
        )
    short = [judge.ask(*condense_question(text)) if is_long(text) else text for text in said]
    return _caption_scores(short, answered, {})


def _calibration(closed: Sequence[Answered]) -> dict[str, float]:
    pairs = []
    for entry in closed:
        shares = {normalise(name): share for name, share in entry.prediction.probabilities.items()}
        if shares.keys() == _YES_NO:
            pairs.append((shares['yes'], normalise(entry.item.expected) == 'yes'))
    if not pairs:
        return {}
    chances, truths = zip(*pairs, strict=True)
    return {
        'yes/no Brier score': brier_score(chances, truths),
        'yes/no ECE': expected_calibration_error(chances, truths),
    }


def _texts(answered: Sequence[Answered]) -> tuple[list[str], list[str]]:
    return [item.prediction.text for item in answered], [item.item.references[0] for item in answered]


def _word_scores(answered: Sequence[Answered]) -> tuple[dict[str, float], dict[str, float]]:
    """Return SIoU and exact match, and those of the constant answer."""
    said, right = _texts(answered)
    return _against(said, right), _against([typical(right)] * len(right), right)


def _against(said: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    pairs = list(zip(said, right, strict=True))
    return {
        'SIoU': sum(semantic_iou(*pair) for pair in pairs) / len(pairs),
        'exact': sum(normalise(text) == normalise(other) for text, other in pairs) / len(pairs),
    }


def _caption_scores(
    said: Sequence[str], answered: Sequence[Answered], missing: Mapping[str, str]
) -> SuiteScores:
    references = [item.item.references for item in answered]
    same = [typical([texts[0] for texts in references])] * len(references)
    try:
        texts, constant = caption_scores(said, references), caption_scores(same, references)
    except PixelReferError as error:
        return SuiteScores(missing={**missing, 'caption scores': str(error)})
    if 'METEOR' not in texts:
        note = 'METEOR and the PTB tokenizer need a Java runtime: apt-get install default-jre-headless'
        missing = {**missing, 'METEOR': note}
    return SuiteScores(texts=texts, constant=constant, missing=missing)
