"""Picking: laws of best answers and pairs over made-up verdicts."""

from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from aya_core.contract.checked import checked_verdicts
from aya_core.contract.records import Case, Completion, Judged, Verdict, user_prompt
from aya_recipe.arbitrage import picking
from aya_recipe.arbitrage.picking import eligible, normalize
from aya_recipe.arbitrage.routing import share

PROMPT = user_prompt("p", "en", "?")


def judged(*entries):
    """Candidates of teachers a, b, c, ... from (text, score) or (text, verdict)."""
    return [
        Judged(Completion("p", chr(97 + i), 0, text), score if isinstance(score, Verdict) else Verdict(float(score)))
        for i, (text, score) in enumerate(entries)
    ]


def pairs(entries, rule="worst", margin=0.0, **policy):
    ranked = eligible(PROMPT, judged(*entries))
    return picking.pair(ranked, rule, margin, 0, **policy) if len(ranked) > 1 else "fewer than two scored answers"


def pair(entries, rule="worst", margin=0.0, **policy):
    found = pairs(entries, rule, margin, **policy)
    return found if isinstance(found, str) else found[0]


CANDIDATES = st.lists(st.tuples(st.sampled_from(["x", "y", "z", " x ", ""]), st.integers(-3, 3)), max_size=6)


@given(CANDIDATES, st.sampled_from(["worst", "runner-up", "random", "all"]), st.floats(0, 3))
def test_a_pair_differs_in_text_and_by_more_than_the_margin(entries, rule, margin):
    found = pairs(entries, rule, margin)
    if not isinstance(found, str):
        assert len(found) == 1 or rule == "all"
        for chosen, rejected in found:
            assert normalize(chosen.completion.text) != normalize(rejected.completion.text)
            assert chosen.verdict.score - rejected.verdict.score > margin
            if rule != "all":
                assert chosen.verdict.score == max(score for text, score in entries if text.strip())


@given(CANDIDATES, st.floats(0, 3))
def test_all_pairs_are_those_above_the_margin(entries, margin):
    rows = [(normalize(text), score) for text, score in entries if text.strip()]
    expected = sorted((one, two) for one in rows for two in rows if one[1] - two[1] > margin and one[0] != two[0])
    found = pairs(entries, "all", margin)
    output = [] if isinstance(found, str) else found
    assert sorted(tuple((normalize(j.completion.text), j.verdict.score) for j in both) for both in output) == expected


@given(CANDIDATES.flatmap(lambda c: st.tuples(st.just(c), st.permutations(c))))
def test_scores_decide_and_the_order_of_candidates_does_not(both):
    one, other = (eligible(PROMPT, judged(*entries)) for entries in both)
    assert [j.verdict.score for j in one] == [j.verdict.score for j in other]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([("x", 1)], "fewer than two scored answers"),
        ([("x", 1), ("y", Verdict.abstain("no"))], "fewer than two scored answers"),
        ([("x", 1), ("y", Verdict.fail("no"))], "fewer than two scored answers"),
        ([("x", 1), ("", 0)], "fewer than two scored answers"),
        ([("x", 1), (" x", 0)], "all answers equal"),
        ([("x", 0), ("y", 0)], "margin too small"),
    ],
)
def test_what_gives_no_pair_gives_a_reason(entries, reason):
    assert pair(entries) == reason


def test_a_score_of_zero_is_a_score():
    chosen, rejected = pair([("x", 0), ("y", -1)])
    assert (chosen.completion.text, rejected.completion.text) == ("x", "y")


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None])
def test_a_score_that_is_no_number_is_a_failure(score):
    case = Case(PROMPT, (Completion("p", "a", 0, "x"),))
    ((verdict,),) = checked_verdicts(SimpleNamespace(judge=lambda cases: [[Verdict(score)]]), [case])
    assert verdict.status == "failed"


def test_rules_name_which_answer_is_rejected():
    entries = [("a", 3), ("b", 2), ("c", 1), ("d", 0)]
    assert pair(entries)[1].completion.text == "d"
    assert pair(entries, "runner-up")[1].completion.text == "b"
    assert pair(entries, "random")[1].completion.text in "bcd"
    assert pair(entries, "runner-up", margin=1.5)[1].completion.text == "c"


def test_a_tie_for_the_best_can_drop_the_prompt_but_equal_texts_are_no_tie():
    assert pair([("x", 1), ("y", 1), ("z", 0)], ties="drop") == "tied for best"
    assert pair([("x", 1), (" x", 1), ("z", 0)], ties="drop")[1].completion.text == "z"


def test_answers_that_are_almost_the_same_make_no_pair():
    long = "The quick brown fox jumps over the lazy dog near the river bank."
    assert pair([(long, 1), (long.upper() + "!", 0)], alike=0.9) == "answers are near-duplicates"
    assert pair([(long, 1), (long.upper() + "!", 0)])[1].verdict.score == 0
    assert pair([(long, 2), (long + "!", 1), ("something else", 0)], "runner-up", alike=0.9)[1].verdict.score == 0


def test_ties_for_the_best_favor_no_teacher():
    wins = {"a": 0, "b": 0}
    for i in range(200):
        prompt = user_prompt(str(i), "en", "?")
        wins[eligible(prompt, judged(("x", 1), ("y", 1)))[0].completion.teacher] += 1
    assert 70 <= wins["a"] <= 130


@given(st.lists(st.sampled_from(["en", "de", "tr"]), max_size=40), st.integers(1, 4))
def test_parts_of_prompts_are_disjoint_whole_and_of_one_mix(languages, parts):
    rows = [user_prompt(str(i), language, "?") for i, language in enumerate(languages)]
    shares = [list(share(rows, (part, parts))) for part in range(parts)]
    assert sorted(row.id for part in shares for row in part) == sorted(row.id for row in rows)
    for language in set(languages):
        counts = [sum(row.language == language for row in part) for part in shares]
        assert max(counts) - min(counts) <= 1
