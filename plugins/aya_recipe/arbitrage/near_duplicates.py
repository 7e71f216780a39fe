"""Near-duplicate texts: how alike two texts are, and which ones repeat an earlier one.

Texts are compared by their sets of character 4-grams (Jaccard similarity), after case folding and without white space, so that
it works in every script. Earlier texts that may be alike are found by one-permutation MinHash in bands, kept in a temporary
database; each is then compared exactly.

Sources: Broder 1997 (resemblance); Li, Owen and Zhang 2012, arXiv 1208.1259 (one-permutation hashing), with the densification of
Shrivastava and Li 2014, arXiv 1406.4784.
"""

from __future__ import annotations

import zlib

from aya_core.api import temporary_database

WIDTH = 4
BINS = 32
BAND = 4
"""Bins that must agree for two texts to be compared: pairs alike by 0.8 or more are found with a probability of 0.98."""

MOST_ALIKE = 16
"""Texts remembered for a band. A band that more share comes from a template, such as one instruction before every prompt, and
tells nothing; without this bound the cost would grow with the square of their number."""


def shingles(text: str) -> frozenset[str]:
    """The character 4-grams of a text; a shorter text is one itself."""
    plain = "".join(text.casefold().split())
    return frozenset(plain[i : i + WIDTH] for i in range(max(1, len(plain) - WIDTH + 1)))


def similarity(one: str, other: str) -> float:
    """How alike two texts are, 0 to 1: shared 4-grams over all of them."""
    return _jaccard(shingles(one), shingles(other))


class NearDuplicates:
    """Texts in groups; memory stays bounded."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._database = temporary_database()
        self._database.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT)")
        self._database.execute(
            "CREATE TABLE bands (band INTEGER, text INTEGER, PRIMARY KEY (band, text)) WITHOUT ROWID"
        )

    def has(self, group: str, text: str) -> bool:
        """Tell whether a text like this one is remembered in the group."""
        ours = shingles(text)
        found: set[int] = set()
        for band in _bands(group, ours):
            found.update(self._texts_of(band))
        for id in found:
            (theirs,) = self._database.execute("SELECT text FROM texts WHERE id = ?", (id,)).fetchone()
            if _jaccard(ours, shingles(theirs)) >= self.threshold:
                return True
        return False

    def remember(self, group: str, text: str) -> None:
        """Remember a text."""
        id = self._database.execute("INSERT INTO texts (text) VALUES (?)", (text,)).lastrowid
        for band in _bands(group, shingles(text)):
            if len(self._texts_of(band)) < MOST_ALIKE:
                self._database.execute("INSERT OR IGNORE INTO bands VALUES (?, ?)", (band, id))

    def _texts_of(self, band: int) -> list[int]:
        query = f"SELECT text FROM bands WHERE band = ? LIMIT {MOST_ALIKE}"
        return [text for (text,) in self._database.execute(query, (band,))]


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def _bands(group: str, grams: frozenset[str]) -> list[int]:
    """Hash each band of a signature: the smallest hash in each of 32 bins, empty bins filled from the next full one."""
    bins: list[int | None] = [None] * BINS
    for gram in grams:
        mark = zlib.crc32(gram.encode(errors="replace")) * 0x9E3779B1 & 0xFFFFFFFF
        place, smallest = mark % BINS, bins[mark % BINS]
        if smallest is None or mark < smallest:
            bins[place] = mark
    filled = bins + bins
    full = [next(mark for mark in filled[place:] if mark is not None) for place in range(BINS)]
    return [_band(group, start, full[start : start + BAND]) for start in range(0, BINS, BAND)]


def _band(group: str, start: int, band: list[int]) -> int:
    """Name a band of a group, the same in any process."""
    return zlib.crc32(f"{group} {start} {band}".encode()) << 3 | start // BAND
