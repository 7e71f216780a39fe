"""The table of rounds: what guards measured, with its unit, over the languages in which it is known."""

from aya_recipe.online.guard_measures import METRICS
from aya_recipe.online.report import _unit, by_language, table


def guard(round, **languages):
    """What a guard measured of a round: the mismatch by language."""
    measured = {code: {"mismatch": {"value": value, "n": 4}} for code, value in languages.items()}
    return {
        "round": round,
        "overall": {"mismatch": {"value": sum(languages.values()) / len(languages)}},
        "languages": measured,
    }


def test_a_mean_over_fewer_languages_than_that_of_another_round_says_so():
    account = {"rounds": [], "data": "pairs", "guards": [guard(0, de=0.0, en=0.5, tr=0.25), guard(1, de=0.0, en=0.5)]}
    header, start, after = table(account)
    assert header[-1] == "mismatch, % (lower is better)"
    assert (start[-1], after[-1]) == ("25.0", "25.0 (2 of 3 languages)")
    ((title, rows),) = by_language(account)
    assert title == "mismatch"
    assert _unit(METRICS[title]) == ["In percent; lower is better."]
    assert list(rows)[3] == ["tr", "25.0", "", ""]
