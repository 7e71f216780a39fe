"""Corpora drawn anew from a corpus, by the statistics of its segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[numpy.float64]

DRAWS = 1 << 22
"""How often a segment is drawn, in numbers held at a time."""


def drawn_sums(statistics: NDArray[Any], resamples: int, seed: int = 0) -> Floats:
    """Add up the statistics of corpora of as many segments, drawn with replacement: (segments, counts) to (resamples, counts).

    Equal seeds and sizes draw equal segments, so that scores of aligned corpora can be compared or averaged.
    """
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
