"""Single answers that are good or bad, as tokens, and the loss over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from aya_core.api import CUT, Preference, Prompt, SingleLogps, SingleObjective
from aya_plugins.modeling.chat import Answer, ChatEncoder
from aya_plugins.modeling.rows import Encoded, Ints, collate
from aya_plugins.modeling.scoring import row_sums
from aya_plugins.trainers.runtime import dropping
from aya_plugins.trainers.runtime.reference import Reference


@dataclass(frozen=True)
class EncodedSingles:
    """Answers, of which `is_good` says what they are. Those that nothing can be learned from are not among them.

    prompts: of each answer.
    """

    encoded: Encoded
    is_good: NDArray[numpy.bool_]
    pad_id: int
    prompts: Sequence[Prompt]
    counts: Mapping[str, float]

    @classmethod
    def of(cls, encoder: ChatEncoder, rows: Sequence[Preference], where: Path, name: str) -> EncodedSingles:
        """Encode the answers of rows, pairs taken apart. Raises DataError when none is left."""
        found = [
            (Answer(row.prompt, text, more, ended in CUT, row.prompt_tokens or 0), is_good)
            for row in rows
            for text, more, ended, is_good in (
                (row.chosen, row.chosen_more, row.chosen_finish_reason, True),
                (row.rejected, row.rejected_more, row.rejected_finish_reason, False),
            )
            if text is not None
        ]
        answers = [answer for answer, _ in found]
        encoded = encoder.answers(answers, refuses=True)
        reasons = dropping.why_not_rows(encoded)
        kept = dropping.kept(reasons, where, name)
        counts = dropping.account(reasons, encoded.truncated, unended=encoded.unended, unlike=encoded.unlike)
        is_good = numpy.array([is_good for _, is_good in found], dtype=numpy.bool_)[kept]
        counted = {"good_answer_rows": int(is_good.sum()), "bad_answer_rows": int((~is_good).sum())}
        prompts = [answers[place].prompt for place in kept]
        return cls(encoded.take(kept), is_good, encoder.pad_id, prompts, {**counts, **counted})


@dataclass(frozen=True)
class SinglesTask:
    """The mean of an objective's losses over the answers of a step. reference: of the answers."""

    singles: EncodedSingles
    objective: SingleObjective
    reference: Reference
    name: str = "preference"

    @property
    def lengths(self) -> Ints:
        """See `Task`."""
        return self.singles.encoded.lengths

    @property
    def answer_tokens(self) -> Ints:
        """See `Task`."""
        return self.singles.encoded.answer_tokens

    @property
    def prompts(self) -> Sequence[Prompt]:
        """See `Task`."""
        return self.singles.prompts

    def account(self) -> Mapping[str, float]:
        """See `CountedTask`."""
        return self.singles.counts

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some answers."""
        singles, device = self.singles, next(module.parameters()).device
        logps = row_sums(module(collate(singles.encoded, rows, singles.pad_id, device)))
        is_good = torch.from_numpy(singles.is_good[rows]).to(device)
        found = self.objective.singles(
            SingleLogps(
                logps=logps,
                reference=torch.from_numpy(self.reference.sums(rows)).to(device),
                tokens=torch.from_numpy(singles.encoded.answer_tokens[rows]).to(device),
                is_good=is_good,
            )
        )
        good, bad = (max(1, int(which[step_rows].sum())) for which in (singles.is_good, ~singles.is_good))
        chosen, rejected = ((found.rewards * which).sum() / of for which, of in ((is_good, good), (~is_good, bad)))
        return {
            "loss": found.losses.sum() / len(step_rows),
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "logps/chosen": (logps.detach() * is_good).sum() / good,
            "logps/rejected": (logps.detach() * ~is_good).sum() / bad,
        }
