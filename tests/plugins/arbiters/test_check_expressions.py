"""Laws of expressions: typos are found when the recipe is read, and what rows say is never run."""

from typing import Any

import pytest
from pydantic import ValidationError

from aya_core.api import Verdict, user_prompt
from aya_plugins.checks import CheckOptions


def verdict(expression: str, answer: str = "7 km", reference: str | None = "7 km", **options: Any) -> Verdict:
    prompt = user_prompt("p", "tr", "?", reference, {"level": "2", "task": "length"})
    return CheckOptions(expression=expression, **options).checking().verdict(answer, prompt)


@pytest.mark.parametrize(
    ("expression", "score"),
    [
        ("answer == reference", 1),
        ("answer == reference and len(answer) < 3", 0),
        ("number(answer, reference) * 0.5", 0.5),
        (
            "exact(answer, reference) + number(answer, reference) + regex(answer, reference) + unit(answer, reference)",
            4,
        ),
        ("unit('7001 m', reference)", 0),
        ("unit('7001 m', reference, tolerance=0.01)", 1),
        ("language == 'tr'", 1),
        ("int(meta['level']) / 10", 0.2),
        ("meta.get('color', 'blue') == 'blue'", 1),
        ("sum(word in answer for word in reference.split()) / len(reference.split())", 1),
        ("max((len(w), w) for w in answer.split())[1] == 'km'", 1),
        ("[f(answer) for f in [lambda text: len(text)]][0]", 4),
        ("(n := len(answer)) and n * 2", 8),
        ("math.sqrt(len(answer))", 2),
        (r"bool(re.search(r'\d', answer))", 1),
        ("  answer == reference  ", 1),
    ],
)
def test_an_expression_gives_a_score(expression: str, score: float):
    assert verdict(expression) == Verdict(score)


def test_the_tolerance_of_the_recipe_reaches_the_checks_that_an_expression_calls():
    assert verdict("number('7.05', reference)").score == 0
    assert verdict("number('7.05', reference)", tolerance=0.01).score == 1
    assert verdict("number('7.05', reference, tolerance=0)", tolerance=0.01).score == 0


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("anwser == reference", "nothing named 'anwser' in an expression; did you mean 'answer'"),
        ("exakt(answer, reference)", "did you mean 'exact'"),
        ("answer ==", "not a Python expression"),
        ("x = 1", "not a Python expression"),
        ("import os", "not a Python expression"),
        ("", "not a Python expression"),
        ("eval(answer)", "nothing named 'eval'"),
        ("exec(answer)", "nothing named 'exec'"),
        ("__import__('os')", "nothing named '__import__'"),
        ("open('x')", "nothing named 'open'"),
        ("[w for w in wrods]", "nothing named 'wrods'"),
    ],
)
def test_a_typo_is_found_when_the_recipe_is_read(expression: str, message: str):
    with pytest.raises(ValidationError, match=message):
        CheckOptions(expression=expression)


@pytest.mark.parametrize("text", ["1 + 1", "__import__('os').getcwd()", "{answer}", "raise", "(", "'; print(1) #"])
def test_what_a_row_says_is_a_text_and_nothing_else(text: str):
    assert verdict("answer == reference", text, text).score == 1
    assert verdict("len(answer) + len(reference)", text, text).score == 2 * len(text)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("meta['color']", "KeyError: 'color'"),
        ("1 / 0", "ZeroDivisionError"),
        ("answer", "TypeError: the expression gave '7 km'; expected a number or a truth value"),
        ("None", "TypeError: the expression gave None"),
        ("math.inf", "the check gave inf"),
    ],
)
def test_an_expression_that_goes_wrong_on_a_row_fails_that_answer(expression: str, reason: str):
    found = verdict(expression)
    assert found.status == "failed"
    assert reason in found.reason


def test_only_an_expression_that_uses_the_reference_needs_one():
    assert verdict("len(answer)", reference=None).score == 4
    assert verdict("answer == reference", reference=None).status == "abstained"


def test_one_row_leaves_nothing_behind_for_the_next():
    checking = CheckOptions(expression="(n := len(answer)) + len(language)").checking()
    prompt = user_prompt("p", "tr", "?", "x")
    assert [checking.verdict(answer, prompt).score for answer in ("a", "abc", "a")] == [3, 5, 3]
