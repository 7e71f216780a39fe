"""Laws of the checks: what counts as right, in the digits and punctuation of many languages."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aya_core.api import PluginError, user_prompt
from aya_plugins.checks import CHECKS, check_name, load_check, verdict
from aya_plugins.numerals import last_number, readings


def score(check: str, answer: str, reference: str) -> float | None:
    return verdict(load_check(check), answer, user_prompt("p", "en", "?", reference)).score


@given(st.text(min_size=1))
def test_every_text_is_exactly_itself(text: str):
    assert score("exact", f" {text}\n", text) == 1


def test_exact_ignores_how_letters_are_composed_and_nothing_else():
    assert score("exact", "cafe\u0301", "caf\u00e9") == 1
    assert score("exact", "Cafe", "cafe") == 0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("The answer is 18.", {"18"}),
        ("18, not 20: 18", {"18"}),
        ("-5 °C", {"-5"}),
        ("答案是−5。", {"-5"}),
        ("GPT-4", {"4"}),
        ("3-5", {"5"}),
        ("1,234,567.89", {"1234567.89"}),
        ("1.234.567,89", {"1234567.89"}),
        ("1.234.567", {"1234567"}),
        ("1.234", {"1234", "1.234"}),
        ("1,5", {"1.5"}),
        ("12 345 Kč".replace(" ", "\u00a0", 1), {"12345"}),
        ("1’234", {"1234"}),
        ("الجواب ١٬٢٣٤٫٥", {"1234.5"}),
        ("۳٫۱۴۱", {"3.141"}),
        ("उत्तर १८ है", {"18"}),
        ("none at all", set()),
    ],
)
def test_the_last_number_of_a_text_has_these_readings(text: str, values: set[str]):
    assert last_number(text) == {Decimal(value) for value in values}


@given(st.integers(-(10**12), 10**12))
def test_a_whole_number_is_read_in_every_grouping(value: int):
    for mark in (",", ".", "\u202f", "'"):
        assert Decimal(value) in readings(f"{value:,}".replace(",", mark))


@given(st.decimals(-1000, 1000, allow_nan=False, places=2))
def test_a_fraction_is_read_with_point_and_comma(value: Decimal):
    assert readings(str(value)) == readings(str(value).replace(".", ",")) == {value}


def test_number_compares_values_not_spellings():
    assert score("number", "Es sind 1.234 Euro", "1234") == 1
    assert score("number", "١٨", "18") == 1
    assert score("number", "18.0", "18") == 1
    assert score("number", "19", "18") == 0
    assert score("number", "many", "18") == 0


def test_regex_searches_the_answer():
    assert score("regex", "it is blue.", r"\bblue\b") == 1
    assert score("regex", "bluest", r"\bblue\b") == 0


def too_long(answer: str, prompt: object) -> float:
    raise RuntimeError("gave up")


def not_a_number(answer: str, prompt: object) -> float:
    return float("nan")


def test_a_check_of_ones_own_is_named_by_module_and_function():
    assert score("aya_plugins.datasets.micro_world_dataset:micro_world_score", "three two", "three one") == 0.5


@pytest.mark.parametrize(
    ("check", "reference", "reason"),
    [
        (CHECKS["regex"], "(", "PatternError|error: missing"),
        (CHECKS["number"], "many", "ValueError: the reference 'many' holds no number"),
        (too_long, "x", "RuntimeError: gave up"),
        (not_a_number, "x", "the check gave nan"),
    ],
)
def test_a_check_that_raises_or_gives_nan_fails_that_answer(check, reference: str, reason: str):
    found = verdict(check, "!", user_prompt("p", "en", "?", reference))
    assert found.status == "failed"
    assert any(part in found.reason for part in reason.split("|"))


@pytest.mark.parametrize("check", CHECKS.values())
def test_without_a_reference_a_check_abstains(check):
    assert verdict(check, "!", user_prompt("p", "en", "?")).status == "abstained"


@pytest.mark.parametrize("name", ["exakt", "module:", ":function", "a b:c", "os.path:not-a-name", ""])
def test_a_name_that_is_no_check_is_refused(name: str):
    with pytest.raises(ValueError, match="no check named"):
        check_name(name)


@pytest.mark.parametrize("name", ["no_such_module_here:check", "math:no_such_function", "math:pi"])
def test_a_check_that_cannot_be_had_is_an_error(name: str):
    assert check_name(name) == name
    with pytest.raises(PluginError, match=f"check '{name}': "):
        load_check(name)
