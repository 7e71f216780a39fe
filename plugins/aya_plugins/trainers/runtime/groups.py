"""Groups of scored samples as tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy
from numpy.typing import NDArray

from aya_core.api import DataError, Demonstration, Prompt
from aya_plugins.modelling.chat import ChatEncoder
from aya_plugins.modelling.rows import Encoded, Ints

Scores = NDArray[numpy.float32]


@dataclass(frozen=True)
class EncodedGroups:
    """Samples of prompts; those of a prompt are rows of `encoded` one after the other. Groups are named by place.

    scores: of all rows. firsts, sizes: (groups,) the first row of each group that can teach something, and its samples.
    prompts: of each such group. account: how many groups cannot, by reason, and how many samples were cut.
    """

    encoded: Encoded
    scores: Scores
    pad_id: int
    firsts: Ints
    sizes: Ints
    prompts: Sequence[Prompt]
    account: Mapping[str, float]

    @classmethod
    def of(cls, encoder: ChatEncoder, rows: Sequence[Demonstration], where: Path, name: str) -> EncodedGroups:
        """Encode samples. Raises DataError for rows that are no groups, and when no group can teach anything."""
        groups = [list(group) for _, group in groupby(rows, key=lambda row: row.prompt.id)]
        _check(rows, groups, where)
        encoded = encoder.answers([(group[0].prompt, row.completion) for group in groups for row in group])
        scores = numpy.array([row.score for row in rows], dtype=numpy.float32)
        sizes = numpy.array([len(group) for group in groups], dtype=numpy.int64)
        firsts = numpy.cumsum(sizes) - sizes
        is_lost, is_single, is_equal = numpy.zeros((3, len(groups)), dtype=numpy.bool_)
        if groups:
            is_lost = numpy.minimum.reduceat(encoded.answer_tokens, firsts) == 0
            is_single = ~is_lost & (sizes < 2)
            highest, lowest = numpy.maximum.reduceat(scores, firsts), numpy.minimum.reduceat(scores, firsts)
            is_equal = ~is_lost & ~is_single & (highest == lowest)
        kept = numpy.flatnonzero(~(is_lost | is_single | is_equal))
        account = {
            "groups": len(kept),
            "dropped_groups": int(is_lost.sum()),
            "single_sample_groups": int(is_single.sum()),
            "equal_score_groups": int(is_equal.sum()),
            "truncated_rows": int(encoded.truncated.sum()),
        }
        if not len(kept):
            raise DataError(
                f"{where}: no group of {len(groups)} can teach trainer '{name}' anything: {account['dropped_groups']} prompts "
                f"reach max_tokens, {account['single_sample_groups']} groups have one sample, "
                f"{account['equal_score_groups']} have equal scores; sample more answers to a prompt, at a temperature of 1"
            )
        prompts = [groups[place][0].prompt for place in kept]
        return cls(encoded, scores, encoder.pad_id, firsts[kept], sizes[kept], prompts, account)

    @property
    def lengths(self) -> Ints:
        """Tokens that each group takes in a forward pass, all its samples as long as the longest."""
        lengths = self.encoded.lengths
        longest = [
            int(lengths[first : first + size].max()) for first, size in zip(self.firsts, self.sizes, strict=True)
        ]
        return self.sizes * numpy.array(longest, dtype=numpy.int64)

    @property
    def answer_tokens(self) -> Ints:
        """Tokens of all samples of each group."""
        ends = numpy.concatenate([[0], numpy.cumsum(self.encoded.answer_tokens)])
        tokens: Ints = ends[self.firsts + self.sizes] - ends[self.firsts]
        return tokens

    def rows_of(self, groups: Ints) -> Ints:
        """Name the rows of some groups, group by group."""
        sizes = self.sizes[groups]
        within = numpy.arange(int(sizes.sum())) - numpy.repeat(numpy.cumsum(sizes) - sizes, sizes)
        rows: Ints = numpy.repeat(self.firsts[groups], sizes) + within
        return rows


def _check(rows: Sequence[Demonstration], groups: Sequence[Sequence[Demonstration]], where: Path) -> None:
    for row in rows:
        if row.score is None or not math.isfinite(row.score):
            raise DataError(
                f"{where}: an answer to '{row.prompt.id}' has the score {row.score}; expected a finite number for each "
                "sample, as an arbiter gives it"
            )
    seen: set[str] = set()
    for group in groups:
        if group[0].prompt.id in seen:
            raise DataError(
                f"{where}: samples of '{group[0].prompt.id}' are in two places; expected those of a prompt one after the other"
            )
        seen.add(group[0].prompt.id)
