"""chrF++ of a corpus, with its error, from counts of many pairs of texts at once.

Every n-gram is the beginning of a longest one, so one sort of all 6-grams of characters puts equal n-grams of every order beside
one another: the counts of a shorter order are sums over runs of the next longer one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from aya_plugins.corpus_metric import CorpusMetric

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]
    Ints: TypeAlias = NDArray[numpy.int64]

CHARACTERS = 6
"""Longest n-gram of characters."""

WORDS = 2
"""Longest n-gram of words that is counted here."""

BATCH, PAIRS = 1 << 18, 1 << 12
"""Characters and pairs counted at a time; a longer pair is a batch by itself. Both n-grams of a 6-gram, its pair and the side of
its text then fit into 63 bits."""


class CorpusChrf(CorpusMetric):
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

    def scores(self, sums: Floats) -> Floats:
        """Score many corpora at once, see `corpus_scores`."""
        return corpus_scores(sums)


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


def pair_statistics(
    hypotheses: Sequence[str], references: Sequence[str], cut: Callable[[str], Sequence[str]], word_order: int
) -> Ints:
    """Count the n-grams of each hypothesis, of its reference, and those that both have, for each order.

    cut: makes words of a text. word_order: longest n-gram of words, 0 to 2.

    Returns (pairs, 6 + word_order, 3) int64: characters, then words; in hypothesis, in reference, in both. An order of which the
    reference has none counts none in the hypothesis, as in sacrebleu, whose numbers these are.
    """
    import numpy

    parts = [
        numpy.concatenate([_of_characters(texts), _of_words([cut(text) for text in texts], word_order)], 1)
        for texts in _batches(hypotheses, references)
    ]
    return numpy.concatenate(parts) if parts else numpy.zeros((0, CHARACTERS + word_order, 3), numpy.int64)


def _batches(hypotheses: Sequence[str], references: Sequence[str]) -> Iterator[list[str]]:
    """Yield hypotheses with, after them, as many references."""
    start = size = 0
    for end, (ours, theirs) in enumerate(zip(hypotheses, references, strict=True)):
        longer = size + len(ours) + len(theirs)
        if end > start and (longer > BATCH or end - start == PAIRS):
            yield [*hypotheses[start:end], *references[start:end]]
            start, longer = end, len(ours) + len(theirs)
        size = longer
    if start < len(hypotheses):
        yield [*hypotheses[start:], *references[start:]]


def _of_characters(texts: Sequence[str]) -> Ints:
    import numpy

    plain = ["".join(text.split()) for text in texts]
    lengths = numpy.array([len(text) for text in plain], numpy.int64)
    codes = numpy.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), numpy.uint32)
    places, symbols = _apart(codes.astype(numpy.int64) + 1, lengths, CHARACTERS - 1)
    known, trigrams = numpy.unique(
        (symbols[:-2] << 42) | (symbols[1:-1] << 21) | symbols[2:], return_inverse=True
    )  # 21 bits hold every character; numbers of trigrams are in the order of their characters
    size = (known >> 42 > 0).astype(numpy.int64) + (known >> 21 & 0x1FFFFF > 0) + (known & 0x1FFFFF > 0)
    first, second = (_renumbered(known >> shift) for shift in (42, 21))
    bits = len(known).bit_length()
    low = (1 << bits) - 1

    def prefix(grams: Ints, order: int) -> Ints:
        if order % 3 == 0:  # a whole trigram, or both
            return grams >> (CHARACTERS - order) // 3 * bits
        last = grams >> (bits if order < 3 else 0)
        cut: Ints = (last >> bits << bits) | (first, second)[order % 3 - 1][last & low]
        return cut

    def length(grams: Ints) -> Ints:
        start, end = size[grams >> bits & low], size[grams & low]
        return numpy.where(start == 3, 3 + end, start)

    return _counts(lengths, trigrams[places], trigrams[places + 3], bits, CHARACTERS, prefix, length)


def _of_words(texts: Sequence[Sequence[str]], order: int) -> Ints:
    import numpy

    numbers: dict[str, int] = {}
    lengths = numpy.array([len(text) for text in texts], numpy.int64)
    words = numpy.array([numbers.setdefault(word, len(numbers) + 1) for text in texts for word in text], numpy.int64)
    places, symbols = _apart(words, lengths, WORDS - 1)
    bits = (len(numbers) + 1).bit_length()

    def prefix(grams: Ints, order: int) -> Ints:
        return grams >> bits * (WORDS - order)

    def length(grams: Ints) -> Ints:
        return numpy.where(grams & (1 << bits) - 1, 2, 1)

    return _counts(lengths, symbols[places], symbols[places + 1], bits, WORDS, prefix, length)[:, :order]


def _apart(symbols: Ints, lengths: Ints, gap: int) -> tuple[Ints, Ints]:
    """Put zeros after each text, so that an n-gram that reaches beyond its end holds one; return places, and symbols with zeros."""
    import numpy

    places = numpy.arange(len(symbols)) + numpy.repeat(numpy.arange(len(lengths)) * gap, lengths)
    apart = numpy.zeros(len(symbols) + gap * len(lengths) + 2, numpy.int64)
    apart[places] = symbols
    return places, apart


def _renumbered(ordered: Ints) -> Ints:
    """Number ascending values from 0, equal ones alike."""
    import numpy

    return numpy.concatenate([[0], numpy.cumsum(ordered[1:] != ordered[:-1])])


def _counts(
    lengths: Ints,
    left: Ints,
    right: Ints,
    bits: int,
    orders: int,
    prefix: Callable[[Ints, int], Ints],
    length: Callable[[Ints], Ints],
) -> Ints:
    """Statistics of texts, hypotheses first: (pairs, orders, 3).

    left, right: the two halves of the longest n-gram at each place of each text, as numbers of so many bits. prefix: of
    n-grams (pair, left, right), what tells those of an order apart. length: how many symbols of it are before the end of its text.
    """
    import numpy

    pairs = len(lengths) // 2
    is_reference = numpy.repeat(numpy.arange(len(lengths)) >= pairs, lengths)
    pair = numpy.repeat(numpy.arange(len(lengths)) % pairs, lengths)
    grams = numpy.sort((pair << 2 * bits + 1) | (left << bits + 1) | (right << 1) | is_reference)
    theirs, grams = grams & 1, grams >> 1
    ours = 1 - theirs
    found = numpy.zeros((pairs, orders, 3), numpy.int64)
    sizes = length(grams)
    for order in range(orders, 0, -1):
        keys = prefix(grams, order)
        starts = numpy.flatnonzero(numpy.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else keys
        if not len(starts):
            break
        grams, sizes = grams[starts], sizes[starts]
        ours, theirs = numpy.add.reduceat(ours, starts), numpy.add.reduceat(theirs, starts)
        shared = numpy.minimum(ours, theirs) * (sizes >= order)
        ends = numpy.searchsorted(grams >> 2 * bits, numpy.arange(pairs + 1))
        found[:, order - 1, 2] = numpy.diff(numpy.concatenate([[0], numpy.cumsum(shared)])[ends])
    totals = numpy.maximum(lengths[:, None] - numpy.arange(orders), 0)
    found[:, :, 1] = totals[pairs:]
    found[:, :, 0] = totals[:pairs] * (totals[pairs:] > 0)
    return found
