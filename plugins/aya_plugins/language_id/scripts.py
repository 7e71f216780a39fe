"""Which letters a language is written with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

RANGES = {
    "Latn": "A-Za-zªºÀ-ÖØ-öø-ʯᴀ-ᶿḀ-ỿⱠ-ⱿＡ-Ｚａ-ｚ",
    "Grek": "Ͱ-Ͽἀ-῿",
    "Cyrl": "Ѐ-ԯᲀ-ᲈⷠ-ⷿꙀ-ꚟ",
    "Armn": "\u0530-\u058fﬓ-ﬗ",
    "Hebr": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Arab": "\u0600-\u06ff\u0750-\u077f\u0870-\u08ff\ufb50-\ufdff\ufe70-\ufeff",
    "Thaa": "\u0780-\u07bf",
    "Deva": "\u0900-\u097f\ua8e0-\ua8ff",
    "Beng": "\u0980-\u09ff",
    "Guru": "\u0a00-\u0a7f",
    "Gujr": "\u0a80-\u0aff",
    "Orya": "\u0b00-\u0b7f",
    "Taml": "\u0b80-\u0bff",
    "Telu": "\u0c00-\u0c7f",
    "Knda": "\u0c80-\u0cff",
    "Mlym": "\u0d00-\u0d7f",
    "Sinh": "\u0d80-\u0dff",
    "Thai": "\u0e00-\u0e7f",
    "Laoo": "\u0e80-\u0eff",
    "Tibt": "\u0f00-\u0fff",
    "Mymr": "\u1000-\u109f",
    "Geor": "\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f",
    "Ethi": "\u1200-\u139f\u2d80-\u2ddf",
    "Khmr": "\u1780-\u17ff",
    "Hira": "\u3041-\u309f",
    "Kana": "\u30a0-\u30ff\u31f0-\u31ffｦ-ﾟ",
    "Hang": "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff",
    "Bopo": "\u3100-\u312f",
    "Hani": "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
}  # fmt: skip
"""Blocks of Unicode by ISO 15924 script, as the inside of a character class. Source: Unicode's Blocks.txt."""

SCRIPT_NAMES = {
    "Latn": "Latin letters", "Grek": "Greek letters", "Cyrl": "Cyrillic letters", "Hebr": "Hebrew letters", "Arab": "Arabic letters",
    "Deva": "Devanagari letters", "Hang": "Korean letters", "Hani": "Chinese or Japanese characters", "Thai": "Thai letters",
}  # fmt: skip
"""What the commonest scripts are called."""

_EAST_ASIAN = ("Hani", "Hira", "Kana", "Bopo")
JOINED = {"Jpan": _EAST_ASIAN, "Hans": _EAST_ASIAN, "Hant": _EAST_ASIAN, "Hani": _EAST_ASIAN, "Kore": ("Hang",)}
"""Scripts that ISO 15924 names for a mixture, or for a choice among characters. Kana count as letters of Chinese, too:
that they make a text Japanese is found by `identifier.py`."""

WRITTEN_IN = {
    code: script
    for script, codes in {
        "Cyrl": "ab av ba be bg ce cu cv kk kv ky mk mn os ru sr tg tt uk",
        "Arab": "ar fa ks ps sd ug ur",
        "Hebr": "he yi",
        "Deva": "bh hi mr ne sa",
        "Beng": "as bn",
        "Ethi": "am ti",
        "Tibt": "bo dz",
    }.items()
    for code in codes.split()
} | {
    "dv": "Thaa", "el": "Grek", "gu": "Gujr", "hy": "Armn", "ja": "Jpan", "ka": "Geor", "km": "Khmr", "kn": "Knda",
    "ko": "Kore", "lo": "Laoo", "ml": "Mlym", "my": "Mymr", "or": "Orya", "pa": "Guru", "si": "Sinh", "ta": "Taml",
    "te": "Telu", "th": "Thai", "zh": "Hani",
}  # fmt: skip
"""The script of each language of ISO 639-1 that is not written in Latin letters, where the code has no subtag."""

WEIGHTS = {"Hani": 3, "Hira": 2, "Kana": 2, "Hang": 2}
"""Letters of an alphabet that one character stands for, from the lengths of the Declaration of Human Rights."""

_HEAVY = {weight: re.compile(f"[{''.join(RANGES[s] for s in WEIGHTS if WEIGHTS[s] == weight)}]") for weight in (2, 3)}


def letters(text: str) -> int:
    """Count the letters, by the weight that they carry: one of an alphabet is 1, a Chinese character 3."""
    count = sum(map(str.isalpha, text))
    if text.isascii():
        return count
    return count + sum((weight - 1) * len(pattern.findall(text)) for weight, pattern in _HEAVY.items())


def script_of(code: str) -> str | None:
    """Name the script that a language code asks for, by its subtag or by custom; None where it is not known here."""
    language, *subtags = code.split("-")
    script = next((subtag for subtag in subtags if len(subtag) == 4), None)
    if script is None and language == "zh" and not {"TW", "HK", "MO"}.isdisjoint(subtags):
        script = "Hant"
    script = script or WRITTEN_IN.get(language, "Latn")
    return script if script in RANGES or script in JOINED else None


@cache
def foreign(script: str) -> re.Pattern[str]:
    """Make the pattern of letters that do not belong to a script."""
    own = "".join(RANGES[part] for part in JOINED.get(script, (script,)))
    return re.compile(rf"[^\W\d_{own}]+")


@cache
def stretches(script: str) -> Mapping[str, re.Pattern[str]]:
    """Make the patterns of passages in other scripts, by their names: letters of one with no others, digits or lines in between."""
    own = JOINED.get(script, (script,))
    east = [part for part in _EAST_ASIAN if part not in own]
    others = {part: RANGES[part] for part in RANGES if part not in (*own, *_EAST_ASIAN)}
    if east:
        others["Hani"] = "".join(RANGES[part] for part in east)
    return {
        name: re.compile(rf"[{letters}](?:{_LATIN_GAP if name == 'Latn' else _GAP}[{letters}]+)*")
        for name, letters in others.items()
    }


_GAP = r"[^\w\n]{0,3}"
_LATIN_GAP = r"[ .,;:!?'’\-–—]{0,6}"
"""What may stand between two words of a passage; terms in Latin letters stand in brackets and between quotation marks."""


@cache
def letters_per_character(script: str) -> int:
    """How many letters of an alphabet a character of a script stands for, on the side of caution."""
    return max(WEIGHTS.get(part, 1) for part in JOINED.get(script, (script,)))


KANA = re.compile(f"[{RANGES['Hira']}{RANGES['Kana']}]")
EAST_ASIAN = re.compile(f"[{RANGES['Hani']}{RANGES['Hira']}{RANGES['Kana']}]")
