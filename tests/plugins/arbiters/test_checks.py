"""Laws of the checks: what counts as right, in the digits and punctuation of many languages."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from aya_core.api import DataError, PluginError, Verdict, user_prompt
from aya_plugins.checks import NAMED, Checking, CheckOptions
from aya_plugins.numerals import last_number, readings


def verdict(answer: str, reference: str | None = "x", meta: dict[str, str] | None = None, **options: Any) -> Verdict:
    prompt = user_prompt("p", "en", "?", reference, meta or {})
    return CheckOptions(**options).checking().verdict(answer, prompt)


def score(check: str, answer: str, reference: str, tolerance: float = 0) -> float | None:
    return verdict(answer, reference, check=check, tolerance=tolerance).score


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
        ("regex", "(", "PatternError|error: missing"),
        ("number", "many", "ValueError: the reference 'many' holds no number"),
        ("unit", "12", "ValueError: the reference '12' holds no number with a unit of measure"),
        (f"{__name__}:too_long", "x", "RuntimeError: gave up"),
        (f"{__name__}:not_a_number", "x", "the check gave nan"),
    ],
)
def test_a_check_that_raises_or_gives_nan_fails_that_answer(check: str, reference: str, reason: str):
    found = verdict("!", reference, check=check)
    assert found.status == "failed"
    assert any(part in found.reason for part in reason.split("|"))


@pytest.mark.parametrize("check", NAMED)
def test_without_a_reference_a_check_abstains(check: str):
    assert verdict("!", None, check=check).status == "abstained"


def test_a_tolerance_is_a_share_of_the_reference():
    assert score("number", "98", "100", 0.02) == score("number", "-102", "-100", 0.02) == 1
    assert score("number", "97.9", "100", 0.02) == score("number", "98", "100", 0.0199) == 0
    assert score("number", "0.001", "0", 0.5) == 0


@pytest.mark.parametrize("name", ["exakt", "module:", ":function", "a b:c", "os.path:not-a-name", ""])
def test_a_name_that_is_no_check_is_refused(name: str):
    with pytest.raises(ValidationError, match="no check named"):
        CheckOptions(check=name)


@pytest.mark.parametrize("name", ["no_such_module_here:check", "math:no_such_function", "math:pi"])
def test_a_check_that_cannot_be_had_is_an_error(name: str):
    options = CheckOptions(check=name)
    with pytest.raises(PluginError, match=f"check '{name}': "):
        options.checking()


def test_each_row_may_name_its_check_and_else_takes_that_of_the_recipe():
    def by(kind: str, answer: str, reference: str, **options: Any) -> Verdict:
        return verdict(answer, reference, {"kind": kind}, by="kind", **options)

    assert by("number", "so 7.0", "7").score == by("unit", "so 70 dm", "7 m").score == by("", "7", "7").score == 1
    assert by("exact", "so 7", "7").score == by("", "so 7", "7").score == 0
    assert by("", "so 7", "7", check="number").score == by("", "so 7", "7", expression="'7' in answer").score == 1
    assert by("number", "99", "100", tolerance=0.01).score == 1


def test_a_row_that_names_no_check_where_it_should_stops_the_run():
    with pytest.raises(DataError, match="prompt 'p': meta 'kind' names no check: 'exakt'; did you mean 'exact'"):
        verdict("7", "7", {"kind": "exakt"}, by="kind")
    with pytest.raises(DataError, match="prompt 'p' has no 'kid' in its meta; did you mean 'kind'"):
        verdict("7", "7", {"kind": "exact"}, by="kid")
    with pytest.raises(DataError, match="names no check: 'os:getcwd'"):  # a row may not name code
        verdict("7", "7", {"kind": "os:getcwd"}, by="kind")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"check": "exact", "expression": "True"}, "exclude each other"),
        ({"check": "exact", "tolerance": 0.1}, "tolerance is about number and unit"),
        ({"tolerance": 0.1}, "tolerance is about number and unit"),
        ({"expression": "exact(answer, reference)", "tolerance": 0.1}, "tolerance is about number and unit"),
        ({"check": "number", "tolerance": -0.1}, "greater than or equal to 0"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        CheckOptions(**options)


def test_a_missing_units_library_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aya_plugins.checks.options.find_spec", lambda name: None)
    assert CheckOptions(check="number").check == "number"
    for options in ({"check": "unit"}, {"expression": "unit(answer, reference)"}):
        with pytest.raises(ValidationError, match=r'needs pint; install the extra: pip install "aya-core\[eval\]"'):
            CheckOptions(**options)


def test_options_say_whose_code_they_call_and_what_decides():
    assert CheckOptions(check="my_checks.close:enough").code_modules == ("my_checks.close",)
    assert CheckOptions(check="number").code_modules == CheckOptions(expression="True").code_modules == ()
    assert CheckOptions().signature == {"check": "exact"}
    assert CheckOptions(expression="number(answer, '7')", by="kind", tolerance=0.5).signature == {
        "check": "number(answer, '7')", "by": "kind", "tolerance": "0.5",
    }  # fmt: skip


def test_a_check_may_need_no_reference():
    def short(answer: str, prompt: object) -> float:
        return float(len(answer) < 9)

    short.needs_reference = False  # type: ignore[attr-defined]
    assert Checking(short, {}).verdict("short", user_prompt("p", "en", "?")).score == 1
