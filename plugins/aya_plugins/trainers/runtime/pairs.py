"""Preference pairs as tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from aya_core.api import DataError, Preference
from aya_plugins.modelling.chat import ChatEncoder
from aya_plugins.modelling.rows import Batch, Encoded, Ints, collate


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs of answers: rows 2 i and 2 i + 1 of `encoded` are the chosen and the rejected answer of a pair.

    kept: (pairs,) those pairs of which both answers have a token left after truncation; pairs are named by
    place in it.
    """

    encoded: Encoded
    kept: Ints
    pad_id: int

    @classmethod
    def of(
        cls, encoder: ChatEncoder, rows: Sequence[Preference], where: Path, name: str, *, is_whole: bool = False
    ) -> EncodedPairs:
        """Encode pairs, to the last token of the template if `is_whole`. Raises DataError when none is left."""
        answers = [(row.prompt, text) for row in rows for text in (row.chosen, row.rejected)]
        encoded = encoder.answers(answers, is_whole=is_whole)
        kept = numpy.flatnonzero((encoded.answer_tokens.reshape(-1, 2) > 0).all(1))
        if not len(kept):
            what = f"all {len(rows)} prompts reach max_tokens" if rows else "no rows"
            raise DataError(f"{where}: {what}; trainer '{name}' has nothing to learn from")
        return cls(encoded, kept, encoder.pad_id)

    @property
    def lengths(self) -> Ints:
        """Tokens that each pair takes in a forward pass, both answers as long as the longer one."""
        lengths: Ints = 2 * self.encoded.lengths.reshape(-1, 2).max(1)[self.kept]
        return lengths

    def rows_of(self, pairs: Ints) -> Ints:
        """Name the rows of some pairs: all chosen answers, then all rejected ones."""
        return numpy.concatenate([2 * self.kept[pairs], 2 * self.kept[pairs] + 1])

    def batch(self, pairs: Ints, device: torch.device) -> Batch:
        """Lay out some pairs in one batch, ordered as `rows_of` says."""
        return collate(self.encoded, self.rows_of(pairs), self.pad_id, device)

    def account(self) -> Mapping[str, float]:
        """Count the pairs that were cut or lost to `max_tokens`."""
        pairs = self.encoded.truncated.reshape(-1, 2)
        return {"truncated_rows": int(pairs.any(1).sum()), "dropped_rows": len(pairs) - len(self.kept)}
