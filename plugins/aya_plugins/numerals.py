"""Numbers in running text, in the digits and the punctuation of any language.

| written | value |
|---|---|
| 5 600, 5'600, 5,600, 5.600, ５，６００, ٥٬٦٠٠, 5{,}600 | 5600 |
| 12,34,567 | 1234567 |
| 1.234,5 and 1,234.5 | 1234.5 |
| .5, ½, 1/2, \\frac{1}{2}; 2½, 2 1/2 | 0.5; 2.5 |
| 1万2千, 1만 2천, 12 thousand; 3 lakh | 12000; 300000 |
| −5, －5, -$5 | -5 |
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

DECIMAL_POINT = frozenset("am bn en fil gu he hi ja kn ko ml mr ms my ne pa si sw ta te th ur zh".split())  # noqa: SIM905
DECIMAL_COMMA = frozenset(
    "az be bg ca cs da de el et eu fi fr gl hr hu hy id is it ka kk ky lt lv mk nb nl nn no pl pt ro ru sk sl sq sr sv tr uk uz vi".split()  # noqa: SIM905
)
"""Languages by what opens a fraction. Spanish is in neither: its countries differ."""

_INVISIBLE = re.compile("[\u200b\u200e\u200f\u061c\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_TEX = re.compile(r"\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}")
_OTHER_MARKS = str.maketrans({
    "．": ".", "﹒": ".", "﹐": "，", "－": "-", "﹣": "-", "‐": "-", "‑": "-", "＋": "+", "＄": "$", "￥": "¥", "／": "/", "∕": "/",
})  # fmt: skip

_TO_WRITE = re.compile(r"(?![0-9])\d|[¼-¾⅐-⅞↉]")
"""Digits of other scripts, and fractions of one character."""

_SPACES = " \u00a0\u202f\u2009"
_GROUPS = rf"[.,'’٬،，{_SPACES}]"
# A dash after a digit or a cased letter is no sign ("3-5", "GPT-4"), after others it is ("是-5").
_SIGN = r"(?:(?<![\dA-Za-zÀ-ɏͰ-ӿ])(?P<sign>[-−+])[$€£¥₹₩₽]?)?"
_FRACTION = r"(?<![/⁄.,])(?:(?P<whole>\d+) )?(?P<above>\d+) ?[/⁄] ?(?P<below>0*[1-9]\d*)(?!\d|[/⁄.,]\d)"
_NUMERAL = (
    r"(?:(?P<indian>[1-9]\d?(?:,\d\d)+,\d{3})|(?P<grouped>[1-9]\d{0,2}(?P<mark>"
    + _GROUPS
    + r")\d{3}(?:(?P=mark)\d{3})*))(?!\d)"
    r"(?P<tail>(?(mark)(?!(?P=mark)))(?(indian)(?!,))[.,٫]\d+)?"
    r"|(?P<plain>\d+(?:[.,٫]\d+)?)|(?<![\w.,])(?P<point>[.٫]\d+)"
)
NUMBER = re.compile(rf"{_SIGN}(?<!\d)(?:{_FRACTION}|{_NUMERAL})")

# Not before what makes a unit of them: 千克 is a kilogram, 조각 a piece.
_POWERS = {
    "十": 1,
    "百": 2,
    "千": 3,
    "万": 4,
    "萬": 4,
    "億": 8,
    "亿": 8,
    "兆": 12,
    "백": 2,
    "천": 3,
    "만": 4,
    "억": 8,
    "조": 12,
}
_MYRIADS = re.compile(
    "((?:十(?![字分月日])|百(?!分)|千(?![克米瓦卡赫伏焦帕])|백|천)?(?:[万萬億亿만억]|兆(?![字赫瓦帕比])|조(?!각))"
    "|十(?![字分月日])|百(?!分)|千(?![克米瓦卡赫伏焦帕])|백|천)"
)
_WORDS = {
    "thousand": 3, "million": 6, "millions": 6, "billion": 9, "trillion": 12, "lakh": 5, "lakhs": 5, "lac": 5, "crore": 7, "crores": 7,
    "tausend": 3, "mio": 6, "millionen": 6, "milliarde": 9, "milliarden": 9, "milliard": 9, "milliards": 9,
    "millón": 6, "millones": 6, "milhão": 6, "milhões": 6, "milione": 6, "milioni": 6, "miliardo": 9, "miliardi": 9,
    "duizend": 3, "miljoen": 6, "miljard": 9, "тысяча": 3, "тысячи": 3, "тысяч": 3, "миллион": 6, "миллиона": 6, "миллионов": 6,
    "миллиард": 9, "миллиарда": 9, "миллиардов": 9, "тисяча": 3, "тисячі": 3, "тисяч": 3, "мільйон": 6, "мільйона": 6, "мільйонів": 6,
    "tysiąc": 3, "tysiące": 3, "tysięcy": 3, "milion": 6, "miliony": 6, "milionów": 6, "milyon": 6, "milyar": 9, "ribu": 3,
    "juta": 6, "miliar": 9, "nghìn": 3, "ngàn": 3, "triệu": 6, "tỷ": 9, "हज़ार": 3, "हजार": 3, "लाख": 5, "करोड़": 7, "ألف": 3,
    "آلاف": 3, "مليون": 6, "ملايين": 6, "مليار": 9, "هزار": 3, "میلیون": 6, "میلیارد": 9, "אלף": 3, "מיליון": 6, "מיליארד": 9,
}  # fmt: skip
_SHORT_WORDS = {
    language: (re.compile(rf"\s?{word}\b"), 3)
    for language, word in {"es": "mil", "pt": "mil", "it": "mila", "tr": "bin", "fr": "mille"}.items()
}
"""Words that are multipliers in one language, and others or units elsewhere."""

_WORD = re.compile(
    rf"\s?({'|'.join(sorted(map(re.escape, _WORDS), key=len, reverse=True))})(?![^\W\d_])", re.IGNORECASE
)


PARTS = 8
"""Numerals that one number may be made of, at the most: 1兆2億3万4千5百6十7 has seven."""


class Number(NamedTuple):
    """A number in a text: the values that it may mean, and where it ends."""

    values: frozenset[Decimal]
    end: int


def prepared(text: str) -> str:
    """Write the digits of all scripts as 0 to 9, ½ as 1⁄2, and marks that stand for others as those."""
    text = _TEX.sub(
        r" \1/\2 ", _INVISIBLE.sub("", text).translate(_OTHER_MARKS).replace("{,}", ",").replace("\\,", "\u2009")
    )
    return _TO_WRITE.sub(lambda mark: _plain(mark[0], text[mark.start() - 1 : mark.start()]), text)


def last_number(text: str, language: str | None = None) -> frozenset[Decimal]:
    """Return the values that the last number of a text may mean; none if it holds no number.

    language: of the text, which says what "1.234" and "1,234" are. Without it a lone point or comma before exactly three digits has two
    readings, unless these are zeros, which group thousands. The last number stands for the answer, as is usual in scoring chains of
    thought.
    """
    text = prepared(text)
    values: frozenset[Decimal] = frozenset()
    starts = [match.start() for match in NUMBER.finditer(text)]
    place = starts[-PARTS:][0] if starts else len(text)
    while found := next_number(text, place, language):
        values, place = found
    return values


def readings(numeral: str, language: str | None = None) -> frozenset[Decimal]:
    """Return the values that one numeral may mean."""
    return last_number(numeral, language)


def next_number(text: str, place: int, language: str | None = None) -> Number | None:
    """Read the first number of a prepared text from a place on."""
    match = NUMBER.search(text, place)
    if match is None:
        return None
    values, end = _values(match, language), match.end()
    if _MYRIADS.match(text, end):
        values, end = _of_myriads(text, values, end, language)
    elif word := _WORD.match(text, end):
        values, end = _times(values, _WORDS[word[1].lower()]), word.end()
    elif (short := _SHORT_WORDS.get(_base(language))) and (word := short[0].match(text, end)):
        values, end = _times(values, short[1]), word.end()
    return Number(frozenset(-value for value in values) if match["sign"] in ("-", "−") else values, end)


def _plain(mark: str, before: str) -> str:
    if mark.isdecimal():
        return str(unicodedata.decimal(mark))
    split = unicodedata.normalize("NFKC", mark)
    return f" {split}" if before.isdecimal() else split


def _values(match: re.Match[str], language: str | None) -> frozenset[Decimal]:
    if match["below"]:
        return frozenset({Decimal(match["whole"] or 0) + Decimal(match["above"]) / Decimal(match["below"])})
    if match["plain"] or match["point"]:
        return frozenset({Decimal(re.sub("[,٫]", ".", match["plain"] or f"0{match['point']}"))})
    groups = re.split(_GROUPS, match["indian"] or match["grouped"])
    grouped = Decimal("".join(groups) + re.sub("[,٫]", ".", match["tail"] or ""))
    if match["indian"] or match["tail"] or len(groups) > 2 or match["mark"] not in ".,":
        return frozenset({grouped})
    opened = Decimal(".".join(groups))
    mark = _decimal_mark(language)
    if mark is None:
        return frozenset({grouped} if groups[1] == "000" else {grouped, opened})
    return frozenset({opened if match["mark"] == mark else grouped})


def _decimal_mark(language: str | None) -> str | None:
    """What opens a fraction in a language; None where it is not known."""
    code = _base(language)
    return "." if code in DECIMAL_POINT else "," if code in DECIMAL_COMMA else None


def _base(language: str | None) -> str:
    return (language or "").split("-")[0]


def _of_myriads(
    text: str, values: frozenset[Decimal], place: int, language: str | None
) -> tuple[frozenset[Decimal], int]:
    """Add up what follows the first number of one such as 3億5000万, 1万2千 or 12万3456."""
    total: frozenset[Decimal] = frozenset({Decimal(0)})
    least = 99
    while True:
        power = _MYRIADS.match(text, place)
        size = sum(_POWERS[mark] for mark in power[1]) if power else 0
        total = frozenset(one + other for one in total for other in _times(values, size))
        if power is None:
            return total, place
        place, least = power.end(), min(least, size)
        following = NUMBER.match(text, place + (text[place : place + 1] == " "))
        if following is None or following["sign"] or following["below"]:
            return total, place
        next_power = _MYRIADS.match(text, following.end())
        next_size = sum(_POWERS[mark] for mark in next_power[1]) if next_power else 0
        values = _values(following, language)
        is_lesser = all(value * 10**next_size < 10**least for value in values)
        if not is_lesser or (next_power is None and text[place] == " "):
            return total, place
        place = following.end()


def _times(values: frozenset[Decimal], power: int) -> frozenset[Decimal]:
    return frozenset(value * 10**power for value in values)
