"""What the reward-model arbiter runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy

from aya_core.api import Case, Verdict
from aya_plugins.modeling.classifier import Classifier
from aya_plugins.modeling.memory import halving
from aya_plugins.modeling.rows import Encoded, length_sorted
from aya_plugins.modeling.scoring import Sums
from aya_plugins.modeling.settings import CheckpointSettings


class RewardModelArbiter:
    """See the strategy `reward-model`."""

    def __init__(self, settings: CheckpointSettings, *, system: str | None, max_tokens: int, label: str | None) -> None:
        self.settings = settings
        self.classifier = Classifier(settings, max_tokens=max_tokens, system=system, label=label)

    def judge(self, cases: Sequence[Case]) -> Iterable[Sequence[Verdict]]:
        """Score all candidates of all cases together, so that batches are full."""
        pairs = [(case.prompt, candidate.text) for case in cases for candidate in case.candidates]
        encoded = self.classifier.encoder.conversations(pairs)
        scores = self._scores(encoded)
        read = zip(scores, encoded.truncated, encoded.lengths, strict=True)
        verdicts = iter([self._verdict(score, cut, tokens) for score, cut, tokens in read])
        for case in cases:
            yield [next(verdicts) for _ in case.candidates]

    def _scores(self, encoded: Encoded) -> Sums:
        scores = numpy.full(len(encoded), numpy.nan, dtype=numpy.float32)
        whole = numpy.flatnonzero(~encoded.truncated & (encoded.lengths > 0))
        for places in length_sorted(encoded.lengths[whole], self.settings.batch_tokens):
            for rows, found in halving(whole[places], lambda rows: self.classifier(encoded, rows)):
                scores[rows] = found
        return scores

    def _verdict(self, score: float, was_cut: bool, tokens: int) -> Verdict:
        if not tokens:
            return Verdict.fail("the tokenizer has no token for any of it")
        if was_cut:
            return Verdict.fail(f"longer than {self.classifier.encoder.max_tokens} tokens")
        return Verdict(float(score)) if math.isfinite(score) else Verdict.fail(f"the reward model says {score}")
