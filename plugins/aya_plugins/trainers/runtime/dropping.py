"""Which rows a model cannot learn from, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy
from numpy.typing import NDArray

from aya_core.api import DataError, Preference, normalize
from aya_plugins.modeling.rows import Encoded, Ints

Reasons = NDArray[numpy.object_]
"""(rows,) why each row is dropped, as text; empty where it is kept."""

TOO_LONG = "prompt too long"
NO_ANSWER = "no answer token"
EQUAL_TEXTS = "chosen equals rejected"
EQUAL_TOKENS = "chosen equals rejected as tokens"

REMEDIES = {
    TOO_LONG: "raise max_tokens, or leave long prompts out",
    NO_ANSWER: "look at the rows with `aya show-tokens`",
    EQUAL_TEXTS: "make pairs of answers that differ",
    EQUAL_TOKENS: "raise max_tokens, if answers differ beyond it",
}


def why_not_rows(encoded: Encoded) -> Reasons:
    """Say of each row why it is dropped: nothing of its answer has a log-probability.

    Either its prompt alone reaches `max_tokens`, or the template writes nothing for the answer.
    """
    return _reasons([encoded.scored_tokens > 0, encoded.truncated], ["", TOO_LONG], NO_ANSWER)


def _reasons(conditions: Sequence[NDArray[numpy.bool_]], reasons: Sequence[str], other: str) -> Reasons:
    """Give each row the reason of the first condition that holds. A pointer a row: text of a fixed width would take a hundred bytes."""
    which = numpy.select(conditions, [numpy.int8(place) for place in range(len(reasons))], numpy.int8(len(reasons)))
    found: Reasons = numpy.array([*reasons, other], dtype=numpy.object_)[which]
    return found


def why_not_pairs(encoded: Encoded, rows: Sequence[Preference]) -> Reasons:
    """Say of each pair, rows 2 i and 2 i + 1 of `encoded`, why it is dropped.

    One of its answers has no token to learn from, or the two do not differ: in their words, whatever the white space, or in
    the tokens that are left of them. A pair of equal rows has the same log-probabilities and so pushes nowhere.
    """
    chosen, rejected = why_not_rows(encoded).reshape(-1, 2).T
    equal = numpy.fromiter((normalize(row.chosen) == normalize(row.rejected) for row in rows), dtype=numpy.bool_)
    lengths = encoded.lengths.reshape(-1, 2)
    same = lengths[:, 0] == lengths[:, 1]
    for pair in numpy.flatnonzero(same):
        one, other = (encoded.ids[encoded.starts[row] : encoded.starts[row + 1]] for row in (2 * pair, 2 * pair + 1))
        same[pair] = (one == other).all()
    own = numpy.where(chosen != "", chosen, rejected)
    return numpy.where(own != "", own, _reasons([equal, same], [EQUAL_TEXTS, EQUAL_TOKENS], ""))


def kept(reasons: Reasons, where: Path, name: str) -> Ints:
    """Name the rows that are not dropped. Raises DataError where there is none, with the reasons."""
    places: Ints = numpy.flatnonzero(reasons == "")
    if not len(places):
        if not len(reasons):
            raise DataError(f"{where}: no rows; trainer '{name}' has nothing to learn from")
        counts = Counter(reasons.tolist())
        counted = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))
        remedy = REMEDIES[counts.most_common(1)[0][0]]
        raise DataError(
            f"{where}: all {len(reasons)} rows are dropped ({counted}); trainer '{name}' has nothing to learn from; {remedy}"
        )
    return places


def account(reasons: Reasons, truncated: NDArray[numpy.bool_]) -> Mapping[str, float]:
    """Count the rows that were cut and those that were dropped, altogether and as `dropped/REASON`."""
    counts = Counter(reasons[reasons != ""].tolist())
    by_reason = {f"dropped/{reason}": count for reason, count in sorted(counts.items())}
    return {"truncated_rows": int(truncated.sum()), "dropped_rows": sum(counts.values()), **by_reason}
