"""What the place of a benchmark's file says of its rows: the language and the split.

Sets name them in the file (test.it.jsonl, mgsm_de.tsv, spring2016.val.eu.tsv.split_20_80_eval.tsv, arb_Arab.devtest) or in a folder
(mmlu_ar/dev/anatomy_dev.csv, de/test-00000-of-00001.parquet).
"""

from __future__ import annotations

import re
from pathlib import PurePath

from aya_core.api import DataError
from aya_plugins.benchmarks.codes import language_code

SPLITS = {
    "train": "train", "test": "test", "dev": "dev", "devtest": "devtest", "eval": "eval", "validation": "validation",
    "val": "validation", "valid": "validation",
}  # fmt: skip
"""Words for splits, and the word that rows have for them."""

_SEPARATORS = re.compile(r"[\s._-]+")
_PAIR = re.compile(r"(?<![A-Za-z0-9])(?:[a-z]{2,3}[_-][A-Za-z]{4}|[A-Za-z]{2}[_-][A-Z]{2})(?![A-Za-z0-9])")


def split_of(path: PurePath, folders: int) -> str | None:
    """Return the split that a file's name or one of so many folders above it says, or None.

    Of several words in a name the last counts; a folder must be named by the split alone.
    """
    for word in reversed(_SEPARATORS.split(path.name.lower())):
        if word in SPLITS:
            return SPLITS[word]
    return next((SPLITS[name] for name in map(str.lower, _above(path, folders)) if name in SPLITS), None)


def language_of(path: PurePath, folders: int, *, own_codes: bool = False) -> str | None:
    """Return the language that a file's name or one of so many folders above it says, or None.

    Raises DataError for a file whose name could mean several.
    """
    for name in (path.name, *_above(path, folders)):
        whole = language_code(name, own_codes=own_codes)
        found = [whole] if whole else _languages(name, own_codes)
        if len(set(found)) > 1:
            raise DataError(
                f"{path}: '{name}' could mean the languages {', '.join(sorted(set(found)))}; rename it so that one is left"
            )
        if found:
            return found[0]
    return None


def subject_of(path: PurePath) -> str:
    """Return a file's name without its ending, split and language: anatomy of anatomy_test.csv."""
    words = re.split(r"[\s.-]+|_(?=(?:dev|test|val|train)(?:[._-]|$))", path.stem)
    return "_".join(word for word in words if word.lower() not in SPLITS)


def _above(path: PurePath, folders: int) -> list[str]:
    return [parent.name for parent in list(path.parents)[:folders] if parent.name]


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
