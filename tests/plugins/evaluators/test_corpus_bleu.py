"""BLEU and spBLEU of corpora: sacrebleu's numbers, many corpora at a time."""

import random

import numpy
import pytest
from hypothesis import given, strategies as st
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers import tokenizer_spm

from aya_core.api import AyaError
from aya_plugins.corpus_bleu import CorpusBleu, CorpusSpBleu, corpus_scores

words = st.lists(st.sampled_from(["a", "b", "cat", "dog.", "3,4", "é", "他累"]), max_size=9).map(" ".join)
corpora = st.lists(st.tuples(words, words), min_size=1, max_size=6)


@given(corpora, st.sampled_from(["en", "zh", "zh-Hant", "de"]))
def test_the_score_of_a_corpus_is_that_of_sacrebleu(pairs, language):
    ours, theirs = map(list, zip(*pairs, strict=True))
    official = BLEU(tokenize="zh" if language.startswith("zh") else "13a")
    expected = official.corpus_score(ours, [theirs])
    bleu = CorpusBleu(language)
    statistics = bleu.statistics(ours, theirs)
    assert bleu.score(statistics) == expected.score
    assert corpus_scores(statistics.sum(0, keepdims=True).astype(float))[0] == pytest.approx(expected.score, abs=1e-9)
    assert bleu.signature() == str(official.get_signature())


def test_errors_are_those_of_corpora_drawn_one_by_one():
    draw = random.Random(0)
    theirs = [" ".join(draw.choices("abcdefg", k=12)) for _ in range(80)]
    ours = [" ".join(word if draw.random() < 0.7 else "x" for word in text.split()) for text in theirs]
    bleu = CorpusBleu("en")
    statistics = bleu.statistics(ours, theirs)
    generator = numpy.random.default_rng(1)
    drawn = [bleu.score(statistics[generator.integers(0, 80, 80)]) for _ in range(800)]
    assert bleu.resampled(statistics, 800).std() == pytest.approx(numpy.std(drawn), rel=0.15)


def test_a_missing_tokenizer_is_named(monkeypatch):
    def missing(name):
        raise RuntimeError("install mecab")

    monkeypatch.setattr("sacrebleu.metrics.bleu._get_tokenizer", missing)
    with pytest.raises(AyaError, match=r"ja-mecab.*sacrebleu\[ja\]"):
        CorpusBleu("ja")


def test_spbleu_is_sacrebleu_with_the_same_pieces(pieces, monkeypatch):
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(pieces.parent.parent))
    official = BLEU(tokenize="flores200")
    ours, theirs = (
        ["die katze läuft", "hund schläft", "猫が走る hund"],
        ["die maus läuft", "hund und maus", "猫が走る maus"],
    )
    spbleu = CorpusSpBleu(str(pieces))
    assert spbleu.score(spbleu.statistics(ours, theirs)) == official.corpus_score(ours, [theirs]).score
    assert spbleu.signature() == str(official.get_signature()).replace("tok:flores200", "tok:sentencepiece")


def test_a_file_that_is_no_sentencepiece_model_is_refused(tmp_path):
    (tmp_path / "spm.model").write_text("no")
    with pytest.raises(AyaError, match="not a SentencePiece model"):
        CorpusSpBleu(str(tmp_path / "spm.model"))
