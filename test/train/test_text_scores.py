"""Scores of free text are those worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from pixelrefer_core.errors import ModelError, UnsupportedError
from pixelrefer_train.evaluation import captions
from pixelrefer_train.evaluation.sentence_similarity import load_sentence_encoder, sentence_similarity
from pixelrefer_train.evaluation.words import normalise, semantic_iou, typical

needs_coco = pytest.mark.skipif(
    captions.find_spec('pycocoevalcap') is None, reason='pycocoevalcap is not installed (extra "eval")'
)


def test_normalised_text_is_lower_case_without_the_listed_punctuation():
    assert normalise(' Traffic_light: (Red), big. ') == 'traffic light red big'
    assert normalise("don't") == "don't"


def test_siou_divides_common_words_by_all_words():
    assert semantic_iou('a Red cup', 'red cup') == pytest.approx(2 / 3)
    assert semantic_iou('bottle:cap', 'cap') == pytest.approx(1 / 2)
    assert semantic_iou('', '') == 0.0


def test_the_constant_answer_is_the_one_that_shares_most_words():
    assert typical(['red cup', 'a dog', 'red cup', 'cup']) == 'red cup'
    assert typical([]) == ''


def test_ssim_is_the_mean_cosine_of_normalised_texts():
    vectors = {'cup': (1.0, 0.0), 'mug': (0.6, 0.8), 'dog': (0.0, 1.0)}

    def embed(texts):
        return np.array([vectors[text] for text in texts], np.float32)

    assert sentence_similarity(embed, ['Cup.', 'dog'], ['mug', 'dog']) == pytest.approx((0.6 + 1) / 2)


@pytest.fixture
def tiny_encoder(tmp_path: Path) -> Path:
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'cup', 'a', 'large', 'dog']
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(tmp_path / 'vocab.txt')).save_pretrained(tmp_path)
    sizes = {'hidden_size': 8, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 8}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    return tmp_path


def test_embeddings_have_length_one_and_do_not_depend_on_their_batch(tiny_encoder):
    embed = load_sentence_encoder(str(tiny_encoder))
    together = embed(['red cup', 'a large red dog', 'dog'])
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert embed(['red cup'])[0] == pytest.approx(together[0], abs=1e-6)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_an_absent_encoder_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(ModelError, match=r'hf download nobody/no-such-encoder.*--sentence-encoder'):
        load_sentence_encoder('nobody/no-such-encoder')


@needs_coco
def test_caption_scores_are_those_of_the_definitions(monkeypatch):
    monkeypatch.setattr(captions, 'has_java', lambda: False)
    references = [['Large red cup stands here.'], ['Some dog runs over grass.']]
    same = captions.caption_scores([texts[0] for texts in references], references)
    # Every n-gram of each pair agrees: cosines of 1, times 10.
    assert same['CIDEr'] == pytest.approx(10.0, abs=1e-6)
    assert same['BLEU-4'] == pytest.approx(1.0, abs=1e-6)
    assert same['ROUGE-L'] == pytest.approx(1.0, abs=1e-6)
    assert 'METEOR' not in same
    swapped = captions.caption_scores([texts[0] for texts in references[::-1]], references)
    assert swapped['CIDEr'] == pytest.approx(0.0, abs=1e-6)
    # One word of five left out: the longest common sequence has 4 of 4 and 4 of 5 words, and
    # ROUGE-L = (1 + 1.2^2) * 1 * 0.8 / (0.8 + 1.2^2 * 1).
    cut = captions.caption_scores(['large cup stands here', 'some dog runs over grass'], references)
    assert cut['ROUGE-L'] == pytest.approx((2.44 * 0.8 / 2.24 + 1) / 2, abs=1e-6)
    # BLEU-1: 9 of 9 words are right; brevity exp(1 - 10 / 9).
    assert cut['BLEU-1'] == pytest.approx(np.exp(1 - 10 / 9), abs=1e-6)


@needs_coco
@pytest.mark.slow
@pytest.mark.timeout(400)  # METEOR loads for half a minute on an idle machine
@pytest.mark.skipif(not captions.has_java(), reason='no Java runtime: PTB tokenizer and METEOR cannot run')
def test_with_java_captions_are_split_as_officially_and_meteor_is_there():
    # The PTB tokenizer drops the full stop and keeps "cup's" as two words, the simple one "s" as a word.
    scores = captions.caption_scores(["the cup's handle."], [["the cup's handle"]])
    assert scores['BLEU-4'] == pytest.approx(1.0, abs=1e-6)
    assert scores['METEOR'] > 0.9


def test_captions_are_cut_to_a_hundred_words():
    assert captions.cut('w ' * 150).split() == ['w'] * 100


def test_without_the_package_the_message_names_the_command(monkeypatch):
    monkeypatch.setattr(captions, 'find_spec', lambda name: None)
    with pytest.raises(UnsupportedError, match='pip install'):
        captions.caption_scores(['a'], [['a']])
