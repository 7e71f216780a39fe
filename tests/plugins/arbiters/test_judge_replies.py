"""What counts as a verdict in what judges write, and what does not."""

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from aya_plugins.arbiters.judge_replies import read_preference, read_score
from aya_plugins.arbiters.reply_forms import UnreadableError


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
        ("[[A>>B]]", "first"),
        ("I would call it [[C]].", "tie"),
        ("［［Ａ］］", "first"),
        ('```json\n{"reason": {"why": "fluent"}, "winner": "model_b"}\n```', "second"),
        ('{"answer": "It is in French", "winner": "B"}', "second"),  # a common word before prose is no verdict
        ("### Verdict\n\n[[B>A]]", "second"),
        ("**Verdict:**\n\n**B**", "second"),
        ("Preferred:\nAnswer (A)", "first"),
        ("Preferred Answer: (B)", "second"),
        ("Preferred: \\boxed{\\text{B}}", "second"),
        ("Answer (B) is in French.\n\nI prefer Answer (A).", "first"),
        ("A\n\nIt is more fluent.", "first"),
        ("<think>[[A]]? Preferred: Answer (A)</think>\n\n[[B]]", "second"),
        ("<|channel|>analysis<|message|>[[A]]<|end|><|channel|>final<|message|>[[B]]", "second"),
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
        "Comparison: Preferred: Answer (A)",
        "Preferred:",
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
        "Unpreferred: Answer (A)",
        "Preferred: C",  # a tie in MT-Bench's brackets, and nothing anywhere else
        "Answer (A)\nis in French, and (B) is worse.",  # a heading is no verdict
        "A\n\nB",
        "[[A]]\n\n[[B]]",
        "Preferred: Answer (A)\n[[B]]",
        "[[A]]\nVerdict: unsure",
        "<think>It is [[A]]",
        "Answer: A and B",
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
        ("Fluency: 9\nOverall rating: 7", 7),
        ('{"fluency": 9, "score": "7/10"}', 7),
        ("1. It is fluent.\n2. It is right.\n\n**9**", 9),
        ("<think>Score: 3</think>[[４]]", 4),
    ],
)
def test_a_score_is_read_in_whatever_dress(reply: str, score: int):
    assert read_score(reply, 1, 10) == score


@pytest.mark.parametrize(
    "reply",
    ["Score: 7.5", "7 or 8", "Score", "Score: 0", "Score: 11", "Score: -7", "Score: 7/8", "Score: seven", "Score: 7 or 8", "Score: 7-8",
     "Score: ", f"Score: {'9' * 5000}", "Score: 70%", "The score is 7"],
)  # fmt: skip
def test_a_number_that_is_not_on_the_scale_is_no_score(reply: str):
    with pytest.raises(UnreadableError):
        read_score(reply, 1, 10)


def test_a_scale_may_go_below_zero():
    assert read_score("Score: −2", -3, 3) == read_score("Score: -2", -3, 3) == -2


def _table() -> list[tuple[str, list[str], list[str]]]:
    """The rows of the table in the docs: the form, what is read, and what is refused."""
    text = (Path(__file__).parents[3] / "docs" / "arbitrage.md").read_text(encoding="utf-8")
    rows = text.partition("| form | read | refused |\n|---|---|---|\n")[2].partition("\n\n")[0].split("\n")
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return [(form, *(re.findall(r"``? ?(.+?) ?``?(?=,|$)", cell) for cell in examples)) for form, *examples in cells]


def _turned(reply: str) -> str:
    return re.sub(
        r"(?<![A-Za-z])[ABＡＢ](?![A-Za-z])",
        lambda found: {"A": "B", "B": "A", "Ａ": "Ｂ", "Ｂ": "Ａ"}[found[0]],
        reply,
    )


def test_every_form_of_the_docs_is_read_or_refused_as_they_say():
    table = _table()
    assert len(table) >= 8
    for form, good, bad in table:
        assert good
        assert bad
        for reply in good:
            if "score" in form:
                assert read_score(reply, 1, 10) == 8, reply
            else:
                place = read_preference(reply)
                assert read_preference(_turned(reply)) == {"first": "second", "second": "first", "tie": "tie"}[place]
        for reply in bad:
            with pytest.raises(UnreadableError):
                read_score(reply, 1, 10) if "score" in form else read_preference(reply)


@pytest.mark.parametrize(
    "unit", ["*", "{", "[[", "[[A", "\\boxed{", "<a>", '{"a":', "Preferred: ", "Preferred:\n", "\n", "A ", "<think>"]
)
def test_a_reply_in_a_loop_is_read_in_linear_time(unit: str):
    def seconds(times: int) -> float:
        reply = "Preferred: A" + unit * times + " x"
        started = time.process_time()
        with suppress(UnreadableError):
            read_preference(reply)
        with suppress(UnreadableError):
            read_score(reply, 1, 10)
        return time.process_time() - started

    assert seconds(64_000) < 2  # a quadratic search took 79
