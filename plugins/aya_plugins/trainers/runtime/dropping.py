"""Which rows a model cannot learn from, and why."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy
from numpy.typing import NDArray

from aya_core.api import DataError, Preference, says_the_same
from aya_plugins.modeling.chat import REWRITTEN
from aya_plugins.modeling.rows import Encoded, Ints

Reasons = NDArray[numpy.object_]
"""(rows,) why each row is dropped, as text; empty where it is kept."""

TOO_LONG = "prompt too long"
NO_ANSWER = "no answer token"
EQUAL_TEXTS = "chosen equals rejected"
EQUAL_TOKENS = "chosen equals rejected as tokens"
UNPAIRED = "one answer and no pair"

REMEDIES = {
    TOO_LONG: "raise max_tokens, or leave long prompts out",
    NO_ANSWER: "look at the rows with `aya show-tokens`",
    EQUAL_TEXTS: "make pairs of answers that differ",
    EQUAL_TOKENS: "raise max_tokens, if answers differ beyond it",
    UNPAIRED: "train on pairs, or with an objective for single answers, such as kto",
    REWRITTEN: "use a template that keeps the generation prompt and does not rewrite earlier turns: training_template takes a file with "
    "one for training alone, chat_template one to be stored",
}

OTHERWISE = "look at the rows with `aya show-tokens`, and leave them out or give a template that writes them whole (chat_template)"
"""What helps where a chat template does not write rows whole."""


def why_not_rows(encoded: Encoded) -> Reasons:
    """Say of each row why it is dropped: nothing of its answer has a log-probability.

    Either its prompt alone reaches `max_tokens`, or the template does not write all of the row, or nothing for the answer.
    """
    found = _reasons([encoded.scored_tokens > 0, encoded.truncated], ["", TOO_LONG], NO_ANSWER)
    if encoded.refused is None:
        return found
    refused: Reasons = numpy.where(encoded.refused != "", encoded.refused, found)
    return refused


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
    single, equal = (
        numpy.array([(not row.is_pair, _are_equal(row)) for row in rows], dtype=numpy.bool_).reshape(-1, 2).T
    )
    lengths = encoded.lengths.reshape(-1, 2)
    same = lengths[:, 0] == lengths[:, 1]
    for pair in numpy.flatnonzero(same):
        one, other = (encoded.ids[encoded.starts[row] : encoded.starts[row + 1]] for row in (2 * pair, 2 * pair + 1))
        same[pair] = (one == other).all()
    own = numpy.where(chosen != "", chosen, rejected)
    found = numpy.where(own != "", own, _reasons([equal, same], [EQUAL_TEXTS, EQUAL_TOKENS], ""))
    return numpy.where(single, numpy.array(UNPAIRED, dtype=numpy.object_), found)


def _are_equal(row: Preference) -> bool:
    """Whether both answers say the same."""
    return says_the_same(row.chosen or "", row.rejected or "") and row.chosen_more == row.rejected_more


def kept(reasons: Reasons, where: Path, name: str) -> Ints:
    """Name the rows that are not dropped. Raises DataError where there is none, with the reasons."""
    places: Ints = numpy.flatnonzero(reasons == "")
    if not len(places):
        if not len(reasons):
            raise DataError(f"{where}: no rows; trainer '{name}' has nothing to learn from")
        counts = Counter(reasons.tolist())
        counted = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))
        remedy = REMEDIES.get(counts.most_common(1)[0][0], OTHERWISE)
        raise DataError(
            f"{where}: all {len(reasons)} rows are dropped ({counted}); trainer '{name}' has nothing to learn from; {remedy}"
        )
    return places


def by_reason(reasons: Reasons) -> Mapping[str, int]:
    """Count the rows that are dropped, as `dropped/REASON`."""
    counts = Counter(reasons[reasons != ""].tolist())
    return {f"dropped/{reason}": count for reason, count in sorted(counts.items())}


def account(
    reasons: Reasons,
    truncated: NDArray[numpy.bool_],
    *,
    unended: NDArray[numpy.bool_] | None = None,
    unlike: NDArray[numpy.bool_] | None = None,
) -> Mapping[str, float]:
    """Count the rows that were cut and those that were dropped, altogether and as `dropped/REASON`.

    unended, unlike: see `Encoded`; rows that are dropped do not count.
    """
    counts = by_reason(reasons)
    found = {"truncated_rows": int(truncated.sum()), "dropped_rows": sum(counts.values()), **counts}
    if unended is not None and (cut := int((unended & (reasons == "")).sum())):
        found[UNENDED] = cut
    return {**found, **unlike_account(unlike if unlike is None else unlike & (reasons == ""))}


UNENDED = "answers_cut_when_sampled_rows"
"""Counts rows with an answer that was cut when it was sampled, and so is learned without an end."""

UNLIKE = "prompts_unlike_sampling_rows"
"""Counts rows whose prompt has other tokens when the model is asked."""


def unlike_account(unlike: NDArray[numpy.bool_] | None) -> Mapping[str, float]:
    """Count the rows whose prompt has other tokens when the model is asked, and warn of them; nothing where there is none."""
    if unlike is None or not unlike.any():
        return {}
    count = int(unlike.sum())
    warnings.warn(
        f"{count:,} of {len(unlike):,} rows: the tokens of the prompt in training are not those by which the model is asked, because the "
        "training template writes it otherwise, or a token spans prompt and answer; see `aya show-tokens`",
        stacklevel=2,
    )
    return {UNLIKE: count}
