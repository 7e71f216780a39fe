"""Sentence chrF, with the n-grams of each text counted once however often it is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Ngrams = Sequence["Counter[str]"]


class SentenceChrf:
    """sacrebleu's sentence chrF of one text against one other, in [0, 100].

    word_order: 0 is chrF, 2 is chrF++. beta: how much more recall counts than precision; 1 makes it symmetric.

    Source: Popović 2015 (W15-3049), 2017 (W17-4770); Post 2018 (W18-6319) for sacrebleu, whose formula this
    calls.
    """

    def __init__(self, word_order: int, beta: float = 2) -> None:
        from sacrebleu.metrics import CHRF

        self._metric: Any = CHRF(word_order=word_order, beta=beta)
        self._metric.num_refs = 1  # for the signature
        self._ngrams = lru_cache(maxsize=1024)(self._count)

    def __call__(self, hypothesis: str, reference: str) -> float:
        """Return the score. With beta above 1 it is not symmetric, because recall counts more than precision."""
        statistics: list[int] = []
        for ours, theirs in zip(self._ngrams(hypothesis), self._ngrams(reference), strict=True):
            shared = ours.keys() & theirs.keys()
            matches = sum(min(ours[ngram], theirs[ngram]) for ngram in shared)
            statistics += [ours.total(), theirs.total(), matches]
        return float(self._metric._compute_f_score(statistics))

    def signature(self) -> str:
        """Name the settings and the version, as sacrebleu does."""
        return str(self._metric.get_signature())

    def _count(self, text: str) -> Ngrams:
        counted: Ngrams = self._metric._extract_reference_info([text])["ref_ngrams"][0]
        return counted
