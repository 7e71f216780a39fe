"""Numbers as people write them, in 23 languages."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from aya_core.api import LANGUAGES
from aya_plugins.benchmarks.mgsm import means
from aya_plugins.numerals import last_number, readings

# What groups thousands, and what opens a fraction. Source: the Unicode CLDR's patterns for numbers, version 44.
MARKS = {
    "ar": "٬٫", "cs": "\u00a0,", "de": ".,", "el": ".,", "en": ",.", "es": ".,", "fa": "٬٫", "fr": "\u202f,", "he": ",.", "hi": ",.",
    "id": ".,", "it": ".,", "ja": ",.", "ko": ",.", "nl": ".,", "pl": "\u00a0,", "pt": ".,", "ro": ".,", "ru": "\u00a0,", "tr": ".,",
    "uk": "\u00a0,", "vi": ".,", "zh": ",.",
}  # fmt: skip
DIGITS = {"ar": "٠١٢٣٤٥٦٧٨٩", "fa": "۰۱۲۳۴۵۶۷۸۹", "hi": "०१२३४५६७८९"}
FULL_WIDTH = "０１２３４５６７８９"


def written(value: Decimal | int, group: str, mark: str, digits: str = "0123456789") -> str:
    """Write a number with groups of thousands."""
    marked = f"{value:,}".replace(",", "G").replace(".", "F").replace("G", group).replace("F", mark)
    return marked.translate(str.maketrans("0123456789", digits))


def test_every_language_has_its_marks():
    assert MARKS.keys() == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
@given(st.integers(-(10**12), 10**12))
def test_a_whole_number_is_read_as_its_language_writes_it(language: str, value: int):
    group, mark = MARKS[language]
    expected = {Decimal(value)}
    readable = last_number(f"= {written(value, group, mark)}.", language)
    if language == "es" and 1000 <= abs(value) < 10**6:  # Mexico writes 1,234.5, and Spain 1.234,5
        assert expected <= readable
    else:
        assert readable == expected
    assert last_number(written(value, " " if group.isspace() else group, mark), language) == readable
    if language in DIGITS:
        assert last_number(written(value, group, mark, DIGITS[language]), language) == expected


@pytest.mark.parametrize("language", LANGUAGES)
@given(st.decimals(-(10**9), 10**9, allow_nan=False, places=2))
def test_a_fraction_is_read_as_its_language_writes_it(language: str, value: Decimal):
    assert last_number(written(value, *MARKS[language]), language) == {value}


@given(st.integers(0, 10**12))
def test_full_width_digits_and_commas_are_digits_and_commas(value: int):
    assert last_number(f"答えは{written(value, '，', '．', FULL_WIDTH)}です。", "ja") == {Decimal(value)}


@given(st.integers(1, 10**15))
def test_lakhs_are_grouped_by_two(value: int):
    head, tail = str(value)[:-3], str(value)[-3:]
    while len(head) > 2:
        head, tail = head[:-2], f"{head[-2:]},{tail}"
    assert Decimal(value) in readings(f"{head},{tail}" if head else tail)


@pytest.mark.parametrize(
    ("text", "language", "values"),
    [
        ("Ответ — 5 600.", "ru", {"5600"}), ("La réponse est 1 234.", "fr", {"1234"}), ("12 345 678", None, {"12345678"}),
        (".5", None, {"0.5"}), ("x = .75.", "en", {"0.75"}), ("2½", None, {"2.5"}), ("½", None, {"0.5"}), ("2 1/2", None, {"2.5"}),
        ("1⁄4", None, {"0.25"}), (r"\frac{3}{4}", None, {"0.75"}), ("12/05/2024", None, {"2024"}),
        ("1,000", None, {"1000"}), ("1,000", "en", {"1000"}), ("1.000", "de", {"1000"}), ("1.000", "en", {"1"}), ("1,234", "de", {"1.234"}),
        ("1万2千", "ja", {"12000"}), ("3億5000万", "ja", {"350000000"}), ("12万3456", "zh", {"123456"}), ("2.5万", "zh", {"25000"}),
        ("3千万", "zh", {"30000000"}), ("5千克", "zh", {"5"}), ("1만 2천 원", "ko", {"12000"}), ("3조각", "ko", {"3"}),
        ("3 lakh", "en", {"300000"}), ("2.5 million", "en", {"2500000"}), ("5 mil", "es", {"5000"}), ("5 mil", "en", {"5"}),
        ("1,23,456.78", "hi", {"123456.78"}), ("1'234'567.5", None, {"1234567.5"}), ("1{,}234", "en", {"1234"}),
        ("1\\,234", None, {"1234"}),
        ("−5", None, {"-5"}), ("－５", None, {"-5"}), ("-$5", None, {"-5"}), ("-$1,234.50", "en", {"-1234.5"}),
        ("1 234,50 €", "fr", {"1234.5"}),
        ("50%", None, {"50"}), ("1,2,3", None, {"3"}), ("10.5.2024", None, {"2024"}), ("5'6", None, {"6"}), ("12, 345", None, {"345"}),
        ("2020 100", None, {"100"}), ("0.500", None, {"0.5"}), ("\u200f١٢٫٥\u200f", "ar", {"12.5"}),
    ],
)  # fmt: skip
def test_the_last_number_has_these_values(text: str, language: str | None, values: set[str]):
    assert last_number(text, language) == {Decimal(value) for value in values}


@pytest.mark.parametrize(
    ("text", "gold", "language", "is_right"),
    [
        ("Ответ — 5 600.", "5600", "ru", True), ("Ответ — 5 600.", "600", "ru", False), (".5", "5", "en", False), ("2½", "2", "en", False),
        ("1,000", "1", "en", False), ("1,000", "1000", "en", True), ("1万2千", "12000", "ja", True), ("1万2千", "2", "ja", False),
        ("答えは１，２３４です。", "234", "ja", False), ("1 234", "1,234", "fr", True), ("18.0", "18", "en", True),
    ],
)  # fmt: skip
def test_an_answer_is_right_by_its_value(text: str, gold: str, language: str, is_right: bool):
    assert means(text, gold, language) == is_right
