"""Laws of consensus: agreement is rewarded, order does not matter, and every chrF is sacrebleu's."""

import pytest
from hypothesis import given, settings, strategies as st
from sacrebleu.metrics import CHRF

from aya_core.api import Case, Completion, Verdict, user_prompt
from aya_plugins.arbiters.consensus import Consensus
from aya_plugins.chrf import SentenceChrf

WORDS = st.lists(st.sampled_from(["the", "cat", "sat.", "(mat)", "три", "猫", "!", "a"]), max_size=6).map(" ".join)


def case(*texts: str) -> Case:
    return Case(user_prompt("p", "en", "?"), tuple(Completion("p", "t", n, text) for n, text in enumerate(texts)))


def judge(*texts: str, word_order: int = 0) -> list[Verdict]:
    (verdicts,) = Consensus(word_order=word_order).build().judge([case(*texts)])
    return list(verdicts)


@given(WORDS | st.text(max_size=20), WORDS | st.text(max_size=20), st.sampled_from([0, 2]), st.sampled_from([1, 2]))
@settings(deadline=None)
def test_sentence_chrf_is_that_of_sacrebleu(hypothesis: str, reference: str, word_order: int, beta: int):
    official = CHRF(word_order=word_order, beta=beta).sentence_score(hypothesis, [reference]).score
    assert SentenceChrf(word_order, beta)(hypothesis, reference) == official


def test_sentence_chrf_has_the_signature_of_sacrebleu():
    official = CHRF(word_order=2)
    official.sentence_score("a", ["b"])
    assert SentenceChrf(2).signature() == str(official.get_signature())


@given(st.lists(WORDS | st.text(max_size=20), min_size=1, max_size=5), st.sampled_from([0, 2]))
@settings(deadline=None)
def test_a_table_holds_sacrebleus_chrf_of_each_text_against_each(texts: list[str], word_order: int):
    official = CHRF(word_order=word_order)
    table = [[official.sentence_score(ours, [theirs]).score for theirs in texts] for ours in texts]
    assert SentenceChrf(word_order).table(texts) == table


@given(st.lists(WORDS.filter(bool), min_size=2, max_size=4))
@settings(deadline=None)
def test_a_score_is_the_mean_chrf_against_all_other_candidates(texts: list[str]):
    metric = CHRF()
    for place, verdict in enumerate(judge(*texts)):
        others = texts[:place] + texts[place + 1 :]
        mean = sum(metric.sentence_score(texts[place], [other]).score for other in others) / len(others)
        assert verdict.score == pytest.approx(mean, abs=1e-9)


def test_the_odd_one_out_scores_least():
    scores = [verdict.score for verdict in judge("the cat sat", "the cat sits", "a dog ran", "the cat sat")]
    assert scores[0] == scores[3] == max(scores)
    assert scores[2] == min(scores)


@given(WORDS.filter(bool), WORDS.filter(bool))
@settings(deadline=None)
def test_two_answers_tie_when_recall_counts_as_much_as_precision(first: str, second: str):
    (verdicts,) = Consensus(beta=1).build().judge([case(first, second)])
    assert verdicts[0].score == verdicts[1].score


def test_more_recall_favors_the_longer_of_two_answers():
    short, long = "the cat sat", "the cat sat on the mat and looked at the dog"
    less, more = judge(short, long)  # chrF's own beta of 2
    assert more.score > less.score
    (verdicts,) = Consensus(beta=0.5).build().judge([case(short, long)])
    assert verdicts[0].score > verdicts[1].score


@given(st.lists(WORDS, max_size=5).flatmap(lambda texts: st.tuples(st.just(texts), st.permutations(range(len(texts))))))
@settings(deadline=None)
def test_scores_follow_their_candidates_when_these_change_places(drawn: tuple[list[str], list[int]]):
    texts, places = drawn
    verdicts = judge(*texts)
    assert judge(*(texts[place] for place in places)) == [verdicts[place] for place in places]


def test_identical_answers_agree_fully():
    assert [verdict.score for verdict in judge("same", "same")] == [100, 100]


def test_empty_answers_are_not_judged_and_do_not_pull_the_consensus():
    texts = ["the cat sat", "", "the cat sits", " \n", "a dog ran"]
    verdicts = judge(*texts)
    assert [verdict.status for verdict in verdicts] == ["scored", "abstained", "scored", "abstained", "scored"]
    assert verdicts[::2] == judge(*texts[::2])
    assert [verdict.reason for verdict in judge("", "alone")] == [
        "the answer is empty", "there is no other answer to agree with",
    ]  # fmt: skip


def test_a_single_candidate_gets_an_abstention():
    assert [verdict.status for verdict in judge("alone")] == ["abstained"]
    assert judge() == []


def test_chrf_by_hand():
    # One of two letters matches and the pair does not: precision = recall = (1/2 + 0/1) / 2 = 1/4.
    assert judge("ab", "ac")[0].score == pytest.approx(25)
