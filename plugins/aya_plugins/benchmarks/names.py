"""What the place of a benchmark's file says of its rows: the language and the split.

Sets name them in the file (test.it.jsonl, mgsm_de.tsv, spring2016.val.eu.tsv.split_20_80_eval.tsv, arb_Arab.devtest) or in a folder
(mmlu_ar/dev/anatomy_dev.csv, de/test-00000-of-00001.parquet).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from aya_core.api import DataError, find_language, plain_language

SPLITS = {
    "train": "train", "test": "test", "dev": "dev", "devtest": "devtest", "eval": "eval", "validation": "validation",
    "val": "validation", "valid": "validation",
}  # fmt: skip
"""Words for splits, and the word that rows have for them."""

OTHER_CODES = {"jp": "ja", "kr": "ko", "cn": "zh", "ua": "uk", "gr": "el", "cz": "cs"}
"""Codes of countries that benchmarks use in place of ISO 639-1, when a set names its own (XWinograd writes jp)."""

THREE_LETTERS_ONLY = frozenset(
    "ary arz ast bem ceb ckb fil fuc gsw hmn hsb ilo kab mey nso pap prs scn shi tpi yue".split()  # noqa: SIM905
)
"""Languages without a code of two letters that may name a file without a script beside it; others of three letters are words (new, dev)."""

OLD_CODES = frozenset(("iw", "in", "ji", "jw", "mo"))
"""Codes that ISO 639-1 has given up; in names they are words."""

NO_CODES: Mapping[str, str] = MappingProxyType({})

_SEPARATORS = re.compile(r"[\s._-]+")
_PAIR = re.compile(
    r"(?<![A-Za-z0-9])(?:[a-z]{2,3}[_-][A-Za-z]{4}|[A-Za-z]{2}[_-][A-Z]{2}|[a-z]{3}[_-][A-Z]{2})(?![A-Za-z0-9])"
)

_LAST = re.compile(r"(?:[a-z]{2,3}[_-][A-Za-z]{4}|[^\s._-]*)$")


@cache
def language_code(name: str, *, own_codes: bool = False) -> str | None:
    """Return the code of a row for the language that a name says, or None if it says none.

    own_codes: the set is known to use codes such as jp; else they are no languages.
    """
    if own_codes and name.strip().lower() in OTHER_CODES:
        return OTHER_CODES[name.strip().lower()]
    word = name.strip().lower()
    code = None if word in OLD_CODES else find_language(name)
    if code is None or (re.fullmatch("[a-z]{3}", word) and len(code) == 3 and code not in THREE_LETTERS_ONLY):
        return None
    return plain_language(code)


def split_of(file: str, folders: Sequence[str]) -> str | None:
    """Return the split that a file's name or the folders above it say, nearest first, or None.

    Of several words in a file's name the last counts, of those in a folder's (auxiliary_train) only the last.
    """
    for word in reversed(_SEPARATORS.split(file.lower())):
        if word in SPLITS:
            return SPLITS[word]
    words = (_SEPARATORS.split(folder.lower())[-1] for folder in folders)
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def language_of(
    file: str, folders: Sequence[str], *, own_codes: bool = False, codes: Mapping[str, str] = NO_CODES
) -> str | None:
    """Return the language that a file's name or the folders above it say, nearest first, or None.

    A folder is named by its language, or its name ends in it (mmlu_ar). codes: languages by names of files or folders that say them in
    a way of their own. Raises DataError for a name that could mean several.
    """
    stem = file.split(".")[0]
    for name in (file, stem, *folders):
        if name in codes:
            return codes[name]
    if whole := language_code(stem, own_codes=own_codes):
        return whole
    found = set(_languages(file, own_codes))
    if len(found) > 1:
        raise DataError(f"'{file}' could mean the languages {', '.join(sorted(found))}; rename it so that one is left")
    if found:
        return found.pop()
    for folder in folders:
        last = _LAST.search(folder)
        for name in (folder, last[0] if last else ""):
            code = language_code(name, own_codes=own_codes)
            if code:
                return code
    return None


def unsharded(stem: str) -> str:
    """Return a file's name without the number of its shard: test of test-00000-of-00002."""
    return re.sub(r"-\d+-of-\d+$", "", stem)


def subject_of(stem: str) -> str:
    """Return a file's name, which has no ending any more, without its split or the number of its shard: anatomy of anatomy_test."""
    stem = unsharded(stem)
    words = re.split(r"[\s.-]+|_(?=(?:dev|test|val|train)(?:[._-]|$))", stem)
    return "_".join(word for word in words if word.lower() not in SPLITS)


def _languages(name: str, own_codes: bool) -> list[str]:
    """Every language in a name, of pairs such as arb_Arab before single words."""
    found: list[str] = []
    for pair in _PAIR.findall(name):
        code = language_code(pair, own_codes=own_codes)
        if code is not None:
            found.append(code)
            name = name.replace(pair, " ")
    for word in _SEPARATORS.split(name):
        code = (
            language_code(word, own_codes=own_codes)
            if re.fullmatch(r"[a-z]{2,3}|[A-Z]{2}|[A-Z]?[a-z]{4,}", word)
            else None
        )
        if code is not None:
            found.append(code)
    return found
