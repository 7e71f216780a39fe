"""Which option an answer in prose names: the last that it states, in the letters of any script, and never a guess."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from aya_plugins.benchmarks.include_wordings import ENGLISH, WORDINGS

LETTERS = "ABCD"

_SERIES = (
    "А В С Д", "Α Β Γ Δ", "ا ب ج د", "א ב ג ד", "ক খ গ ঘ", "क ख ग घ", "अ ब स द", "Ա Բ Գ Դ", "ა ბ გ დ", "அ ஆ இ ஈ", "ア イ ウ エ",
    "가 나 다 라", "甲 乙 丙 丁", "ए बी सी डी", "ఎ బి సి డి", "എ ബി സി ഡി", "الف ب ج د", "اے بی سی ڈی", "এ বি সি ডি",
)  # fmt: skip
MARKS = {
    "أ": "A",
    **{mark: letter for series in _SERIES for mark, letter in zip(series.split(), LETTERS, strict=True)},
}
"""What stands for A, B, C and D in other scripts, where it is all that is stated. The options are shown in Latin letters, so that
Cyrillic В and С are read by their shape."""

ANSWER_WORDS = (
    *(word for word, _ in WORDINGS.values()), ENGLISH[0], "Odgovor", "الجواب", "正解", "解答", "回答", "选择", "답",
    "Lösung", "Solution", "Solución",
    "Trả lời", "Жавоб", "பதில்", "జవాబు", "Tugon", "Yanıt", "گزینه", "জবাব",
)  # fmt: skip
"""Words after which an answer states its option, in any of the languages: models do not always keep to the one asked."""

_CIRCLED = str.maketrans("①②③④", LETTERS)
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# So many at the most: after each \\boxed{ of many the pattern would otherwise look at all of those that follow.
_OPEN = r"(?:[\s*_`\"'“”„‟«»‹›「」『』()\[\]【】<>{}$]|\\[a-z]+\{){0,200}"
_CLOSE = r"[\s*_`\"'“”»›」』)\]】>}$.:;。।۔،,]*"
_NATIVE = "|".join(sorted(map(re.escape, MARKS), key=len, reverse=True))
# Small letters and those of other scripts may be words (Russian "в", in), and so may A before another word ("A group").
_END = r"(?=[*_`]*(?:\s*$|[).:\]】。।۔]))"
_MARK = rf"(?P<mark>(?-i:A(?!\s+[a-zà-ÿ])|[B-D])(?![A-Za-z0-9À-ɏ'’])|(?:[a-d]|{_NATIVE}){_END})"
_WORDS = "|".join(sorted(map(re.escape, ANSWER_WORDS), key=len, reverse=True))
_BOXED = re.compile(rf"\\boxed\{{{_OPEN}([A-Da-d])(?![A-Za-z0-9])")
_CAPITAL = re.compile(r"(?<![A-Za-z0-9À-ɏ'’])[A-D](?![A-Za-z0-9À-ɏ'’+#-])")
_ARTICLE = re.compile(r"[:=]\s*A(?=\s+[a-zà-ÿ])")
_OPTION = re.compile(rf"{_OPEN}([A-D])[*_`]*[.):]")


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """A letter alone on its line; one after the word for `answer` and a colon; what follows that word."""
    return (
        re.compile(f"{_OPEN}{_MARK}{_CLOSE}", re.IGNORECASE),
        re.compile(rf"(?:{_WORDS})[^\n:՝=]{{0,30}}[:՝=]{_OPEN}{_MARK}", re.IGNORECASE),
        re.compile(rf"(?:{_WORDS})([^\n]*)", re.IGNORECASE),
    )


def option_named(text: str, options: Sequence[str] = ()) -> str | None:
    """Return the letter of the option that an answer names, or None where it names none, or hesitates.

    The last line that states one decides: a letter alone at the end of the answer; one after the word for `answer` and a colon; one in
    \\boxed{}; the only Latin capital after that word in a line, unless options hold such capitals (vitamin C). Where no line does, the
    last one counts if it is an option with its text, and no other option begins a line.
    """
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text).translate(_CIRCLED))
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    if alone := _patterns()[0].fullmatch(lines[-1]):
        return _letter(alone["mark"])
    has_capitals = any(_CAPITAL.search(option) for option in options)
    for line in reversed(lines):
        if found := _exact(line) or ("" if has_capitals else _loose(line)):
            return found if len(found) == 1 else None
    begun = [match[1] for line in lines if (match := _OPTION.match(line))]
    return begun[0] if _OPTION.match(lines[-1]) and len(set(begun)) == 1 else None


def _exact(line: str) -> str:
    """The letter that a line gives after the word for `answer` or in a box, with those that it gives beside it."""
    if boxed := _BOXED.findall(line):
        return _letter(boxed[-1])
    found = list(_patterns()[1].finditer(line))
    if not found:
        return ""
    last = found[-1]
    letter = _letter(last["mark"])
    beside = set(_CAPITAL.findall(line[last.end() : last.end() + 12])) - {letter}
    return letter + "".join(sorted(beside))


def _loose(line: str) -> str:
    """The capitals A to D after the word for `answer`, each once."""
    rests = _patterns()[2].findall(line)
    if not rests:
        return ""
    found = set(_CAPITAL.findall(rests[-1]))
    return "" if found == {"A"} and _ARTICLE.search(rests[-1]) else "".join(sorted(found))


def _letter(mark: str) -> str:
    return MARKS.get(mark) or MARKS.get(mark.upper()) or mark.upper()
