"""Preference pairs as tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy
import torch

from aya_core.api import Preference, Prompt
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.rows import Batch, Encoded, Ints, collate
from aya_plugins.trainers.runtime import dropping
from aya_plugins.trainers.runtime.chat import compared
from aya_plugins.trainers.runtime.stored_rows import Seen, of_all


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs of answers: rows 2 i and 2 i + 1 of `encoded` are the chosen and the rejected answer of a pair.

    Pairs that nothing can be learned from are not among them; `account` says how many there were, and why. prompts: of each
    pair.
    """

    encoded: Encoded
    pad_id: int
    prompts: Sequence[Prompt]
    counts: Mapping[str, float]

    @classmethod
    def of(
        cls, encoder: ChatEncoder, rows: Sequence[Preference], where: Path, name: str, *, is_whole: bool = False
    ) -> EncodedPairs:
        """Encode pairs, to the last token of the template if `is_whole`. Raises DataError when none is left."""
        encoded = encoder.answers(compared(rows), is_whole=is_whole, refuses=True)
        reasons = dropping.why_not_pairs(encoded, rows)
        kept = dropping.kept(reasons, where, name)
        unended, unlike = (
            None if marks is None else marks[0::2] | marks[1::2] for marks in (encoded.unended, encoded.unlike)
        )
        truncated = encoded.truncated[0::2] | encoded.truncated[1::2]
        counts = dropping.account(reasons, truncated, unended=unended, unlike=unlike)
        both = numpy.stack([2 * kept, 2 * kept + 1], axis=1).reshape(-1)
        prompts = Seen(of_all(rows, kept), lambda row: [row.prompt])
        return cls(encoded.take(both), encoder.pad_id, prompts, counts)

    @cached_property
    def lengths(self) -> Ints:
        """Tokens that each pair takes in a forward pass, both answers as long as the longer one."""
        lengths: Ints = 2 * self.encoded.lengths.reshape(-1, 2).max(1)
        return lengths

    @cached_property
    def answer_tokens(self) -> Ints:
        """Tokens of both answers of each pair."""
        return self.encoded.answer_tokens.reshape(-1, 2).sum(1)  # type: ignore[no-any-return]

    def rows_of(self, pairs: Ints) -> Ints:
        """Name the rows of some pairs: all chosen answers, then all rejected ones."""
        return numpy.concatenate([2 * pairs, 2 * pairs + 1])

    def batch(self, pairs: Ints, device: torch.device) -> Batch:
        """Lay out some pairs in one batch, ordered as `rows_of` says."""
        return collate(self.encoded, self.rows_of(pairs), self.pad_id, device)

    def account(self) -> Mapping[str, float]:
        """How many pairs were cut and how many dropped, by reason."""
        return self.counts


def reward_measures(chosen: torch.Tensor, rejected: torch.Tensor) -> Mapping[str, torch.Tensor]:
    """What is reported of the rewards of some pairs, which carry no gradient."""
    return {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected,
        "rewards/accuracies": (chosen > rejected).float(),
    }
