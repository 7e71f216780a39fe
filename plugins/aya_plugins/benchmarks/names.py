"""What the place of a benchmark's file says of its rows: the language and the split.

Sets name them in the file (test.it.jsonl, mgsm_de.tsv, spring2016.val.eu.tsv.split_20_80_eval.tsv, arb_Arab.devtest) or in a folder
(mmlu_ar/dev/anatomy_dev.csv, de/test-00000-of-00001.parquet).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aya_core.api import DataError
from aya_plugins.benchmarks.codes import language_code

SPLITS = {
    "train": "train", "test": "test", "dev": "dev", "devtest": "devtest", "eval": "eval", "validation": "validation",
    "val": "validation", "valid": "validation",
}  # fmt: skip
"""Words for splits, and the word that rows have for them."""

_SEPARATORS = re.compile(r"[\s._-]+")
_PAIR = re.compile(
    r"(?<![A-Za-z0-9])(?:[a-z]{2,3}[_-][A-Za-z]{4}|[A-Za-z]{2}[_-][A-Z]{2}|[a-z]{3}[_-][A-Z]{2})(?![A-Za-z0-9])"
)

_LAST = re.compile(r"(?:[a-z]{2,3}[_-][A-Za-z]{4}|[^\s._-]*)$")


def split_of(file: str, folders: Sequence[str]) -> str | None:
    """Return the split that a file's name or the folders above it say, nearest first, or None.

    Of several words in a file's name the last counts, of those in a folder's (auxiliary_train) only the last.
    """
    for word in reversed(_SEPARATORS.split(file.lower())):
        if word in SPLITS:
            return SPLITS[word]
    words = (_SEPARATORS.split(folder.lower())[-1] for folder in folders)
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def language_of(file: str, folders: Sequence[str], *, own_codes: bool = False) -> str | None:
    """Return the language that a file's name or the folders above it say, nearest first, or None.

    A folder is named by its language, or its name ends in it (mmlu_ar). Raises DataError for a name that could mean several.
    """
    found = {code for code in (language_code(file, own_codes=own_codes), *_languages(file, own_codes)) if code}
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
