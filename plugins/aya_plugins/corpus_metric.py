"""Metrics of corpora, such as chrF++ and BLEU: a score is a function of counts that are summed over segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]
    Ints: TypeAlias = NDArray[numpy.int64]

DRAWS = 1 << 22
"""How often a segment is drawn, in numbers held at a time."""


class CorpusMetric(ABC):
    """A metric of a corpus, in [0, 100]."""

    @abstractmethod
    def signature(self) -> str:
        """Name the settings and the version, as sacrebleu does."""

    @abstractmethod
    def statistics(self, hypotheses: Sequence[str], references: Sequence[str]) -> Ints:
        """Count what a score is made of in each segment: (segments, counts)."""

    @abstractmethod
    def score(self, statistics: Ints) -> float:
        """Score a corpus by its segments' counts."""

    @abstractmethod
    def scores(self, sums: Floats) -> Floats:
        """Score many corpora at once, by their summed counts: (corpora, counts) to (corpora,)."""

    def resampled(self, statistics: Ints, resamples: int, seed: int = 0) -> Floats:
        """Score corpora of as many segments, drawn with replacement: (resamples,).

        Equal seeds and sizes draw equal segments, so that scores of aligned corpora can be compared or averaged.
        """
        return self.scores(drawn_sums(statistics, resamples, seed))

    def influences(self, statistics: Ints) -> Floats:
        """By how much each segment moves the score of the corpus, as the jackknife estimates it: (segments,), see `CorpusScore`."""
        without = self.scores((statistics.sum(0) - statistics).astype(float))
        found: Floats = (without.mean() - without) * (len(without) - 1) / len(without)
        return found


def drawn_sums(statistics: NDArray[Any], resamples: int, seed: int = 0) -> Floats:
    """Add up the statistics of corpora of as many segments, drawn with replacement: (segments, counts) to (resamples, counts)."""
    import numpy

    segments = len(statistics)
    generator = numpy.random.default_rng(seed)
    counts = statistics.astype(numpy.float64)  # whole numbers stay exact
    chunk = max(1, DRAWS // segments)
    even = numpy.full(segments, 1 / segments)
    drawn = (
        generator.multinomial(segments, even, min(chunk, resamples - start)) for start in range(0, resamples, chunk)
    )
    return numpy.concatenate([times.astype(numpy.float64) @ counts for times in drawn])
