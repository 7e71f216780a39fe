"""The verifier: one verdict per candidate, and a bad check hurts that candidate alone."""

import pytest
from pydantic import ValidationError

from aya_core.api import Case, Completion, PluginError, Verdict, user_prompt
from aya_plugins.arbiters.verifier import Verifier


def case(reference: str | None, *texts: str) -> Case:
    prompt = user_prompt("p", "en", "?", reference)
    return Case(prompt, tuple(Completion("p", "t", n, text) for n, text in enumerate(texts)))


def strict_about_length(answer: str, prompt: object) -> float:
    return 1 / len(answer)


def test_each_candidate_is_checked_against_the_reference():
    verdicts = list(Verifier().build().judge([case("yes", "yes", "no"), case("no", "no")]))
    assert verdicts == [[Verdict(1.0), Verdict(0.0)], [Verdict(1.0)]]


def test_a_prompt_without_a_reference_gets_abstentions():
    (verdicts,) = Verifier().build().judge([case(None, "yes", "no")])
    assert [verdict.status for verdict in verdicts] == ["abstained", "abstained"]


def test_a_check_that_raises_on_one_candidate_scores_the_others():
    (verdicts,) = Verifier(check=f"{__name__}:strict_about_length").build().judge([case("x", "four", "", "ab")])
    assert [verdict.score for verdict in verdicts] == [0.25, None, 0.5]
    assert verdicts[1] == Verdict.fail("ZeroDivisionError: division by zero")


def test_a_check_that_does_not_exist_is_refused_before_anything_is_judged():
    with pytest.raises(ValidationError, match="did you mean 'exact'"):
        Verifier(check="exakt")
    with pytest.raises(PluginError, match="expected an importable module:function"):
        Verifier(check="no_such_module_here:check").build()
