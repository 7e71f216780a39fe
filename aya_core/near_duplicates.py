"""Near-duplicate texts: how alike two texts are, and which prompts repeat an earlier one.

Texts are compared by their sets of character 4-grams (Jaccard similarity), after case folding and without white space and
punctuation, so that it works in every script. Earlier prompts that may be alike are found by one-permutation MinHash in bands,
kept in a temporary database; each is then compared exactly.

Sources: Broder 1997 (resemblance); Li, Owen and Zhang 2012, arXiv 1208.1259 (one-permutation hashing), with the densification of
Shrivastava and Li 2014, arXiv 1406.4784.
"""

from __future__ import annotations

import string
import zlib

from aya_core.seen import temporary_database

WIDTH = 4
BINS = 32
BAND = 4
"""Bins that must agree for two texts to be compared: pairs alike by 0.8 or more are found with a probability of 0.98."""

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def shingles(text: str) -> frozenset[str]:
    """The character 4-grams of a text; a shorter text is one itself."""
    plain = "".join(text.casefold().translate(_WITHOUT_PUNCTUATION).split())
    return frozenset(plain[i : i + WIDTH] for i in range(max(1, len(plain) - WIDTH + 1)))


def similarity(one: str, other: str) -> float:
    """How alike two texts are, 0 to 1: shared 4-grams over all of them."""
    return _jaccard(shingles(one), shingles(other))


class NearDuplicates:
    """The texts seen so far, by group; memory stays bounded."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._database = temporary_database()
        self._database.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT)")
        self._database.execute(
            "CREATE TABLE bands (band INTEGER, text INTEGER, PRIMARY KEY (band, text)) WITHOUT ROWID"
        )

    def add(self, group: str, text: str) -> bool:
        """Return whether a text is like none before it in its group; it is remembered only then."""
        ours = shingles(text)
        bands = _bands(group, ours)
        marks = ", ".join("?" * len(bands))
        alike = self._database.execute(
            f"SELECT DISTINCT texts.text FROM bands JOIN texts ON texts.id = bands.text WHERE band IN ({marks})", bands
        )
        if any(_jaccard(ours, shingles(found)) >= self.threshold for (found,) in alike):
            return False
        id = self._database.execute("INSERT INTO texts (text) VALUES (?)", (text,)).lastrowid
        self._database.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(band, id) for band in bands])
        return True


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def _bands(group: str, grams: frozenset[str]) -> list[int]:
    """Hash each band of a signature: the smallest hash in each of 32 bins, empty bins filled from the next full one."""
    bins: list[int | None] = [None] * BINS
    for gram in grams:
        mark = zlib.crc32(gram.encode()) * 0x9E3779B1 & 0xFFFFFFFF
        place, smallest = mark % BINS, bins[mark % BINS]
        if smallest is None or mark < smallest:
            bins[place] = mark
    full = [
        next(bins[(place + step) % BINS] for step in range(BINS) if bins[(place + step) % BINS] is not None)
        for place in range(BINS)
    ]
    return [_band(group, start, full[start : start + BAND]) for start in range(0, BINS, BAND)]


def _band(group: str, start: int, band: list[int | None]) -> int:
    """Name a band of a group, the same in any process."""
    return zlib.crc32(f"{group} {start} {band}".encode()) << 3 | start // BAND
