"""chrF++ of a corpus, with its error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from aya_plugins.chrf_counts import pair_statistics

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]
    Ints: TypeAlias = NDArray[numpy.int64]

DRAWS = 1 << 22
"""How often a segment is drawn, in numbers held at a time."""


class CorpusChrf:
    """sacrebleu's corpus chrF++ (character order 6, word order 2, beta 2), in [0, 100], from counts of n-grams.

    The counts of a corpus are the sums of its segments', and its score is a function of them.

    Source: Popović 2017 (W17-4770); Post 2018 (W18-6319), whose words, formula and numbers these are.
    """

    def __init__(self) -> None:
        from sacrebleu.metrics import CHRF

        self._metric: Any = CHRF(word_order=2)
        self._metric.num_refs = 1  # for the signature

    def signature(self) -> str:
        """Name the settings and the version, as sacrebleu does."""
        return str(self._metric.get_signature())

    def statistics(self, hypotheses: Sequence[str], references: Sequence[str]) -> Ints:
        """Count n-grams of each segment: (segments, 24), for each order in hypothesis, in reference, in both."""
        found = pair_statistics(hypotheses, references, self._metric._remove_punctuation, self._metric.word_order)
        return found.reshape(len(found), -1)

    def score(self, statistics: Ints) -> float:
        """Score a corpus by its segments' counts."""
        return float(self._metric._compute_f_score(statistics.sum(0).tolist()))

    def resampled(self, statistics: Ints, resamples: int, seed: int = 0) -> Floats:
        """Score corpora of as many segments, drawn with replacement: (resamples,).

        Equal seeds and sizes draw equal segments, so that scores of aligned corpora can be compared or averaged.
        """
        import numpy

        count = len(statistics)
        generator = numpy.random.default_rng(seed)
        counts = statistics.astype(numpy.float64)  # whole numbers stay exact
        chunk = max(1, DRAWS // count)
        sums = [
            generator.multinomial(count, numpy.full(count, 1 / count), min(chunk, resamples - start)).astype(
                numpy.float64
            )
            @ counts
            for start in range(0, resamples, chunk)
        ]
        return corpus_scores(numpy.concatenate(sums))


def corpus_scores(sums: Floats, beta: float = 2) -> Floats:
    """sacrebleu's chrF of many corpora at once, by their summed counts: (corpora, orders * 3) to (corpora,), in [0, 100].

    Precision and recall are means over the orders of which both sides have an n-gram.
    """
    import numpy

    ours, theirs, shared = numpy.moveaxis(sums.reshape(len(sums), -1, 3), 2, 0)  # each (corpora, orders)
    counts = (ours > 0) & (theirs > 0)
    orders = numpy.maximum(counts.sum(1), 1)
    precision = (shared / numpy.maximum(ours, 1) * counts).sum(1) / orders
    recall = (shared / numpy.maximum(theirs, 1) * counts).sum(1) / orders
    below = beta**2 * precision + recall
    scores: Floats = 100 * (1 + beta**2) * precision * recall / numpy.where(below > 0, below, 1)
    return scores
