"""Judge answers by how much the other answers agree with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from aya_core.api import Arbiter, ArbiterStrategy, Case, Field, Verdict
from aya_plugins.chrf import SentenceChrf

ALONE = Verdict.abstain("there is no other answer to agree with")
EMPTY = Verdict.abstain("the answer is empty")


class Consensus(ArbiterStrategy):
    """Score each answer by its mean chrF against all the others: minimum Bayes risk, with chrF as the gain.

    The other candidates stand in for the unknown right answers. A single candidate has none, so it gets an
    abstention. So does an empty answer, and it counts for nothing in the scores of the others.

    Source: Kumar and Byrne 2004 (N04-1022), with the candidates as a uniform distribution; chrF as the
    gain: Popović 2015 (W15-3049).
    """

    imports = ("sacrebleu",)
    extra = "eval"

    word_order: int = Field(0, ge=0, le=4, description="Longest word n-grams beside those of characters; 2 is chrF++.")

    beta: float = Field(
        2.0,
        gt=0,
        description="How much more recall counts than precision. chrF's own 2 favors the longest answer; 1 does not.",
    )

    def build(self) -> Arbiter:
        """Load sacrebleu."""
        return _Consensus(SentenceChrf(self.word_order, self.beta))


class _Consensus:
    def __init__(self, gain: SentenceChrf) -> None:
        self._gain = gain

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        for case in cases:
            agreements = iter(self._agreements([one.text for one in case.candidates if one.text.strip()]))
            yield [next(agreements) if one.text.strip() else EMPTY for one in case.candidates]

    def _agreements(self, texts: Sequence[str]) -> Sequence[Verdict]:
        if len(texts) < 2:
            return [ALONE] * len(texts)
        table = self._gain.table(texts)
        others = (row[:place] + row[place + 1 :] for place, row in enumerate(table))
        return [Verdict(math.fsum(row) / len(row)) for row in others]  # fsum: equal answers tie, whatever their places
