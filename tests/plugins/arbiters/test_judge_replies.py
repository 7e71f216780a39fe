"""What counts as a verdict in what judges write, and what does not."""

from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st

from aya_plugins.arbiters.judge_replies import UnreadableError, read_preference, read_score


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("Comparison: A is right.\nPreferred: Answer (A)", "first"),
        ("Comparison: B is fluent.\nPreferred: Answer (B)\n", "second"),
        ("Comparison: The same.\nPreferred: TIE", "tie"),
        ("**Comparison:** A errs.\n\n**Preferred:** **Answer (B)**", "second"),
        ("**Preferred: Answer (A)**", "first"),
        ("*Preferred*: _Answer (A)_.", "first"),
        ("### Preferred: Answer (B)", "second"),
        ("> Preferred: `TIE`", "tie"),
        ('Preferred: "Answer (A)"', "first"),
        ("- Preferred: Answer (A)!", "first"),
        ("preferred: answer (b)", "second"),
        ("PREFERRED: (B)", "second"),
        ("Preferred: A", "first"),
        ("Preferred: Answer B.", "second"),
        ("Preferred: Tie.", "tie"),
        ("Preferred: (TIE)", "tie"),
        ("Preferred :Answer(A)", "first"),
        ("Ｐｒｅｆｅｒｒｅｄ：Ａｎｓｗｅｒ（Ｂ）。", "second"),
        ("Comparison: ok\r\nPreferred: Answer (A)\r\n", "first"),
        ("Preferred: Answer (A)\n\nLet me know if I can help with more!", "first"),
        # Reasoning that names both before it settles: the last line counts.
        ("<think>\nPreferred: Answer (A)? No, it is in French.\nPreferred: Answer (A)\nWait.\n</think>\nPreferred: Answer (B)", "second"),
        ("The draft said\nPreferred: Answer (B)\nwhich overlooks the date, so\nPreferred: Answer (A)", "first"),
        ("Answer (A) says 'Preferred: Answer (A)', which is no argument.\nPreferred: Answer (B)", "second"),
    ],
)  # fmt: skip
def test_a_verdict_is_read_in_whatever_dress(reply: str, place: str):
    assert read_preference(reply) == place


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Answer (A)",
        "I prefer Answer (A).",
        "Comparison: Preferred: Answer (A)",
        "Preferred:",
        "Preferred:\nAnswer (A)",
        "Preferred: Answer (A) or Answer (B)",
        "Preferred: Answer (A) over Answer (B)",
        "Preferred: Answer (A), as it is fluent",
        "Preferred: Answer (C)",
        "Preferred: A bad tie",
        "Preferred: neither",
        "Preferred: not Answer (A)",
        "Preferred: Answer (A",
        "Preferred: Both",
        "Preferred: Answer (A)\nPreferred: unsure",  # the last word is no verdict, and the first no longer one
        "Preferred Answer (A)",
        "Unpreferred: Answer (A)",
    ],
)
def test_anything_else_is_no_verdict(reply: str):
    with pytest.raises(UnreadableError):
        read_preference(reply)


@given(st.text(), st.sampled_from(["Answer (A)", "Answer (B)", "TIE"]))
@settings(deadline=None)
def test_nothing_before_the_last_line_moves_the_verdict(before: str, verdict: str):
    assert read_preference(f"{before}\nPreferred: {verdict}") == read_preference(f"Preferred: {verdict}")


@given(st.text(), st.sampled_from(["", "Preferred: ", "Score: "]))
@settings(deadline=None)
def test_any_reply_is_read_or_refused(reply: str, label: str):
    with suppress(UnreadableError):
        assert read_preference(label + reply) in ("first", "second", "tie")
    with suppress(UnreadableError):
        assert 1 <= read_score(label + reply, 1, 10) <= 10


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Assessment: fine.\nScore: 7", 7),
        ("**Score:** 10", 10),
        ("**Score: 7/10**", 7),
        ("Score: 8 out of 10.", 8),
        ("score: ٧", 7),
        ("Score：９。", 9),
        ("Score: 3\nOn reflection it is better.\nScore: 5", 5),
        ("Score: 1\n\nThank you.", 1),
    ],
)
def test_a_score_is_read_in_whatever_dress(reply: str, score: int):
    assert read_score(reply, 1, 10) == score


@pytest.mark.parametrize(
    "reply",
    ["7", "Score: 7.5", "Score: 0", "Score: 11", "Score: -7", "Score: 7/8", "Score: seven", "Score: 7 or 8", "Score: 7-8",
     "Score: ", f"Score: {'9' * 5000}", "Score: 70%", "The score is 7"],
)  # fmt: skip
def test_a_number_that_is_not_on_the_scale_is_no_score(reply: str):
    with pytest.raises(UnreadableError):
        read_score(reply, 1, 10)


def test_a_scale_may_go_below_zero():
    assert read_score("Score: −2", -3, 3) == read_score("Score: -2", -3, 3) == -2
