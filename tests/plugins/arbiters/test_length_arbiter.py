"""Laws of the length gate: bounds, cuts and loops, in any script."""

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from aya_core.api import Case, Completion, Verdict, user_prompt
from aya_plugins.arbiters.length import WINDOW, Length, repetition


def judge(*texts: str, finish_reason: str = "stop", **settings) -> list[Verdict]:
    candidates = tuple(Completion("p", "t", n, text, finish_reason=finish_reason) for n, text in enumerate(texts))
    (verdicts,) = Length(**settings).build().judge([Case(user_prompt("p", "en", "?"), candidates)])
    return list(verdicts)


@given(st.text(), st.integers(0, 8), st.integers(8, 16))
def test_an_answer_passes_when_its_length_is_within_the_bounds(text: str, least: int, most: int):
    (verdict,) = judge(text, min_characters=least, max_characters=most)
    assert (verdict.status == "scored") == (least <= len(text.strip()) <= most)
    assert verdict.score in (1.0, None)


def test_an_empty_answer_does_not_pass_by_default():
    (verdict,) = judge(" \n")
    assert (verdict.status, verdict.details["too_short"]) == ("abstained", 1.0)


@pytest.mark.parametrize("text", ["한국어", "日本語", "中文字", "abc", "नमक"])
def test_a_character_is_one_code_point_in_every_script(text: str):
    assert judge(text)[0].details["characters"] == 3


def test_an_answer_that_was_cut_off_does_not_pass_unless_it_is_allowed():
    (verdict,) = judge("Once upon a", finish_reason="length")
    assert verdict == Verdict.abstain("cut off at the longest length", verdict.details)
    assert verdict.details == {"characters": 11, "too_short": 0, "too_long": 0, "cut": 1, "repetitive": 0}
    assert judge("Once upon a", finish_reason="length", cut="allow")[0].score == 1
    assert judge("Once upon a", finish_reason="recorded")[0].score == 1


def test_an_answer_much_longer_than_the_others_does_not_pass():
    verdicts = judge("a" * 19, "b" * 10, "c" * 10, "d" * 21, max_ratio=2, max_repetition=None)
    assert [verdict.details["too_long"] for verdict in verdicts] == [0, 0, 0, 1]
    assert verdicts[3].reason == "21 characters, more than 2 times the others' 10"


def test_a_single_answer_is_as_long_as_it_likes_where_only_the_ratio_is_bounded():
    assert judge("a" * 15, max_ratio=2)[0].score == 1


@pytest.mark.parametrize("unit", ["no, ", "はい。", "これはペンです。それもペンです。", "1/2 = 2/4 = "])
def test_a_loop_is_repetition_in_every_script(unit: str):
    (verdict,) = judge("What follows never ends: " + unit * 100)
    assert (verdict.status, verdict.details["repetitive"]) == ("abstained", 1.0)
    assert judge(unit * 100, max_repetition=None)[0].score == 1


@given(st.text(), st.integers(2, 9))
def test_saying_all_of_it_more_often_is_never_less_repetitive(text: str, times: int):
    assert 0 <= repetition(text) <= repetition(text * times) + 1e-9 <= 1


def test_repetition_by_hand():
    # 40 equal characters hold 21 stretches of 20, all the same one.
    assert repetition("a" * 40) == pytest.approx(20 / 21)
    assert repetition("a" * WINDOW) == repetition("") == 0


def test_bounds_that_nothing_can_meet_are_an_error():
    with pytest.raises(ValidationError, match="nothing passes"):
        Length(min_characters=10, max_characters=5)


def test_several_faults_are_all_named():
    (verdict,) = judge("ab", finish_reason="length", min_characters=3)
    assert verdict.reason == "2 characters, fewer than 3; cut off at the longest length"
