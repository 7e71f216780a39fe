"""chrF++ of corpora: sacrebleu's numbers, from counts made in another way."""

import random

import numpy
import pytest
from hypothesis import given, strategies as st
from sacrebleu.metrics import CHRF

from aya_plugins import corpus_chrf
from aya_plugins.corpus_chrf import CorpusChrf, corpus_scores

OFFICIAL = CHRF(word_order=2)
OURS = CorpusChrf()

texts = st.text(st.sampled_from("aabc .,(!é北京กाि𝔸\u2028\t\x1c"), max_size=24) | st.text(max_size=12)
corpora = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)


def official(pairs):
    ours, theirs = zip(*pairs, strict=True)
    return numpy.array(OFFICIAL._extract_corpus_statistics(list(ours), [list(theirs)]))


@given(corpora)
def test_counts_of_n_grams_are_those_of_sacrebleu(pairs):
    ours, theirs = zip(*pairs, strict=True)
    assert (OURS.statistics(ours, theirs) == official(pairs)).all()


def test_counts_do_not_depend_on_the_batch(monkeypatch):
    draw = random.Random(0)
    pairs = [["".join(draw.choices("abc de", k=draw.randrange(40))) for _ in range(2)] for _ in range(30)]
    ours, theirs = zip(*pairs, strict=True)
    for batch, most in ((1, 4096), (50, 4096), (10**6, 7)):
        monkeypatch.setattr(corpus_chrf, "BATCH", batch)
        monkeypatch.setattr(corpus_chrf, "PAIRS", most)
        assert (OURS.statistics(ours, theirs) == official(pairs)).all()


def test_texts_with_more_trigrams_than_a_batch_are_counted():
    draw = random.Random(0)
    pair = ["".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(300_000)) for _ in range(2)]
    found = OURS.statistics([pair[0]], [pair[0][:150_000] + pair[1]])[0].reshape(8, 3)
    assert found[:6, 0].tolist() == [300_000 - order for order in range(6)]
    assert (found[:6, 2] >= 150_000 - 5).all()
    assert found[5, 2] == 150_000 - 5


@given(corpora)
def test_the_score_of_a_corpus_is_that_of_sacrebleu(pairs):
    ours, theirs = map(list, zip(*pairs, strict=True))
    expected = OFFICIAL.corpus_score(ours, [theirs]).score
    statistics = OURS.statistics(ours, theirs)
    assert OURS.score(statistics) == expected
    assert corpus_scores(statistics.sum(0, keepdims=True).astype(float))[0] == pytest.approx(expected, abs=1e-9)


def test_the_signature_is_that_of_sacrebleu():
    OFFICIAL.corpus_score(["a"], [["a"]])
    assert OURS.signature() == str(OFFICIAL.get_signature())


def test_a_corpus_of_one_segment_has_no_error():
    assert OURS.resampled(OURS.statistics(["a cat"], ["a dog"]), 50).std() == 0


def test_the_bootstrap_finds_the_spread_of_corpora():
    """Against corpora that are really drawn anew from the same source."""
    draw = random.Random(1)

    def corpus(size):
        references = [" ".join(draw.choices(["ab", "cde", "fgh", "ijkl", "m"], k=8)) for _ in range(size)]
        return OURS.statistics([text[draw.randrange(20) :] for text in references], references)

    spread = numpy.std([OURS.score(corpus(60)) for _ in range(200)])
    assert OURS.resampled(corpus(60), 500).std() == pytest.approx(spread, rel=0.4)


def test_equal_seeds_draw_equal_segments():
    statistics = OURS.statistics(["a cat", "dogs", "x"], ["a cow", "dogs and cats", "xyz"])
    first, second = (OURS.resampled(statistics, 20, seed) for seed in (3, 3))
    assert (first == second).all()
    assert (first != OURS.resampled(statistics, 20, 4)).any()
