"""How the scores of several arbiters become one: for each candidate of a prompt, its scores by arbiter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

Scores = Mapping[str, float]
"""Of one candidate, by arbiter."""

Combine = Callable[[Sequence[Scores]], Sequence[float]]
"""From the candidates of one prompt to one score each."""

SAME = 1e-5
"""Scores that differ by no more than this, or this share of the larger one, are equal: one answer's score moves so much
with the batch that a model reads it in."""


def weighted(weights: Mapping[str, float]) -> Combine:
    """Sum weight x score."""
    return lambda candidates: [sum(weights[name] * score for name, score in scores.items()) for scores in candidates]


def lexicographic(order: Sequence[str]) -> Combine:
    """Compare by the first arbiter whose scores differ, and score a candidate by the share of the others that it beats.

    A tie counts half, and a lone candidate gets a half, as if it were tied with itself: so the mean over the candidates
    of a prompt is always a half.
    """

    def combine(candidates: Sequence[Scores]) -> Sequence[float]:
        if len(candidates) == 1:
            return [0.5]
        points = [0.0] * len(candidates)
        for one, two in combinations(range(len(candidates)), 2):
            won = _first_difference(candidates[one], candidates[two], order)
            points[one] += won
            points[two] += 1 - won
        return [won / (len(candidates) - 1) for won in points]

    return combine


def _first_difference(ours: Scores, theirs: Scores, order: Sequence[str]) -> float:
    for name in order:
        a, b = ours[name], theirs[name]
        if abs(a - b) > SAME * max(1.0, abs(a), abs(b)):
            return float(a > b)
    return 0.5
