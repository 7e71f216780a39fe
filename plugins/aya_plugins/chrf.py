"""Sentence chrF of several texts against one another, each counted once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from aya_core.api import Metric

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[numpy.int64]

CHRF = Metric(low=0.0, high=100.0, better="max")
"""chrF and chrF++, of sentences and of corpora: points of a hundred, no shares."""


class SentenceChrf:
    """sacrebleu's sentence chrF of one text against one other, in [0, 100].

    word_order: 0 is chrF, 2 is chrF++. beta: how much more recall counts than precision; 1 makes it symmetric.

    Source: Popović 2015 (W15-3049), 2017 (W17-4770); Post 2018 (W18-6319) for sacrebleu, whose words and formula
    this uses.
    """

    def __init__(self, word_order: int, beta: float = 2) -> None:
        from sacrebleu.metrics import CHRF

        self._metric: Any = CHRF(word_order=word_order, beta=beta)
        self._metric.num_refs = 1  # for the signature

    def __call__(self, hypothesis: str, reference: str) -> float:
        """Return the score. With beta above 1 it is not symmetric, because recall counts more than precision."""
        return self.table([hypothesis, reference])[0][1]

    def table(self, texts: Sequence[str]) -> list[list[float]]:
        """Score each text as hypothesis (row) against each as reference (column). One text at least."""
        totals, matches = self._statistics(texts)
        places = range(len(texts))
        return [[self._score(totals[row], totals[column], matches[row][column]) for column in places] for row in places]

    def signature(self) -> str:
        """Name the settings and the version, as sacrebleu does."""
        return str(self._metric.get_signature())

    def _score(self, ours: Sequence[int], theirs: Sequence[int], matches: Sequence[int]) -> float:
        statistics = [number for three in zip(ours, theirs, matches, strict=True) for number in three]
        return float(self._metric._compute_f_score(statistics))

    def _statistics(self, texts: Sequence[str]) -> tuple[list[list[int]], list[list[list[int]]]]:
        """Count n-grams by text and order, and those shared by text, text and order."""
        import numpy

        characters = [list("".join(text.split())) for text in texts]
        sequences = [(characters, self._metric.char_order)]
        if self._metric.word_order:
            words = [self._metric._remove_punctuation(text) for text in texts]
            sequences.append((words, self._metric.word_order))
        totals, matches = [], []
        for symbols, order in sequences:
            for counts in _ngram_counts(symbols, order):
                totals.append(counts.sum(1))
                matches.append(numpy.array([numpy.minimum(row, counts).sum(1) for row in counts]))
        return numpy.stack(totals, -1).tolist(), numpy.stack(matches, -1).tolist()


def _ngram_counts(texts: Sequence[Sequence[str]], order: int) -> Iterator[Ints]:
    """Yield, for n = 1 to `order`, how often each text has each n-gram that any of them has: (texts, n-grams).

    An n-gram is numbered by the number of the (n - 1)-gram that it starts with and that of its last symbol.
    """
    import numpy

    lengths = numpy.array([len(text) for text in texts], numpy.int64)
    alphabet: dict[str, int] = {}
    symbols = numpy.array(
        [alphabet.setdefault(symbol, len(alphabet)) for text in texts for symbol in text], numpy.int64
    )
    owner = numpy.repeat(numpy.arange(len(texts)), lengths)
    left = numpy.repeat(lengths.cumsum(), lengths) - numpy.arange(len(symbols))  # symbols from here to the text's end
    start, ngram, count = numpy.arange(len(symbols)), symbols, len(alphabet)
    for n in range(1, order + 1):
        if n > 1:
            is_whole = left[start] >= n
            start = start[is_whole]
            found, ngram = numpy.unique(ngram[is_whole] * len(alphabet) + symbols[start + n - 1], return_inverse=True)
            count = len(found)
        yield numpy.bincount(owner[start] * count + ngram, minlength=len(texts) * count).reshape(len(texts), count)
